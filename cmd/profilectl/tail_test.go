package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/api/iterator"
	"google.golang.org/protobuf/proto"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	outboxevents "github.com/lingo-services/profile/internal/models/outbox_events"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/test/testkit"
)

const topic = "profile.events"

// These tests are not parallel: each checks that it leaves no goroutine behind.

// keepAlive is a goroutine that pubsub v2.6.0 itself forgets after every Receive: it waits for stopped tickers.
const keepAlive = "cloud.google.com/go/pubsub/v2.(*messageIterator).streamKeepAliveHandler"

// newTopic is a broker with the topic; nothing may be left running at the end.
func newTopic(t *testing.T) *testkit.Broker {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before, goleak.IgnoreTopFunction(keepAlive)) })
	b := testkit.NewBroker(t)
	b.Topic(t, topic)
	return b
}

// running is a tail in the background.
type running struct {
	out   *testkit.Buffer
	stop  context.CancelFunc
	ended <-chan error
}

// start runs a tail of the broker until it is ready for messages.
func start(t *testing.T, b *testkit.Broker, args ...string) running {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	cmd, notes, out := tailCommand(), newReady(), &testkit.Buffer{}
	cmd.SetArgs(append([]string{"--project", b.Project, "--emulator", b.Addr}, args...))
	cmd.SetOut(out)
	cmd.SetErr(notes)
	ended := testkit.Later(func() error { return cmd.ExecuteContext(ctx) })
	select {
	case <-notes.written:
	case err := <-ended:
		require.FailNow(t, "the tail ended", "%v", err)
	}
	return running{out, stop, ended}
}

// ready tells when something was written.
type ready struct {
	once    sync.Once
	written chan struct{}
}

func newReady() *ready { return &ready{written: make(chan struct{})} }

func (s *ready) Write(p []byte) (int, error) {
	s.once.Do(func() { close(s.written) })
	return len(p), nil
}

// event is a message as the publisher sends it.
func event(t *testing.T) *pubsub.Message {
	t.Helper()
	id, user := uuid.Must(uuid.NewV7()), testkit.NewUser()
	payload, err := proto.Marshal(&profilev1.EngagementAddedEvent{EventId: id.String(), UserId: user.String(), Source: "<manual>"})
	require.NoError(t, err)
	return &pubsub.Message{OrderingKey: user.String(), Data: payload, Attributes: outboxevents.Attributes(po.Delivery{
		EventID: id, AggregateType: "user", AggregateID: uuid.UUID(user), EventType: outboxevents.EngagementAdded, Version: 7,
		OccurredAt: time.Date(2030, 1, 2, 3, 4, 5, 6000, time.UTC),
	})}
}

// publish sends messages one after the other.
func publish(t *testing.T, b *testkit.Broker, messages ...*pubsub.Message) {
	t.Helper()
	publisher := b.Client.Publisher(topic)
	publisher.EnableMessageOrdering = true
	defer publisher.Stop()
	for _, m := range messages {
		_, err := publisher.Publish(t.Context(), m).Get(t.Context())
		require.NoError(t, err)
	}
}

func subscriptions(t *testing.T, b *testkit.Broker) (names []string) {
	t.Helper()
	all := b.Client.SubscriptionAdminClient.ListSubscriptions(t.Context(), &pubsubpb.ListSubscriptionsRequest{Project: "projects/" + b.Project})
	for {
		s, err := all.Next()
		if errors.Is(err, iterator.Done) {
			return names
		}
		require.NoError(t, err)
		names = append(names, s.GetName())
	}
}

func TestTailPrintsOneJSONObjectPerMessage(t *testing.T) {
	b := newTopic(t)
	tail := start(t, b, "--count", "4")
	known, unknown, broken, bare := event(t), event(t), event(t), &pubsub.Message{Data: []byte("x")}
	unknown.Attributes["event_type"] = "profile.badge.won"
	broken.Data = []byte{0xff}
	publish(t, b, known, unknown, broken, bare)
	require.NoError(t, <-tail.ended)

	lines := strings.Split(strings.TrimSuffix(tail.out.String(), "\n"), "\n")
	require.Len(t, lines, 4)
	byKey := map[string]map[string]any{}
	for _, text := range lines {
		var message map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &message))
		_, err := time.Parse(time.RFC3339Nano, message["publish_time"].(string))
		require.NoError(t, err)
		byKey[message["ordering_key"].(string)] = message
	}
	attributes := map[string]any{}
	for name, value := range known.Attributes {
		attributes[name] = value
	}
	got := byKey[known.OrderingKey]
	require.Equal(t, attributes, got["attributes"])
	require.Equal(t, map[string]any{"eventId": known.Attributes["event_id"], "userId": known.OrderingKey, "source": "<manual>"}, got["payload"])
	require.NotContains(t, got, "note")
	require.Contains(t, tail.out.String(), "<manual>", "readable as it is")

	require.Contains(t, byKey[unknown.OrderingKey]["note"], "profile.badge.won")
	require.Equal(t, base64Of(unknown.Data), byKey[unknown.OrderingKey]["payload_base64"])
	require.Contains(t, byKey[broken.OrderingKey]["note"], "decode")
	require.Equal(t, "/w==", byKey[broken.OrderingKey]["payload_base64"])
	require.Equal(t, "eA==", byKey[""]["payload_base64"], "not ours, still shown")
	require.NotContains(t, byKey[broken.OrderingKey], "payload")
	require.Empty(t, subscriptions(t, b), "the temporary subscription is gone")
}

