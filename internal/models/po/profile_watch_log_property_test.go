package po_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
)

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
		require.Equal(t, after, again.Next)
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
				require.False(t, after.QualifiedAt.After(*before.QualifiedAt), "the first watch is the earliest")
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

// A report of a session that was followed by others is known again (S31, S47).
func TestS47_ANumberIsNeverNewAgain(t *testing.T) {
	t.Parallel()
	live := func(r *row, session string, seq int64, ratio int32) po.Merged {
		report := said(0, ratio)
		report.At.Live, report.SessionID, report.Seq = true, session, seq
		return r.merge(report)
	}
	for name, others := range map[string]func(r *row){
		"another session":          func(r *row) { live(r, "tv", 1, 5000) },
		"many sessions":            func(r *row) { live(r, "tv", 1, 5000); live(r, "car", 1, 6000); live(r, "tv", 2, 6500) },
		"a session without number": func(r *row) { live(r, "tv", 0, 5000) },
		"no session":               func(r *row) { live(r, "", 0, 5000) },
		"a later number and back":  func(r *row) { live(r, "phone", 7, 3000); live(r, "tv", 9, 5000); live(r, "phone", 8, 5500) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r row
			live(&r, "phone", 1, 1000)
			others(&r)
			before := r.log
			again := live(&r, "phone", 1, 1000)
			require.False(t, again.Emits())
			require.Nil(t, again.Session)
			require.Equal(t, before, r.log)
		})
	}
}

func TestS38_ARepeatedEndCountsOnce(t *testing.T) {
	t.Parallel()
	var r row
	for _, of := range []struct {
		session string
		seq     int64
		ratio   int32
	}{{"phone", 9, 10000}, {"tv", 1, 1000}, {"phone", 9, 10000}} {
		report := said(0, of.ratio)
		report.At.Live, report.SessionID, report.Seq = true, of.session, of.seq
		r.merge(report)
	}
	require.Equal(t, int32(1), r.log.CompletedCount)
}

func TestS38_TheEarliestCompletionIsKept(t *testing.T) {
	t.Parallel()
	for _, order := range [][]int{{10, 30}, {30, 10}, {20, 10, 30}, {10, 30, 20}} {
		var r row
		for _, ago := range order {
			r.merge(said(ago, 10000))
		}
		require.Equal(t, now.Add(-time.Duration(slices.Max(order))*time.Second), *r.log.CompletedAt, "%v", order)
		require.Equal(t, int32(1), r.log.CompletedCount)
	}
}

func TestS38_APlayerStartsWhereItShould(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		duration int64
		ratios   []int32
		want     int64
	}{
		"in the middle":                       {1000, []int32{5000}, 500},
		"below the floor":                     {1000, []int32{499}, 0},
		"at the floor":                        {1000, []int32{500}, 50},
		"completed":                           {1000, []int32{5000, 9600}, 0},
		"the last seconds of a completed one": {50, []int32{10000, 8200}, 0},
		"completed and begun again":           {1000, []int32{10000, 1000}, 100},
		"completed and back to the middle":    {1000, []int32{10000, 5000}, 500},
		"completed, begun and ended again":    {1000, []int32{10000, 1000, 9900}, 0},
		"rewound to the start":                {1000, []int32{5000, 100}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := row{duration: c.duration * seconds}
			for i, ratio := range c.ratios {
				r.merge(said(10-i, ratio))
			}
			require.Equal(t, c.want, r.log.ResumeSeconds(r.duration))
		})
	}
}

