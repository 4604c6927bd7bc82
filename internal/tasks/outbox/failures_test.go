package outbox_test

import (
	"cmp"
	"context"
	"sync/atomic"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lingo-services/profile/internal/models"
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
