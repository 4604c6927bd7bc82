package po

import (
	"time"

	"github.com/lingo-services/profile/internal/models"
)

// Thresholds of S35-S38 and S40, in basis points where they are ratios.
const (
	FullRatio        = 10_000
	qualifyRatio     = 500
	emitStep         = 500
	completeRatio    = 9_500
	nearEndRatio     = 8_000
	rearmRatio       = 2_000
	nearEndSeconds   = 10
	overrunSeconds   = 5
	maxSecondsReport = 86_400
	ratioGap         = 200
	plausibleRate    = 4
	plausibleSlack   = 30 * time.Second
)

// WatchLog is a row of profile.watch_logs. The zero value (no UserID) is "no row yet".
type WatchLog struct {
	UserID  models.UserID
	VideoID models.VideoID
	// PositionSeconds, RatioBP and ResumeAt are the resume point of the newest report.
	PositionSeconds int64
	RatioBP         int32
	ResumeAt        time.Time
	MaxRatioBP      int32
	// ReportedSeconds is the client's greatest total, CountedSeconds what of it counts (S34).
	ReportedSeconds, CountedSeconds int64
	// QualifiedAt is nil until 5 % was reached: not in the history, not in stats (S36).
	QualifiedAt *time.Time
	// CompletedAt is the first completion.
	CompletedAt     *time.Time
	CompletedCount  int32
	CompletionArmed bool
	// LastEmittedRatioBP is nil before the first event.
	LastEmittedRatioBP *int32
	// SessionID and SessionSeq identify the newest report that had them.
	SessionID                     *string
	SessionSeq                    *int64
	FirstWatchedAt, LastWatchedAt time.Time
	ExpiresAt                     time.Time
}

// ProgressReport is what a client says about one (user, video).
type ProgressReport struct {
	UserID          models.UserID
	VideoID         models.VideoID
	At              models.Effective
	PositionSeconds int64
	// RatioBP nil: compute it from the position (S40).
	RatioBP *int32
	// TotalSeconds is cumulative.
	TotalSeconds int64
	SessionID    string
	// Seq 0: not numbered.
	Seq int64
}

// WatchRules are the configured durations.
type WatchRules struct {
	Retention, UnqualifiedRetention time.Duration
}

// WatchContext is what a merge needs to know beside row and report.
type WatchContext struct {
	Rules WatchRules
	// Now is the database clock under the user's lock.
	Now time.Time
	// DurationMicros is 0 when unknown.
	DurationMicros int64
}

// Merged is the result of a report.
type Merged struct {
	Next WatchLog
	// Changed: Next differs from the row and must be stored.
	Changed bool
	Outcome models.Outcome
	// At is the effective time used.
	At time.Time
	// FirstWatch, Progressed and Completed are the causes of an event; with none there is no event.
	FirstWatch, Progressed, Completed bool
	// Doubts are counted, never refused.
	Doubts models.Doubts
}

// Emits reports whether the report publishes profile.watch.progressed (S35).
func (m Merged) Emits() bool { return m.FirstWatch || m.Progressed || m.Completed }

