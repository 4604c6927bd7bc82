package test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/test/testkit"
)

// byName are the statements of a service's calls, by their names.
func byName(sent []statement) map[string]statement {
	out := map[string]statement{}
	for _, st := range sent {
		_, rest, _ := strings.Cut(st.SQL, "-- name: ")
		name, _, _ := strings.Cut(rest, " ")
		out[name] = st
	}
	return out
}

// planOf is how a statement would be run that is planned now, for any arguments.
func planOf(t *testing.T, db *testkit.Database, st statement) string {
	t.Helper()
	var lines []string
	require.NoError(t, db.Reading(t, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "PREPARE planned AS "+st.SQL, pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		nothing := strings.TrimSuffix(strings.Repeat("NULL, ", len(st.Args)), ", ") // the plan is for any arguments
		rows, err := tx.Query(t.Context(), "EXPLAIN (COSTS OFF) EXECUTE planned ("+nothing+")", pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			return err
		}
		if lines, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			return err
		}
		_, err = tx.Exec(t.Context(), "DEALLOCATE planned", pgx.QueryExecModeSimpleProtocol)
		return err
	}))
	return strings.Join(lines, "\n")
}

// million fills the tables as they are after a while.
const million = `
WITH announced AS (
         INSERT INTO profile.outbox_events OVERRIDING SYSTEM VALUE
         SELECT n % 10, n, md5('event ' || n)::uuid, 'engagement', md5('user ' || n)::uuid, 'profile.engagement.added', md5('user ' || n)::uuid, 1, '\x', '{}', now(), now()
         FROM generate_series(1000, 101000) n),
     waiting AS (
         INSERT INTO profile.outbox_deliveries (id, slot, lane, ordering_key)
         SELECT n, n % 10, n % 16, md5('user ' || n)::uuid FROM generate_series(91000, 101000) n),
     named AS (INSERT INTO profile.users (user_id, display_name) SELECT md5('user ' || n)::uuid, 'Ada' FROM generate_series(1, 50000) n),
     users AS (INSERT INTO profile.user_stats (user_id, updated_at) SELECT md5('user ' || n)::uuid, now() FROM generate_series(1, 50000) n),
     videos AS (INSERT INTO profile.video_stats (video_id, updated_at) SELECT md5('video ' || n)::uuid, now() FROM generate_series(1, 20000) n
                ON CONFLICT DO NOTHING),
     known AS (INSERT INTO profile.videos_projection (video_id, version, created_version, status, visibility_status, created_at, updated_at)
               SELECT md5('video ' || n)::uuid, 1, 1, 'published', 'public', now(), now() FROM generate_series(1, 20000) n),
     watched AS (INSERT INTO profile.watch_logs (user_id, video_id, position_seconds, ratio_bp, resume_at, max_ratio_bp, qualified_at,
                                                 first_watched_at, last_watched_at, expires_at, created_at, updated_at)
                 SELECT md5('user ' || n % 50000)::uuid, md5('video ' || n / 50000)::uuid, 10, 5000, now(), 5000, now(), now(), now(), now(), now(), now()
                 FROM generate_series(1, 200000) n)
INSERT INTO profile.engagements (user_id, video_id, engagement_type, engaged_at, state_at, created_at, updated_at)
SELECT md5('user ' || n % 50000)::uuid, md5('video ' || n / 50000)::uuid, 'like', now(), now(), now(), now() FROM generate_series(1, 1000000) n`

