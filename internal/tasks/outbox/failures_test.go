package outbox_test

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/internal/tasks/outbox"
	"github.com/lingo-services/profile/test/testkit"
)

var (
	errUnavailable = status.Error(codes.Unavailable, "no broker")
	errPoison      = status.Error(codes.InvalidArgument, "poison")
)

// carriesVersion reports whether a call has that event of the user.
func carriesVersion(r *publishRequest, user models.UserID, version string) bool {
	for _, m := range r.GetMessages() {
		if m.GetAttributes()["aggregate_id"] == user.String() && m.GetAttributes()["version"] == version {
			return true
		}
	}
	return false
}

// The third of five events is refused: the two before it are published, it is dead-lettered after the allowed
// attempts, the two behind it and what comes later wait, and other users notice nothing.
func TestS76_PoisonBlocksItsKeyOnly(t *testing.T) {
	t.Parallel()
	sick, well := testkit.NewUser(), newUsers(10)
	var healed atomic.Bool
	s := newStage(t, refuse(func(r *publishRequest) error {
		return errIf(!healed.Load() && carriesVersion(r, sick, "3"), errPoison)
	}))
	s.write(t, sick, 5)
	p := s.publisher(t)
	require.Equal(t, "profile.engagement.added", <-p.deadLetters)
	for range 3 {
		for _, user := range well {
			s.write(t, user, 4)
		}
		s.write(t, sick, 1)
	}
	for _, user := range well {
		s.awaitVersions(t, user, 12)
	}
	s.awaitQueue(t, 6)
	require.Equal(t, upTo(2), firsts(s.inbox.versionsOf(sick)))
	require.Equal(t, 3, p.counted()["refused"])
	attempts, innocent := "SELECT delivery_attempts FROM profile.outbox_deliveries WHERE dead_at IS NOT NULL",
		"SELECT count(*)::int FROM profile.outbox_deliveries WHERE dead_at IS NULL AND delivery_attempts > 0"
	require.Equal(t, int32(3), testkit.One[int32](t, s.DB, attempts))
	require.Zero(t, testkit.One[int](t, s.DB, innocent), "only the refused event is charged")
	require.Contains(t, testkit.One[string](t, s.DB, "SELECT last_error FROM profile.outbox_deliveries WHERE dead_at IS NOT NULL"), "poison")
	require.Eventually(t, func() bool { return p.last().BlockedKeys == 1 }, patience, tick)

	s.redrive(t, sick)
	require.Equal(t, "profile.engagement.added", <-p.deadLetters, "still poison")
	healed.Store(true)
	s.redrive(t, sick)
	s.awaitVersions(t, sick, 8)
	s.awaitQueue(t, 0)
}

// A restarted publisher finds the dead letter before what is behind it.
func TestS76_BlockedKeysStayBlockedForTheNextPublisher(t *testing.T) {
	t.Parallel()
	sick, well := testkit.NewUser(), testkit.NewUser()
	s := newStage(t, refuse(func(r *publishRequest) error { return errIf(carries(r, sick), errPoison) }))
	s.write(t, sick, 3)
	first := s.publisher(t)
	<-first.deadLetters
	first.stop()
	s.publisher(t)
	s.write(t, well, 3)
	s.awaitVersions(t, well, 3)
	s.awaitQueue(t, 3)
	require.Empty(t, s.inbox.versionsOf(sick))
}

// Users of one bucket share its fate, and its order.
func TestS76_PoisonBlocksItsBucket(t *testing.T) {
	t.Parallel()
	users := newUsers(12)
	sick := users[0]
	var healed atomic.Bool
	s := newStage(t, refuse(func(r *publishRequest) error {
		return errIf(!healed.Load() && carriesVersion(r, sick, "2"), errPoison)
	}))
	p := s.publisher(t, func(o *outbox.Options) { o.Buckets = 1 })
	for range 2 {
		for _, user := range users {
			s.write(t, user, 2)
		}
	}
	<-p.deadLetters
	healed.Store(true)
	s.redrive(t, sick)
	for _, user := range users {
		s.awaitVersions(t, user, 4)
	}
	s.awaitQueue(t, 0)
}

func errIf(wrong bool, err error) error {
	if wrong {
		return err
	}
	return nil
}

// P21: the reference logged and tried for ever, with batches of one key in parallel.
func TestP21_OutagesCostNoAttemptAndLoseNothing(t *testing.T) {
	t.Parallel()
	for _, code := range []codes.Code{
		codes.Unavailable, codes.ResourceExhausted, codes.Unauthenticated, codes.PermissionDenied, codes.NotFound, codes.Aborted, codes.DeadlineExceeded,
		codes.Internal, codes.Unknown, codes.FailedPrecondition, codes.Canceled, codes.DataLoss,
	} {
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int64
			const down = 12
			s := newStage(t, refuse(func(*publishRequest) error { return errIf(calls.Add(1) <= down, status.Error(code, "down")) }))
			users := newUsers(10)
			for _, user := range users {
				s.write(t, user, 3)
			}
			p := s.publisher(t)
			for _, user := range users {
				s.awaitVersions(t, user, 3)
			}
			s.awaitQueue(t, 0)
			p.stop()
			require.Zero(t, p.counted()["refused"])
			require.Positive(t, p.counted()["broker"])
			require.Len(t, s.inbox.all(), 30)
		})
	}
}