// Merge applies one report to a locked row (S30-S41, S47). It is pure: the same arguments give the same
// result, and merging a report twice changes nothing the second time.
func (w WatchLog) Merge(r ProgressReport, c WatchContext) Merged {
	if w.exists() && w.QualifiedAt == nil && !w.ExpiresAt.After(c.Now) {
		w = WatchLog{} // S36: what never qualified is dropped after a while, deleted or not
	}
	at := r.At.At
	overtaken := w.overtook(r)
	switch {
	case overtaken:
		at = w.ResumeAt
	case r.At.Live && w.exists() && !at.After(w.ResumeAt):
		at = w.ResumeAt.Add(time.Microsecond)
	}
	m := Merged{Next: w, At: at}
	if !at.After(c.Now.Add(-c.Rules.Retention)) {
		m.Outcome = models.OutcomeExpired
		return m
	}
	if w.sameReport(r) {
		m.Outcome = w.outcome(false)
		return m
	}
	stale := overtaken || (w.exists() && at.Before(w.ResumeAt))
	position, ratio := r.place(w, c.DurationMicros)

	next := w
	next.UserID, next.VideoID = r.UserID, r.VideoID
	if !w.exists() {
		next.CompletionArmed = true
		next.FirstWatchedAt, next.LastWatchedAt = at, at
	}
	if !stale {
		next.PositionSeconds, next.RatioBP, next.ResumeAt = position, ratio, at
		next.remember(r)
	}
	if at.Before(next.FirstWatchedAt) {
		next.FirstWatchedAt = at
	}
	if at.After(next.LastWatchedAt) {
		next.LastWatchedAt = at
	}
	next.MaxRatioBP = max(w.MaxRatioBP, ratio)
	next.addSeconds(r.TotalSeconds)
	m.Doubts = w.doubts(r, at, c.DurationMicros)

	if w.QualifiedAt == nil && next.MaxRatioBP >= qualifyRatio {
		next.QualifiedAt, m.FirstWatch = &at, true
	}
	m.Completed = next.complete(position, ratio, at, stale, c.DurationMicros)
	if next.QualifiedAt != nil && next.RatioBP < qualifyRatio {
		next.PositionSeconds, next.RatioBP = 0, 0 // S37: rewound to the start, not unwatched
	}
	m.Progressed = next.QualifiedAt != nil && !stale && !m.FirstWatch && next.movedSinceEvent()
	if m.Emits() {
		emitted := next.RatioBP
		next.LastEmittedRatioBP = &emitted
	}

	m.Changed = !next.sameAs(w)
	if m.Changed {
		next.ExpiresAt = next.expiry(c)
		m.Next = next
	}
	m.Outcome = next.outcome(stale)
	return m
}

// Contribution is what the row adds to its video's counters (S39, S42).
func (w WatchLog) Contribution() (watchers, seconds int64) {
	if w.QualifiedAt == nil {
		return 0, 0
	}
	return 1, w.CountedSeconds
}

func (w WatchLog) exists() bool { return w.UserID != models.UserID{} }

// sameReport recognises a repeated (session, seq) (S47).
func (w WatchLog) sameReport(r ProgressReport) bool {
	return w.sameSession(r) && *w.SessionSeq == r.Seq
}

// overtook recognises a report without a time of its own whose number is older than its session's newest:
// it arrived late (S32).
func (w WatchLog) overtook(r ProgressReport) bool {
	return r.At.Live && w.sameSession(r) && *w.SessionSeq > r.Seq
}

// sameSession reports whether the numbers of row and report can be compared.
func (w WatchLog) sameSession(r ProgressReport) bool {
	return r.Seq > 0 && w.SessionSeq != nil && w.SessionID != nil && *w.SessionID == r.SessionID
}

// outcome explains why a report did not move the resume point or the row is not in the history.
func (w WatchLog) outcome(stale bool) models.Outcome {
	switch {
	case stale:
		return models.OutcomeStale
	case w.QualifiedAt == nil:
		return models.OutcomeBelowThreshold
	}
	return models.OutcomeNone
}

func (w *WatchLog) remember(r ProgressReport) {
	w.SessionID, w.SessionSeq = nil, nil
	if r.SessionID != "" {
		w.SessionID = &r.SessionID
	}
	if r.Seq > 0 {
		w.SessionSeq = &r.Seq
	}
}

// place is the report's position and ratio against what is known of the video (S40).
func (r ProgressReport) place(w WatchLog, durationMicros int64) (position int64, ratio int32) {
	const micros = 1_000_000
	position = r.PositionSeconds
	if durationMicros > 0 && position > durationMicros/micros+overrunSeconds {
		position = durationMicros / micros
	}
	switch {
	case r.RatioBP != nil:
		ratio = *r.RatioBP
	case durationMicros > 0:
		ratio = int32(min(FullRatio, position*micros*FullRatio/durationMicros))
	default:
		ratio = w.RatioBP
	}
	return position, ratio
}

// addSeconds counts what exceeds the greatest total so far, at most a day (S34).
func (w *WatchLog) addSeconds(total int64) {
	delta := max(0, total-w.ReportedSeconds)
	w.ReportedSeconds += delta
	w.CountedSeconds += min(delta, maxSecondsReport)
}

