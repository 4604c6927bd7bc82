package devstack

import (
	"context"
	"errors"
	"fmt"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
)

const devProject = "profile-dev"

// Broker is a reachable Pub/Sub with our topics and subscriptions.
type Broker struct {
	// Addr is host:port, as PUBSUB_EMULATOR_HOST spells it.
	Addr string
	// InMemory: undelivered events are lost on exit.
	InMemory bool
	server   *pstest.Server
}

// StartBroker uses the configured emulator, or starts an in-memory broker on a free loopback port, and
// creates what is missing.
func StartBroker(ctx context.Context, conf *confpb.Messaging) (*Broker, error) {
	b := &Broker{Addr: conf.GetPubsub().GetEmulatorHost()}
	if b.Addr == "" {
		b.server = pstest.NewServer()
		b.Addr, b.InMemory = b.server.Addr, true
	}
	if err := b.declare(ctx, conf); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare broker at %s: %w", b.Addr, err), b.Close())
	}
	return b, nil
}

// declare creates topics and subscriptions that do not exist.
func (b *Broker) declare(ctx context.Context, conf *confpb.Messaging) (err error) {
	project := conf.GetPubsub().GetProjectId()
	if project == "" {
		project = devProject
	}
	client, err := pubsub.NewClient(ctx, project, option.WithEndpoint(b.Addr), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	for topic, subscription := range map[string]string{
		conf.GetPubsub().GetTopicId():       conf.GetPubsub().GetSubscriptionId(),
		conf.GetCatalogInbox().GetTopicId(): conf.GetCatalogInbox().GetSubscriptionId(),
	} {
		topicName := fmt.Sprintf("projects/%s/topics/%s", project, topic)
		if _, err := client.TopicAdminClient.CreateTopic(ctx, &pubsubpb.Topic{Name: topicName}); err != nil && !exists(err) {
			return fmt.Errorf("create topic %s: %w", topic, err)
		}
		if subscription == "" {
			continue
		}
		_, err := client.SubscriptionAdminClient.CreateSubscription(ctx, &pubsubpb.Subscription{
			Name: fmt.Sprintf("projects/%s/subscriptions/%s", project, subscription), Topic: topicName, EnableMessageOrdering: true,
		})
		if err != nil && !exists(err) {
			return fmt.Errorf("create subscription %s: %w", subscription, err)
		}
	}
	return nil
}

func exists(err error) bool { return status.Code(err) == codes.AlreadyExists }

// Close ends the in-memory broker; an emulator keeps running.
func (b *Broker) Close() error {
	if b.server == nil {
		return nil
	}
	if err := b.server.Close(); err != nil {
		return fmt.Errorf("close broker: %w", err)
	}
	return nil
}
