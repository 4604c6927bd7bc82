package repositories_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/test/testkit"
)

// Where an injected failure strikes: inside the transaction, or at its COMMIT.
const (
	atStatement = "TRIGGER test_fail BEFORE INSERT ON profile.users"
	atCommit    = "CONSTRAINT TRIGGER test_fail AFTER INSERT ON profile.users DEFERRABLE INITIALLY DEFERRED"
)

// failing makes Postgres raise an error whenever a profile is created.
func failing(t testing.TB, s schema, trigger, sqlstate string) {
	t.Helper()
	s.DB.Exec(t, `CREATE FUNCTION profile.test_fail() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN RAISE EXCEPTION 'injected' USING ERRCODE = TG_ARGV[0]; END $$`)
	s.DB.Exec(t, fmt.Sprintf("CREATE %s FOR EACH ROW EXECUTE FUNCTION profile.test_fail('%s')", trigger, sqlstate))
}

// createCounting creates a profile and counts how often the transaction ran.
func createCounting(t testing.TB, s schema) (runs int, err error) {
	t.Helper()
	id := newUser()
	err = s.Write(t.Context(), models.UserActor(id), func(ctx context.Context, tx *repositories.Tx) error {
		runs++
		_, _, err := tx.Profiles.Upsert(ctx, id, bare("Ada"))
		return err
	})
	return runs, err
}

func TestS89_CollisionsAreRetriedThenConflict(t *testing.T) {
	t.Parallel()
	for _, trigger := range []string{atStatement, atCommit} {
		for _, code := range []string{"40001", "40P01"} {
			for _, attempts := range []int{1, 3} {
				t.Run(fmt.Sprintf("%s %.10s %d", code, trigger, attempts), func(t *testing.T) {
					t.Parallel()
					s := open(t, func(o *repositories.TxOptions) { o.MaxAttempts = attempts })
					failing(t, s, trigger, code)
					runs, err := createCounting(t, s)
					require.ErrorIs(t, err, models.ErrTransactionConflict)
					require.Equal(t, attempts, runs)
					require.Zero(t, s.DB.RowCounts(t)["users"])
				})
			}
		}
	}
}

func TestS89_CollisionThatPassesIsNotSeen(t *testing.T) {
	t.Parallel()
	s := open(t)
	id, runs := newUser(), 0
	do(t, s, func(ctx context.Context, tx *repositories.Tx) error {
		if _, _, err := tx.Profiles.Upsert(ctx, id, bare("Ada")); err != nil {
			return err
		}
		if runs++; runs < 3 {
			return &pgconn.PgError{Code: "40001"}
		}
		return nil
	})
	require.Equal(t, 3, runs)
	require.Equal(t, int64(1), profileOf(t, s, id).Version, "the failed runs left nothing")
}

func TestS89_RealDeadlockIsRetried(t *testing.T) {
	t.Parallel()
	s := open(t)
	moveVideos(t, s, po.StatsDelta{VideoID: video(1)}, po.StatsDelta{VideoID: video(2)})
	var both sync.WaitGroup
	both.Add(2)
	order := [][]models.VideoID{{video(1), video(2)}, {video(2), video(1)}}
	firstRun := []bool{true, true}
	for _, err := range testkit.Together(2, func(i int) error {
		return s.Write(t.Context(), models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
			for step, id := range order[i] {
				if _, err := increment(ctx, tx, []po.StatsDelta{{VideoID: id, Likes: 1}}); err != nil {
					return err
				}
				if step == 0 && firstRun[i] {
					firstRun[i] = false
					both.Done()
					both.Wait()
				}
			}
			return nil
		})
	}) {
		require.NoError(t, err)
	}
	stats := statsOf(t, s, video(1), video(2))
	require.Equal(t, []int64{2, 2}, []int64{stats[video(1)].LikeCount, stats[video(2)].LikeCount})
}