func base64Of(data []byte) string {
	text, _ := json.Marshal(data)
	return strings.Trim(string(text), `"`)
}

func TestTailPrintsBlocksForPeople(t *testing.T) {
	b := newTopic(t)
	tail := start(t, b, "--count", "2", "--json=false")
	m, strange := event(t), event(t)
	strange.OrderingKey = m.OrderingKey
	strange.Attributes["event_type"] = "\x1b[2J"
	publish(t, b, m, strange)
	require.NoError(t, <-tail.ended)
	text := tail.out.String()
	require.NotContains(t, text, "\x1b", "a terminal does not obey messages")
	lines := strings.Split(text, "\n")
	require.Len(t, lines, 7)
	require.Regexp(t, `^\d{4}-\d\d-\d\dT\S+Z "profile.engagement.added" version="7" key="`+m.OrderingKey+`"$`, lines[0])
	for name, value := range m.Attributes {
		require.Contains(t, lines[1], " "+name+`="`+value+`"`)
	}
	require.JSONEq(t, `{"eventId": "`+m.Attributes["event_id"]+`", "userId": "`+m.OrderingKey+`", "source": "<manual>"}`, lines[2])
	require.Contains(t, lines[5], "base64 "+base64Of(strange.Data))
}

func TestTailsDoNotTakeEachOthersMessages(t *testing.T) {
	b := newTopic(t)
	first, second := start(t, b, "--count", "1"), start(t, b, "--count", "1")
	publish(t, b, event(t))
	require.NoError(t, <-first.ended)
	require.NoError(t, <-second.ended)
	require.Equal(t, first.out.String(), second.out.String())
}

func TestTailEndsWithCtrlC(t *testing.T) {
	b := newTopic(t)
	tail := start(t, b)
	require.Len(t, subscriptions(t, b), 1)
	tail.stop()
	require.NoError(t, <-tail.ended)
	require.Empty(t, tail.out.String())
	require.Empty(t, subscriptions(t, b))

	ctx, stop := context.WithCancel(t.Context())
	stop()
	cmd := tailCommand()
	cmd.SetArgs([]string{"--project", b.Project, "--emulator", b.Addr})
	require.NoError(t, cmd.ExecuteContext(ctx), "also before it has begun")
}

func TestTailPrintsNoMoreThanItsCount(t *testing.T) {
	b := newTopic(t)
	b.Subscription(t, topic, "full")
	publish(t, b, event(t), event(t), event(t))
	tail := start(t, b, "--subscription", "full", "--count", "1")
	require.NoError(t, <-tail.ended)
	require.Equal(t, 1, strings.Count(tail.out.String(), "\n"))
}

func TestTailReadsAnExistingSubscription(t *testing.T) {
	b := newTopic(t)
	b.Subscription(t, topic, "kept")
	for range 2 {
		m := event(t)
		publish(t, b, m)
		tail := start(t, b, "--subscription", "kept", "--count", "1")
		require.NoError(t, <-tail.ended)
		require.Contains(t, tail.out.String(), m.Attributes["event_id"], "what the tail before printed does not come again")
	}
	require.Len(t, subscriptions(t, b), 1, "it was not the tail's to delete")
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestTailEndsWhenNobodyReads(t *testing.T) {
	b := newTopic(t)
	b.Subscription(t, topic, "shared")
	publish(t, b, event(t))
	cmd := tailCommand()
	cmd.SetArgs([]string{"--project", b.Project, "--emulator", b.Addr, "--subscription", "shared"})
	cmd.SetOut(brokenPipe{})
	cmd.SetErr(&bytes.Buffer{})
	require.ErrorContains(t, cmd.ExecuteContext(t.Context()), "broken pipe")
}

func TestTailSaysWhatIsMissing(t *testing.T) {
	for _, name := range []string{"PUBSUB_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT", "PROFILE_MESSAGING_PUBSUB_PROJECT_ID", "PROFILE_MESSAGING_PUBSUB_EMULATOR_HOST"} {
		t.Setenv(name, "")
	}
	cmd := tailCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs([]string{})
	err := cmd.ExecuteContext(t.Context())
	require.ErrorContains(t, err, "GOOGLE_CLOUD_PROJECT")
	require.ErrorContains(t, err, "PUBSUB_EMULATOR_HOST")
	require.NotContains(t, err.Error(), "\n")
}

func TestTailReadsTheEnvironment(t *testing.T) {
	b := newTopic(t)
	t.Setenv("PUBSUB_EMULATOR_HOST", b.Addr)
	t.Setenv("GOOGLE_CLOUD_PROJECT", b.Project)
	t.Setenv("PROFILE_MESSAGING_PUBSUB_TOPIC_ID", "none.such")
	cmd := tailCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs([]string{})
	require.ErrorContains(t, cmd.ExecuteContext(t.Context()), "subscribe to none.such")
}