// What is stored is shown against the length the video has now.
func TestS40_AShortenedVideoEndsWhereItEnds(t *testing.T) {
	t.Parallel()
	r := row{duration: 1000 * seconds}
	report := said(0, 9000)
	report.PositionSeconds = 900
	r.merge(report)
	for length, want := range map[int64][]int64{
		1000: {900, 9000, 9000}, 900: {900, 9000, 9000}, 899: {899, 10000, 10000}, 500: {500, 10000, 10000}, 2000: {900, 9000, 9000}, 0: {900, 9000, 9000},
	} {
		position, ratio, maxRatio := r.log.Shown(length * seconds)
		require.Equal(t, want, []int64{position, int64(ratio), int64(maxRatio)}, "%d s", length)
	}
	require.Nil(t, r.log.CompletedAt, "completion is for the next report")
	r.duration = 500 * seconds
	report = said(0, 0)
	report.At.Live, report.RatioBP, report.PositionSeconds = true, nil, 900
	require.True(t, r.merge(report).Completed)
}

func TestS34_ATotalThatCannotBeCountsNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		duration int64
		ago      []int
		totals   []int64
		counted  []int64
		outcomes []models.Outcome
	}{
		"milliseconds once": {
			1200,
			[]int{60, 50, 40},
			[]int64{600_000, 660, 1200},
			[]int64{0, 660, 1200},
			[]models.Outcome{models.OutcomeImplausible, "", ""},
		},
		"the bound itself":         {1200, []int{60, 50}, []int64{1230, 1270}, []int64{1230, 1270}, []models.Outcome{"", ""}},
		"a second above the bound": {1200, []int{60, 50}, []int64{1231, 1271}, []int64{0, 0}, []models.Outcome{models.OutcomeImplausible, models.OutcomeImplausible}},
		"an old report too":        {1200, []int{50, 60}, []int64{600, 90_000}, []int64{600, 600}, []models.Outcome{"", models.OutcomeStale}},
		"no length, no bound":      {0, []int{60}, []int64{80_000}, []int64{80_000}, []models.Outcome{""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := row{duration: c.duration * seconds}
			for i, total := range c.totals {
				report := said(c.ago[i], 5000)
				report.TotalSeconds = total
				require.Equal(t, c.outcomes[i], r.merge(report).Outcome, "report %d", i)
				require.Equal(t, c.counted[i], r.log.CountedSeconds)
			}
			require.Equal(t, int32(5000), r.log.RatioBP, "only the seconds are not believed")
		})
	}
}

// Reports without a ratio on a video of unknown length wait until the length arrives.
func TestS36_PositionsAreJudgedWhenTheLengthArrives(t *testing.T) {
	t.Parallel()
	position := func(ago int, seconds int64) po.ProgressReport {
		r := said(ago, 0)
		r.RatioBP, r.PositionSeconds = nil, seconds
		return r
	}
	var r row
	require.Equal(t, models.OutcomeDurationUnknown, r.merge(position(20, 600)).Outcome)
	require.Equal(t, int64(600), r.log.ResumeSeconds(0))
	require.Equal(t, now.Add(-20*time.Second).Add(retention), r.log.ExpiresAt, "it is not dropped after a day")
	require.Equal(t, models.OutcomeDurationUnknown, r.merge(position(10, 30)).Outcome)

	m := r.learn(1200 * seconds)
	require.True(t, m.FirstWatch)
	position30, ratio30, furthest := r.log.Shown(r.duration)
	require.Equal(t, []int64{0, 0, 5000}, []int64{position30, int64(ratio30), int64(furthest)}, "30 s are below the floor, 600 s were not")
	require.False(t, r.learn(1200*seconds).Changed)

	r = row{}
	r.merge(position(20, 30))
	require.Equal(t, models.OutcomeBelowThreshold, r.learn(1200*seconds).Outcome)
	require.Nil(t, r.log.QualifiedAt)
	require.Equal(t, now.Add(unqualifiedRetention), r.log.ExpiresAt)

	r = row{}
	r.merge(position(20, 1195))
	require.True(t, r.learn(1200*seconds).Completed)
}

