package maintenance_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lingo-services/profile/internal/clients/catalog"
	"github.com/lingo-services/profile/internal/infrastructure/postgres"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/internal/tasks/maintenance"
	"github.com/lingo-services/profile/test/testkit"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(testkit.Suite{M: m}, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

const (
	patience = 20 * time.Second
	tick     = 5 * time.Millisecond
	day      = 24 * time.Hour
)

// noon is on a day of slot 5.
var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

// house is a service with a clock that stands at noon, and what is needed to maintain it.
type house struct {
	*testkit.Service
	inbox services.CatalogInboxService
}

func open(t *testing.T) *house {
	t.Helper()
	s := testkit.New(t)
	s.Clock.Set(noon)
	return &house{s, services.NewCatalogInboxService(s.Store, catalog.Decode, 1)}
}

// runner keeps what is configured by default; change may change its options.
func (h *house) runner(inbox maintenance.Inbox, change ...func(*maintenance.Options)) (*maintenance.Runner, *recorder) {
	opts := maintenance.Options{Interval: patience, EventRetention: 7 * day, InboxRetention: 30 * day, SessionRetention: 7 * day, Batch: 3}
	for _, f := range change {
		f(&opts)
	}
	seen := &recorder{removed: map[maintenance.Job]int64{}, failed: map[maintenance.Job]int{}, succeeded: map[maintenance.Job]int{}}
	return maintenance.NewRunner(opts, h.Store, inbox, h.Watch, seen, slog.New(slog.NewJSONHandler(io.Discard, nil))), seen
}

// run is one run of a runner that must not fail.
func (h *house) run(t *testing.T, change ...func(*maintenance.Options)) *recorder {
	t.Helper()
	r, seen := h.runner(h.inbox, change...)
	r.RunAll(t.Context())
	require.Empty(t, seen.failed)
	return seen
}

// write commits n events of a user.
func (h *house) write(t *testing.T, user models.UserID, n int64) {
	t.Helper()
	require.NoError(t, h.Store.Write(t.Context(), models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
		if _, err := tx.UserStats.Lock(ctx, []models.UserID{user}); err != nil {
			return err
		}
		last, err := tx.UserStats.Increment(ctx, []po.UserDelta{{UserID: user, Events: n}})
		if err != nil {
			return err
		}
		events := make([]po.Event, n)
		for i := range events {
			events[i] = po.Event{
				ID: uuid.Must(uuid.NewV7()), Type: "profile.engagement.added", UserID: user, Version: last[user] - n + int64(i) + 1, OccurredAt: noon, Payload: []byte("p"),
			}
		}
		return tx.Outbox.Append(ctx, events)
	}))
}

// deliver does what publishers do in the end.
func (h *house) deliver(t *testing.T) {
	t.Helper()
	h.DB.Exec(t, "DELETE FROM profile.outbox_deliveries WHERE dead_at IS NULL")
}

func (h *house) rows(t *testing.T, table string) int64 {
	t.Helper()
	return testkit.One[int64](t, h.DB, "SELECT count(*) FROM profile."+table)
}

// hold keeps the locks of a statement until release.
func (h *house) hold(t *testing.T, sql string) (release func()) {
	t.Helper()
	tx, err := h.DB.Owner.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), sql)
	require.NoError(t, err)
	release = sync.OnceFunc(func() { _ = tx.Rollback(context.Background()) })
	t.Cleanup(release)
	return release
}

// recorder is an Observer that remembers.
type recorder struct {
	mu                sync.Mutex
	removed           map[maintenance.Job]int64
	failed, succeeded map[maintenance.Job]int
}

func (r *recorder) Removed(job maintenance.Job, n int64) { r.note(func() { r.removed[job] += n }) }
func (r *recorder) Failed(job maintenance.Job)           { r.note(func() { r.failed[job]++ }) }
func (r *recorder) Succeeded(job maintenance.Job)        { r.note(func() { r.succeeded[job]++ }) }

