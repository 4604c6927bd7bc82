package repositories_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/test/testkit"
)

type (
	countersByUser = map[models.UserID]po.UserCounters
	seqByUser      = map[models.UserID]int64
)

func lockUsers(t testing.TB, s schema, ids ...models.UserID) countersByUser {
	t.Helper()
	return write(t, s, func(ctx context.Context, tx *repositories.Tx) (countersByUser, error) {
		return tx.UserStats.Lock(ctx, ids)
	})
}

func moveUsers(t testing.TB, s schema, deltas ...po.UserDelta) seqByUser {
	t.Helper()
	return write(t, s, func(ctx context.Context, tx *repositories.Tx) (seqByUser, error) {
		return tx.UserStats.Increment(ctx, deltas)
	})
}

func TestM97_LockingUsersCreatesTheMissingOnes(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.stopClock(t, noon)
	require.Empty(t, lockUsers(t, s))
	require.Equal(t, countersByUser{user(2): {UserID: user(2), Now: noon}}, lockUsers(t, s, user(2)))
	moveUsers(t, s, po.UserDelta{UserID: user(2), Likes: 1, Bookmarks: 2, Watched: 3, Events: 4})
	require.Equal(t, countersByUser{
		user(1): {UserID: user(1), Now: noon},
		user(2): {UserID: user(2), LikeCount: 1, BookmarkCount: 2, WatchedCount: 3, EventSeq: 4, Now: noon},
		user(3): {UserID: user(3), Now: noon},
	}, lockUsers(t, s, user(3), user(2), user(1), user(3), user(2)), "duplicates are one row")
	require.Equal(t, int64(3), s.DB.RowCounts(t)["user_stats"])
}

// One busy user must not hold up the others of a shared transaction.
func TestM97_LockingFreeUsersLeavesOutThoseSomebodyHas(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.stopClock(t, noon)
	moveUsers(t, s)
	lockUsers(t, s, user(1), user(2))
	holding, free := make(chan struct{}), make(chan struct{})
	holder := testkit.Later(func() error {
		return s.Write(t.Context(), models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
			_, err := tx.UserStats.Lock(ctx, []models.UserID{user(1)})
			close(holding)
			<-free
			return err
		})
	})
	<-holding
	got := write(t, s, func(ctx context.Context, tx *repositories.Tx) (countersByUser, error) {
		return tx.UserStats.LockFree(ctx, []models.UserID{user(1), user(3), user(2), user(2)})
	})
	close(free)
	require.NoError(t, <-holder)
	require.Equal(t, countersByUser{user(2): {UserID: user(2), Now: noon}, user(3): {UserID: user(3), Now: noon}}, got, "the missing one is created")
	require.Equal(t, int64(3), s.DB.RowCounts(t)["user_stats"])
}

func TestM97_UserCountersMoveTogether(t *testing.T) {
	t.Parallel()
	s := open(t)
	lockUsers(t, s, user(1), user(2), user(3))
	require.Empty(t, moveUsers(t, s))
	require.Equal(t, seqByUser{user(1): 2}, moveUsers(t, s, po.UserDelta{UserID: user(1), Likes: 5, Events: 2}))
	require.Equal(t, seqByUser{user(1): 2, user(2): 7, user(3): 0}, moveUsers(t, s,
		po.UserDelta{UserID: user(3), Watched: 1}, po.UserDelta{UserID: user(1), Likes: -2, Bookmarks: 1}, po.UserDelta{UserID: user(2), Events: 7}))
	counters := lockUsers(t, s, user(1))[user(1)]
	require.Equal(t, []int64{3, 1, 0}, []int64{counters.LikeCount, counters.BookmarkCount, counters.WatchedCount})
}

func TestM97_UserWithoutARowIsNotReportedAsMoved(t *testing.T) {
	t.Parallel()
	s := open(t)
	require.Empty(t, moveUsers(t, s, po.UserDelta{UserID: user(1), Likes: 1, Events: 1}))
	require.Zero(t, s.DB.RowCounts(t)["user_stats"])
}

func TestS75_EventVersionsAreDenseUnderConcurrency(t *testing.T) {
	t.Parallel()
	s := open(t)
	id := newUser()
	const writers = 20
	claimed := make([]int64, writers)
	for _, err := range testkit.Together(writers, func(i int) error {
		return s.Write(t.Context(), models.UserActor(id), func(ctx context.Context, tx *repositories.Tx) error {
			if _, err := tx.UserStats.Lock(ctx, []models.UserID{id}); err != nil {
				return err
			}
			versions, err := tx.UserStats.Increment(ctx, []po.UserDelta{{UserID: id, Events: 1}})
			claimed[i] = versions[id]
			return err
		})
	}) {
		require.NoError(t, err)
	}
	slices.Sort(claimed)
	for i, version := range claimed {
		require.Equal(t, int64(i+1), version)
	}
}

// Under the read-committed snapshot the statement started long before; the clock must not be that old.
func TestS93_ClockIsReadAfterTheLockIsHeld(t *testing.T) {
	t.Parallel()
	s := open(t)
	id := newUser()
	lockUsers(t, s, id)
	release := s.hold(t, "SELECT FROM profile.user_stats WHERE user_id = $1 FOR UPDATE", id.String())
	var counters countersByUser
	done := testkit.Later(func() error {
		return s.Write(t.Context(), models.UserActor(id), func(ctx context.Context, tx *repositories.Tx) (err error) {
			counters, err = tx.UserStats.Lock(ctx, []models.UserID{id})
			return err
		})
	})
	s.awaitBlocked(t, 1)
	var releasing time.Time
	require.NoError(t, s.DB.Owner.QueryRow(t.Context(), "SELECT clock_timestamp()").Scan(&releasing))
	release()
	require.NoError(t, <-done)
	require.False(t, counters[id].Now.Before(releasing), "%s is before %s", counters[id].Now, releasing)
}

// Every round also has a user nobody saw before: creating rows must not break the order either.
func TestS17_UsersLockInKeyOrderWhateverTheCallSays(t *testing.T) {
	t.Parallel()
	s := open(t, func(o *repositories.TxOptions) { o.MaxAttempts = 1 })
	const writers, rounds = 16, 10
	for _, err := range testkit.Together(writers, func(i int) error {
		for round := range rounds {
			ids := []models.UserID{user(1), user(2), user(3), user(byte(10 + round)), user(100), user(101)}
			if i%2 == 0 {
				slices.Reverse(ids)
			}
			if err := s.Write(t.Context(), models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
				locked, err := tx.UserStats.Lock(ctx, ids)
				if err == nil && len(locked) != len(ids) {
					return fmt.Errorf("%d of %d users are locked", len(locked), len(ids))
				}
				return err
			}); err != nil {
				return err
			}
		}
		return nil
	}) {
		require.NoError(t, err, "a deadlock is a collision, and there is one attempt only")
	}
}