func TestS89_ServerErrorsHaveTheirReason(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]error{
		"55P03": models.ErrDeadlineExceeded,
		"57014": models.ErrDeadlineExceeded,
		"22003": models.ErrCounterOverflow,
		"22021": models.ErrInvalidArgument,
		"22P05": models.ErrInvalidArgument,
		"54001": models.ErrInvalidArgument,
		"25006": models.ErrUnavailable,
		"08006": models.ErrUnavailable,
		"53300": models.ErrUnavailable,
		"57P03": models.ErrUnavailable,
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			failing(t, s, atStatement, code)
			runs, err := createCounting(t, s)
			require.ErrorIs(t, err, want)
			var cause *pgconn.PgError
			require.ErrorAs(t, err, &cause, "the log needs the cause")
			require.Equal(t, code, cause.Code)
			require.Equal(t, 1, runs, "only collisions run again")
		})
	}
}

func TestS89_OtherServerErrorsStayInternal(t *testing.T) {
	t.Parallel()
	s := open(t)
	failing(t, s, atStatement, "XX001")
	_, err := createCounting(t, s)
	require.Error(t, err)
	var known *models.Error
	require.NotErrorAs(t, err, &known)
}

// The edge refuses all of these; the database must not call them INTERNAL should one slip through.
func TestS7_TextTheDatabaseCannotHoldIsInvalid(t *testing.T) {
	t.Parallel()
	s := open(t)
	deep := any("x")
	for range 100_000 {
		deep = []any{deep}
	}
	for name, c := range map[string]po.Content{
		"U+0000 in text":      bare("a\x00b"),
		"broken UTF-8":        bare("a\xffb"),
		"U+0000 in JSON":      {Preferences: po.Preferences{Extra: map[string]any{"k": "\x00"}}},
		"JSON beyond measure": {Preferences: po.Preferences{Extra: map[string]any{"k": deep}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := try(t, s, func(ctx context.Context, tx *repositories.Tx) (bool, error) {
				_, created, err := tx.Profiles.Upsert(ctx, newUser(), c)
				return created, err
			})
			require.ErrorIs(t, err, models.ErrInvalidArgument)
			require.Zero(t, s.DB.RowCounts(t)["users"])
		})
	}
}

func TestS6_CounterBeyondBigintChangesNothing(t *testing.T) {
	t.Parallel()
	s := open(t)
	for counter, delta := range map[string]po.StatsDelta{
		"like_count": {Likes: 1}, "bookmark_count": {Bookmarks: 1}, "unique_watchers": {Watchers: 1}, "total_watch_seconds": {Seconds: 1},
	} {
		t.Run(counter, func(t *testing.T) {
			full, other, u := newVideo(), newVideo(), newUser()
			moveVideos(t, s, po.StatsDelta{VideoID: full}, po.StatsDelta{VideoID: other, Likes: 1})
			lockUsers(t, s, u)
			s.DB.Exec(t, fmt.Sprintf("UPDATE profile.video_stats SET %s = $1 WHERE video_id = $2", counter), int64(math.MaxInt64), full.String())
			before := statsOf(t, s, full, other)
			delta.VideoID = full
			_, err := try(t, s, func(ctx context.Context, tx *repositories.Tx) (statsByVideo, error) {
				if _, err := tx.UserStats.Increment(ctx, []po.UserDelta{{UserID: u, Likes: 1, Events: 1}}); err != nil {
					return nil, err
				}
				return increment(ctx, tx, []po.StatsDelta{{VideoID: other, Likes: 1}, delta, {VideoID: newVideo(), Likes: 1}})
			})
			require.ErrorIs(t, err, models.ErrCounterOverflow)
			require.Equal(t, before, statsOf(t, s, full, other))
			require.Equal(t, seqByUser{u: 0}, moveUsers(t, s, po.UserDelta{UserID: u}), "the whole transaction is gone")
		})
	}
}

