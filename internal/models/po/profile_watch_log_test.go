package po_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
)

const (
	retention            = 180 * 24 * time.Hour
	unqualifiedRetention = 24 * time.Hour
	seconds              = 1_000_000 // microseconds in one
)

var (
	viewer  = models.UserID(uuid.MustParse("10000000-0000-4000-8000-000000000001"))
	watched = models.VideoID(uuid.MustParse("20000000-0000-4000-8000-000000000002"))
	now     = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
)

// row is a watch row as the service keeps it: only changed merges are stored, and numbers of other sessions apart.
type row struct {
	log      po.WatchLog
	duration int64
	sessions map[po.WatchSessionKey]int64
}

func (r *row) context(report po.ProgressReport) po.WatchContext {
	return po.WatchContext{
		Rules:          po.WatchRules{Retention: retention, UnqualifiedRetention: unqualifiedRetention},
		Now:            now,
		DurationMicros: r.duration,
		SeenSeq:        r.sessions[report.SessionKey()],
	}
}

func (r *row) merge(report po.ProgressReport) po.Merged {
	return r.keep(r.log.Merge(report, r.context(report)))
}

// learn is the catalog saying how long the video is.
func (r *row) learn(duration int64) po.Merged {
	r.duration = duration
	return r.keep(r.log.Judge(r.context(po.ProgressReport{})))
}

func (r *row) keep(m po.Merged) po.Merged {
	if m.Changed {
		r.log = m.Next
	}
	if m.Session != nil {
		if r.sessions == nil {
			r.sessions = map[po.WatchSessionKey]int64{}
		}
		r.sessions[m.Session.WatchSessionKey] = max(m.Session.Seq, r.sessions[m.Session.WatchSessionKey])
	}
	return m
}

// said is a dated report of a ratio, that many seconds before now.
func said(ago int, ratio int32) po.ProgressReport {
	return po.ProgressReport{
		UserID: viewer, VideoID: watched, RatioBP: &ratio,
		At: models.Effective{At: now.Add(-time.Duration(ago) * time.Second)},
	}
}

func TestS35_EmitsAtFivePointsFirstWatchAndCompletion(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ratios []int32
		emits  []bool
	}{
		"first watch at exactly 5 %":     {[]int32{500}, []bool{true}},
		"nothing below 5 %":              {[]int32{499, 100, 499}, []bool{false, false, false}},
		"exactly 5 points":               {[]int32{1000, 1500}, []bool{true, true}},
		"4.99 points":                    {[]int32{1000, 1499}, []bool{true, false}},
		"exactly 5 points back":          {[]int32{2000, 1500}, []bool{true, true}},
		"4.99 points back":               {[]int32{2000, 1501}, []bool{true, false}},
		"small steps add up":             {[]int32{1000, 1100, 1200, 1300, 1400, 1500, 1600}, []bool{true, false, false, false, false, true, false}},
		"there and back is no movement":  {[]int32{1000, 1400, 1000, 1400}, []bool{true, false, false, false}},
		"completion moves less than 5":   {[]int32{9300, 9499, 9500}, []bool{true, false, true}},
		"end of video repeats":           {[]int32{9300, 9800, 9900, 10000}, []bool{true, true, false, false}},
		"rewind to the start is a move":  {[]int32{1000, 100, 0}, []bool{true, true, false}},
		"first watch that is also ended": {[]int32{10000, 10000}, []bool{true, false}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r row
			for i, ratio := range c.ratios {
				require.Equal(t, c.emits[i], r.merge(said(100-i, ratio)).Emits(), "report %d of %v", i, c.ratios)
			}
		})
	}
}

func TestS38_CompletionsCountOncePerPlaythrough(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ratios []int32
		counts []int32
	}{
		"exactly 95 %":                {[]int32{9499, 9500}, []int32{0, 1}},
		"heartbeats at the end":       {[]int32{9500, 9600, 10000, 9400, 9900}, []int32{1, 1, 1, 1, 1}},
		"below 20 % re-arms":          {[]int32{9500, 1999, 9500}, []int32{1, 1, 2}},
		"exactly 20 % does not":       {[]int32{9500, 2000, 9500}, []int32{1, 1, 1}},
		"re-arming once counts once":  {[]int32{9500, 0, 9500, 9600, 9700}, []int32{1, 1, 2, 2, 2}},
		"starting over and giving up": {[]int32{9500, 100, 5000}, []int32{1, 1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r row
			for i, ratio := range c.ratios {
				r.merge(said(100-i, ratio))
				require.Equal(t, c.counts[i], r.log.CompletedCount, "report %d of %v", i, c.ratios)
				require.Equal(t, c.counts[i] > 0, r.log.CompletedAt != nil)
			}
		})
	}
}

func TestS38_AnOldReportDoesNotRearm(t *testing.T) {
	t.Parallel()
	var r row
	r.merge(said(10, 9500))
	r.merge(said(20, 100))
	r.merge(said(5, 9900))
	require.Equal(t, int32(1), r.log.CompletedCount)
}

func TestS38_NearTheEndOfAKnownDuration(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		duration, position int64
		ratio              int32
		completed          bool
	}{
		"10 s left":               {1000, 990, 9000, true},
		"11 s left":               {1000, 989, 9000, false},
		"10 s left, exactly 80 %": {50, 40, 8000, true},
		"10 s left, under 80 %":   {50, 40, 7999, false},
		"duration unknown":        {0, 990, 9000, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := row{duration: c.duration * seconds}
			report := said(0, c.ratio)
			report.PositionSeconds = c.position
			require.Equal(t, c.completed, r.merge(report).Completed)
		})
	}
}

