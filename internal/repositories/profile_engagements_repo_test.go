package repositories_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/test/testkit"
)

// adding, bookmarking and removing say when they happened.
func adding(u models.UserID, v models.VideoID, at time.Time) po.FavoriteCommand {
	return po.FavoriteCommand{UserID: u, VideoID: v, Type: models.Like, Active: true, At: models.Effective{At: at}}
}

func bookmarking(u models.UserID, v models.VideoID, at time.Time) po.FavoriteCommand {
	c := adding(u, v, at)
	c.Type = models.Bookmark
	return c
}

func removing(u models.UserID, v models.VideoID, at time.Time) po.FavoriteCommand {
	c := adding(u, v, at)
	c.Active = false
	return c
}

// live is the command of a caller who did not say when.
func live(c po.FavoriteCommand) po.FavoriteCommand {
	c.At.Live = true
	return c
}

// favor applies commands one after the other, because one statement takes a register once, and refuses none.
func favor(t testing.TB, s schema, cmds ...po.FavoriteCommand) []po.FavoriteChange {
	t.Helper()
	return write(t, s, func(ctx context.Context, tx *repositories.Tx) (changes []po.FavoriteChange, err error) {
		for _, c := range cmds {
			change, err := tx.Engagements.Upsert(ctx, []po.FavoriteCommand{c}, po.FavoritePolicy{})
			if err != nil {
				return nil, err
			}
			changes = append(changes, change...)
		}
		return changes, nil
	})
}

// known is the shipped policy.
var known = po.FavoritePolicy{
	RefusedOwn: []models.Availability{models.Deleted}, Refused: []models.Availability{models.Deleted, models.Private},
}

// register is a stored row.
type register struct {
	EngagedAt, StateAt     time.Time
	DeletedAt, LastEventAt *time.Time
	CreatedAt, UpdatedAt   time.Time
}

func stored(t testing.TB, s schema, u models.UserID, v models.VideoID) register {
	t.Helper()
	rows, err := s.DB.Owner.Query(t.Context(), `
		SELECT engaged_at, state_at, deleted_at, last_event_at, created_at, updated_at FROM profile.engagements
		WHERE user_id = $1 AND video_id = $2`, u.String(), v.String())
	require.NoError(t, err)
	r, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[register])
	require.NoError(t, err)
	for _, at := range []*time.Time{&r.EngagedAt, &r.StateAt, r.DeletedAt, r.LastEventAt, &r.CreatedAt, &r.UpdatedAt} {
		if at != nil {
			*at = at.UTC()
		}
	}
	return r
}

// seconds after noon.
func after(n int) time.Time { return noon.Add(time.Duration(n) * time.Second) }

// effects are the interesting half of changes.
func effects(changes []po.FavoriteChange) (changed, stale []bool) {
	for _, c := range changes {
		changed, stale = append(changed, c.Changed), append(stale, c.Stale)
	}
	return changed, stale
}

func TestM97_FavoritesAreReportedInOrderAndLengthOfTheCall(t *testing.T) {
	t.Parallel()
	s := open(t)
	together := func(cmds ...po.FavoriteCommand) []po.FavoriteChange {
		return write(t, s, func(ctx context.Context, tx *repositories.Tx) ([]po.FavoriteChange, error) {
			return tx.Engagements.Upsert(ctx, cmds, known)
		})
	}
	require.Empty(t, together())
	catalog(t, s, video(2), func(c *po.VideoChange) { c.UploaderID, c.VisibilityStatus = ptr(user(9)), ptr("private") })
	do(t, s, func(ctx context.Context, tx *repositories.Tx) error {
		return tx.VideoStats.Ensure(ctx, []models.VideoID{video(3)})
	})
	at := func(n int) po.FavoriteChange {
		return po.FavoriteChange{Changed: true, Stored: true, At: after(n), EventAt: after(n)}
	}
	counted, refused, full := at(5), at(3), at(6)
	counted.Counted = true
	refused.Changed, refused.Stored, refused.Unavailable = false, false, true
	full.Changed, full.Stored, full.OverLimit = false, false, true
	atLimit := adding(user(4), video(1), after(6))
	atLimit.AtLimit = true
	require.Equal(t, []po.FavoriteChange{counted, refused, at(7), at(1), at(4), full}, together(
		adding(user(3), video(3), after(5)), adding(user(1), video(2), after(3)), adding(user(9), video(2), after(7)),
		adding(user(2), video(1), after(1)), bookmarking(user(2), video(1), after(4)), atLimit))
	require.Equal(t, int64(4), s.DB.RowCounts(t)["engagements"], "what is refused leaves nothing")

	both := together(live(adding(user(2), video(1), after(8))))[0]
	require.Equal(t, []*time.Time{ptr(after(1)), ptr(after(4))}, []*time.Time{both.Before, both.Other}, "the pair as it was")
}