// The broker has the messages and says otherwise: they are sent again under the same ids.
func TestS76_UnknownOutcomesRepeatTheSameEvent(t *testing.T) {
	t.Parallel()
	user := testkit.NewUser()
	var calls atomic.Int64
	s := newStage(t, func(ctx context.Context, next pubsubpb.PublisherClient, r *publishRequest) (bool, error) {
		if calls.Add(1) > 2 {
			return false, nil
		}
		_, err := next.Publish(ctx, r)
		return true, cmp.Or(err, status.Error(codes.DeadlineExceeded, "late"))
	})
	ids := s.write(t, user, 4)
	s.publisher(t)
	s.awaitQueue(t, 0)
	s.awaitVersions(t, user, 4)
	seen := map[uuid.UUID]int{}
	for _, m := range s.inbox.all() {
		seen[uuid.MustParse(m.Attributes["event_id"])]++
	}
	for _, id := range ids {
		require.Positive(t, seen[id])
	}
	require.Len(t, seen, 4)
}

// What is replayed lies before the dead letter; the key stays blocked behind it all the same.
func TestS76_ReplayBeforeADeadLetterReleasesNothing(t *testing.T) {
	t.Parallel()
	s, sick, healed := poisoned(t)
	operator := services.NewOutboxService(s.Store)
	p := s.publisher(t)
	s.write(t, sick, 5)
	<-p.deadLetters
	done, err := operator.Replay(t.Context(), services.ReplayQuery{Since: time.Hour, Key: sick}, false, quietly)
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"profile.engagement.added": 2}, done.ByType)
	require.Eventually(t, func() bool { return len(s.inbox.versionsOf(sick)) == 4 }, patience, tick)
	s.write(t, sick, 1)
	s.awaitQueue(t, 4)
	require.Eventually(t, func() bool { return p.last().BlockedKeys == 1 }, patience, tick)
	healed.Store(true)
	s.redrive(t, sick)
	s.awaitVersions(t, sick, 6)
	s.awaitQueue(t, 0)
}

// die makes the first waiting event of a user a dead letter.
func (s *stage) die(t testing.TB, user models.UserID) {
	t.Helper()
	s.DB.Exec(t, "UPDATE profile.outbox_deliveries SET dead_at = now() WHERE id = (SELECT min(id) FROM profile.outbox_deliveries WHERE ordering_key = $1)", uuid.UUID(user))
}

// An event before a dead letter of its bucket is read together with it, and fails at first.
func TestS76_ABucketIsReleasedWholeAfterAFailureBeforeItsDeadLetter(t *testing.T) {
	t.Parallel()
	before, sick := testkit.NewUser(), testkit.NewUser()
	var calls atomic.Int64
	s := newStage(t, refuse(func(*publishRequest) error { return errIf(calls.Add(1) == 1, errUnavailable) }))
	s.write(t, before, 1)
	s.write(t, sick, 2)
	s.die(t, sick)
	p := s.publisher(t, func(o *outbox.Options) { o.Buckets = 1 })
	s.awaitVersions(t, before, 1)
	s.write(t, before, 1)
	require.Eventually(t, func() bool { return p.last().BlockedKeys == 1 }, patience, tick)
	require.Len(t, s.inbox.all(), 1)
	s.redrive(t, sick)
	s.awaitVersions(t, sick, 2)
	s.awaitVersions(t, before, 2)
	s.awaitQueue(t, 0)
}

// The dead letter that closed a bucket is redriven before the bucket's last call was answered.
func TestS76_AKeyIsNotBlockedByADeadLetterThatIsGone(t *testing.T) {
	t.Parallel()
	before, sick := testkit.NewUser(), testkit.NewUser()
	called, answer := make(chan struct{}, 10), make(chan struct{})
	s := newStage(t, refuse(func(*publishRequest) error { called <- struct{}{}; <-answer; return nil }))
	s.write(t, before, 1)
	s.write(t, sick, 2)
	s.die(t, sick)
	s.publisher(t, func(o *outbox.Options) { o.Buckets = 1 })
	<-called
	s.redrive(t, sick)
	s.awaitRenewals(t, 2) // the publisher reads the lane again, under its new epoch
	close(answer)
	s.awaitVersions(t, before, 1)
	s.awaitVersions(t, sick, 2)
	s.awaitQueue(t, 0)
}

// awaitRenewals waits until the leases were renewed n times.
func (s *stage) awaitRenewals(t testing.TB, n int) {
	t.Helper()
	until := func() time.Time {
		return testkit.One[time.Time](t, s.DB, "SELECT max(lease_until) FROM profile.outbox_lanes")
	}
	for range n {
		last := until()
		require.Eventually(t, func() bool { return until().After(last) }, patience, tick)
	}
}

