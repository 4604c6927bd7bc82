package devstack

import (
	"context"
	"errors"
	"fmt"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	infrapubsub "github.com/lingo-services/profile/internal/infrastructure/pubsub"
)

// Broker is a reachable Pub/Sub with our topics and the subscription of the inbox.
type Broker struct {
	// Addr is host:port, as PUBSUB_EMULATOR_HOST spells it.
	Addr string
	// InMemory: undelivered events are lost on exit.
	InMemory bool
	server   *pstest.Server
}

// StartBroker uses the configured emulator, or starts an in-memory broker on a free loopback port; it points
// conf there and creates what is missing.
func StartBroker(ctx context.Context, conf *confpb.Messaging) (*Broker, error) {
	b := &Broker{Addr: conf.GetPubsub().GetEmulatorHost()}
	if b.Addr == "" {
		b.server = pstest.NewServer()
		b.Addr, b.InMemory = b.server.Addr, true
		conf.Pubsub.EmulatorHost = b.Addr
	}
	if err := declare(ctx, conf); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare broker at %s: %w", b.Addr, err), b.Close())
	}
	return b, nil
}

// declare creates the topics and the inbox's subscription where they do not exist.
func declare(ctx context.Context, conf *confpb.Messaging) error {
	client, closeClient, err := infrapubsub.NewClient(ctx, conf)
	if err != nil {
		return err
	}
	defer closeClient()
	project, inbox := conf.GetPubsub().GetProjectId(), conf.GetCatalogInbox()
	if project == "" {
		project = infrapubsub.DevProject
	}
	name := func(kind, id string) string { return fmt.Sprintf("projects/%s/%s/%s", project, kind, id) }
	topics := []string{name("topics", conf.GetPubsub().GetTopicId()), name("topics", inbox.GetTopicId())}
	catalogs := &pubsubpb.Subscription{
		Topic: name("topics", inbox.GetTopicId()), Name: name("subscriptions", inbox.GetSubscriptionId()), EnableMessageOrdering: true,
	}
	if id := inbox.GetDeadLetterTopicId(); id != "" {
		catalogs.DeadLetterPolicy = &pubsubpb.DeadLetterPolicy{DeadLetterTopic: name("topics", id), MaxDeliveryAttempts: inbox.GetMaxDeliveries()}
		topics = append(topics, catalogs.GetDeadLetterPolicy().GetDeadLetterTopic())
	}
	for _, topic := range topics {
		if err := createTopic(ctx, client, topic); err != nil {
			return err
		}
	}
	if _, err := client.SubscriptionAdminClient.CreateSubscription(ctx, catalogs); err != nil && !exists(err) {
		return fmt.Errorf("create subscription %s: %w", catalogs.GetName(), err)
	}
	return nil
}

func createTopic(ctx context.Context, client *pubsub.Client, name string) error {
	if _, err := client.TopicAdminClient.CreateTopic(ctx, &pubsubpb.Topic{Name: name}); err != nil && !exists(err) {
		return fmt.Errorf("create topic %s: %w", name, err)
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