func TestM97_CommandsOfOneRegisterApplyInTheirOrder(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		cmds           []po.FavoriteCommand
		changed, stale []bool
		active         bool
	}{
		"add remove add": {
			[]po.FavoriteCommand{adding(user(1), video(1), after(1)), removing(user(1), video(1), after(2)), adding(user(1), video(1), after(3))},
			[]bool{true, true, true},
			[]bool{false, false, false},
			true,
		},
		"the later position wins an equal time": {
			[]po.FavoriteCommand{adding(user(1), video(1), after(1)), removing(user(1), video(1), after(1))},
			[]bool{true, true},
			[]bool{false, false},
			false,
		},
		"an older time loses in a later position": {
			[]po.FavoriteCommand{removing(user(1), video(1), after(2)), adding(user(1), video(1), after(1)), adding(user(1), video(1), after(3))},
			[]bool{false, false, true},
			[]bool{false, true, false},
			true,
		},
		"repeated": {
			[]po.FavoriteCommand{adding(user(1), video(1), after(1)), adding(user(1), video(1), after(1)), adding(user(1), video(1), after(1))},
			[]bool{true, false, false},
			[]bool{false, false, false},
			true,
		},
		"without a time of their own": {
			[]po.FavoriteCommand{live(adding(user(1), video(1), noon)), live(removing(user(1), video(1), noon)), live(removing(user(1), video(1), noon))},
			[]bool{true, true, false},
			[]bool{false, false, false},
			false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			changed, stale := effects(favor(t, s, tc.cmds...))
			require.Equal(t, tc.changed, changed)
			require.Equal(t, tc.stale, stale)
			require.Equal(t, tc.active, stored(t, s, user(1), video(1)).DeletedAt == nil)
		})
	}
}

func TestP1_RepeatingACallChangesNothing(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.stopClock(t, noon)
	cmds := []po.FavoriteCommand{adding(user(1), video(1), noon), removing(user(1), video(2), noon), bookmarking(user(2), video(1), noon)}
	favor(t, s, cmds...)
	before := stored(t, s, user(1), video(1))
	s.stopClock(t, after(60))
	changed, stale := effects(favor(t, s, cmds...))
	require.Equal(t, []bool{false, false, false}, changed)
	require.Equal(t, []bool{false, false, false}, stale)
	require.Equal(t, before, stored(t, s, user(1), video(1)))
	require.Equal(t, int64(3), s.DB.RowCounts(t)["engagements"])
}

func TestS11_OlderCommandIsStaleAndChangesNothing(t *testing.T) {
	t.Parallel()
	for name, newest := range map[string]po.FavoriteCommand{
		"add":    adding(user(1), video(1), after(10)),
		"remove": removing(user(1), video(1), after(10)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			favor(t, s, newest)
			before := stored(t, s, user(1), video(1))
			older := newest
			older.Active, older.At.At = !newest.Active, after(10).Add(-time.Microsecond)
			changed, stale := effects(favor(t, s, older))
			require.Equal(t, []bool{false}, changed)
			require.Equal(t, []bool{true}, stale)
			require.Equal(t, before, stored(t, s, user(1), video(1)))
		})
	}
}