func TestS40_PositionAndRatioAgainstTheDuration(t *testing.T) {
	t.Parallel()
	given := func(bp int32) *int32 { return &bp }
	for name, c := range map[string]struct {
		duration, position int64
		ratio              *int32
		wantPosition       int64
		wantRatio          int32
	}{
		"computed":                        {200, 50, nil, 50, 2500},
		"computed, rounded down":          {3000, 1000, nil, 1000, 3333},
		"given wins over computed":        {200, 50, given(9000), 50, 9000},
		"beyond the end is the end":       {200, 201, nil, 200, 10000},
		"far beyond the end too":          {200, 864000, nil, 200, 10000},
		"given wins beyond the end":       {200, 206, given(9000), 200, 9000},
		"position follows from the ratio": {1200, 0, given(5000), 600, 5000},
		"position rounded down":           {10, 0, given(9999), 9, 9999},
		"no length, no position":          {0, 0, given(5000), 0, 5000},
		"unknown duration keeps position": {0, 864000, given(6000), 864000, 6000},
		"unknown duration keeps ratio":    {0, 70, nil, 70, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := row{duration: c.duration * seconds}
			r.merge(said(10, 1000))
			report := said(5, 0)
			report.RatioBP, report.PositionSeconds = c.ratio, c.position
			r.merge(report)
			require.Equal(t, c.wantPosition, r.log.PositionSeconds)
			require.Equal(t, c.wantRatio, r.log.RatioBP)
		})
	}
}

func TestS40_AbsentRatioWithoutDurationStartsAtZero(t *testing.T) {
	t.Parallel()
	var r row
	report := said(0, 0)
	report.RatioBP, report.PositionSeconds = nil, 70
	m := r.merge(report)
	require.Equal(t, int32(0), r.log.RatioBP)
	require.Equal(t, models.OutcomeDurationUnknown, m.Outcome)
}

func TestS34_ReportsHardToBelieveAreMarked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		elapsed int
		total   int64
		want    models.Doubts
	}{
		"4 x elapsed + 30 s":    {elapsed: 10, total: 1070, want: models.Doubts{}},
		"a second more":         {elapsed: 10, total: 1071, want: models.Doubts{ImplausibleRate: true}},
		"exactly a day":         {elapsed: 30_000, total: 87_400, want: models.Doubts{}},
		"a second over a day":   {elapsed: 30_000, total: 87_401, want: models.Doubts{SecondsCut: true}},
		"a smaller total is ok": {elapsed: 10, total: 1, want: models.Doubts{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r row
			first := said(c.elapsed, 5000)
			first.TotalSeconds = 1000
			r.merge(first)
			report := said(0, 5000)
			report.TotalSeconds = c.total
			require.Equal(t, c.want, r.merge(report).Doubts)
		})
	}
}

func TestS40_AGapOfMoreThanTwoPointsIsMarked(t *testing.T) {
	t.Parallel()
	for ratio, want := range map[int32]bool{2500: false, 2700: false, 2701: true, 2300: false, 2299: true} {
		r := row{duration: 200 * seconds}
		report := said(0, ratio)
		report.PositionSeconds = 50
		require.Equal(t, want, r.merge(report).Doubts.RatioGap, "%d", ratio)
		require.Equal(t, ratio, r.log.RatioBP, "the client's value wins")
	}
}

// A number that comes late within its session is an old heartbeat, whatever the time it arrives at.
func TestS47_ANumberThatWasOvertakenIsOld(t *testing.T) {
	t.Parallel()
	heartbeat := func(at time.Time, seq int64, ratio int32) po.ProgressReport {
		r := said(0, ratio)
		r.At = models.Effective{At: at, Live: true}
		r.SessionID, r.Seq = "tab", seq
		return r
	}
	var r row
	r.merge(heartbeat(now.Add(-2*time.Minute), 1, 2000))
	r.merge(heartbeat(now.Add(-time.Minute), 2, 3000))

	repeated := r.merge(heartbeat(now, 1, 2000))
	require.False(t, repeated.Changed, "the retry of number 1 is a repetition")
	require.Equal(t, models.OutcomeStale, repeated.Outcome)

	r.merge(heartbeat(now, 5, 4000))
	late := heartbeat(now, 4, 6000)
	late.TotalSeconds = 90
	require.Equal(t, models.OutcomeStale, r.merge(late).Outcome)
	require.Equal(t, int32(4000), r.log.RatioBP, "the resume point stays")
	require.Equal(t, int32(6000), r.log.MaxRatioBP, "a late report still counts")
	require.Equal(t, int64(90), r.log.CountedSeconds)
}

func TestS36_ARepeatedReportGetsTheSameReason(t *testing.T) {
	t.Parallel()
	var r row
	report := said(0, 499)
	report.SessionID, report.Seq = "tab", 1
	first, second := r.merge(report), r.merge(report)
	require.Equal(t, models.OutcomeBelowThreshold, first.Outcome)
	require.Equal(t, first.Outcome, second.Outcome)
	require.False(t, second.Changed)
}