func (r *recorder) note(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

func TestS77_EventsStaySevenDaysInTheLog(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.write(t, testkit.NewUser(), 5)
	h.Clock.Advance(6 * time.Hour)
	h.write(t, testkit.NewUser(), 1)
	h.deliver(t)
	for _, age := range []time.Duration{0, 7*day - 6*time.Hour + time.Second, 6*time.Hour - time.Second} {
		h.Clock.Advance(age)
		require.Zero(t, h.run(t).removed[maintenance.EventLog])
	}
	require.Equal(t, int64(6), h.rows(t, "outbox_events"), "exactly seven days after the newest of them")
	h.Clock.Advance(time.Second)
	require.Equal(t, int64(1), h.run(t).removed[maintenance.EventLog])
	require.Zero(t, h.rows(t, "outbox_events"))
	h.write(t, testkit.NewUser(), 1)
	require.Zero(t, h.run(t).removed[maintenance.EventLog])
}

// The newest event need not have the greatest id: ids are given out before the time is read.
func TestS77_TheNewestEventDecidesWhateverItsID(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.write(t, testkit.NewUser(), 50)
	h.deliver(t)
	h.DB.Exec(t, "UPDATE profile.outbox_events SET created_at = created_at + interval '1 hour' WHERE id = (SELECT min(id) FROM profile.outbox_events)")
	h.Clock.Advance(7*day + time.Hour)
	require.Zero(t, h.run(t).removed[maintenance.EventLog])
	h.Clock.Advance(time.Second)
	require.Equal(t, int64(1), h.run(t).removed[maintenance.EventLog])
}

func TestS77_WaitingAndDeadEventsKeepTheirDay(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.write(t, testkit.NewUser(), 1)
	h.write(t, testkit.NewUser(), 3)
	h.DB.Exec(t, "UPDATE profile.outbox_deliveries SET dead_at = now() WHERE id = (SELECT min(id) FROM profile.outbox_deliveries)")
	h.Clock.Advance(8 * day)
	require.Zero(t, h.run(t).removed[maintenance.EventLog])
	h.deliver(t)
	require.Zero(t, h.run(t).removed[maintenance.EventLog], "a dead letter is still there")
	require.Equal(t, int64(4), h.rows(t, "outbox_events"))
	h.DB.Exec(t, "DELETE FROM profile.outbox_deliveries")
	require.Equal(t, int64(1), h.run(t).removed[maintenance.EventLog])
}

func TestS77_TodayAndTomorrowAreNeverEmptied(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.write(t, testkit.NewUser(), 1)
	h.deliver(t)
	h.Clock.Advance(9 * day)
	require.Zero(t, h.run(t).removed[maintenance.EventLog], "its slot is tomorrow's")
	h.Clock.Advance(day)
	require.Zero(t, h.run(t).removed[maintenance.EventLog], "its slot is today's")
	h.write(t, testkit.NewUser(), 1)
	h.deliver(t)
	h.Clock.Advance(7 * day)
	require.Zero(t, h.run(t).removed[maintenance.EventLog], "the newer one keeps it")
	h.Clock.Advance(day)
	require.Equal(t, int64(1), h.run(t).removed[maintenance.EventLog])
	require.Zero(t, h.rows(t, "outbox_events"))
}

func TestS77_RowSecurityDoesNotKeepEvents(t *testing.T) {
	t.Parallel()
	h := open(t)
	require.NoError(t, postgres.SetRowSecurity(t.Context(), h.DB.OwnerURL, true))
	h.write(t, testkit.NewUser(), 2)
	h.Clock.Advance(8 * day)
	require.Zero(t, h.run(t).removed[maintenance.EventLog], "both wait")
	h.deliver(t)
	require.Equal(t, int64(1), h.run(t).removed[maintenance.EventLog])
}

// Whoever reads a day is not waited for; the other jobs and days go on.
func TestS77_AReaderPutsOffItsDayOnly(t *testing.T) {
	t.Parallel()
	h := open(t)
	for range 2 {
		h.write(t, testkit.NewUser(), 1)
		h.Clock.Advance(day)
	}
	h.deliver(t)
	h.Clock.Advance(6*day + time.Second)
	slot := testkit.One[int16](t, h.DB, "SELECT slot FROM profile.outbox_events ORDER BY id LIMIT 1")
	release := h.hold(t, fmt.Sprintf("SELECT FROM profile.outbox_events_%d", slot))
	r, seen := h.runner(h.inbox)
	r.RunAll(t.Context())
	require.Equal(t, map[maintenance.Job]int{maintenance.EventLog: 1}, seen.failed)
	require.Equal(t, int64(1), seen.removed[maintenance.EventLog], "the other day")
	require.Equal(t, 1, seen.succeeded[maintenance.IdempotencyKeys])
	release()
	require.Equal(t, int64(1), h.run(t).removed[maintenance.EventLog])
	require.Zero(t, h.rows(t, "outbox_events"))
}

// A business write uses today's part of the log alone, so that it does not even meet the lock.
func TestS77_BusinessWritesDoNotWaitForMaintenance(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.write(t, testkit.NewUser(), 1)
	slot := testkit.One[int16](t, h.DB, "SELECT slot FROM profile.outbox_events")
	h.Clock.Advance(8 * day)
	h.hold(t, fmt.Sprintf("LOCK TABLE profile.outbox_events_%d IN ACCESS EXCLUSIVE MODE", slot))
	h.write(t, testkit.NewUser(), 3)
}

// Under load, with several instances, nothing is lost and nothing fails for good.
func TestS77_WritersAndInstancesGoOnSideBySide(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.write(t, testkit.NewUser(), 20)
	h.deliver(t)
	h.Clock.Advance(8 * day)
	seen := make([]*recorder, 3)
	for _, err := range testkit.Together(6, func(i int) error {
		if i >= len(seen) {
			for range 10 {
				h.write(t, testkit.NewUser(), 2)
			}
			return nil
		}
		var r *maintenance.Runner
		r, seen[i] = h.runner(h.inbox)
		r.RunAll(t.Context())
		return nil
	}) {
		require.NoError(t, err)
	}
	total := int64(0)
	for _, s := range seen {
		total += s.removed[maintenance.EventLog]
		require.Empty(t, s.failed)
	}
	require.Equal(t, int64(1), total)
	require.Equal(t, int64(3*10*2), h.rows(t, "outbox_events"))
	require.Equal(t, int64(3*10*2), h.rows(t, "outbox_deliveries"))
}

func TestS77_OneInstanceAtATimeEmptiesTheLog(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.write(t, testkit.NewUser(), 1)
	h.deliver(t)
	h.Clock.Advance(8 * day)
	release := h.hold(t, "SELECT pg_advisory_xact_lock(hashtextextended('profile outbox_events', 0))")
	require.Zero(t, h.run(t).removed[maintenance.EventLog])
	release()
	require.Equal(t, int64(1), h.run(t).removed[maintenance.EventLog])
}

// received puts n inbox rows of now into the table.
func (h *house) received(t *testing.T, n int, state string) {
	t.Helper()
	h.DB.Exec(t, `INSERT INTO profile.inbox_events (event_id, source_service, event_type, state, processed_at)
		SELECT gen_random_uuid(), 'catalog', 'catalog.video.created', $2::text, CASE WHEN $2::text = 'processed' THEN profile.clock_now() END
		FROM generate_series(1, $1::int)`, n, state)
}

// answered keeps n answers for a day.
func (h *house) answered(t *testing.T, n int) {
	t.Helper()
	h.DB.Exec(t, `INSERT INTO profile.idempotency_keys (user_id, action, resource_id, idempotency_key, fingerprint, response, expires_at)
		SELECT gen_random_uuid(), 'a', gen_random_uuid(), 'k', decode(repeat('00', 32), 'hex'), '{}', profile.clock_now() + interval '1 day'
		FROM generate_series(1, $1::int)`, n)
}

func TestS77_ProcessedInboxRowsStayThirtyDays(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.received(t, 10, "processed")
	h.received(t, 2, "dead")
	h.Clock.Advance(30 * day)
	h.received(t, 1, "processed")
	require.Zero(t, h.run(t).removed[maintenance.InboxEvents])
	h.Clock.Advance(time.Microsecond)
	require.Equal(t, int64(10), h.run(t).removed[maintenance.InboxEvents], "in batches of three")
	require.Equal(t, int64(3), h.rows(t, "inbox_events"), "failures stay until somebody settles them")
}

func TestP25_ExpiredIdempotencyKeysGo(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.answered(t, 10)
	h.Clock.Advance(day - time.Microsecond)
	h.answered(t, 1)
	require.Zero(t, h.run(t).removed[maintenance.IdempotencyKeys])
	h.Clock.Advance(time.Microsecond)
	require.Equal(t, int64(10), h.run(t).removed[maintenance.IdempotencyKeys])
	require.Equal(t, int64(1), h.rows(t, "idempotency_keys"))
}

// A run ends after an interval, and the next one goes on.
func TestP25_ARunIsBounded(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.answered(t, 10)
	h.Clock.Advance(day)
	short := func(o *maintenance.Options) { o.Interval = time.Nanosecond }
	require.Equal(t, int64(3), h.run(t, short).removed[maintenance.IdempotencyKeys])
	require.Equal(t, int64(3), h.run(t, short).removed[maintenance.IdempotencyKeys])
}

// Ten times the retention, every day alike: sizes follow the retention only (I11).
func TestP25_SizesAreFlat(t *testing.T) {
	t.Parallel()
	const daily, retention, days = 20, 7, 70
	h := open(t)
	user, other := testkit.NewUser(), testkit.NewUser()
	sizes := func() (bytes int64) {
		return testkit.One[int64](t, h.DB, `SELECT sum(pg_relation_size(oid))::bigint FROM pg_class
			WHERE relnamespace = 'profile'::regnamespace AND relname LIKE 'outbox\_events\__'`)
	}
	full := int64(0)
	for n := range days {
		h.write(t, user, daily/2)
		h.write(t, other, daily/2)
		h.deliver(t)
		h.received(t, daily, "processed")
		h.answered(t, daily)
		h.run(t, func(o *maintenance.Options) { o.InboxRetention, o.Batch = retention*day, 1000 })
		require.LessOrEqual(t, h.rows(t, "outbox_events"), int64(daily*(retention+2)))
		require.LessOrEqual(t, h.rows(t, "inbox_events"), int64(daily*(retention+1)))
		require.LessOrEqual(t, h.rows(t, "idempotency_keys"), int64(daily))
		require.GreaterOrEqual(t, h.rows(t, "outbox_events"), int64(daily*min(n+1, retention)), "and nothing goes early")
		if n == 2*retention {
			full = sizes()
		}
		h.Clock.Advance(day)
	}
	require.LessOrEqual(t, sizes(), full)
}

// report stores progress of a user in a video of unknown length.
func (h *house) report(t *testing.T, user models.UserID, video models.VideoID, session string) {
	t.Helper()
	_, err := h.Watch.Report(t.Context(), models.Call{Actor: models.UserActor(user), Subject: user}, services.ProgressReport{
		UserID: user, VideoID: video, PositionSeconds: 600, SessionID: session, Seq: 1,
	})
	require.NoError(t, err)
}

func TestS31_SessionsAreForgottenSevenDaysAfterTheirLastReport(t *testing.T) {
	t.Parallel()
	h := open(t)
	user, video := testkit.NewUser(), testkit.NewVideo()
	for _, session := range []string{"a", "b", "c", "d", "e"} {
		h.report(t, user, video, session)
	}
	require.Equal(t, int64(4), h.rows(t, "watch_sessions"), "the newest is in the row")
	h.Clock.Advance(7*day - time.Second)
	require.Zero(t, h.run(t).removed[maintenance.WatchSessions])
	h.report(t, user, video, "f")
	h.Clock.Advance(time.Second)
	require.Equal(t, int64(4), h.run(t).removed[maintenance.WatchSessions], "more than a batch")
	require.Equal(t, int64(1), h.rows(t, "watch_sessions"))
	require.Equal(t, int64(1), h.rows(t, "watch_logs"))
}

func TestS36_ProgressIsJudgedWhenTheLengthArrives(t *testing.T) {
	t.Parallel()
	h := open(t)
	video := testkit.NewVideo()
	for range 5 {
		h.report(t, testkit.NewUser(), video, "")
	}
	require.Zero(t, h.run(t).removed[maintenance.UnjudgedWatches])
	h.Publish(t, video, func(c *po.VideoChange) { c.DurationMicros = new(int64(1_200_000_000)) })
	require.Equal(t, int64(5), h.run(t).removed[maintenance.UnjudgedWatches], "more than a batch")
	require.Zero(t, h.run(t).removed[maintenance.UnjudgedWatches])
	require.Equal(t, int64(5), testkit.One[int64](t, h.DB, "SELECT unique_watchers FROM profile.video_stats"))
	h.RequireNoDrift(t)
}

// broken is an inbox that cannot be pruned.
type broken struct{}

func (broken) Prune(context.Context, time.Duration, int32) (int64, error) {
	return 0, errors.New("broken")
}

func TestP25_AFailingJobDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.answered(t, 2)
	h.Clock.Advance(day)
	r, seen := h.runner(broken{})
	r.RunAll(t.Context())
	require.Equal(t, map[maintenance.Job]int{maintenance.InboxEvents: 1}, seen.failed)
	require.Equal(t, map[maintenance.Job]int{
		maintenance.EventLog: 1, maintenance.IdempotencyKeys: 1, maintenance.WatchSessions: 1, maintenance.UnjudgedWatches: 1,
	}, seen.succeeded)
	require.Equal(t, int64(2), seen.removed[maintenance.IdempotencyKeys])
}