func TestS12_AddingAgainKeepsTheFirstCreation(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.stopClock(t, after(100))
	favor(t, s, adding(user(1), video(1), after(1)), removing(user(1), video(1), after(2)))
	s.stopClock(t, after(200))
	favor(t, s, adding(user(1), video(1), after(3)))
	require.Equal(t, register{
		EngagedAt: after(3), StateAt: after(3), LastEventAt: ptr(after(3)), CreatedAt: after(100), UpdatedAt: after(200),
	}, stored(t, s, user(1), video(1)))
}

func TestS13_AddingAnActiveOneOnlyMovesItsStateTime(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.stopClock(t, after(100))
	favor(t, s, adding(user(1), video(1), after(1)))
	s.stopClock(t, after(200))
	favor(t, s, adding(user(1), video(1), after(50)))
	require.Equal(t, register{
		EngagedAt: after(1), StateAt: after(50), LastEventAt: ptr(after(1)), CreatedAt: after(100), UpdatedAt: after(100),
	}, stored(t, s, user(1), video(1)))
	_, stale := effects(favor(t, s, removing(user(1), video(1), after(49))))
	require.Equal(t, []bool{true}, stale)
}

func TestS14_RemovalIsASoftDelete(t *testing.T) {
	t.Parallel()
	s := open(t)
	favor(t, s, adding(user(1), video(1), after(1)))
	changed, _ := effects(favor(t, s, removing(user(1), video(1), after(2)), removing(user(1), video(1), after(5))))
	require.Equal(t, []bool{true, false}, changed)
	row := stored(t, s, user(1), video(1))
	require.Equal(t, ptr(after(2)), row.DeletedAt, "the time of the transition")
	require.Equal(t, after(5), row.StateAt)
	require.Equal(t, after(1), row.EngagedAt)
}

func TestS15_RemovingTheAbsent(t *testing.T) {
	t.Parallel()
	t.Run("with a time leaves a mark that an older add loses against", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		changed, _ := effects(favor(t, s, removing(user(1), video(1), after(2))))
		require.Equal(t, []bool{false}, changed)
		require.Nil(t, stored(t, s, user(1), video(1)).LastEventAt)
		_, stale := effects(favor(t, s, adding(user(1), video(1), after(1))))
		require.Equal(t, []bool{true}, stale)
	})
	t.Run("without a time stores nothing", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		changed, stale := effects(favor(t, s, live(removing(user(1), video(1), noon))))
		require.Equal(t, []bool{false}, changed)
		require.Equal(t, []bool{false}, stale)
		require.Zero(t, s.DB.RowCounts(t)["engagements"])
	})
}

func TestS17_EventTimesOfARegisterStrictlyIncrease(t *testing.T) {
	t.Parallel()
	s, just := open(t), noon.Add(time.Microsecond)
	changes := favor(t, s, adding(user(1), video(1), noon), removing(user(1), video(1), noon), adding(user(1), video(1), just),
		live(removing(user(1), video(1), noon)), adding(user(1), video(1), after(1)))
	for i, c := range changes {
		require.True(t, c.Changed)
		if i > 0 {
			require.True(t, c.EventAt.After(changes[i-1].EventAt), "%d: %s", i, c.EventAt)
		}
	}
	require.Equal(t, just, changes[2].At, "the effective time is not moved")
}

// Without one locked statement both callers would see "absent" and count twice (P1, S16).
func TestS16_ParallelCommandsOfLockedUsersChangeOnce(t *testing.T) {
	t.Parallel()
	s := open(t)
	u, v := newUser(), newVideo()
	const writers = 16
	changed := make([]bool, writers)
	for _, err := range testkit.Together(writers, func(i int) error {
		return s.Write(t.Context(), models.UserActor(u), func(ctx context.Context, tx *repositories.Tx) error {
			if _, err := tx.UserStats.Lock(ctx, []models.UserID{u}); err != nil {
				return err
			}
			changes, err := tx.Engagements.Upsert(ctx, []po.FavoriteCommand{live(adding(u, v, noon))}, known)
			if err == nil {
				changed[i] = changes[0].Changed
			}
			return err
		})
	}) {
		require.NoError(t, err)
	}
	require.Equal(t, 1, countTrue(changed))
	require.Equal(t, int64(1), testkit.One[int64](t, s.DB, "SELECT count(*) FROM profile.engagements WHERE deleted_at IS NULL"))
}