func TestS41_RetentionZeroKeepsForEver(t *testing.T) {
	t.Parallel()
	c := po.WatchContext{Rules: po.WatchRules{UnqualifiedRetention: unqualifiedRetention}, Now: now}
	m := po.WatchLog{}.Merge(said(400*24*3600, 5000), c)
	require.Equal(t, models.OutcomeNone, m.Outcome)
	require.Equal(t, po.Never, m.Next.ExpiresAt)
	m = po.WatchLog{}.Merge(said(0, 100), c)
	require.Equal(t, now.Add(unqualifiedRetention), m.Next.ExpiresAt, "what did not qualify is not history")
}

// Dated reports may arrive in any order, and of one time too.
func TestS32_OfOneTimeTheGreaterWins(t *testing.T) {
	t.Parallel()
	at := func(position int64, ratio int32, session string) po.ProgressReport {
		r := said(5, ratio)
		r.PositionSeconds, r.SessionID = position, session
		return r
	}
	for name, c := range map[string]struct{ smaller, greater po.ProgressReport }{
		"position": {at(100, 9000, "b"), at(200, 3000, "a")},
		"ratio":    {at(100, 3000, "b"), at(100, 4000, "a")},
		"session":  {at(100, 3000, "a"), at(100, 3000, "b")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, reports := range [][]po.ProgressReport{{c.smaller, c.greater}, {c.greater, c.smaller}} {
				var r row
				r.merge(said(50, 6000))
				for _, report := range reports {
					r.merge(report)
				}
				require.Equal(t, c.greater.PositionSeconds, r.log.PositionSeconds)
				require.Equal(t, *c.greater.RatioBP, r.log.RatioBP)
				require.Equal(t, c.greater.SessionID, *r.log.SessionID)
			}
		})
	}
}

// Dated reports with times of their own may arrive in any order.
func TestP5_ArrivalOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	forAll(t, func(t *rapid.T, d draw) {
		duration := []int64{0, 40, 1000}[d(3)] * seconds
		reports := make([]po.ProgressReport, 6)
		for i := range reports {
			reports[i] = said(d(4), interesting(d))
			reports[i].PositionSeconds, reports[i].TotalSeconds = int64(d(900)), []int64{0, 1, 30, 69, 500_000}[d(5)]
			reports[i].SessionID, reports[i].Seq = []string{"", "tab"}[d(2)], 0
			if duration > 0 && d(3) == 0 {
				reports[i].RatioBP = nil
			}
		}
		inOrder, shuffled := row{duration: duration}, row{duration: duration}
		for i := range reports {
			inOrder.merge(reports[i])
		}
		reports = slices.Concat(reports, reports[:d(len(reports))])
		for len(reports) > 0 {
			i := d(len(reports))
			shuffled.merge(reports[i])
			reports = slices.Delete(reports, i, i+1)
		}
		if duration == 0 {
			inOrder.log.ReportedSeconds, shuffled.log.ReportedSeconds = 0, 0 // one report counts a day at most (S34)
			inOrder.log.CountedSeconds, shuffled.log.CountedSeconds = 0, 0
		}
		require.Equal(t, orderFree(inOrder.log), orderFree(shuffled.log))
	})
}

// orderFree is the part of a row that the set of reports decides. How often it was completed and what the last event
// said depend on what was known by then.
func orderFree(w po.WatchLog) po.WatchLog {
	w.CompletedCount = min(w.CompletedCount, 1)
	w.LastEmittedRatioBP, w.CompletionArmed = nil, false
	return w
}

// history is everything said about a pair; what must be emitted follows from it and from the last event.
type history []po.ProgressReport

// late: something newer was known. Of one time the greater ratio is newer (S32).
func (h history) late(i int) bool {
	for _, earlier := range h[:i] {
		if newer(earlier, h[i]) {
			return true
		}
	}
	return false
}

func newer(a, b po.ProgressReport) bool {
	if a.At.At.Equal(b.At.At) {
		return *a.RatioBP > *b.RatioBP
	}
	return a.At.At.After(b.At.At)
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
func (h history) shown() (ratio int32) {
	for i, r := range h {
		if !h.late(i) {
			ratio = *r.RatioBP
		}
	}
	if h.isWatched() && ratio < 500 {
		return 0
	}
	return ratio
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
