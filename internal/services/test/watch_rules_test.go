package test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/test/testkit"
)

func TestS32_TheResumePointFollowsTheNewestReport(t *testing.T) {
	t.Parallel()
	s := newCinema(t)
	type said struct {
		ago      time.Duration
		position int64
	}
	for name, c := range map[string]struct {
		reports []said
		want    int64
		reason  profilev1.OutcomeReason
	}{
		"forward":                {[]said{{time.Hour, 100}, {time.Minute, 200}}, 200, nothingToExplain},
		"seek back":              {[]said{{time.Hour, 200}, {time.Minute, 100}}, 100, nothingToExplain},
		"late and further":       {[]said{{time.Minute, 100}, {time.Hour, 200}}, 100, staleReason},
		"late and less far":      {[]said{{time.Minute, 200}, {time.Hour, 100}}, 200, staleReason},
		"same time, further":     {[]said{{time.Minute, 100}, {time.Minute, 200}}, 200, nothingToExplain},
		"same time, less far":    {[]said{{time.Minute, 200}, {time.Minute, 100}}, 200, staleReason},
		"the same again":         {[]said{{time.Minute, 200}, {time.Minute, 200}}, 200, nothingToExplain},
		"late among several":     {[]said{{time.Hour, 100}, {time.Minute, 300}, {time.Second * 90, 200}}, 300, staleReason},
		"one microsecond is old": {[]said{{time.Minute, 100}, {time.Minute + time.Microsecond, 200}}, 100, staleReason},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newViewing(s)
			var last *profilev1.UpsertWatchProgressResponse
			for _, r := range c.reports {
				last = v.report(t, ago(r.ago), position(r.position), ratio(float64(r.position)/1000))
			}
			require.Equal(t, c.want, last.GetProgress().GetPositionSeconds())
			require.InDelta(t, float64(c.want)/1000, last.GetProgress().GetProgressRatio(), 1e-9)
			require.Equal(t, c.reason, last.GetReason())
			require.Equal(t, c.want, v.row(t).PositionSeconds)
		})
	}
}

func TestS32_ReportsWithoutATimeComeAfterWhatIsStored(t *testing.T) {
	t.Parallel()
	v := newViewing(newCinema(t))
	for i := range int64(3) {
		v.report(t, position(100+i), ratio(0.5))
		require.Equal(t, showtime.Add(time.Duration(i)*time.Microsecond), v.row(t).ResumeAt)
		require.Equal(t, 100+i, v.row(t).PositionSeconds)
	}
}

func TestP5_OutOfOrderHeartbeatsKeepTheNewestState(t *testing.T) {
	t.Parallel()
	v := newViewing(newCinema(t))
	v.report(t, ago(time.Minute), position(300), ratio(0.3), total(300))
	before := v.row(t)
	late := v.report(t, ago(time.Hour), position(100), ratio(0.1), total(100))
	require.Equal(t, staleReason, late.GetReason())
	after := v.row(t)
	require.Equal(t, showtime.Add(-time.Hour), after.FirstWatchedAt)
	require.Equal(t, showtime.Add(-time.Hour), *after.QualifiedAt)
	after.FirstWatchedAt, after.QualifiedAt = before.FirstWatchedAt, before.QualifiedAt
	require.Equal(t, before, after, "only the first time it was watched moves")
}

func TestS33_TheGreatestRatioNeverFalls(t *testing.T) {
	t.Parallel()
	v := newViewing(newCinema(t))
	for _, step := range []struct {
		ago         time.Duration
		ratio, want float64
	}{
		{time.Hour, 0.30, 0.30},
		{30 * time.Minute, 0.10, 0.30}, // seek back
		{2 * time.Hour, 0.60, 0.60},    // late, but it was there
		{time.Minute, 0.01, 0.60},      // rewound
		{0, 0.59, 0.60},
	} {
		require.InDelta(t, step.want, v.report(t, ago(step.ago), ratio(step.ratio)).GetProgress().GetMaxRatio(), 1e-9)
	}
}

