package cataloginbox_test

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/lingo-services/profile/internal/clients/catalog"
	videov1 "github.com/lingo-services/profile/internal/clients/catalog/video/v1"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/postgres"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/services"
	cataloginbox "github.com/lingo-services/profile/internal/tasks/catalog_inbox"
	"github.com/lingo-services/profile/test/testkit"
)

func TestMain(m *testing.M) {
	// Both belong to the Pub/Sub client: opencensus never ends, and the keep-alive of a stream sees only at its
	// next tick that the stream has.
	goleak.VerifyTestMain(testkit.Suite{M: m},
		goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"),
		goleak.IgnoreTopFunction("cloud.google.com/go/pubsub/v2.(*messageIterator).streamKeepAliveHandler"))
}

const (
	topic        = "catalog.video.events"
	subscription = "profile.catalog-inbox"
	patience     = 90 * time.Second // longer than a lease of a message, which an emulator must wait for
	tick         = 10 * time.Millisecond
)

// stack is a broker with the catalog's topic, our subscription, and a database.
type stack struct {
	*testkit.Broker
	DB    *testkit.Database
	inbox services.CatalogInboxService
	topic *pubsub.Publisher
}

func open(t testing.TB, configure ...func(*pubsubpb.Subscription)) *stack {
	t.Helper()
	return openOn(t, testkit.NewBroker(t), configure...)
}

func openOn(t testing.TB, b *testkit.Broker, configure ...func(*pubsubpb.Subscription)) *stack {
	t.Helper()
	s := &stack{Broker: b, DB: testkit.NewDatabase(t)}
	s.Topic(t, topic)
	s.Subscription(t, topic, subscription, configure...)
	s.topic = s.Client.Publisher(topic)
	s.topic.EnableMessageOrdering = true
	t.Cleanup(s.topic.Stop)
	s.inbox = s.serviceWith(t, catalog.Decode, 1)
	return s
}

func (s *stack) serviceWith(t testing.TB, decode services.CatalogDecoder, n services.InboxGeneration) services.CatalogInboxService {
	t.Helper()
	pool, closePool, err := postgres.NewPool(t.Context(), &confpb.Data_Postgres{Url: s.DB.AppURL, MaxConns: 4, QueryMode: "exec"})
	require.NoError(t, err)
	t.Cleanup(closePool)
	store := repositories.NewStore(pool, repositories.TxOptions{StatementTimeout: patience, LockTimeout: patience, MaxAttempts: 3}, repositories.NoWaker{})
	return services.NewCatalogInboxService(store, decode, n)
}

// running is a Runner at work.
type running struct {
	*cataloginbox.Runner
	*recorder
	// ended has what Start returned.
	ended <-chan error
}

// start runs a consumer with the real service until the end of the test.
func (s *stack) start(t testing.TB, change ...func(*cataloginbox.Options)) *running {
	t.Helper()
	return s.startWith(t, s.inbox, change...)
}

func (s *stack) startWith(t testing.TB, inbox services.CatalogInboxService, change ...func(*cataloginbox.Options)) *running {
	t.Helper()
	opts := cataloginbox.Options{
		Subscription: subscription, Batch: 256, Linger: tick, MaxOutstanding: 1000, Patience: patience,
		BackoffMin: time.Millisecond, BackoffMax: tick,
	}
	for _, f := range change {
		f(&opts)
	}
	seen := newRecorder()
	r := &running{cataloginbox.NewRunner(s.Client, inbox, seen, slog.New(slog.NewJSONHandler(io.Discard, nil)), opts), seen, nil}
	r.ended = testkit.Later(func() error { return r.Start(context.WithoutCancel(t.Context())) })
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, r.Stop(ctx))
	})
	return r
}

// halt stops it and waits for the end of Start.
func (r *running) halt(t testing.TB) {
	t.Helper()
	require.NoError(t, r.Stop(t.Context()))
	require.NoError(t, <-r.ended)
}

// recorder is an Observer that remembers.
type recorder struct {
	mu                             sync.Mutex
	counts                         map[cataloginbox.Result]int
	faults                         map[cataloginbox.Fault]int
	nacked, failedAcks, inHand, tx int
	change                         chan struct{}
}

func newRecorder() *recorder {
	return &recorder{counts: map[cataloginbox.Result]int{}, faults: map[cataloginbox.Fault]int{}, change: make(chan struct{})}
}

func (r *recorder) note(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.change)
	r.change = make(chan struct{})
}

func (r *recorder) Received(time.Time)           { r.note(func() { r.inHand++ }) }
func (r *recorder) Settled(time.Time)            { r.note(func() { r.inHand-- }) }
func (r *recorder) Committed(int, time.Duration) { r.note(func() { r.tx++ }) }
func (r *recorder) Nacked(n int)                 { r.note(func() { r.nacked += n }) }
func (r *recorder) AckFailed()                   { r.note(func() { r.failedAcks++ }) }
func (r *recorder) Faulty(fault cataloginbox.Fault, n int) {
	r.note(func() { r.faults[fault] += n })
}

func (r *recorder) Counted(result cataloginbox.Result, n int) {
	r.note(func() { r.counts[result] += n })
}

// await returns when cond holds; cond reads the recorder's fields.
func (r *recorder) await(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		r.mu.Lock()
		holds, change := cond(), r.change
		r.mu.Unlock()
		if holds {
			return
		}
		select {
		case <-change:
		case <-deadline:
			require.Fail(t, "did not happen", "%s: %+v nacked %d in hand %d", what, r.counts, r.nacked, r.inHand)
		}
	}
}