func TestP25_RunsUntilItIsStopped(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.answered(t, 2)
	h.Clock.Advance(day)
	r, seen := h.runner(h.inbox, func(o *maintenance.Options) { o.Interval = tick })
	ended := testkit.Later(func() error { return r.Start(context.Background()) })
	require.Eventually(t, func() bool { return h.rows(t, "idempotency_keys") == 0 }, patience, tick)
	require.NoError(t, r.Stop(t.Context()))
	require.NoError(t, r.Stop(t.Context()))
	require.NoError(t, <-ended)
	require.Empty(t, seen.failed, "being stopped is no failure")
}

func TestP25_StopMayComeFirst(t *testing.T) {
	t.Parallel()
	r := maintenance.NewRunner(maintenance.Options{}, nil, nil, nil, nil, nil)
	require.NoError(t, r.Stop(t.Context()))
	require.NoError(t, r.Start(t.Context()))
}

// Stop gives up the transaction in hand rather than wait for a lock.
func TestP25_StopDoesNotWaitForLocks(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.hold(t, "LOCK TABLE profile.idempotency_keys IN ACCESS EXCLUSIVE MODE")
	r, seen := h.runner(h.inbox, func(o *maintenance.Options) { o.Interval = tick })
	ended := testkit.Later(func() error { return r.Start(context.Background()) })
	require.Eventually(t, func() bool {
		return testkit.One[bool](t, h.DB, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'profile.idempotency_keys'::regclass)")
	}, patience, tick)
	require.NoError(t, r.Stop(t.Context()))
	require.NoError(t, <-ended)
	require.Zero(t, seen.failed[maintenance.IdempotencyKeys])
}

// The statements that look for what is old walk indexes, however much there is.
func TestP25_PruningReadsIndexes(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.answered(t, 3000)
	h.DB.Exec(t, "ANALYZE profile.idempotency_keys")
	var plan string
	require.NoError(t, pgx.BeginFunc(t.Context(), h.DB.Owner, func(tx pgx.Tx) error {
		rows, err := tx.Query(t.Context(), `EXPLAIN SELECT user_id FROM profile.idempotency_keys
			WHERE expires_at <= (SELECT profile.clock_now()) ORDER BY expires_at LIMIT 10 FOR UPDATE SKIP LOCKED`)
		if err != nil {
			return err
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		plan = fmt.Sprint(lines)
		return err
	}))
	require.Contains(t, plan, "idempotency_keys_expires_idx")
}