func TestS34_SecondsAreTheGreatestTotal(t *testing.T) {
	t.Parallel()
	v := newViewing(newCinema(t))
	for _, step := range []struct {
		ago         time.Duration
		total, want int64
	}{
		{time.Hour, 100, 100},
		{30 * time.Minute, 100, 100}, // repeated
		{20 * time.Minute, 40, 100},  // a client cannot take back
		{10 * time.Minute, 130, 130},
		{50 * time.Minute, 200, 200}, // late, but it was watched
		{0, 0, 200},
	} {
		resp := v.report(t, ago(step.ago), ratio(0.5), total(step.total))
		require.Equal(t, step.want, resp.GetProgress().GetTotalWatchSeconds())
		require.Equal(t, step.want, resp.GetStats().GetTotalWatchSeconds())
	}
	v.s.RequireNoDrift(t)
}

func TestS34_OneReportCountsAtMostADay(t *testing.T) {
	t.Parallel()
	const day = 86_400
	v := newViewing(newCinema(t))
	for _, step := range []struct {
		total, want int64
		cuts        float64
	}{
		{day, day, 0},
		{3*day + 1, 2 * day, 1},
		{3*day + 1, 2 * day, 1}, // repeating does not earn the rest
		{3*day + 11, 2*day + 10, 1},
	} {
		require.Equal(t, step.want, v.report(t, ratio(0.5), total(step.total)).GetStats().GetTotalWatchSeconds())
		require.InDelta(t, step.cuts, doubtsCounted(t, v.s, "seconds_cut"), 0)
	}
	v.s.RequireNoDrift(t)
}

func TestS34_AnImplausibleRateIsCountedNotRefused(t *testing.T) {
	t.Parallel()
	v := newViewing(newCinema(t))
	v.report(t, ago(time.Minute), ratio(0.5), total(1000))
	require.Zero(t, doubtsCounted(t, v.s, "implausible_rate"), "nothing to compare a first report with")
	v.report(t, ago(50*time.Second), ratio(0.5), total(1070))
	require.Zero(t, doubtsCounted(t, v.s, "implausible_rate"), "4 x 10 s + 30 s is plausible")
	resp := v.report(t, ago(40*time.Second), ratio(0.5), total(1141))
	require.InDelta(t, 1, doubtsCounted(t, v.s, "implausible_rate"), 0)
	require.Equal(t, int64(1141), resp.GetStats().GetTotalWatchSeconds())
}

func TestS34_OverflowIsAnErrorAndChangesNothing(t *testing.T) {
	t.Parallel()
	v := newViewing(newCinema(t))
	v.report(t, ratio(0.5), total(10))
	v.s.DB.Exec(t, "UPDATE profile.video_stats SET total_watch_seconds = 9223372036854775807")
	before := v.row(t)
	_, err := v.try(t, ratio(0.6), total(11))
	testkit.RequireError(t, err, codes.InvalidArgument, "COUNTER_OVERFLOW")
	require.Equal(t, before, v.row(t))
	require.Len(t, v.events(t), 1)
}

func TestS38_CompletionThroughTheService(t *testing.T) {
	t.Parallel()
	s := newCinema(t)
	t.Run("FirstCompletionIsKept", func(t *testing.T) {
		t.Parallel()
		v := newViewing(s)
		for i, step := range []struct {
			ratio float64
			count int32
		}{{0.9499, 0}, {0.95, 1}, {1, 1}, {0.99, 1}, {0.20, 1}, {0.96, 1}, {0.1999, 1}, {0.95, 2}, {0.5, 2}} {
			progress := v.report(t, ago(time.Hour-time.Duration(i)*time.Minute), ratio(step.ratio)).GetProgress()
			require.Equal(t, step.count, progress.GetCompletedCount(), "step %d", i)
			if step.count > 0 {
				require.Equal(t, showtime.Add(-59*time.Minute), progress.GetCompletedAt().AsTime(), "replaying never moves it")
			}
		}
	})
	t.Run("TenSecondsBeforeTheEnd", func(t *testing.T) {
		t.Parallel()
		v := lasting(t, s, 100)
		require.Zero(t, v.report(t, position(89)).GetProgress().GetCompletedCount())
		require.Equal(t, int32(1), v.report(t, position(90)).GetProgress().GetCompletedCount())
	})
	t.Run("ShortVideosNeedEightyPercent", func(t *testing.T) {
		t.Parallel()
		v := lasting(t, s, 20)
		require.Zero(t, v.report(t, position(15)).GetProgress().GetCompletedCount())
		require.Equal(t, int32(1), v.report(t, position(16)).GetProgress().GetCompletedCount())
	})
	t.Run("ALateReportCanBeTheFirstCompletionOnly", func(t *testing.T) {
		t.Parallel()
		v := newViewing(s)
		v.report(t, ago(time.Minute), ratio(0.5))
		require.Equal(t, int32(1), v.report(t, ago(time.Hour), ratio(0.95)).GetProgress().GetCompletedCount())
		require.Equal(t, int32(1), v.report(t, ago(30*time.Minute), ratio(0.95)).GetProgress().GetCompletedCount())
	})
}

