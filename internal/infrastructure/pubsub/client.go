// Package pubsub connects to Google Pub/Sub or an emulator of it.
package pubsub

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/pubsub/v2"
	vkit "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/wire"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
)

// ProviderSet provides a client and the topic of our events.
var ProviderSet = wire.NewSet(NewClient, NewEventTopic)

// DevProject is used with an emulator when no project is configured.
const DevProject = "profile-dev"

// checkTimeout bounds asking for the topic at start.
const checkTimeout = 2 * time.Second

// reconnect tries again several times a second: gRPC's own back-off grows to two minutes, and would go on long after
// a broker is back.
var reconnect = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 300 * time.Millisecond},
	MinConnectTimeout: 5 * time.Second,
}

// NewClient connects lazily: to the emulator when one is configured, else to Google with the environment's
// credentials. A failed Publish is not repeated inside the client: whoever publishes decides. The caller calls
// closeClient. Errors: no project and no emulator.
func NewClient(ctx context.Context, conf *confpb.Messaging) (client *pubsub.Client, closeClient func(), err error) {
	project := conf.GetPubsub().GetProjectId()
	options := []option.ClientOption{option.WithGRPCDialOption(grpc.WithConnectParams(reconnect))}
	if addr := conf.GetPubsub().GetEmulatorHost(); addr != "" {
		options = append(options, option.WithEndpoint(addr), option.WithoutAuthentication(),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
		if project == "" {
			project = DevProject
		}
	}
	if project == "" {
		return nil, nil, errors.New("messaging.pubsub.project_id: is required (set GOOGLE_CLOUD_PROJECT, or PUBSUB_EMULATOR_HOST for an emulator)")
	}
	client, err = pubsub.NewClientWithConfig(ctx, project, &pubsub.ClientConfig{
		TopicAdminCallOptions: &vkit.TopicAdminCallOptions{Publish: []gax.CallOption{gax.WithRetry(never)}},
	}, options...)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to Pub/Sub: %w", err)
	}
	return client, func() { _ = client.Close() }, nil
}

// NewEventTopic publishes our events in order per key. Its batches are what one read of the queue found for a
// key, so that waiting for more is short; how much may be outstanding is decided by the reader. Errors: the topic
// does not exist. A broker that cannot say, or will not tell a mere publisher, is no error.
func NewEventTopic(ctx context.Context, client *pubsub.Client, conf *confpb.Messaging) (*pubsub.Publisher, error) {
	topic := client.Publisher(conf.GetPubsub().GetTopicId())
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	_, err := client.TopicAdminClient.GetTopic(ctx, &pubsubpb.GetTopicRequest{Topic: topic.String()})
	if status.Code(err) == codes.NotFound {
		return nil, fmt.Errorf("topic %s does not exist (messaging.pubsub.topic_id)", topic)
	}
	topic.EnableMessageOrdering = true
	topic.PublishSettings.DelayThreshold = conf.GetOutbox().GetLinger().AsDuration()
	topic.PublishSettings.CountThreshold = int(conf.GetOutbox().GetBatch())
	topic.PublishSettings.Timeout = conf.GetPubsub().GetPublishTimeout().AsDuration()
	topic.PublishSettings.FlowControlSettings.LimitExceededBehavior = pubsub.FlowControlIgnore
	return topic, nil
}

// never is the retry policy of Publish: none. A caller that keeps events in a table knows better when to try
// again, and a retry inside the client would hide an outage for a minute.
func never() gax.Retryer { return noRetry{} }

type noRetry struct{}

// Retry implements gax.Retryer.
func (noRetry) Retry(error) (time.Duration, bool) { return 0, false }
