package test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/test/testkit"
)

const (
	durationUnknown = profilev1.OutcomeReason_OUTCOME_REASON_DURATION_UNKNOWN
	implausible     = profilev1.OutcomeReason_OUTCOME_REASON_IMPLAUSIBLE
)

// lasts is the catalog changing the length of the video.
func (v viewing) lasts(t testing.TB, version, seconds int64) {
	t.Helper()
	micros := seconds * int64(time.Second/time.Microsecond)
	v.s.Publish(t, v.video, func(c *po.VideoChange) { c.Version, c.DurationMicros = version, &micros })
}

// where asks for the pair.
func (v viewing) where(t testing.TB) *profilev1.GetWatchProgressResponse {
	t.Helper()
	resp, err := v.s.AsUser(v.user).GetWatchProgress(t.Context(), &profilev1.GetWatchProgressRequest{VideoId: v.video.String()})
	require.NoError(t, err)
	return resp
}

// A session's numbers stay known whatever other sessions say meanwhile, in other transactions too.
func TestS47_ANumberOfAnEarlierSessionIsNotNew(t *testing.T) {
	t.Parallel()
	s := newCinema(t)
	for name, others := range map[string][]detail{
		"one other session":   {numbered("tv", 1)},
		"three other ones":    {numbered("tv", 1), numbered("car", 4), numbered("tv", 2)},
		"one without numbers": {numbered("tv", 0)},
		"none at all":         {numbered("", 0)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := lasting(t, s, 1000)
			first := []detail{position(100), total(100), numbered("phone", 1)}
			v.report(t, first...)
			for _, other := range others {
				v.report(t, position(500), total(500), other)
			}
			before, events := v.row(t), len(v.events(t))
			again := v.report(t, first...)
			require.Equal(t, int64(500), again.GetProgress().GetPositionSeconds())
			require.Equal(t, before, v.row(t))
			require.Len(t, v.events(t), events)

			late := v.report(t, position(200), numbered("phone", 2))
			require.Equal(t, nothingToExplain, late.GetReason(), "a new number is new")
			require.Equal(t, int64(200), late.GetProgress().GetPositionSeconds())
		})
	}
}

func TestS38_TheEndRepeatedAfterAnotherSessionCountsOnce(t *testing.T) {
	t.Parallel()
	v := newViewing(newCinema(t))
	v.report(t, ratio(1), numbered("phone", 9))
	v.report(t, ratio(0.1), numbered("tv", 1))
	require.Equal(t, int32(1), v.report(t, ratio(1), numbered("phone", 9)).GetProgress().GetCompletedCount())
	require.Equal(t, int32(2), v.report(t, ratio(1), numbered("phone", 10)).GetProgress().GetCompletedCount())
}

// Sessions nobody used for a while are forgotten, and nothing else.
func TestS31_SessionsCloseAfterAWhile(t *testing.T) {
	t.Parallel()
	v := newViewing(newCinema(t))
	v.report(t, ratio(0.5), numbered("phone", 1))
	v.report(t, ratio(0.6), numbered("tv", 1))
	require.Equal(t, int64(1), v.s.DB.RowCounts(t)["watch_sessions"], "the newest session is in the row")
	v.report(t, ratio(0.7), numbered("car", 1))
	require.Equal(t, int64(2), v.s.DB.RowCounts(t)["watch_sessions"])
	require.Equal(t, int32(7000), v.row(t).RatioBP)
}

func TestS38_TheEarliestCompletionIsKeptWhateverTheOrder(t *testing.T) {
	t.Parallel()
	s := newCinema(t)
	early, late := showtime.Add(-30*24*time.Hour), showtime.Add(-time.Hour)
	for _, order := range [][]time.Time{{early, late}, {late, early}, {late, early, late}} {
		v := newViewing(s)
		var last *profilev1.UpsertWatchProgressResponse
		for _, when := range order {
			last = v.report(t, at(when), ratio(1))
		}
		require.Equal(t, early, last.GetProgress().GetCompletedAt().AsTime())
		require.Equal(t, int32(1), last.GetProgress().GetCompletedCount())
		require.Equal(t, early, v.entries(t)[0].GetProgress().GetCompletedAt().AsTime())
	}
}