func TestS16_CounterBelowZeroIsDriftAndRollsBack(t *testing.T) {
	t.Parallel()
	s := open(t)
	v, u := newVideo(), newUser()
	moveVideos(t, s, po.StatsDelta{VideoID: v, Likes: 1})
	lockUsers(t, s, u)
	moveUsers(t, s, po.UserDelta{UserID: u, Events: 5})
	before := statsOf(t, s, v)
	videos := func(d po.StatsDelta) func(context.Context, *repositories.Tx) error {
		return func(ctx context.Context, tx *repositories.Tx) error {
			_, err := increment(ctx, tx, []po.StatsDelta{d})
			return err
		}
	}
	users := func(d po.UserDelta) func(context.Context, *repositories.Tx) error {
		return func(ctx context.Context, tx *repositories.Tx) error {
			_, err := tx.UserStats.Increment(ctx, []po.UserDelta{d})
			return err
		}
	}
	for name, move := range map[string]func(context.Context, *repositories.Tx) error{
		"likes":             videos(po.StatsDelta{VideoID: v, Likes: -2}),
		"bookmarks":         videos(po.StatsDelta{VideoID: v, Bookmarks: -1}),
		"watchers":          videos(po.StatsDelta{VideoID: v, Watchers: -1}),
		"seconds":           videos(po.StatsDelta{VideoID: v, Seconds: -61}),
		"of a new video":    videos(po.StatsDelta{VideoID: newVideo(), Likes: -1}),
		"user's likes":      users(po.UserDelta{UserID: u, Likes: -1}),
		"user's bookmarks":  users(po.UserDelta{UserID: u, Bookmarks: -1}),
		"user's watched":    users(po.UserDelta{UserID: u, Watched: -1}),
		"user's event seqs": users(po.UserDelta{UserID: u, Events: -6}),
	} {
		t.Run(name, func(t *testing.T) {
			err := s.Write(t.Context(), models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
				if err := videos(po.StatsDelta{VideoID: v, Seconds: 60})(ctx, tx); err != nil {
					return err
				}
				return move(ctx, tx)
			})
			require.ErrorIs(t, err, repositories.ErrCounterDrift)
			var known *models.Error
			require.NotErrorAs(t, err, &known, "to callers it is INTERNAL")
			require.Equal(t, before, statsOf(t, s, v), "not clamped, rolled back")
			require.Equal(t, seqByUser{u: 5}, moveUsers(t, s, po.UserDelta{UserID: u}))
			require.Equal(t, int64(1), s.DB.RowCounts(t)["video_stats"])
		})
	}
}

func TestS91_LimitsOfTheDatabaseAreDeadlines(t *testing.T) {
	t.Parallel()
	const short = 50 * time.Millisecond
	for name, limit := range map[string]func(*repositories.TxOptions){
		"lock_timeout":      func(o *repositories.TxOptions) { o.LockTimeout = short },
		"statement_timeout": func(o *repositories.TxOptions) { o.StatementTimeout = short },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, limit)
			s.DB.Exec(t, "INSERT INTO profile.user_stats (user_id) VALUES ($1)", user(1).String())
			s.hold(t, "SELECT FROM profile.user_stats FOR UPDATE")
			_, err := try(t, s, func(ctx context.Context, tx *repositories.Tx) (countersByUser, error) {
				return tx.UserStats.Lock(ctx, []models.UserID{user(1)})
			})
			require.ErrorIs(t, err, models.ErrDeadlineExceeded)
		})
	}
}

