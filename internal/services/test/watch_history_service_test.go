package test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/test/testkit"
)

func TestP2_ProgressIsStoredAsReported(t *testing.T) {
	t.Parallel()
	v := lasting(t, newCinema(t), 100)
	written := v.report(t, position(42), ratio(0.4217), total(40), numbered("tab", 1)).GetProgress()
	require.Equal(t, int64(42), written.GetPositionSeconds())
	require.InDelta(t, 0.4217, written.GetProgressRatio(), 1e-9)
	require.Equal(t, int64(40), written.GetTotalWatchSeconds())
	require.Equal(t, "tab", written.GetSessionId())
	require.Equal(t, int64(100), written.GetDurationSeconds())

	entries := v.entries(t)
	require.Len(t, entries, 1)
	require.Equal(t, written.String(), entries[0].GetProgress().String(), "the history shows what the report answered")
}

func TestS24_ProgressIsRefusedOnlyOnDeletedVideos(t *testing.T) {
	t.Parallel()
	s := newCinema(t)
	for name, c := range map[string]struct{ status, visibility string }{
		"available": {"published", "public"},
		"private":   {"published", "private"},
		"not ready": {"processing", "public"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newViewing(s)
			s.Publish(t, v.video, videoIn(c.status, c.visibility, 1))
			require.True(t, v.report(t, ratio(0.5)).GetRecorded())
		})
	}
	t.Run("unknown", func(t *testing.T) {
		t.Parallel()
		require.True(t, newViewing(s).report(t, ratio(0.5)).GetRecorded())
	})
	for _, status := range []string{"deleted", "archived", "rejected", "failed"} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			v := newViewing(s)
			s.Publish(t, v.video, videoIn(status, "public", 1))
			_, err := v.try(t, ratio(0.5))
			testkit.RequireError(t, err, codes.FailedPrecondition, "VIDEO_UNAVAILABLE")
			require.Zero(t, v.row(t))
			require.Empty(t, v.events(t))
		})
	}
}

func TestS30_OneRowKeepsEverythingAboutAPair(t *testing.T) {
	t.Parallel()
	v := newViewing(newCinema(t))
	v.report(t, ago(time.Hour), ratio(0.96), position(960), total(900))
	v.report(t, ago(time.Minute), ratio(0.5), position(500), total(930))

	emitted, first, last := int32(5000), showtime.Add(-time.Hour), showtime.Add(-time.Minute)
	row := v.row(t)
	require.Equal(t, v.user, row.UserID)
	require.Equal(t, v.video, row.VideoID)
	require.Equal(t, int64(500), row.PositionSeconds)
	require.Equal(t, int32(5000), row.RatioBP)
	require.Equal(t, last, row.ResumeAt)
	require.Equal(t, int32(9600), row.MaxRatioBP)
	require.Equal(t, int64(930), row.CountedSeconds)
	require.Equal(t, &first, row.QualifiedAt)
	require.Equal(t, &first, row.CompletedAt)
	require.Equal(t, int32(1), row.CompletedCount)
	require.Equal(t, &emitted, row.LastEmittedRatioBP)
	require.Equal(t, first, row.FirstWatchedAt)
	require.Equal(t, last, row.LastWatchedAt)
	require.Equal(t, last.Add(watchRetention), row.ExpiresAt)
	require.Equal(t, int64(1), v.s.DB.RowCounts(t)["watch_logs"])
}

func TestS30_ParallelReportsLoseNothing(t *testing.T) {
	t.Parallel()
	v := newViewing(newCinema(t))
	known(t, v)
	const devices = 20
	errs := testkit.Together(devices, func(i int) error { return v.direct(t, int32(i+1)*100, int64(i+1)*10) })
	for _, err := range errs {
		require.NoError(t, err)
	}
	row := v.row(t)
	require.Equal(t, int64(devices*10), row.CountedSeconds)
	require.Equal(t, int32(devices*100), row.MaxRatioBP)
	require.Equal(t, int64(2), v.s.DB.RowCounts(t)["watch_logs"], "of two videos")
	v.s.RequireNoDrift(t)
}