func TestS40_AShortenedVideoIsAnsweredAsItIsNow(t *testing.T) {
	t.Parallel()
	v := lasting(t, newCinema(t), 1000)
	v.report(t, position(900))
	v.lasts(t, 2, 500)
	for name, progress := range map[string]*profilev1.WatchProgress{
		"one": v.where(t).GetProgress(), "history": v.entries(t)[0].GetProgress(),
	} {
		require.Equal(t, int64(500), progress.GetPositionSeconds(), name)
		require.InDelta(t, 1, progress.GetProgressRatio(), 1e-9, name)
		require.InDelta(t, 1, progress.GetMaxRatio(), 1e-9, name)
		require.Equal(t, int64(500), progress.GetDurationSeconds(), name)
		require.Nil(t, progress.GetCompletedAt(), name)
	}
	require.NotNil(t, v.report(t, position(900)).GetProgress().GetCompletedAt(), "by the rules at the next report")
	v.lasts(t, 3, 2000)
	require.Equal(t, int64(500), v.where(t).GetProgress().GetPositionSeconds())
}

func TestS36_APositionIsJudgedWhenTheLengthArrives(t *testing.T) {
	t.Parallel()
	v := newViewing(newCinema(t))
	waiting := v.report(t, position(600), total(60))
	require.False(t, waiting.GetRecorded())
	require.Equal(t, durationUnknown, waiting.GetReason())
	require.Equal(t, int64(600), v.where(t).GetProgress().GetResumePositionSeconds())
	v.s.Clock.Advance(25 * time.Hour)
	judged := func() int64 {
		n, err := v.s.Watch.Judge(t.Context(), 10)
		require.NoError(t, err)
		return n
	}
	require.Zero(t, judged(), "the length is not known")
	v.lasts(t, 1, 1200)
	require.Equal(t, int64(1), judged())
	require.Zero(t, judged(), "once")

	progress := v.entries(t)[0].GetProgress()
	require.InDelta(t, 0.5, progress.GetProgressRatio(), 1e-9)
	require.Equal(t, po.VideoStats{UniqueWatchers: 1, TotalWatchSeconds: 60, Version: 1, UpdatedAt: v.stats(t).UpdatedAt}, v.stats(t))
	events := v.events(t)
	require.Len(t, events, 1)
	require.Equal(t, []string{"first_watch"}, causes(events[0]))
	v.s.RequireNoDrift(t)
}

// The next report judges too, when it comes before anybody else does.
func TestS36_TheNextReportJudgesWhatWaited(t *testing.T) {
	t.Parallel()
	v := newViewing(newCinema(t))
	v.report(t, position(600))
	v.lasts(t, 1, 1200)
	answer := v.report(t, position(6))
	require.True(t, answer.GetRecorded())
	require.InDelta(t, 0.5, answer.GetProgress().GetMaxRatio(), 1e-9)
	require.Zero(t, answer.GetProgress().GetPositionSeconds(), "and goes back to the start")
}

func TestS34_MillisecondsOnceDoNotFreezeAPair(t *testing.T) {
	t.Parallel()
	v := lasting(t, newCinema(t), 1200)
	wrong := v.report(t, position(660), total(600_000))
	require.Equal(t, implausible, wrong.GetReason())
	require.True(t, wrong.GetRecorded(), "the position is as good as any")
	for _, honest := range []int64{660, 1200} {
		answer := v.report(t, position(660), total(honest))
		require.Equal(t, nothingToExplain, answer.GetReason())
		require.Equal(t, honest, answer.GetProgress().GetTotalWatchSeconds())
		require.Equal(t, honest, answer.GetStats().GetTotalWatchSeconds())
	}
	v.s.RequireNoDrift(t)
}

