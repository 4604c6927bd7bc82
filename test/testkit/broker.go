package testkit

import (
	"fmt"
	"os"
	"testing"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	infrapubsub "github.com/lingo-services/profile/internal/infrastructure/pubsub"
)

// Broker is a Pub/Sub of a test's own: an in-memory server that speaks the real protocol, or a project of its
// own on the emulator that PUBSUB_EMULATOR_HOST names.
type Broker struct {
	// Addr is host:port, as PUBSUB_EMULATOR_HOST spells it.
	Addr    string
	Project string
	// Client is connected as the service connects; it is closed at the end of the test.
	Client *pubsub.Client
	// Server is nil on an emulator.
	Server *pstest.Server
}

// NewBroker starts or finds a broker. Options ask for faults, which only the in-memory server can be made to have.
func NewBroker(t testing.TB, options ...pstest.ServerReactorOption) *Broker {
	t.Helper()
	b := &Broker{Addr: os.Getenv("PUBSUB_EMULATOR_HOST"), Project: "test-" + uuid.NewString()}
	if b.Addr == "" || len(options) > 0 {
		b.Server = pstest.NewServer(options...)
		b.Addr = b.Server.Addr
		t.Cleanup(func() { require.NoError(t, b.Server.Close()) })
	}
	client, closeClient, err := infrapubsub.NewClient(t.Context(), b.Conf())
	require.NoError(t, err)
	b.Client = client
	t.Cleanup(closeClient)
	return b
}

// Conf points the service at the broker.
func (b *Broker) Conf() *confpb.Messaging {
	return &confpb.Messaging{Pubsub: &confpb.Messaging_Pubsub{ProjectId: b.Project, EmulatorHost: b.Addr}}
}

// Topic creates a topic and returns its full name.
func (b *Broker) Topic(t testing.TB, id string) string {
	t.Helper()
	name := fmt.Sprintf("projects/%s/topics/%s", b.Project, id)
	_, err := b.Client.TopicAdminClient.CreateTopic(t.Context(), &pubsubpb.Topic{Name: name})
	require.NoError(t, err)
	return name
}

// Subscription creates a subscription with message ordering to an existing topic of that id and returns its
// full name; configure may change it first.
func (b *Broker) Subscription(t testing.TB, topic, id string, configure ...func(*pubsubpb.Subscription)) string {
	t.Helper()
	s := &pubsubpb.Subscription{
		Name:  fmt.Sprintf("projects/%s/subscriptions/%s", b.Project, id),
		Topic: fmt.Sprintf("projects/%s/topics/%s", b.Project, topic), EnableMessageOrdering: true,
	}
	for _, f := range configure {
		f(s)
	}
	_, err := b.Client.SubscriptionAdminClient.CreateSubscription(t.Context(), s)
	require.NoError(t, err)
	return s.GetName()
}
