package outbox_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/devstack"
	"github.com/lingo-services/profile/internal/infrastructure/observability"
	"github.com/lingo-services/profile/internal/infrastructure/postgres"
	infrapubsub "github.com/lingo-services/profile/internal/infrastructure/pubsub"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/tasks/outbox"
	"github.com/lingo-services/profile/test/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const patience, tick = 20 * time.Second, 5 * time.Millisecond

// stage is a service that writes events, a broker, and any number of publishers between them.
type stage struct {
	*testkit.Service
	broker *testkit.Broker
	// publishTo is where publishers connect.
	publishTo string
	sub       string
	conf      *confpb.Bootstrap
	inbox     *inbox
}

const eventsTopic = "profile.events"

// newStage has no publisher yet. A reaction stands between publishers and the broker.
func newStage(t testing.TB, react ...func(context.Context, pubsubpb.PublisherClient, *publishRequest) (bool, error)) *stage {
	t.Helper()
	s := &stage{broker: testkit.NewBroker(t), inbox: &inbox{}}
	s.publishTo = s.broker.Addr
	for _, f := range react {
		s.publishTo = standBefore(t, s.broker, f)
	}
	s.Service = testkit.New(t, func(c *confpb.Bootstrap) { s.conf = c })
	s.broker.Topic(t, eventsTopic)
	s.sub = s.broker.Subscription(t, eventsTopic, "all")
	s.receive(t)
	return s
}

// receive collects everything that is delivered, acknowledging it.
func (s *stage) receive(t testing.TB) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- s.broker.Client.Subscriber(s.sub).Receive(ctx, func(_ context.Context, m *pubsub.Message) {
			s.inbox.add(m)
			m.Ack()
		})
	}()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-done)
	})
}

// inbox is what a consumer saw, in order.
type inbox struct {
	mu       sync.Mutex
	messages []*pubsub.Message
}

func (i *inbox) add(m *pubsub.Message) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.messages = append(i.messages, m)
}

func (i *inbox) all() []*pubsub.Message {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]*pubsub.Message(nil), i.messages...)
}

// versionsOf are a key's versions in the order they arrived, repetitions included.
func (i *inbox) versionsOf(user models.UserID) (versions []string) {
	for _, m := range i.all() {
		if m.Attributes["aggregate_id"] == user.String() {
			versions = append(versions, m.Attributes["version"])
		}
	}
	return versions
}

// firsts drops repetitions.
func firsts(versions []string) (once []string) {
	seen := map[string]bool{}
	for _, v := range versions {
		if !seen[v] {
			once = append(once, v)
		}
		seen[v] = true
	}
	return once
}

func upTo(n int) (versions []string) {
	for i := 1; i <= n; i++ {
		versions = append(versions, fmt.Sprint(i))
	}
	return versions
}

// watcher is an Observer that remembers.
type watcher struct {
	mu          sync.Mutex
	counts      map[string]int
	status      outbox.Status
	backlog     int64
	deadLetters chan string
}

func newWatcher() *watcher {
	return &watcher{counts: map[string]int{}, deadLetters: make(chan string, 100)}
}

func (w *watcher) count(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[what]++
}

func (w *watcher) counted() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.counts)
}

func (w *watcher) Published(string, time.Duration) { w.count("published") }
func (w *watcher) Refused(string)                  { w.count("refused") }
func (w *watcher) BrokerFailed()                   { w.count("broker") }
func (w *watcher) DatabaseFailed()                 { w.count("database") }

func (w *watcher) DeadLettered(kind string) {
	w.count("dead")
	w.deadLetters <- kind
}

func (w *watcher) Observed(now outbox.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts["reports"]++
	w.status = now
}

func (w *watcher) Backlog(events int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.backlog = events
}

func (w *watcher) estimate() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.backlog
}

func (w *watcher) last() outbox.Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}

// running is a publisher and what to do with it.
type running struct {
	*outbox.Publisher
	*watcher
	stop func()
}

// publisher starts one; configure may change its options.
func (s *stage) publisher(t testing.TB, configure ...func(*outbox.Options)) *running {
	t.Helper()
	return s.publisherOn(t, s.Store, configure...)
}