func TestS38_ACompletedVideoStartsAtTheBeginning(t *testing.T) {
	t.Parallel()
	v := lasting(t, newCinema(t), 1000)
	v.report(t, position(1000))
	require.Equal(t, []int64{1000, 0}, []int64{v.entries(t)[0].GetProgress().GetPositionSeconds(), v.entries(t)[0].GetProgress().GetResumePositionSeconds()})
	v.report(t, position(100))
	require.Equal(t, int64(100), v.entries(t)[0].GetProgress().GetResumePositionSeconds(), "begun again")
}

func TestS36_WhereOneIsInManyVideosBelowTheFloorToo(t *testing.T) {
	t.Parallel()
	s := newCinema(t)
	v, below, never := lasting(t, s, 1000), testkit.NewVideo(), testkit.NewVideo()
	v.report(t, position(300))
	viewing{s, v.user, below}.report(t, ratio(0.01), position(3))
	gone := viewing{s, v.user, testkit.NewVideo()}
	gone.report(t, ratio(0.6))
	s.Publish(t, gone.video, videoIn("deleted", "public", 1))
	ask := func(ids ...models.VideoID) []*profilev1.WatchProgressItem {
		resp, err := s.AsUser(v.user).BatchGetWatchProgress(t.Context(), &profilev1.BatchGetWatchProgressRequest{VideoIds: texts(ids)})
		require.NoError(t, err)
		return resp.GetItems()
	}
	items := ask(never, v.video, below, v.video, gone.video)
	require.Len(t, items, 5)
	require.Equal(t, []bool{false, true, false, true, true}, []bool{
		items[0].GetRecorded(), items[1].GetRecorded(), items[2].GetRecorded(), items[3].GetRecorded(), items[4].GetRecorded(),
	})
	require.Nil(t, items[0].GetProgress())
	require.Equal(t, never.String(), items[0].GetVideoId())
	require.Equal(t, int64(300), items[1].GetProgress().GetPositionSeconds())
	require.Equal(t, items[1].String(), items[3].String(), "duplicates are repeated")
	require.Equal(t, int64(3), items[2].GetProgress().GetPositionSeconds(), "below the floor too")
	require.Zero(t, items[2].GetProgress().GetResumePositionSeconds())
	require.NotNil(t, items[4].GetProgress(), "what is the user's own stays")
	require.Empty(t, ask())
	require.Equal(t, items[1].GetProgress().String(), v.where(t).GetProgress().String())

	other, err := s.AsUser(testkit.NewUser()).GetWatchProgress(t.Context(), &profilev1.GetWatchProgressRequest{VideoId: v.video.String()})
	require.NoError(t, err)
	require.Nil(t, other.GetProgress())
	s.Clock.Advance(181 * 24 * time.Hour)
	require.Nil(t, v.where(t).GetProgress(), "expired")

	tooMany := make([]string, 101)
	for i := range tooMany {
		tooMany[i] = v.video.String()
	}
	_, err = s.AsUser(v.user).BatchGetWatchProgress(t.Context(), &profilev1.BatchGetWatchProgressRequest{VideoIds: tooMany})
	require.Equal(t, []string{"video_ids"}, testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument).Fields())
	_, err = s.AsUser(v.user).GetWatchProgress(t.Context(), &profilev1.GetWatchProgressRequest{VideoId: "x"})
	require.Equal(t, []string{"video_id"}, testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument).Fields())
	_, err = s.AsUser(testkit.NewUser()).GetWatchProgress(t.Context(), &profilev1.GetWatchProgressRequest{UserId: v.user.String(), VideoId: v.video.String()})
	testkit.RequireError(t, err, codes.PermissionDenied, models.ReasonPermissionDenied)
}

func TestS41_WithoutRetentionHistoryStays(t *testing.T) {
	t.Parallel()
	v := newViewing(newCinema(t, func(c *confpb.Bootstrap) { c.Watch.Retention.Seconds = 0 }))
	answer := v.report(t, ago(400*24*time.Hour), ratio(0.5))
	require.True(t, answer.GetRecorded())
	require.Nil(t, answer.GetProgress().GetExpiresAt())
	v.s.Clock.Advance(20 * 365 * 24 * time.Hour)
	require.Len(t, v.entries(t), 1)
	require.Nil(t, v.where(t).GetProgress().GetExpiresAt())
}