func TestP4_ParallelFirstReportsCountOneWatcher(t *testing.T) {
	t.Parallel()
	v := newViewing(newCinema(t))
	known(t, v)
	errs := testkit.Together(16, func(int) error { return v.direct(t, 5000, 60) })
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, int64(1), v.stats(t).UniqueWatchers)
	require.Equal(t, int64(60), v.stats(t).TotalWatchSeconds)
	require.Len(t, v.events(t), 2, "one each for the two videos")
}

// known makes the viewer somebody who has watched something else: creating a user already serialises.
func known(t *testing.T, v viewing) {
	t.Helper()
	viewing{v.s, v.user, testkit.NewVideo()}.report(t, ratio(0.5))
}

func TestP4_FallingBelowFivePercentKeepsTheWatcher(t *testing.T) {
	t.Parallel()
	v := newViewing(newCinema(t))
	v.report(t, ratio(0.5), total(60))
	for range 2 {
		stats := v.report(t, ratio(0.01), total(60)).GetStats()
		require.Equal(t, int64(1), stats.GetUniqueWatchers())
		require.Equal(t, int64(60), stats.GetTotalWatchSeconds())
	}
	require.Equal(t, int64(1), tallyOf(t, v.s, v.user).Watched)
}

func TestS36_BelowFivePercentIsKeptAside(t *testing.T) {
	t.Parallel()
	v := newViewing(newCinema(t))
	resp := v.report(t, ratio(0.0499), position(49), total(30))
	require.False(t, resp.GetRecorded())
	require.Equal(t, belowReason, resp.GetReason())
	require.Empty(t, v.entries(t))
	require.Zero(t, v.stats(t))
	require.Zero(t, tallyOf(t, v.s, v.user))
	require.Empty(t, v.events(t))
	row := v.row(t)
	require.Nil(t, row.QualifiedAt)
	require.Equal(t, int64(30), row.CountedSeconds)
	require.Equal(t, showtime.Add(24*time.Hour), row.ExpiresAt, "dropped a day after the newest report")
}

func TestS36_ExactlyFivePercentQualifies(t *testing.T) {
	t.Parallel()
	v := newViewing(newCinema(t))
	v.report(t, ago(2*time.Minute), ratio(0.0499))
	resp := v.report(t, ago(time.Minute), ratio(0.05))
	require.True(t, resp.GetRecorded())
	require.Equal(t, nothingToExplain, resp.GetReason())
	require.Len(t, v.entries(t), 1)
	qualified := showtime.Add(-time.Minute)
	require.Equal(t, &qualified, v.row(t).QualifiedAt)
}

func TestS36_AfterADayTheNextReportStartsOver(t *testing.T) {
	t.Parallel()
	v := newViewing(newCinema(t))
	v.report(t, ratio(0.04), position(40), total(30))
	v.s.Clock.Advance(24 * time.Hour)
	v.report(t, ratio(0.5), position(500), total(10))
	require.Equal(t, int64(10), v.row(t).CountedSeconds, "the dropped seconds do not add up")
	require.Equal(t, showtime.Add(24*time.Hour), v.row(t).FirstWatchedAt)
	require.Equal(t, int64(10), v.stats(t).TotalWatchSeconds)
	v.s.RequireNoDrift(t)
}

func TestS37_RewindingStaysInTheHistory(t *testing.T) {
	t.Parallel()
	v := newViewing(newCinema(t))
	v.report(t, ratio(0.5), position(500), total(60))
	resp := v.report(t, ratio(0.0499), position(49), total(60))
	require.True(t, resp.GetRecorded())
	require.Zero(t, resp.GetProgress().GetPositionSeconds(), "nothing to resume")
	require.Zero(t, resp.GetProgress().GetProgressRatio())
	require.InDelta(t, 0.5, resp.GetProgress().GetMaxRatio(), 1e-9)
	require.Len(t, v.entries(t), 1)
	require.Equal(t, int64(1), v.stats(t).UniqueWatchers)
}