func (s *stage) publisherOn(t testing.TB, store outbox.Store, configure ...func(*outbox.Options)) *running {
	t.Helper()
	conf := s.broker.Conf()
	shipped, err := devstack.Conf(nil)
	require.NoError(t, err)
	conf.Pubsub.EmulatorHost = s.publishTo
	conf.Outbox, conf.Pubsub.TopicId, conf.Pubsub.PublishTimeout = shipped.Messaging.Outbox, eventsTopic, shipped.Messaging.Pubsub.PublishTimeout
	client, closeClient, err := infrapubsub.NewClient(t.Context(), conf)
	require.NoError(t, err)
	opts := outbox.Options{
		Instance: uuid.NewString(), Batch: 1000, Window: 4000, Lease: time.Second, Renew: 100 * time.Millisecond, MaxAttempts: 3,
		BackoffMin: time.Millisecond, BackoffMax: 20 * time.Millisecond, Grace: patience, Reread: time.Hour,
	}
	for _, f := range configure {
		f(&opts)
	}
	log, err := observability.NewLogger(s.Log, "debug")
	require.NoError(t, err)
	alarm, stopAlarm := postgres.NewListener(s.conf, log)
	watcher := newWatcher()
	topic, err := infrapubsub.NewEventTopic(t.Context(), client, conf)
	require.NoError(t, err)
	p := outbox.NewPublisher(opts, store, topic, alarm, watcher, log)
	done := testkit.Later(func() error { return p.Start(context.Background()) })
	var once sync.Once
	stop := func() {
		once.Do(func() {
			require.NoError(t, p.Stop(context.Background()))
			require.NoError(t, <-done)
			stopAlarm()
			closeClient()
		})
	}
	t.Cleanup(stop)
	return &running{p, watcher, stop}
}

// write appends n events of a user in a transaction of their own, and returns their ids.
func (s *stage) write(t testing.TB, user models.UserID, n int) []uuid.UUID {
	t.Helper()
	var ids []uuid.UUID
	require.NoError(t, s.Store.Write(t.Context(), models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
		ids = nil
		events, err := appendEvents(ctx, tx, user, n)
		for _, e := range events {
			ids = append(ids, e.ID)
		}
		return err
	}))
	return ids
}

// appendEvents claims the next n versions of a user and stores an event for each.
func appendEvents(ctx context.Context, tx *repositories.Tx, user models.UserID, n int) ([]po.Event, error) {
	if _, err := tx.UserStats.Lock(ctx, []models.UserID{user}); err != nil {
		return nil, err
	}
	last, err := tx.UserStats.Increment(ctx, []po.UserDelta{{UserID: user, Events: int64(n)}})
	if err != nil {
		return nil, err
	}
	events := make([]po.Event, n)
	for i := range events {
		events[i] = po.Event{
			ID: uuid.Must(uuid.NewV7()), Type: "profile.engagement.added", UserID: user, Version: last[user] - int64(n) + int64(i) + 1,
			OccurredAt: time.Now().UTC(), Payload: []byte("payload"),
		}
	}
	return events, tx.Outbox.Append(ctx, events)
}

func (s *stage) queued(t testing.TB) int {
	t.Helper()
	return testkit.One[int](t, s.DB, "SELECT count(*)::int FROM profile.outbox_deliveries")
}

func (s *stage) awaitQueue(t testing.TB, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return s.queued(t) == n }, patience, tick)
}

// awaitVersions waits until a consumer has seen versions 1 to n of a user, first deliveries in order.
func (s *stage) awaitVersions(t testing.TB, user models.UserID, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return len(firsts(s.inbox.versionsOf(user))) >= n }, patience, tick)
	require.Equal(t, upTo(n), firsts(s.inbox.versionsOf(user)))
}

// front stands before the broker and may answer Publish calls itself: done false passes a call on.
type front struct {
	pubsubpb.UnimplementedPublisherServer
	next  pubsubpb.PublisherClient
	react func(ctx context.Context, next pubsubpb.PublisherClient, r *publishRequest) (done bool, err error)
}

type publishRequest = pubsubpb.PublishRequest

// Publish implements pubsubpb.PublisherServer.
func (f *front) Publish(ctx context.Context, r *publishRequest) (*pubsubpb.PublishResponse, error) {
	if done, err := f.react(ctx, f.next, r); done {
		return nil, err
	}
	return f.next.Publish(ctx, r)
}