// doubts says what of a report is hard to believe against the row it finds (S34, S40).
func (w WatchLog) doubts(r ProgressReport, at time.Time, durationMicros int64) (d models.Doubts) {
	delta := max(0, r.TotalSeconds-w.ReportedSeconds)
	d.SecondsCut = delta > maxSecondsReport
	if w.exists() {
		elapsed := at.Sub(w.LastWatchedAt).Abs()
		d.ImplausibleRate = time.Duration(delta)*time.Second > elapsed*plausibleRate+plausibleSlack
	}
	if r.RatioBP != nil && durationMicros > 0 {
		position, given := r.PositionSeconds, *r.RatioBP
		r.RatioBP = nil
		_, computed := r.place(w, durationMicros)
		d.RatioGap = position > 0 && max(given-computed, computed-given) > ratioGap
	}
	return d
}

// complete applies S38 and reports whether a completion was counted. A late report can only be the first
// completion: a rewatch is what comes after a newer fall below 20 %.
func (w *WatchLog) complete(position int64, ratio int32, at time.Time, stale bool, durationMicros int64) bool {
	const micros = 1_000_000
	nearEnd := durationMicros > 0 && durationMicros-position*micros <= nearEndSeconds*micros && ratio >= nearEndRatio
	if ratio < completeRatio && !nearEnd {
		if !stale && ratio < rearmRatio {
			w.CompletionArmed = true
		}
		return false
	}
	if !w.CompletionArmed || (stale && w.CompletedCount > 0) {
		return false
	}
	w.CompletedCount++
	if w.CompletedAt == nil {
		w.CompletedAt = &at
	}
	w.CompletionArmed = stale && w.RatioBP < rearmRatio
	return true
}

func (w WatchLog) movedSinceEvent() bool {
	if w.LastEmittedRatioBP == nil {
		return true
	}
	moved := w.RatioBP - *w.LastEmittedRatioBP
	return moved >= emitStep || moved <= -emitStep
}

// expiry keeps history rows for the retention after they were last watched, and what never qualified for
// a while after the newest report (S36, S41).
func (w WatchLog) expiry(c WatchContext) time.Time {
	if w.QualifiedAt == nil {
		return c.Now.Add(c.Rules.UnqualifiedRetention)
	}
	return w.LastWatchedAt.Add(c.Rules.Retention)
}

func (w WatchLog) sameAs(o WatchLog) bool {
	return w.UserID == o.UserID && w.PositionSeconds == o.PositionSeconds && w.RatioBP == o.RatioBP &&
		w.ResumeAt.Equal(o.ResumeAt) && w.MaxRatioBP == o.MaxRatioBP && w.ReportedSeconds == o.ReportedSeconds &&
		w.CountedSeconds == o.CountedSeconds && w.CompletedCount == o.CompletedCount &&
		w.CompletionArmed == o.CompletionArmed && equal(w.LastEmittedRatioBP, o.LastEmittedRatioBP) &&
		equal(w.SessionID, o.SessionID) && equal(w.SessionSeq, o.SessionSeq) &&
		(w.QualifiedAt == nil) == (o.QualifiedAt == nil) &&
		w.FirstWatchedAt.Equal(o.FirstWatchedAt) && w.LastWatchedAt.Equal(o.LastWatchedAt)
}

func equal[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// WatchEntry is a row of a history list.
type WatchEntry struct {
	Log WatchLog
	ListedVideo
}

// WatchKey is the place of a row in a history list; the list continues strictly below it.
type WatchKey struct {
	LastWatchedAt time.Time
	VideoID       models.VideoID
}

// WatchQuery selects one page.
type WatchQuery struct {
	UserID     models.UserID
	Completion models.Completion
	// WatchedAfter (inclusive) and WatchedBefore (exclusive) bound last_watched_at; nil is unbounded.
	WatchedAfter, WatchedBefore *time.Time
	IncludeUnavailable          bool
	// Before is nil for the first page.
	Before   *WatchKey
	PageSize int
}