func TestS39_SecondsEnterTheStatsWithTheWatcher(t *testing.T) {
	t.Parallel()
	v := newViewing(newCinema(t))
	for _, step := range []struct {
		ratio    float64
		total    int64
		watchers int64
		seconds  int64
	}{
		{0.01, 30, 0, 0},
		{0.04, 50, 0, 0},
		{0.06, 70, 1, 70},
		{0.50, 95, 1, 95},
		{0.02, 99, 1, 99},
	} {
		stats := v.report(t, ratio(step.ratio), total(step.total)).GetStats()
		require.Equal(t, step.watchers, stats.GetUniqueWatchers(), "at %v", step.ratio)
		require.Equal(t, step.seconds, stats.GetTotalWatchSeconds(), "at %v", step.ratio)
		require.Equal(t, step.watchers, tallyOf(t, v.s, v.user).Watched)
	}
	another := viewing{v.s, testkit.NewUser(), v.video}
	another.report(t, ratio(0.3), total(1))
	require.Equal(t, int64(2), v.stats(t).UniqueWatchers)
	require.Equal(t, int64(100), v.stats(t).TotalWatchSeconds)
	v.s.RequireNoDrift(t)
}

func TestS41_FirstAndLastAreTheExtremesOfAllReports(t *testing.T) {
	t.Parallel()
	v := newViewing(newCinema(t))
	for _, when := range []time.Duration{2 * time.Hour, time.Hour, 3 * time.Hour, 90 * time.Minute} {
		v.report(t, ago(when), ratio(0.5))
	}
	row := v.row(t)
	require.Equal(t, showtime.Add(-3*time.Hour), row.FirstWatchedAt)
	require.Equal(t, showtime.Add(-time.Hour), row.LastWatchedAt)
	require.Equal(t, showtime.Add(watchRetention-time.Hour), row.ExpiresAt)
}

func TestS41_LastWatchedAtStandsInForOccurredAt(t *testing.T) {
	t.Parallel()
	s := newCinema(t)
	lastWatched := func(d time.Duration) detail {
		return func(r *profilev1.UpsertWatchProgressRequest) {
			r.Progress.LastWatchedAt = timestamppb.New(showtime.Add(-d))
		}
	}
	v := newViewing(s)
	v.report(t, lastWatched(time.Hour), ratio(0.5))
	require.Equal(t, showtime.Add(-time.Hour), v.row(t).ResumeAt)

	both := newViewing(s)
	both.report(t, lastWatched(time.Hour), ago(2*time.Hour), ratio(0.5))
	require.Equal(t, showtime.Add(-2*time.Hour), both.row(t).ResumeAt, "occurred_at wins")
}

func TestS41_ReportsOlderThanTheRetentionChangeNothing(t *testing.T) {
	t.Parallel()
	v := newViewing(newCinema(t))
	resp := v.report(t, ago(watchRetention), ratio(0.5), total(60))
	require.Equal(t, expiredReason, resp.GetReason())
	require.False(t, resp.GetRecorded())
	require.Zero(t, v.row(t))
	require.Zero(t, v.stats(t))
	require.Empty(t, v.events(t))

	resp = v.report(t, ago(watchRetention-time.Microsecond), ratio(0.5), total(60))
	require.True(t, resp.GetRecorded())
	require.Equal(t, showtime.Add(time.Microsecond), resp.GetProgress().GetExpiresAt().AsTime())
}

func TestP11_TheServerComputesExpiry(t *testing.T) {
	t.Parallel()
	v := newViewing(newCinema(t))
	claims := func(r *profilev1.UpsertWatchProgressRequest) {
		r.Progress.ExpiresAt = timestamppb.New(showtime.Add(100 * watchRetention))
		r.Progress.FirstWatchedAt = timestamppb.New(showtime.Add(-100 * watchRetention))
		r.Progress.CompletedAt = timestamppb.New(showtime)
		r.Progress.CompletedCount, r.Progress.MaxRatio = 7, 1
	}
	v.report(t, ratio(0.5), claims)
	row := v.row(t)
	require.Equal(t, showtime.Add(watchRetention), row.ExpiresAt)
	require.Equal(t, showtime, row.FirstWatchedAt)
	require.Nil(t, row.CompletedAt)
	require.Zero(t, row.CompletedCount)
	require.Equal(t, int32(5000), row.MaxRatioBP)
}