// After a failure of the broker a few events are tried; reading events that must not be sent is no trial.
func TestP21_BlockedKeysDoNotDelayTheTrial(t *testing.T) {
	t.Parallel()
	sick := testkit.NewUser()
	well := testkit.NewUser()
	for (po.Event{UserID: well}).Lane() != (po.Event{UserID: sick}).Lane() {
		well = testkit.NewUser()
	}
	var calls atomic.Int64
	s := newStage(t, refuse(func(*publishRequest) error { return errIf(calls.Add(1) == 1, errUnavailable) }))
	s.write(t, sick, 100)
	s.die(t, sick)
	s.write(t, well, 3)
	s.publisher(t, func(o *outbox.Options) { o.BackoffMax = time.Hour })
	s.awaitVersions(t, well, 3)
	s.awaitQueue(t, 100)
}

// A refusal is an answer: it ends the pause that a failure of the broker began, for everybody.
func TestP21_ARefusalEndsThePause(t *testing.T) {
	t.Parallel()
	sick, well := testkit.NewUser(), testkit.NewUser()
	var calls atomic.Int64
	s := newStage(t, refuse(func(r *publishRequest) error {
		switch {
		case !carries(r, sick):
			return nil
		case calls.Add(1) == 1:
			return errUnavailable
		}
		return errPoison
	}))
	s.write(t, sick, 1)
	p := s.publisher(t, func(o *outbox.Options) { o.BackoffMax, o.MaxAttempts = time.Hour, 100 })
	require.Eventually(t, func() bool { return p.counted()["refused"] > 0 }, patience, tick)
	s.write(t, well, 3)
	s.awaitVersions(t, well, 3)
	s.awaitQueue(t, 1)
}

// The database was replaced by one that has more, below what was read, and nobody lost a connection.
func TestP21_EverythingIsReadAnewNowAndThen(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	user := testkit.NewUser()
	s.publisher(t, func(o *outbox.Options) { o.Reread = 50 * time.Millisecond })
	s.write(t, user, 2)
	s.awaitVersions(t, user, 2)
	s.awaitQueue(t, 0)
	s.DB.Exec(t, `INSERT INTO profile.outbox_deliveries (id, slot, lane, ordering_key, writer)
		SELECT id, slot, $2, ordering_key, '3' FROM profile.outbox_events WHERE ordering_key = $1 AND version = 1`, uuid.UUID(user), po.Event{UserID: user}.Lane())
	s.awaitQueue(t, 0)
	require.Eventually(t, func() bool { return len(s.inbox.versionsOf(user)) == 3 }, patience, tick)
	require.Equal(t, []string{"1", "2", "1"}, s.inbox.versionsOf(user))
}

// flaky is a store whose queue fails on demand, and that remembers what it was asked.
type flaky struct {
	outbox.Store
	down  atomic.Bool
	mu    sync.Mutex
	takes []po.Take
}

// Queue implements outbox.Store.
func (f *flaky) Queue(ctx context.Context, fn func(ctx context.Context, tx *repositories.Tx) error) error {
	if f.down.Load() {
		return errors.New("no database")
	}
	return f.Store.Queue(ctx, func(ctx context.Context, tx *repositories.Tx) error {
		seen := *tx
		seen.Deliveries = recorder{tx.Deliveries, f}
		return fn(ctx, &seen)
	})
}

// recorder notes every Take.
type recorder struct {
	repositories.DeliveryRepository
	*flaky
}

// Take implements repositories.DeliveryRepository.
func (r recorder) Take(ctx context.Context, t po.Take) (po.Taken, error) {
	r.mu.Lock()
	r.takes = append(r.takes, t)
	r.mu.Unlock()
	return r.DeliveryRepository.Take(ctx, t)
}

// While the database is away the lag grows, and afterwards everything is read from the start: the difference to
// a snapshot of an hour ago would be all that was written meanwhile.
func TestP21_AfterADatabaseFailureEverythingIsReadFromItsStart(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	store := &flaky{Store: s.Store}
	p := s.publisherOn(t, store)
	user := testkit.NewUser()
	s.write(t, user, 1)
	s.awaitVersions(t, user, 1)
	s.awaitQueue(t, 0)
	store.down.Store(true)
	require.Eventually(t, func() bool { return p.last().Lag > time.Second }, patience, tick)
	require.Positive(t, p.counted()["database"])
	store.mu.Lock()
	asked := len(store.takes)
	store.mu.Unlock()
	store.down.Store(false)
	s.write(t, user, 1)
	s.awaitVersions(t, user, 2)
	require.Eventually(t, func() bool { return p.last().Lag == 0 }, patience, tick)
	store.mu.Lock()
	defer store.mu.Unlock()
	require.Empty(t, store.takes[asked].Snapshot)
	for _, l := range store.takes[asked].Lanes {
		require.Zero(t, l.After)
	}
}
