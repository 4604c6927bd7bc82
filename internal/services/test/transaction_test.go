package test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/infrastructure/cache"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/vo"
	"github.com/lingo-services/profile/test/testkit"
)

// collisions are the SQL errors after which a transaction is run again.
var collisions = map[string]string{"SerializationFailure": "40001", "Deadlock": "40P01"}

func TestS89_CollisionsAreRetried(t *testing.T) {
	t.Parallel()
	for name, code := range collisions {
		for at, trigger := range map[string]string{"": onProfileWrite, "AtCommit": onProfileCommit} {
			t.Run(name+at, func(t *testing.T) {
				t.Parallel()
				l := newLearner(testkit.New(t))
				attempts := failing(t, l.Service, trigger, code, 2)
				got := l.mustPrefer(t, aiming("B2"))
				require.Equal(t, int64(3), attempts())
				require.Equal(t, int64(1), got.GetProfile().GetProfileVersion())
				events := l.Events(t, l.id)
				require.Len(t, events, 1, "failed runs left nothing")
				require.Equal(t, int64(1), events[0].Version)
			})
		}
	}
}

func TestS89_CollisionsEndAfterThreeAttempts(t *testing.T) {
	t.Parallel()
	for name, code := range collisions {
		for at, trigger := range map[string]string{"": onProfileWrite, "AtCommit": onProfileCommit} {
			t.Run(name+at, func(t *testing.T) {
				t.Parallel()
				l := newLearner(testkit.New(t))
				before := l.DB.RowCounts(t)
				attempts := failing(t, l.Service, trigger, code, always)
				_, err := l.UpdatePreferences(t.Context(), aiming("B2"))
				details := testkit.RequireError(t, err, codes.Aborted, models.ReasonTransactionConflict)
				require.Positive(t, details.Retry.GetRetryDelay().AsDuration())
				require.NotContains(t, status.Convert(err).Message(), "injected")
				require.Equal(t, int64(3), attempts())
				require.Equal(t, before, l.DB.RowCounts(t))
			})
		}
	}
}

func TestS89_OtherDatabaseErrorsAreNotRetried(t *testing.T) {
	t.Parallel()
	l := newLearner(testkit.New(t))
	attempts := failing(t, l.Service, onProfileWrite, "P0001", always)
	_, err := l.UpdatePreferences(t.Context(), aiming("B2"))
	details := testkit.RequireError(t, err, codes.Internal, models.ReasonInternal)
	require.Nil(t, details.Retry)
	require.NotContains(t, status.Convert(err).Message(), "injected", "no internals for the caller")
	require.Contains(t, l.Log.String(), "injected", "but for the log")
	require.Equal(t, int64(1), attempts())
}

// TestS89_CommitFailureLeavesNothing is M66: rows and event go together or not at all.
func TestS89_CommitFailureLeavesNothing(t *testing.T) {
	t.Parallel()
	video := testkit.NewVideo()
	for name, m := range keyedMethods(t, video) {
		if name == "UpdateProfile" {
			continue // publishes nothing; the trigger below fires for deliveries
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLearner(testkit.New(t))
			before := l.DB.RowCounts(t)
			attempts := failing(t, l.Service, onDeliveryCommit, "P0001", 1)
			_, err := m.call(t.Context(), l, "k")
			testkit.RequireError(t, err, codes.Internal, models.ReasonInternal)
			require.Equal(t, int64(1), attempts(), "it got as far as COMMIT")
			require.Equal(t, before, l.DB.RowCounts(t))
			_, err = m.call(t.Context(), l, "k")
			require.NoError(t, err)
			events := l.Events(t, l.id)
			require.Len(t, events, 1)
			require.Equal(t, int64(1), events[0].Version, "the failed run used no number")
			l.RequireNoDrift(t)
		})
	}
}

func TestS89_DatabaseTimeouts(t *testing.T) {
	t.Parallel()
	quick := durationpb.New(100 * time.Millisecond)
	for name, c := range map[string]struct {
		configure func(p *confpb.Data_Postgres)
		obstruct  func(t *testing.T, l learner)
	}{
		"Lock": {func(p *confpb.Data_Postgres) { p.LockTimeout = quick }, func(t *testing.T, l learner) { holdUser(t, l) }},
		"Statement": {func(p *confpb.Data_Postgres) { p.StatementTimeout = quick }, func(t *testing.T, l learner) {
			l.DB.Exec(t, "CREATE FUNCTION profile.test_linger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$")
			l.DB.Exec(t, "CREATE TRIGGER test_linger BEFORE UPDATE ON profile.users FOR EACH ROW EXECUTE FUNCTION profile.test_linger()")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := named(t, testkit.New(t, func(conf *confpb.Bootstrap) { c.configure(conf.GetData().GetPostgres()) }))
			before := l.DB.RowCounts(t)
			c.obstruct(t, l)
			_, err := l.UpdatePreferences(t.Context(), aiming("B2"))
			details := testkit.RequireError(t, err, codes.DeadlineExceeded, models.ReasonDeadlineExceeded)
			require.Positive(t, details.Retry.GetRetryDelay().AsDuration())
			require.Equal(t, before, l.DB.RowCounts(t))
			require.Equal(t, int64(1), l.profile(t).GetProfileVersion(), "the service goes on")
		})
	}
}