func TestP11_ExpiredRowsAreNotListed(t *testing.T) {
	t.Parallel()
	v := newViewing(newCinema(t))
	v.report(t, ratio(0.5))
	v.s.Clock.Set(showtime.Add(watchRetention - time.Microsecond))
	require.Len(t, v.entries(t), 1)
	v.s.Clock.Advance(time.Microsecond)
	require.Empty(t, v.entries(t))
}

func TestS47_RepeatedHeartbeatsChangeNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		heartbeat []detail
		newer     []detail
	}{
		"same number of the session": {heartbeat: []detail{ratio(0.5), position(50), total(60), numbered("tab", 1)}},
		"same time and content":      {heartbeat: []detail{ratio(0.5), position(50), total(60), ago(time.Minute)}},
		"overtaken number": {
			heartbeat: []detail{ratio(0.5), position(50), total(60), numbered("tab", 1)},
			newer:     []detail{ratio(0.7), position(70), total(80), numbered("tab", 2)},
		},
		"older time": {
			heartbeat: []detail{ratio(0.5), position(50), total(60), ago(time.Minute)},
			newer:     []detail{ratio(0.7), position(70), total(80)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newViewing(newCinema(t))
			v.report(t, c.heartbeat...)
			if c.newer != nil {
				v.report(t, c.newer...)
			}
			before, rows := wholeStore(t, v.s), v.row(t)
			v.s.Clock.Advance(time.Minute)
			v.report(t, c.heartbeat...)
			require.Equal(t, rows, v.row(t))
			require.Equal(t, before, wholeStore(t, v.s))
		})
	}
}

// wholeStore is every row that progress touches, as text, with its updated_at and version.
func wholeStore(t testing.TB, s *testkit.Service) string {
	t.Helper()
	return testkit.One[string](t, s.DB, `SELECT concat_ws(E'\n',
		(SELECT string_agg(r::text, E'\n') FROM profile.watch_logs r),
		(SELECT string_agg(r::text, E'\n') FROM profile.video_stats r),
		(SELECT string_agg(r::text, E'\n') FROM profile.user_stats r),
		(SELECT string_agg(r::text, E'\n' ORDER BY r.id) FROM profile.outbox_events r))`)
}

func TestS48_WithoutPublishingEverythingElseStillHappens(t *testing.T) {
	t.Parallel()
	v := newViewing(newCinema(t, func(c *confpb.Bootstrap) { c.Features.PublishEvents = false }))
	_, err := v.s.AsUser(v.user).MutateFavorite(t.Context(), &profilev1.MutateFavoriteRequest{
		VideoId: v.video.String(), FavoriteType: likeType, Action: addAction,
	})
	require.NoError(t, err)
	v.report(t, ratio(0.5), total(60))
	v.report(t, ratio(0.6), total(70))

	require.Zero(t, v.s.DB.RowCounts(t)["outbox_events"])
	require.Zero(t, v.s.DB.RowCounts(t)["outbox_deliveries"])
	stats := v.stats(t)
	require.Equal(t, []int64{1, 1, 70}, []int64{stats.LikeCount, stats.UniqueWatchers, stats.TotalWatchSeconds})
	require.Equal(t, userTally{Likes: 1, Watched: 1}, tallyOf(t, v.s, v.user))
	emitted := int32(6000)
	require.Equal(t, &emitted, v.row(t).LastEmittedRatioBP)
	v.s.RequireNoDrift(t)

	publishing := viewing{testkit.NewOn(t, v.s.DB), v.user, v.video}
	publishing.report(t, ratio(0.64))
	require.Empty(t, publishing.events(t), "the throttle went on while publishing was off")
	publishing.report(t, ratio(0.65))
	require.Len(t, publishing.events(t), 1)
	require.Equal(t, int64(1), testkit.One[int64](t, v.s.DB, "SELECT version FROM profile.outbox_events WHERE ordering_key = $1", uuid.UUID(v.user)))
	require.Equal(t, models.UserID(uuid.MustParse(publishing.events(t)[0].GetUserId())), v.user)
}