// The driver asks the server to stop what nobody waits for, by the number of the connection: under load that may come when
// the connection has its next call.
func TestS91_ARequestToCancelThatWasMeantForAnotherCallIsNotSeen(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.DB.Exec(t, "INSERT INTO profile.user_stats (user_id) VALUES ($1)", user(1).String())
	release := s.hold(t, "SELECT FROM profile.user_stats FOR UPDATE")
	var runs atomic.Int32
	waiter := testkit.Later(func() error {
		return s.Write(t.Context(), models.UserActor(user(1)), func(ctx context.Context, tx *repositories.Tx) error {
			runs.Add(1)
			_, err := tx.UserStats.Lock(ctx, []models.UserID{user(1)})
			return err
		})
	})
	others := newPool(t, s.DB.AppURL) // a role sees and cancels what is its own
	require.Eventually(t, func() (cancelled bool) {
		err := others.QueryRow(t.Context(), `SELECT coalesce(bool_or(pg_cancel_backend(pid)), false) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&cancelled)
		return err == nil && cancelled
	}, patience, glance)
	require.Eventually(t, func() bool { return runs.Load() == 2 }, patience, glance)
	release()
	require.NoError(t, <-waiter)
}

func TestS91_EndedContextRollsBackWholly(t *testing.T) {
	t.Parallel()
	s := open(t)
	for name, tc := range map[string]struct {
		ended func() context.Context
		want  error
	}{
		"cancelled": {func() context.Context {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return ctx
		}, models.ErrCancelled},
		"deadline": {func() context.Context {
			ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
			t.Cleanup(cancel)
			return ctx
		}, models.ErrDeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			err := s.Write(t.Context(), models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
				if _, err := increment(ctx, tx, []po.StatsDelta{{VideoID: newVideo(), Likes: 1}}); err != nil {
					return err
				}
				_, err := increment(tc.ended(), tx, []po.StatsDelta{{VideoID: newVideo(), Likes: 1}})
				return err
			})
			require.ErrorIs(t, err, tc.want)
			require.ErrorIs(t, s.Write(tc.ended(), models.ServiceActor, func(context.Context, *repositories.Tx) error { return nil }), tc.want)
			require.Zero(t, s.DB.RowCounts(t)["video_stats"])
		})
	}
}

func TestS89_DatabaseThatIsAwayIsUnavailable(t *testing.T) {
	t.Parallel()
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		s := schema{Store: repositories.NewStore(newPool(t, "postgres://a:secret@127.0.0.1:1/none?sslmode=disable"), repositories.TxOptions{MaxAttempts: 3}, repositories.NoWaker{})}
		err := s.Read(t.Context(), models.ServiceActor, func(context.Context, *repositories.Tx) error { return nil })
		require.ErrorIs(t, err, models.ErrUnavailable)
		require.NotContains(t, err.Error(), "secret")
	})
	t.Run("connection lost in use", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		super, err := pgx.Connect(t.Context(), testkit.Server(t).SuperURL(s.DB.Name))
		require.NoError(t, err)
		defer func() { _ = super.Close(context.Background()) }()
		err = s.Write(t.Context(), models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
			if _, err := increment(ctx, tx, []po.StatsDelta{{VideoID: newVideo(), Likes: 1}}); err != nil {
				return err
			}
			if _, err := super.Exec(ctx, `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
				WHERE datname = current_database() AND state = 'idle in transaction'`); err != nil {
				return err
			}
			_, err := increment(ctx, tx, []po.StatsDelta{{VideoID: newVideo(), Likes: 1}})
			return err
		})
		require.ErrorIs(t, err, models.ErrUnavailable)
		require.Zero(t, s.DB.RowCounts(t)["video_stats"])
		moveVideos(t, s, po.StatsDelta{VideoID: newVideo(), Likes: 1})
	})
}

func TestS20_TransactionThatFailedInsideIsNeverReportedAsCommitted(t *testing.T) {
	t.Parallel()
	s := open(t)
	err := s.Write(t.Context(), models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
		_, _ = increment(ctx, tx, []po.StatsDelta{{VideoID: newVideo(), Likes: -1}})
		return nil
	})
	require.ErrorIs(t, err, models.ErrTransactionConflict)
	require.Zero(t, s.DB.RowCounts(t)["video_stats"])
}

func TestM97_ReadersCannotWrite(t *testing.T) {
	t.Parallel()
	s := open(t)
	require.Error(t, s.Read(t.Context(), models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
		_, err := increment(ctx, tx, []po.StatsDelta{{VideoID: video(1), Likes: 1}})
		return err
	}))
	require.Zero(t, s.DB.RowCounts(t)["video_stats"])
}

func TestM97_ErrorOfTheFunctionComesBackAndRollsBack(t *testing.T) {
	t.Parallel()
	s := open(t)
	failure := errors.New("business says no")
	err := s.Write(t.Context(), models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
		_, err := increment(ctx, tx, []po.StatsDelta{{VideoID: newVideo(), Likes: 1}})
		return errors.Join(err, failure)
	})
	require.ErrorIs(t, err, failure)
	require.Zero(t, s.DB.RowCounts(t)["video_stats"])
}