// standBefore starts a front of the broker and returns its address.
func standBefore(t testing.TB, b *testkit.Broker, react func(context.Context, pubsubpb.PublisherClient, *publishRequest) (bool, error)) string {
	t.Helper()
	conn, err := grpc.NewClient(b.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer()
	pubsubpb.RegisterPublisherServer(server, &front{next: pubsubpb.NewPublisherClient(conn), react: react})
	served := testkit.Later(func() error { return server.Serve(listener) })
	t.Cleanup(func() {
		server.Stop()
		require.NoError(t, <-served)
		require.NoError(t, conn.Close())
	})
	return listener.Addr().String()
}

// refuse makes a front that answers a call with err when it is not nil.
func refuse(err func(r *publishRequest) error) func(context.Context, pubsubpb.PublisherClient, *publishRequest) (bool, error) {
	return func(_ context.Context, _ pubsubpb.PublisherClient, r *publishRequest) (bool, error) {
		failure := err(r)
		return failure != nil, failure
	}
}

// carries reports whether a call has an event of that user.
func carries(r *publishRequest, user models.UserID) bool {
	return slices.ContainsFunc(r.GetMessages(), func(m *pubsubpb.PubsubMessage) bool { return m.GetAttributes()["aggregate_id"] == user.String() })
}

// redrive releases a blocked key by hand.
func (s *stage) redrive(t testing.TB, user models.UserID) {
	t.Helper()
	s.DB.Exec(t, `WITH head AS (UPDATE profile.outbox_deliveries SET dead_at = NULL, delivery_attempts = 0
			WHERE ordering_key = $1 AND dead_at IS NOT NULL RETURNING lane)
		UPDATE profile.outbox_lanes SET epoch = epoch + 1 WHERE lane IN (SELECT lane FROM head)`, uuid.UUID(user))
}

func (s *stage) owners(t testing.TB) []string {
	t.Helper()
	rows, err := s.DB.Owner.Query(t.Context(), "SELECT coalesce(owner, '') FROM profile.outbox_lanes")
	require.NoError(t, err)
	owners, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return owners
}

// held counts the lanes that somebody holds.
func (s *stage) held(t testing.TB) int {
	t.Helper()
	return testkit.One[int](t, s.DB, "SELECT count(owner)::int FROM profile.outbox_lanes")
}

func sorted(list []int) []int {
	slices.Sort(list)
	return list
}

// gate lets a publisher through until it has read something, and then holds it, committed, until open is
// closed.
type gate struct {
	outbox.Store
	closed sync.Once
	at     chan struct{}
	open   chan struct{}
}

// Queue implements outbox.Store.
func (g *gate) Queue(ctx context.Context, fn func(ctx context.Context, tx *repositories.Tx) error) error {
	found := false
	err := g.Store.Queue(ctx, func(ctx context.Context, tx *repositories.Tx) error {
		seen := *tx
		seen.Deliveries = finder{tx.Deliveries, &found}
		return fn(ctx, &seen)
	})
	if found {
		g.closed.Do(func() {
			close(g.at)
			<-g.open
		})
	}
	return err
}

// finder notes that a Take found something.
type finder struct {
	repositories.DeliveryRepository
	found *bool
}

// Take implements repositories.DeliveryRepository.
func (f finder) Take(ctx context.Context, t po.Take) (po.Taken, error) {
	taken, err := f.DeliveryRepository.Take(ctx, t)
	*f.found = len(taken.Deliveries) > 0
	return taken, err
}

// take reads the lanes as a publisher does that has read these deliveries and saw that snapshot.
func (s *stage) take(t testing.TB, snapshot string, read ...po.Delivery) (taken po.Taken) {
	t.Helper()
	request := po.Take{Snapshot: snapshot}
	for number := range int32(po.Lanes) {
		c := po.Cursor{Lane: po.Lane{Number: number}, Limit: 100}
		for _, d := range read {
			c.After = max(c.After, d.ID) // of all lanes: as if they were one
		}
		request.Lanes = append(request.Lanes, c)
	}
	require.NoError(t, s.Store.Queue(t.Context(), func(ctx context.Context, tx *repositories.Tx) (err error) {
		taken, err = tx.Deliveries.Take(ctx, request)
		return err
	}))
	return taken
}

// appendIn writes an event in a transaction of the test's, and returns its id.
func (s *stage) appendIn(t testing.TB, tx pgx.Tx, user models.UserID) (id int64) {
	t.Helper()
	_, err := tx.Exec(t.Context(), "SET LOCAL app.role = 'service'")
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "INSERT INTO profile.user_stats (user_id, event_seq) VALUES ($1, 1)", uuid.UUID(user))
	require.NoError(t, err)
	require.NoError(t, tx.QueryRow(t.Context(), `
		WITH e AS (
			INSERT INTO profile.outbox_events (event_id, aggregate_type, aggregate_id, event_type, ordering_key, version, payload, occurred_at)
			VALUES (gen_random_uuid(), 'user', $1, 'profile.engagement.added', $1, 1, '', now()) RETURNING id, slot)
		INSERT INTO profile.outbox_deliveries (id, slot, lane, ordering_key) SELECT id, slot, $2, $1 FROM e RETURNING id`,
		uuid.UUID(user), po.Event{UserID: user}.Lane()).Scan(&id))
	return id
}
