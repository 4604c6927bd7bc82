package po_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

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

// row is a watch row as the service keeps it: only changed merges are stored.
type row struct {
	log      po.WatchLog
	duration int64
}

func (r *row) merge(report po.ProgressReport) po.Merged {
	m := r.log.Merge(report, po.WatchContext{
		Rules:          po.WatchRules{Retention: retention, UnqualifiedRetention: unqualifiedRetention},
		Now:            now,
		DurationMicros: r.duration,
	})
	if m.Changed {
		r.log = m.Next
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
		"overrun of 5 s is kept":          {200, 205, nil, 205, 10000},
		"overrun of 6 s is the duration":  {200, 206, nil, 200, 10000},
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
	require.Equal(t, models.OutcomeBelowThreshold, m.Outcome)
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

// draw returns a number in [0, n).
type draw func(n int) int

// forAll checks a property with rapid, which shrinks what fails.
func forAll(t *testing.T, property func(t *rapid.T, d draw)) {
	t.Helper()
	rapid.Check(t, func(rt *rapid.T) {
		property(rt, func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "choice") })
	})
}

// interesting ratios lie at the thresholds, or anywhere.
func interesting(d draw) int32 {
	edges := []int32{0, 1, 499, 500, 501, 999, 1000, 1499, 1500, 1999, 2000, 7999, 8000, 9000, 9499, 9500, 10000}
	if d(3) == 0 {
		return int32(d(10_001))
	}
	return edges[d(len(edges))]
}

// anyReport may come at any time of the last minute, live or not, numbered or not, with or without a ratio.
func anyReport(d draw) po.ProgressReport {
	r := said(d(60), interesting(d))
	r.PositionSeconds, r.TotalSeconds = int64(d(1100)), int64(d(300_000))
	if d(3) == 0 {
		r.RatioBP = nil
	}
	if d(3) == 0 {
		r.At = models.Effective{At: now, Live: true}
	}
	if d(2) == 0 {
		r.SessionID, r.Seq = []string{"tab", "phone"}[d(2)], int64(1+d(5))
	}
	return r
}

// anyRow has a history.
func anyRow(d draw) row {
	r := row{duration: []int64{0, 40, 1000}[d(3)] * seconds}
	for range d(8) {
		r.merge(anyReport(d))
	}
	return r
}

func TestS47_MergingAReportTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	forAll(t, func(t *rapid.T, d draw) {
		r, report := anyRow(d), anyReport(d)
		if report.Seq == 0 {
			report.At.Live = false // a later moment is a different report
		}
		r.merge(report)
		after := r.log
		again := r.merge(report)
		require.False(t, again.Changed)
		require.False(t, again.Emits())
		require.Equal(t, after, again.Next)
	})
}

func TestS33_NothingCountedEverFalls(t *testing.T) {
	t.Parallel()
	forAll(t, func(t *rapid.T, d draw) {
		r := anyRow(d)
		for range 5 {
			before := r.log
			r.merge(anyReport(d))
			after := r.log
			require.GreaterOrEqual(t, after.MaxRatioBP, before.MaxRatioBP)
			require.GreaterOrEqual(t, after.CountedSeconds, before.CountedSeconds)
			require.GreaterOrEqual(t, after.ReportedSeconds, after.CountedSeconds)
			require.GreaterOrEqual(t, after.MaxRatioBP, after.RatioBP)
			require.GreaterOrEqual(t, after.CompletedCount, before.CompletedCount)
			require.LessOrEqual(t, after.CompletedCount-before.CompletedCount, int32(1))
			require.Equal(t, after.MaxRatioBP >= 500, after.QualifiedAt != nil)
			require.False(t, after.LastWatchedAt.Before(after.FirstWatchedAt))
			if before.QualifiedAt != nil {
				require.Equal(t, before.QualifiedAt, after.QualifiedAt, "the first watch is only once")
				require.Equal(t, after.LastWatchedAt.Add(retention), after.ExpiresAt)
			}
		}
	})
}