func TestS40_RatioAndPositionAgainstTheDuration(t *testing.T) {
	t.Parallel()
	s := newCinema(t)
	for name, c := range map[string]struct {
		duration     int64
		details      []detail
		wantPosition int64
		wantRatio    float64
	}{
		"absent ratio is computed":       {200, []detail{position(50)}, 50, 0.25},
		"the client's ratio wins":        {200, []detail{position(50), ratio(0.9)}, 50, 0.9},
		"an explicit 0 is not absent":    {200, []detail{position(50), ratio(0)}, 0, 0},
		"beyond the end is the end":      {200, []detail{position(201)}, 200, 1},
		"the position follows the ratio": {1200, []detail{ratio(0.5)}, 600, 0.5},
		"unknown duration cuts nothing":  {0, []detail{position(864_000), ratio(0.3)}, 864_000, 0.3},
		"absent and unknown: unchanged":  {0, []detail{position(70)}, 70, 0.1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newViewing(s)
			if c.duration > 0 {
				v = lasting(t, s, c.duration)
			}
			v.report(t, ago(time.Minute), ratio(0.1), position(1))
			progress := v.report(t, c.details...).GetProgress()
			require.Equal(t, c.wantPosition, progress.GetPositionSeconds())
			require.InDelta(t, c.wantRatio, progress.GetProgressRatio(), 1e-9)
		})
	}
}

func TestS40_AGapToTheComputedRatioIsCountedOnly(t *testing.T) {
	t.Parallel()
	v := lasting(t, newCinema(t), 200)
	v.report(t, position(50), ratio(0.27))
	require.Zero(t, doubtsCounted(t, v.s, "ratio_gap"), "two points are no gap")
	resp := v.report(t, position(50), ratio(0.2701))
	require.InDelta(t, 1, doubtsCounted(t, v.s, "ratio_gap"), 0)
	require.InDelta(t, 0.2701, resp.GetProgress().GetProgressRatio(), 1e-9)
}

// A slice of reports in one transaction means the same as the reports one by one.
func TestS30_ABatchIsItsReportsInOrder(t *testing.T) {
	t.Parallel()
	s := newCinema(t)
	alone, batched := newViewing(s), newViewing(s)
	var reports []services.ProgressReport
	for i, bp := range []int32{100, 600, 9500, 1000, 9600, 200} {
		when := showtime.Add(-time.Hour + time.Duration(i)*time.Minute)
		alone.report(t, at(when), ratio(float64(bp)/10_000), total(int64(i)*10), position(int64(bp)))
		reports = append(reports, services.ProgressReport{
			UserID: batched.user, VideoID: batched.video, Claimed: models.ClaimedTime{OccurredAt: &when},
			PositionSeconds: int64(bp), RatioBP: &bp, TotalSeconds: int64(i) * 10,
		})
	}
	outcomes, err := s.Watch.Apply(t.Context(), models.UserActor(batched.user), reports)
	require.NoError(t, err)
	require.Len(t, outcomes, len(reports))

	want := alone.row(t)
	want.UserID, want.VideoID = batched.user, batched.video
	require.Equal(t, want, batched.row(t))
	require.Len(t, batched.events(t), len(alone.events(t)))
	require.Equal(t, alone.stats(t).TotalWatchSeconds, batched.stats(t).TotalWatchSeconds)
	s.RequireNoDrift(t)
}