// awaitCount returns when n events have come to result and nothing is in hand.
func (r *recorder) awaitCount(t testing.TB, result cataloginbox.Result, n int) {
	t.Helper()
	r.await(t, string(result), func() bool { return r.counts[result] >= n && r.inHand == 0 })
	r.mu.Lock()
	defer r.mu.Unlock()
	require.Equal(t, n, r.counts[result], result)
}

// send publishes an event as the catalog does and returns the message id.
func (s *stack) send(t testing.TB, e *videov1.Event, change ...func(*pubsub.Message)) string {
	t.Helper()
	return s.sendAll(t, []*videov1.Event{e}, change...)[0]
}

func (s *stack) sendAll(t testing.TB, events []*videov1.Event, change ...func(*pubsub.Message)) []string {
	t.Helper()
	results := make([]*pubsub.PublishResult, len(events))
	for i, e := range events {
		data, err := proto.Marshal(e)
		require.NoError(t, err)
		m := &pubsub.Message{Data: data, OrderingKey: e.GetAggregateId(), Attributes: map[string]string{
			"event_id": e.GetEventId(), "aggregate_id": e.GetAggregateId(), "aggregate_type": "video",
		}}
		for _, f := range change {
			f(m)
		}
		results[i] = s.topic.Publish(t.Context(), m)
	}
	ids := make([]string, len(events))
	for i, r := range results {
		var err error
		ids[i], err = r.Get(t.Context())
		require.NoError(t, err)
	}
	return ids
}

func created(id models.VideoID, version int64, change ...func(*videov1.VideoCreated)) *videov1.Event {
	v := &videov1.VideoCreated{VideoId: id.String(), Title: "t" + id.String(), Version: version, Status: "published"}
	for _, f := range change {
		f(v)
	}
	return event(id, &videov1.Event{Payload: &videov1.Event_Created{Created: v}})
}

func updated(id models.VideoID, version int64, change ...func(*videov1.VideoUpdated)) *videov1.Event {
	v := &videov1.VideoUpdated{VideoId: id.String(), Version: version}
	for _, f := range change {
		f(v)
	}
	return event(id, &videov1.Event{Payload: &videov1.Event_Updated{Updated: v}})
}

func deleted(id models.VideoID, version int64) *videov1.Event {
	return event(id, &videov1.Event{Payload: &videov1.Event_Deleted{Deleted: &videov1.VideoDeleted{VideoId: id.String(), Version: version}}})
}

func event(id models.VideoID, e *videov1.Event) *videov1.Event {
	e.EventId, e.AggregateId = uuid.NewString(), id.String()
	return e
}

// row is what the projection holds of a video, without when.
func (s *stack) row(t testing.TB, id models.VideoID) string {
	t.Helper()
	return testkit.One[string](t, s.DB, `SELECT coalesce((SELECT (to_jsonb(v) - 'video_id' - 'created_at' - 'updated_at')::text
		FROM profile.videos_projection v WHERE video_id = $1), '')`, uuid.UUID(id))
}

// touched is when a video's row was last changed.
func (s *stack) touched(t testing.TB, id models.VideoID) time.Time {
	t.Helper()
	return testkit.One[time.Time](t, s.DB, "SELECT updated_at FROM profile.videos_projection WHERE video_id = $1", uuid.UUID(id))
}

func (s *stack) title(t testing.TB, id models.VideoID) string {
	t.Helper()
	return testkit.One[string](t, s.DB, "SELECT coalesce((SELECT title FROM profile.videos_projection WHERE video_id = $1), '')", uuid.UUID(id))
}

func (s *stack) availability(t testing.TB, id models.VideoID) string {
	t.Helper()
	return testkit.One[string](t, s.DB, "SELECT coalesce((SELECT availability FROM profile.videos_projection WHERE video_id = $1), '')", uuid.UUID(id))
}

func (s *stack) inboxCount(t testing.TB, state string) int64 {
	t.Helper()
	return testkit.One[int64](t, s.DB, "SELECT count(*) FROM profile.inbox_events WHERE state = $1", state)
}

// requireDrained proves that the broker has nothing left of the subscription: every message is acknowledged.
func (s *stack) requireDrained(t testing.TB, ids ...string) {
	t.Helper()
	if s.Server == nil {
		return // an emulator does not tell; what is in hand was settled, which the caller has waited for
	}
	require.Eventually(t, func() bool {
		return !slices.ContainsFunc(ids, func(id string) bool { return s.message(id).Acks == 0 })
	}, patience, tick)
}

// expireLeases lets the broker bring what a dead consumer still holds.
func (s *stack) expireLeases() {
	if s.Server != nil {
		s.Server.SetTimeNowFunc(func() time.Time { return time.Now().Add(patience) })
	}
}

func (s *stack) message(id string) *pstest.Message { return s.Server.Message(id) }

// faulty lets a test stand between the runner and the service.
type faulty struct {
	services.CatalogInboxService
	apply func(ctx context.Context, events []services.CatalogEvent) (services.InboxCounts, error)
	park  func(ctx context.Context, failures []services.InboxFailure) error
}

func (f *faulty) Apply(ctx context.Context, events []services.CatalogEvent) (services.InboxCounts, error) {
	if f.apply == nil {
		return f.CatalogInboxService.Apply(ctx, events)
	}
	return f.apply(ctx, events)
}

func (f *faulty) Park(ctx context.Context, failures []services.InboxFailure) error {
	if f.park == nil {
		return f.CatalogInboxService.Park(ctx, failures)
	}
	return f.park(ctx, failures)
}