func TestS42_ContributionDeltasTelescope(t *testing.T) {
	t.Parallel()
	forAll(t, func(t *rapid.T, d draw) {
		r := row{duration: int64(d(2)) * 1000 * seconds}
		var watchers, counted int64
		for range 10 {
			oldWatchers, oldSeconds := r.log.Contribution()
			m := r.merge(anyReport(d))
			newWatchers, newSeconds := m.Next.Contribution()
			if !m.Changed {
				require.Equal(t, []int64{oldWatchers, oldSeconds}, []int64{newWatchers, newSeconds}, "nothing is booked for an unchanged row")
			}
			require.Equal(t, m.FirstWatch, newWatchers > oldWatchers)
			watchers += newWatchers - oldWatchers
			counted += newSeconds - oldSeconds
		}
		wantWatchers, wantSeconds := int64(0), int64(0)
		if r.log.MaxRatioBP >= 500 {
			wantWatchers, wantSeconds = 1, r.log.CountedSeconds
		}
		require.Equal(t, []int64{wantWatchers, wantSeconds}, []int64{watchers, counted})
	})
}

// Dated reports with times of their own may arrive in any order.
func TestP5_ArrivalOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	forAll(t, func(t *rapid.T, d draw) {
		reports := make([]po.ProgressReport, 6)
		for i := range reports {
			reports[i] = said(i, interesting(d))
			reports[i].PositionSeconds, reports[i].TotalSeconds = int64(d(900)), int64(d(80_000))
		}
		var inOrder, shuffled row
		for i := len(reports) - 1; i >= 0; i-- {
			inOrder.merge(reports[i])
		}
		for len(reports) > 0 {
			i := d(len(reports))
			shuffled.merge(reports[i])
			reports = append(reports[:i], reports[i+1:]...)
		}
		require.Equal(t, orderFree(inOrder.log), orderFree(shuffled.log))
	})
}

// orderFree is the part of a row that the set of reports decides. When a pair first qualified, how often it
// was completed and what the last event said depend on what was known by then.
func orderFree(w po.WatchLog) po.WatchLog {
	epoch := time.Time{}
	if w.QualifiedAt != nil {
		w.QualifiedAt = &epoch
	}
	if w.CompletedAt != nil {
		w.CompletedAt, w.CompletedCount = &epoch, 1
	}
	w.LastEmittedRatioBP, w.CompletionArmed = nil, false
	return w
}

// history is everything said about a pair; what must be emitted follows from it and from the last event.
type history []po.ProgressReport

func (h history) late(i int) bool {
	for _, earlier := range h[:i] {
		if earlier.At.At.After(h[i].At.At) {
			return true
		}
	}
	return false
}

func (h history) isWatched() bool {
	for _, r := range h {
		if *r.RatioBP >= 500 {
			return true
		}
	}
	return false
}

// shown is the ratio of the newest report, or 0 when that went back to the first 5 %.
func (h history) shown() int32 {
	var newest po.ProgressReport
	for _, r := range h {
		if !r.At.At.Before(newest.At.At) {
			newest = r
		}
	}
	if newest.RatioBP == nil || h.isWatched() && *newest.RatioBP < 500 {
		return 0
	}
	return *newest.RatioBP
}

func (h history) completions() int {
	count, armed := 0, true
	for i, r := range h {
		switch {
		case *r.RatioBP >= 9500 && armed && (!h.late(i) || count == 0):
			count++
			armed = h.late(i) && h[:i].shown() < 2000
		case *r.RatioBP < 2000 && !h.late(i):
			armed = true
		}
	}
	return count
}

func TestS35_EmissionFollowsASimpleModel(t *testing.T) {
	t.Parallel()
	forAll(t, func(t *rapid.T, d draw) {
		var r row
		var h history
		var lastEvent int32
		for range 12 {
			report := said(d(30), interesting(d))
			before := h
			h = append(h, report)
			moved := h.shown() - lastEvent
			want := h.isWatched() && (!before.isWatched() ||
				h.completions() > before.completions() ||
				!h.late(len(h)-1) && (moved >= 500 || moved <= -500))

			require.Equal(t, want, r.merge(report).Emits(), "history %v", ratios(h))
			if want {
				lastEvent = h.shown()
			}
			require.Equal(t, int32(h.completions()), r.log.CompletedCount)
		}
	})
}

func ratios(h history) (out [][2]int64) {
	for _, r := range h {
		out = append(out, [2]int64{int64(now.Sub(r.At.At) / time.Second), int64(*r.RatioBP)})
	}
	return out
}