// The statements of the busy calls have one plan, whatever is in the tables and whatever is known of it: it may be made
// on the first day, and kept.
func TestA81_PlansDoNotDependOnTheDay(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	f := newFan(t, s)
	tr := newTraced(t, s)
	video := testkit.NewVideo()
	call := f.call()
	call.IdempotencyKey = "k"
	for _, act := range []func() error{
		func() error {
			return second(tr.engagements.Mutate(t.Context(), call, services.FavoriteCommand{UserID: f.user, VideoID: video, Type: models.Like, Active: true}))
		},
		func() error {
			return second(tr.watch.Report(t.Context(), call, services.ProgressReport{UserID: f.user, VideoID: video, RatioBP: new(int32(9000)), TotalSeconds: 100}))
		},
		func() error {
			return second(tr.watch.Report(t.Context(), f.call(), services.ProgressReport{UserID: f.user, VideoID: video, RatioBP: new(int32(9000)), SessionID: "tv", Seq: 1}))
		},
		func() error {
			return second(tr.watch.Report(t.Context(), f.call(), services.ProgressReport{UserID: f.user, VideoID: video, RatioBP: new(int32(9000)), SessionID: "car", Seq: 1}))
		},
		func() error { return second(tr.watch.BatchGet(t.Context(), f.call(), newVideos(50))) },
		func() error { return second(tr.engagements.BatchQuery(t.Context(), f.call(), newVideos(50))) },
		func() error { return second(tr.engagements.List(t.Context(), f.call(), services.FavoriteListQuery{})) },
		func() error {
			return second(tr.engagements.List(t.Context(), f.call(), services.FavoriteListQuery{Type: models.Like}))
		},
		func() error { return second(tr.watch.List(t.Context(), f.call(), services.WatchListQuery{})) },
		func() error {
			return tr.store.ReadFor(t.Context(), []models.UserID{f.user}, func(ctx context.Context, tx *repositories.Tx) error {
				return second(tx.Profiles.BatchGet(ctx, []models.UserID{f.user}))
			})
		},
		func() error {
			lanes := []po.Cursor{{Lane: po.Lane{Number: 1, Epoch: 1}, Limit: 10}}
			return tr.store.Queue(t.Context(), func(ctx context.Context, tx *repositories.Tx) error {
				return errors.Join(tx.Deliveries.Forget(ctx, []po.Delivered{{Lane: 1, ID: 1}}), second(tx.Deliveries.Take(ctx, po.Take{Lanes: lanes})), second(tx.Deliveries.OldestUnread(ctx, lanes)))
			})
		},
	} {
		require.NoError(t, act())
	}
	statements := byName(tr.take())
	require.Subset(t, keysOf(statements), []string{
		"TryLockIdempotencyKeys", "GetIdempotencyKeys", "LockFreeUsers", "CreateFreeUsers", "SetFavorites", "AdvanceUsers", "EnsureVideos", "AdvanceVideos",
		"InsertEvents", "PutIdempotencyKeys", "GetWatchLogs", "GetVideoFacts", "PutWatchLogs", "GetWatchSessions", "PutWatchSessions", "GetWatchProgress", "GetFavorites", "BatchGetVideoStats",
		"ListFavorites", "BatchGetVideos", "ListWatchHistory", "BatchGetProfiles", "ForgetDeliveries", "TakeDeliveries", "OldestUnread",
	})
	plans := func() map[string]string {
		out := map[string]string{}
		for name, st := range statements {
			out[name] = planOf(t, s.DB, st)
		}
		return out
	}
	analyze := func() { s.DB.Exec(t, "ANALYZE") }
	first := plans()
	for name, plan := range first {
		require.NotContains(t, plan, "Seq Scan on", "%s\n%s", name, plan)
		require.NotContains(t, plan, "Hash", "%s\n%s", name, plan)
		require.NotContains(t, plan, "Merge Join", "%s\n%s", name, plan)
		require.NotContains(t, plan, "Bitmap", "%s\n%s", name, plan)
	}
	for _, c := range []struct {
		name   string
		change func()
	}{
		{"analyzed while empty", analyze},
		{"a million rows later", func() { s.DB.Exec(t, million) }},
		{"analyzed when full", analyze},
	} {
		c.change()
		for name, plan := range plans() {
			assert.Equal(t, first[name], plan, "%s, %s", name, c.name)
		}
	}
}

func keysOf[V any](m map[string]V) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	return keys
}