// direct connects without the pooler, which would answer for a database that is down.
func direct(t *testing.T, db *testkit.Database) func(conf *confpb.Bootstrap) {
	t.Helper()
	return func(conf *confpb.Bootstrap) { conf.Data.Postgres.Url = testkit.Server(t).AppURL(db.Name) }
}

// terminateBackends ends every connection of the service.
func terminateBackends(t *testing.T, s *testkit.Service) {
	t.Helper()
	app, err := url.Parse(testkit.Server(t).AppURL(s.DB.Name))
	require.NoError(t, err)
	_, err = superuser(t, s).Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND usename = $1 AND pid <> pg_backend_pid()`, app.User.Username())
	require.NoError(t, err)
}

func TestS89_ConnectionLostDuringACall(t *testing.T) {
	t.Parallel()
	db := testkit.NewDatabase(t)
	l := named(t, testkit.NewOn(t, db, direct(t, db)))
	before := l.DB.RowCounts(t)
	release := holdUser(t, l)
	call := testkit.Later(func() error {
		_, err := l.UpdatePreferences(t.Context(), aiming("B2"))
		return err
	})
	awaitBlocked(t, l.Service, 1)
	terminateBackends(t, l.Service)
	details := testkit.RequireError(t, <-call, codes.Unavailable, models.ReasonUnavailable)
	require.Positive(t, details.Retry.GetRetryDelay().AsDuration())
	require.Equal(t, before, l.DB.RowCounts(t))
	release()
	l.mustPrefer(t, aiming("B2"))
	require.Len(t, l.Events(t, l.id), 1)
}

func TestS89_DatabaseDownAndBack(t *testing.T) {
	t.Parallel()
	db := testkit.NewDatabase(t)
	l := named(t, testkit.NewOn(t, db, direct(t, db)))
	admin := superuser(t, l.Service)
	_, err := admin.Exec(t.Context(), "ALTER DATABASE "+db.Name+" CONNECTION LIMIT 0")
	require.NoError(t, err)
	terminateBackends(t, l.Service)
	for name, call := range map[string]func() error{
		"Write": func() error { return second(l.UpdatePreferences(t.Context(), aiming("B2"))) },
		"Read":  func() error { return second(l.GetProfile(t.Context(), &profilev1.GetProfileRequest{})) },
	} {
		details := testkit.RequireError(t, call(), codes.Unavailable, models.ReasonUnavailable)
		require.Positive(t, details.Retry.GetRetryDelay().AsDuration(), name)
	}
	_, err = admin.Exec(t.Context(), "ALTER DATABASE "+db.Name+" CONNECTION LIMIT -1")
	require.NoError(t, err)
	require.Equal(t, int64(2), l.mustPrefer(t, aiming("B2")).GetProfile().GetProfileVersion())
}

// cramped has one connection, so that a call proves that the one before gave it back in working order, and
// no limits in the database that could end a call in place of its deadline.
func cramped(conf *confpb.Bootstrap) {
	conf.Data.Postgres.MaxConns = 1
	conf.Admission.Enabled = false
	conf.Data.Postgres.LockTimeout, conf.Data.Postgres.StatementTimeout = durationpb.New(time.Minute), durationpb.New(time.Minute)
}

// requireServedAs waits for the log line of a call whose caller did not hear the server's answer.
func requireServedAs(t *testing.T, s *testkit.Service, reason models.Reason) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(s.Log.String(), `"reason":"`+string(reason)+`"`) }, patience, glance)
}

func TestS91_CancelledCallRollsBackWholly(t *testing.T) {
	t.Parallel()
	for name, m := range keyedMethods(t, testkit.NewVideo()) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := named(t, testkit.New(t, cramped))
			before := l.DB.RowCounts(t)
			release := holdUser(t, l)
			ctx, cancel := context.WithCancel(t.Context())
			call := testkit.Later(func() error { return second(m.call(ctx, l, "k")) })
			awaitBlocked(t, l.Service, 1)
			cancel()
			require.Equal(t, codes.Canceled, status.Code(<-call))
			requireServedAs(t, l.Service, models.ReasonCancelled)
			awaitBlocked(t, l.Service, 0)
			require.Equal(t, before, l.DB.RowCounts(t))
			release()
			md, option := header()
			_, err := m.call(t.Context(), l, "k", option)
			require.NoError(t, err, "lock, key and connection are free")
			require.Empty(t, md.Get(replayed))
			l.RequireNoDrift(t)
		})
	}
}

// TestS91_CancelledAfterWriting cancels when rows are already written and only an event is missing.
func TestS91_CancelledAfterWriting(t *testing.T) {
	t.Parallel()
	l := named(t, testkit.New(t, cramped))
	release := hold(t, l.Service, "LOCK TABLE profile.outbox_events IN EXCLUSIVE MODE")
	ctx, cancel := context.WithCancel(t.Context())
	call := testkit.Later(func() error { return second(l.UpdatePreferences(ctx, aiming("B2"))) })
	awaitBlocked(t, l.Service, 1)
	cancel()
	require.Equal(t, codes.Canceled, status.Code(<-call))
	requireServedAs(t, l.Service, models.ReasonCancelled)
	awaitBlocked(t, l.Service, 0)
	release()
	require.Equal(t, int64(1), l.profile(t).GetProfileVersion())
	l.mustPrefer(t, aiming("B2"))
	events := l.Events(t, l.id)
	require.Len(t, events, 1)
	require.Equal(t, int64(1), events[0].Version)
}

func TestS91_HandlersDeadline(t *testing.T) {
	t.Parallel()
	quick := durationpb.New(150 * time.Millisecond)
	for name, c := range map[string]struct {
		budget func(timeouts *confpb.Server_Timeouts)
		lock   string
		call   func(ctx context.Context, l learner) error
	}{
		"Command": {func(timeouts *confpb.Server_Timeouts) { timeouts.Command = quick }, "profile.user_stats", func(ctx context.Context, l learner) error {
			return second(l.UpdateProfile(ctx, renaming("Grace")))
		}},
		"Query": {func(timeouts *confpb.Server_Timeouts) { timeouts.Query = quick }, "profile.users", func(ctx context.Context, l learner) error {
			return second(l.GetProfile(ctx, &profilev1.GetProfileRequest{}))
		}},
		"Progress": {func(timeouts *confpb.Server_Timeouts) { timeouts.Progress = quick }, "profile.watch_logs", func(ctx context.Context, l learner) error {
			return second(l.UpsertWatchProgress(ctx, watching(testkit.NewVideo(), 0.5)))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			present := named(t, testkit.New(t))
			hurried := testkit.NewOn(t, present.DB, cramped, func(conf *confpb.Bootstrap) { c.budget(conf.GetServer().GetTimeouts()) })
			l := learner{hurried.AsUser(present.id), hurried, present.id}
			before := l.DB.RowCounts(t)
			release := hold(t, l.Service, "LOCK TABLE "+c.lock+" IN ACCESS EXCLUSIVE MODE")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // longer than the handler's: must not matter
			defer cancel()
			started := time.Now()
			details := testkit.RequireError(t, c.call(ctx, l), codes.DeadlineExceeded, models.ReasonDeadlineExceeded)
			require.Less(t, time.Since(started), 4*time.Second)
			require.Positive(t, details.Retry.GetRetryDelay().AsDuration())
			awaitBlocked(t, l.Service, 0)
			release()
			require.Equal(t, before, l.DB.RowCounts(t))
			require.Equal(t, "Ada", present.profile(t).GetDisplayName())
			require.Eventually(t, func() bool { // the only connection is in order again
				return second(l.GetProfile(t.Context(), &profilev1.GetProfileRequest{})) == nil
			}, patience, glance)
		})
	}
}

func TestS91_CallersDeadline(t *testing.T) {
	t.Parallel()
	l := named(t, testkit.New(t, cramped))
	release := holdUser(t, l)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // the handler's is 5 s
	defer cancel()
	started := time.Now()
	call := testkit.Later(func() error { return second(l.UpdatePreferences(ctx, aiming("B2"))) })
	awaitBlocked(t, l.Service, 1)
	require.Equal(t, codes.DeadlineExceeded, status.Code(<-call))
	awaitBlocked(t, l.Service, 0)
	require.Less(t, time.Since(started), 4*time.Second, "the server gave up too")
	release()
	require.Equal(t, int64(1), l.profile(t).GetProfileVersion())
	require.Empty(t, l.Events(t, l.id))
}

// storedTimes are all times that rows of a user carry, by column.
func storedTimes(t *testing.T, l learner) map[string]time.Time {
	t.Helper()
	rows, err := l.DB.Owner.Query(t.Context(), `
		SELECT 'users.created_at', created_at FROM profile.users
		UNION ALL SELECT 'users.updated_at', updated_at FROM profile.users
		UNION ALL SELECT 'engagements.engaged_at', engaged_at FROM profile.engagements
		UNION ALL SELECT 'engagements.state_at', state_at FROM profile.engagements
		UNION ALL SELECT 'watch_logs.first_watched_at', first_watched_at FROM profile.watch_logs
		UNION ALL SELECT 'watch_logs.last_watched_at', last_watched_at FROM profile.watch_logs
		UNION ALL SELECT 'watch_logs.qualified_at', qualified_at FROM profile.watch_logs
		UNION ALL SELECT 'watch_logs.expires_at', expires_at - interval '180 days' FROM profile.watch_logs
		UNION ALL SELECT 'video_stats.updated_at', updated_at FROM profile.video_stats
		UNION ALL SELECT 'user_stats.updated_at', updated_at FROM profile.user_stats
		UNION ALL SELECT 'idempotency_keys.expires_at', expires_at - interval '24 hours' FROM profile.idempotency_keys
		UNION ALL SELECT event_type || '.occurred_at', occurred_at FROM profile.outbox_events
		UNION ALL SELECT event_type || '.created_at', created_at FROM profile.outbox_events
		UNION ALL SELECT 'outbox_deliveries.available_at', available_at FROM profile.outbox_deliveries`)
	require.NoError(t, err)
	times := map[string]time.Time{}
	defer rows.Close()
	for rows.Next() {
		var name string
		var at time.Time
		require.NoError(t, rows.Scan(&name, &at))
		times[name] = at.UTC()
	}
	require.NoError(t, rows.Err())
	return times
}

func TestS93_DatabaseClockDecides(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]string{"Past": "2003-04-05T06:07:08.000009Z", "Future": "2101-02-03T04:05:06.000007Z"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLearner(testkit.New(t))
			now := testkit.At(t, at)
			l.Clock.Set(now)
			video := testkit.NewVideo()
			like := adding(video)
			like.IdempotencyKey = "k"
			l.mustUpdate(t, renaming("Ada"))
			l.mustPrefer(t, aiming("B2"))
			l.mustMutate(t, like)
			l.mustReport(t, watching(video, 0.5))
			stored := storedTimes(t, l)
			require.Len(t, stored, 18, "%v", stored)
			for column, got := range stored {
				require.Equal(t, now, got, column)
			}
		})
	}
}

func TestS93_ClientsClockAloneMeansNothing(t *testing.T) {
	t.Parallel()
	l := newLearner(testkit.New(t))
	now := testkit.At(t, "2030-01-02T03:04:05.000006Z")
	l.Clock.Set(now)
	video := testkit.NewVideo()
	for _, clock := range []string{"1990-01-01T00:00:00Z", "2090-01-01T00:00:00Z"} {
		_, err := l.MutateFavorite(with(t.Context(), "x-md-client-time", clock), adding(video))
		require.NoError(t, err)
		_, err = l.UpsertWatchProgress(with(t.Context(), "x-md-client-time", clock), watching(video, 0.5))
		require.NoError(t, err)
	}
	stored := storedTimes(t, l)
	require.Equal(t, now, stored["engagements.engaged_at"])
	require.Equal(t, now, stored["watch_logs.first_watched_at"])
}

func TestP18_DeliveryIsNeverScheduledByTheClient(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	now := testkit.At(t, "2030-01-02T03:04:05.000006Z")
	s.Clock.Set(now)
	for name, at := range map[string]time.Time{"Ahead": now.Add(4 * time.Minute), "LongAgo": testkit.At(t, "2029-12-01T00:00:00Z")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, video := newLearner(s), testkit.NewVideo()
			like, report := adding(video), watching(video, 0.5)
			like.OccurredAt, report.OccurredAt = timestamppb.New(at), timestamppb.New(at)
			l.mustMutate(t, like)
			l.mustReport(t, report)
			require.Len(t, l.Events(t, l.id), 2)
			require.Equal(t, []time.Time{now, now}, instants(testkit.One[[]time.Time](t, s.DB,
				"SELECT array_agg(available_at) FROM profile.outbox_deliveries WHERE ordering_key = $1", l.id.String())))
		})
	}
}

func instants(times []time.Time) []time.Time {
	for i := range times {
		times[i] = times[i].UTC()
	}
	return times
}

func TestP20_EventsAreOrderedPerUser(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	hot := testkit.NewVideo()
	learners := []learner{newLearner(s), newLearner(s), newLearner(s)}
	for _, l := range learners {
		l.mustMutate(t, adding(hot))
		l.mustReport(t, watching(testkit.NewVideo(), 0.5))
		l.mustPrefer(t, aiming("B2"))
	}
	for _, l := range learners {
		events := l.Events(t, l.id)
		require.Len(t, events, 3)
		for i, e := range events {
			require.Equal(t, int64(i+1), e.Version)
			user := e.Message.(interface{ GetUserId() string }).GetUserId()
			require.Equal(t, l.id.String(), user)
		}
		require.Equal(t, int64(1), testkit.One[int64](t, s.DB,
			"SELECT count(DISTINCT lane) FROM profile.outbox_deliveries WHERE ordering_key = $1", l.id.String()), "one user, one lane")
		require.Equal(t, int64(3), testkit.One[int64](t, s.DB,
			"SELECT count(*) FROM profile.outbox_events WHERE ordering_key = $1 AND aggregate_id = $1 AND aggregate_type = 'user'", l.id.String()))
	}
	require.Zero(t, testkit.One[int64](t, s.DB, "SELECT count(*) FROM profile.outbox_events WHERE ordering_key = $1", hot.String()))
}

func TestP23_VideoWithoutStatsAnswersZeros(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	l, video := newLearner(s), testkit.NewVideo()
	s.Publish(t, video)
	remove := adding(video)
	remove.Action = profilev1.FavoriteAction_FAVORITE_ACTION_REMOVE
	batch, err := l.BatchQueryFavorite(t.Context(), &profilev1.BatchQueryFavoriteRequest{VideoIds: []string{video.String()}, IncludeStats: true})
	require.NoError(t, err)
	require.Len(t, batch.GetSummaries(), 1)
	service, err := cache.Uncached(s.Store).BatchGetStats(t.Context(), []models.VideoID{video})
	require.NoError(t, err)
	require.Equal(t, []vo.VideoStats{{}}, service)
	for name, stats := range map[string]*profilev1.VideoStats{
		"BatchQueryFavorite":  batch.GetSummaries()[0].GetStats(),
		"MutateFavorite":      l.mustMutate(t, remove).GetStats(),
		"UpsertWatchProgress": l.mustReport(t, watching(video, 0.01)).GetStats(),
	} {
		require.NotNil(t, stats, name)
		require.True(t, proto.Equal(&profilev1.VideoStats{}, stats), "%s: %v", name, stats)
	}
	require.Zero(t, testkit.One[int64](t, s.DB, "SELECT count(*) FROM profile.video_stats"), "asking made none")
}

// A transaction that has only locked and looked is rolled back: COMMIT would wait for the disk for the locks' sake. The user's
// row tells the last transaction that locked it.
func TestS10_WhatWritesNothingDoesNotWaitForTheDisk(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	f := newFan(t, s)
	liked, other, deleted := testkit.NewVideo(), testkit.NewVideo(), testkit.NewVideo()
	s.Publish(t, deleted, videoIn("deleted", "public", 1))
	ended := func(want, what string) {
		t.Helper()
		var end string
		require.NoError(t, s.DB.Owner.QueryRow(t.Context(),
			"SELECT pg_xact_status(xmax::text::xid8) FROM profile.user_stats WHERE user_id = $1", f.user.String()).Scan(&end))
		require.Equal(t, want, end, what)
	}
	f.add(likeType, liked)
	f.remove(likeType, other)
	ended("aborted", "the removal of what never was")
	f.add(likeType, liked)
	ended("committed", "a like again, which moves its time")
	f.remove(likeType, liked, s.Clock.Now().Add(-time.Hour))
	ended("aborted", "a removal that comes too late")
	require.NoError(t, f.watch(other, 0.5))
	f.add(likeType, liked)
	_, err := f.try(addAction, likeType, deleted)
	testkit.RequireError(t, err, codes.FailedPrecondition, models.ReasonVideoUnavailable)
	ended("aborted", "a refused like")
	_, err = f.client.MutateFavorite(t.Context(), &profilev1.MutateFavoriteRequest{
		VideoId: other.String(), FavoriteType: likeType, Action: removeAction, IdempotencyKey: "k",
	})
	require.NoError(t, err)
	ended("committed", "an answer that is kept")
}
