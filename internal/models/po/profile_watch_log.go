package po

import (
	"cmp"
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
	maxSecondsReport = 86_400
	ratioGap         = 200
	plausibleRate    = 4
	plausibleSlack   = 30 * time.Second
)

// WatchLog is a row of profile.watch_logs. The zero value (no UserID) is "no row yet".
type WatchLog struct {
	UserID  models.UserID
	VideoID models.VideoID
	// PositionSeconds at ResumeAt is the resume point of the newest report (S32).
	PositionSeconds int64
	ResumeAt        time.Time
	// RatioBP at RatioAt is that of the newest report that had one, or whose position told it; RatioAt is zero before
	// the first. Earlier than ResumeAt: the length of the video is not known, and so is not how far the position is.
	RatioBP int32
	RatioAt time.Time
	// MaxRatioBP is the greatest ratio ever.
	MaxRatioBP int32
	// FurthestSeconds is the greatest position whose ratio is not known yet; 0 when there is none (S36).
	FurthestSeconds int64
	// ReportedSeconds is the client's greatest total, CountedSeconds what of it counts (S34).
	ReportedSeconds, CountedSeconds int64
	// QualifiedAt is nil until 5 % was reached: not in the history, not in stats (S36). The earliest such time.
	QualifiedAt *time.Time
	// CompletedAt is the earliest completion, CompletedCount how many playthroughs ended (S38).
	CompletedAt     *time.Time
	CompletedCount  int32
	CompletionArmed bool
	// LastEmittedRatioBP is nil before the first event.
	LastEmittedRatioBP *int32
	// SessionID is that of the newest report, SessionSeq the greatest number of that session; nil when they had none.
	// The numbers of other sessions are WatchSessions.
	SessionID                     *string
	SessionSeq                    *int64
	FirstWatchedAt, LastWatchedAt time.Time
	// ExpiresAt is Never when history is kept for ever.
	ExpiresAt time.Time
}

// WatchSession is the greatest number seen of a playback session of a (user, video) that is not the row's (S31).
type WatchSession struct {
	WatchSessionKey
	Seq int64
}

// WatchSessionKey names a playback session.
type WatchSessionKey struct {
	UserID    models.UserID
	VideoID   models.VideoID
	SessionID string
}

// Never is when rows expire that are kept for ever.
var Never = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// ProgressReport is what a client says about one (user, video).
type ProgressReport struct {
	UserID  models.UserID
	VideoID models.VideoID
	At      models.Effective
	// PositionSeconds 0 beside a ratio: the position follows from the ratio (S40).
	PositionSeconds int64
	// RatioBP nil: compute it from the position (S40).
	RatioBP *int32
	// TotalSeconds is cumulative.
	TotalSeconds int64
	SessionID    string
	// Seq 0: not numbered.
	Seq int64
}

// SessionKey names the session the report belongs to.
func (r ProgressReport) SessionKey() WatchSessionKey {
	return WatchSessionKey{r.UserID, r.VideoID, r.SessionID}
}

// WatchRules are the configured durations.
type WatchRules struct {
	// Retention 0: history is kept for ever.
	Retention, UnqualifiedRetention time.Duration
}

// WatchContext is what a merge needs to know beside row and report.
type WatchContext struct {
	Rules WatchRules
	// Now is the database clock under the user's lock.
	Now time.Time
	// DurationMicros is 0 when unknown.
	DurationMicros int64
	// SeenSeq is the greatest number stored of the report's session, the row's own apart; 0 when there is none.
	SeenSeq int64
}

// Merged is the result of a report.
type Merged struct {
	Next WatchLog
	// Changed: Next differs from the row and must be stored.
	Changed bool
	// Session is a session whose number must be stored apart, because the row has room for one; nil when there is none.
	Session *WatchSession
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
// result, and merging a report twice changes nothing the second time. What a row tells of times, positions, seconds and
// completion does not depend on the order in which dated reports arrive; completed_count may, when an old one is late.
func (w WatchLog) Merge(r ProgressReport, c WatchContext) Merged {
	if w.exists() && w.QualifiedAt == nil && !w.ExpiresAt.After(c.Now) {
		w = WatchLog{} // S36: what never qualified is dropped after a while, deleted or not
	}
	if r.SessionID == "" {
		r.Seq = 0 // a number of no session says nothing
	}
	at, seen := r.At.At, w.seen(r, c)
	overtaken := w.exists() && r.At.Live && r.Seq > 0 && r.Seq < seen
	switch {
	case overtaken:
		at = w.ResumeAt
	case r.At.Live && w.exists() && !at.After(w.ResumeAt):
		at = w.ResumeAt.Add(time.Microsecond)
	}
	m := Merged{Next: w, At: at}
	if c.Rules.Retention > 0 && !at.After(c.Now.Add(-c.Rules.Retention)) {
		m.Outcome = models.OutcomeExpired
		return m
	}
	if r.Seq > 0 && r.Seq == seen {
		m.Outcome = w.outcome(false, false)
		return m
	}
	next := w
	next.judge(c.DurationMicros, &m)
	if !w.exists() {
		next.UserID, next.VideoID = r.UserID, r.VideoID
		next.CompletionArmed = true
		next.FirstWatchedAt, next.LastWatchedAt = at, at
	}
	p := r.place(c.DurationMicros)
	order := p.compare(r.SessionID, at, next)
	newest, stale := order > 0 && !overtaken, order < 0 || overtaken
	if newest {
		next.PositionSeconds, next.ResumeAt = p.position, at
	}
	m.Session = next.remember(r, seen, newest)
	if p.known && (newest || !overtaken && at.After(next.RatioAt)) {
		next.RatioBP, next.RatioAt = p.ratio, at
	}
	if at.Before(next.FirstWatchedAt) {
		next.FirstWatchedAt = at
	}
	if at.After(next.LastWatchedAt) {
		next.LastWatchedAt = at
	}
	implausible := r.implausible(at.Sub(next.FirstWatchedAt), c.DurationMicros)
	m.Doubts = w.doubts(r, at, c.DurationMicros)
	if !implausible {
		next.addSeconds(r.TotalSeconds)
	}
	if p.known {
		next.reach(p.position, p.ratio, at, stale, c.DurationMicros, &m)
	} else {
		next.FurthestSeconds = max(next.FurthestSeconds, p.position)
	}
	next.settle(w, c, !stale, &m)
	m.Outcome = next.outcome(stale, implausible)
	return m
}

// Judge gives a row its ratios once the length of its video is known (S36), as if the reports had come now. A row whose
// ratios are known does not change.
func (w WatchLog) Judge(c WatchContext) Merged {
	m := Merged{Next: w, At: w.ResumeAt}
	next := w
	next.judge(c.DurationMicros, &m)
	next.settle(w, c, true, &m)
	m.Outcome = next.outcome(false, false)
	return m
}

// Judged reports whether all ratios of the row are known.
func (w WatchLog) Judged() bool { return w.FurthestSeconds == 0 && !w.RatioAt.Before(w.ResumeAt) }

func (w *WatchLog) judge(durationMicros int64, m *Merged) {
	if !w.exists() || durationMicros <= 0 || w.Judged() {
		return
	}
	if w.RatioAt.Before(w.ResumeAt) {
		w.RatioBP, w.RatioAt = ratioOf(w.PositionSeconds, durationMicros), w.ResumeAt
		w.reach(w.PositionSeconds, w.RatioBP, w.ResumeAt, false, durationMicros, m)
	}
	furthest := w.FurthestSeconds
	w.FurthestSeconds = 0
	w.MaxRatioBP = max(w.MaxRatioBP, ratioOf(furthest, durationMicros))
	w.qualify(w.MaxRatioBP, w.ResumeAt, m)
}

// reach notes that a ratio was reached at a time.
func (w *WatchLog) reach(position int64, ratio int32, at time.Time, stale bool, durationMicros int64, m *Merged) {
	w.MaxRatioBP = max(w.MaxRatioBP, ratio)
	w.qualify(ratio, at, m)
	if w.complete(position, ratio, at, stale, durationMicros) {
		m.Completed = true
	}
}

func (w *WatchLog) qualify(ratio int32, at time.Time, m *Merged) {
	if ratio < qualifyRatio {
		return
	}
	m.FirstWatch = m.FirstWatch || w.QualifiedAt == nil
	w.QualifiedAt = earliest(w.QualifiedAt, at)
}

// settle decides what follows from how the row was and is.
func (w *WatchLog) settle(before WatchLog, c WatchContext, moves bool, m *Merged) {
	m.Progressed = w.QualifiedAt != nil && moves && !m.FirstWatch && w.movedSinceEvent()
	if m.Emits() {
		_, emitted := w.resumePoint()
		w.LastEmittedRatioBP = &emitted
	}
	if m.Changed = !w.sameAs(before); m.Changed {
		w.ExpiresAt = w.expiry(c)
		m.Next = *w
	}
}

// Contribution is what the row adds to its video's counters (S39, S42).
func (w WatchLog) Contribution() (watchers, seconds int64) {
	if w.QualifiedAt == nil {
		return 0, 0
	}
	return 1, w.CountedSeconds
}

// resumePoint is the newest position and ratio; the start when a qualified pair went back to the first 5 %: rewound, not
// unwatched (S37).
func (w WatchLog) resumePoint() (position int64, ratio int32) {
	if w.QualifiedAt != nil && w.RatioBP < qualifyRatio && !w.RatioAt.Before(w.ResumeAt) {
		return 0, 0
	}
	return w.PositionSeconds, w.RatioBP
}

// Shown is the resume point against the length the video has now (S40): beyond the end is the end, and a ratio without a
// position tells the position. A length of 0 is not known.
func (w WatchLog) Shown(durationMicros int64) (position int64, ratio, maxRatio int32) {
	position, ratio = w.resumePoint()
	if durationMicros > 0 {
		switch length := durationMicros / microsPerSecond; {
		case position > length:
			position, ratio = length, FullRatio
		case w.RatioAt.Before(w.ResumeAt):
			ratio = ratioOf(position, durationMicros)
		case position == 0:
			position = positionOf(ratio, durationMicros)
		}
	}
	return position, ratio, max(ratio, w.MaxRatioBP)
}

// ResumeSeconds is where a player should start (S38): 0 when less than 5 % was watched, or the newest report is at the
// end of a completed video.
func (w WatchLog) ResumeSeconds(durationMicros int64) int64 {
	position, ratio, _ := w.Shown(durationMicros)
	unknown := durationMicros <= 0 && w.RatioAt.Before(w.ResumeAt)
	if !unknown && (ratio < qualifyRatio || w.CompletedAt != nil && completes(position, ratio, durationMicros)) {
		return 0
	}
	return position
}

func (w WatchLog) exists() bool { return w.UserID != models.UserID{} }

// seen is the greatest number seen of the report's session (S47).
func (w WatchLog) seen(r ProgressReport, c WatchContext) int64 {
	if w.SessionSeq != nil && w.SessionID != nil && *w.SessionID == r.SessionID {
		return max(c.SeenSeq, *w.SessionSeq)
	}
	return c.SeenSeq
}

// outcome explains why a report did not move the resume point, did not count or the row is not in the history.
func (w WatchLog) outcome(stale, implausible bool) models.Outcome {
	switch {
	case stale:
		return models.OutcomeStale
	case implausible:
		return models.OutcomeImplausible
	case w.QualifiedAt == nil && w.exists() && w.RatioAt.Before(w.ResumeAt):
		return models.OutcomeDurationUnknown
	case w.QualifiedAt == nil:
		return models.OutcomeBelowThreshold
	}
	return models.OutcomeNone
}

// remember keeps the number of the report's session, seen being the greatest one so far: in the row when the report is
// the newest or the row is the session's, apart otherwise. The session that loses the row to another one goes apart.
func (w *WatchLog) remember(r ProgressReport, seen int64, newest bool) *WatchSession {
	seq := max(seen, r.Seq)
	var row WatchSession
	if w.SessionID != nil && w.SessionSeq != nil {
		row = WatchSession{WatchSessionKey{w.UserID, w.VideoID, *w.SessionID}, *w.SessionSeq}
	}
	switch {
	case newest:
		w.SessionID, w.SessionSeq = nil, nil
		if r.SessionID != "" {
			w.SessionID = &r.SessionID
		}
		if seq > 0 {
			w.SessionSeq = &seq
		}
		if row.Seq > 0 && row.SessionID != r.SessionID {
			return &row
		}
	case r.Seq == 0 || r.Seq < seen:
	case row.Seq > 0 && row.SessionID == r.SessionID:
		w.SessionSeq = &seq
	default:
		return &WatchSession{r.SessionKey(), seq}
	}
	return nil
}

const microsPerSecond = 1_000_000

// place is where a report says its user is. known: the ratio is, because it was sent or the length is known.
type place struct {
	position int64
	ratio    int32
	known    bool
}

// place completes a report by the length of its video (S40).
func (r ProgressReport) place(durationMicros int64) place {
	p := place{position: r.PositionSeconds}
	switch {
	case r.RatioBP != nil:
		p.ratio, p.known = *r.RatioBP, true
		if p.position == 0 && durationMicros > 0 {
			p.position = positionOf(p.ratio, durationMicros)
		}
	case durationMicros > 0:
		p.ratio, p.known = ratioOf(p.position, durationMicros), true
	}
	if durationMicros > 0 {
		p.position = min(p.position, durationMicros/microsPerSecond)
	}
	return p
}

// compare tells a report from the resume point: greater than 0 when it is newer, 0 when it is the same. Of two of one
// time the greater position wins, then the greater ratio, then the greater session, so that arrival does not matter
// (S32).
func (p place) compare(session string, at time.Time, w WatchLog) int {
	ratio := int32(-1)
	if p.known {
		ratio = p.ratio
	}
	rowRatio, rowSession := int32(-1), ""
	if !w.RatioAt.Before(w.ResumeAt) {
		rowRatio = w.RatioBP
	}
	if w.SessionID != nil {
		rowSession = *w.SessionID
	}
	return cmp.Or(at.Compare(w.ResumeAt), cmp.Compare(p.position, w.PositionSeconds), cmp.Compare(ratio, rowRatio), cmp.Compare(session, rowSession))
}

func ratioOf(position, durationMicros int64) int32 {
	return int32(min(FullRatio, position*microsPerSecond*FullRatio/durationMicros))
}

func positionOf(ratio int32, durationMicros int64) int64 {
	return durationMicros / FullRatio * int64(ratio) / microsPerSecond
}

// addSeconds counts what exceeds the greatest total so far, at most a day (S34).
func (w *WatchLog) addSeconds(total int64) {
	delta := max(0, total-w.ReportedSeconds)
	w.ReportedSeconds += delta
	w.CountedSeconds += min(delta, maxSecondsReport)
}

// implausible: nobody can have watched that much of a video of a known length since they began (S34).
func (r ProgressReport) implausible(elapsed time.Duration, durationMicros int64) bool {
	length := time.Duration(durationMicros) * time.Microsecond
	return durationMicros > 0 && time.Duration(r.TotalSeconds)*time.Second > length+plausibleRate*elapsed+plausibleSlack
}

// doubts says what of a report is hard to believe against the row it finds (S34, S40).
func (w WatchLog) doubts(r ProgressReport, at time.Time, durationMicros int64) (d models.Doubts) {
	delta := max(0, r.TotalSeconds-w.ReportedSeconds)
	d.SecondsCut = delta > maxSecondsReport
	if w.exists() {
		elapsed := at.Sub(w.LastWatchedAt).Abs()
		d.ImplausibleRate = time.Duration(delta)*time.Second > elapsed*plausibleRate+plausibleSlack
	}
	if r.RatioBP != nil && durationMicros > 0 && r.PositionSeconds > 0 {
		gap := *r.RatioBP - ratioOf(r.PositionSeconds, durationMicros)
		d.RatioGap = max(gap, -gap) > ratioGap
	}
	return d
}

// complete applies S38 and reports whether a completion was counted. A late report can only be the first
// completion: a rewatch is what comes after a newer fall below 20 %.
func (w *WatchLog) complete(position int64, ratio int32, at time.Time, stale bool, durationMicros int64) bool {
	if !completes(position, ratio, durationMicros) {
		if !stale && ratio < rearmRatio {
			w.CompletionArmed = true
		}
		return false
	}
	w.CompletedAt = earliest(w.CompletedAt, at)
	if !w.CompletionArmed || (stale && w.CompletedCount > 0) {
		return false
	}
	w.CompletedCount++
	w.CompletionArmed = stale && w.RatioBP < rearmRatio
	return true
}

// completes reports whether a position is at the end (S38).
func completes(position int64, ratio int32, durationMicros int64) bool {
	nearEnd := durationMicros > 0 && durationMicros-position*microsPerSecond <= nearEndSeconds*microsPerSecond && ratio >= nearEndRatio
	return ratio >= completeRatio || nearEnd
}

func earliest(known *time.Time, at time.Time) *time.Time {
	if known != nil && !at.Before(*known) {
		return known
	}
	return &at
}

func (w WatchLog) movedSinceEvent() bool {
	if w.LastEmittedRatioBP == nil {
		return true
	}
	_, ratio := w.resumePoint()
	moved := ratio - *w.LastEmittedRatioBP
	return moved >= emitStep || moved <= -emitStep
}

// expiry keeps history rows for the retention after they were last watched, rows that wait for a length too, and what
// did not qualify for a while after the newest report (S36, S41).
func (w WatchLog) expiry(c WatchContext) time.Time {
	switch {
	case w.QualifiedAt == nil && w.FurthestSeconds == 0:
		return c.Now.Add(c.Rules.UnqualifiedRetention)
	case c.Rules.Retention == 0:
		return Never
	}
	return w.LastWatchedAt.Add(c.Rules.Retention)
}

func (w WatchLog) sameAs(o WatchLog) bool {
	return w.UserID == o.UserID && w.PositionSeconds == o.PositionSeconds && w.RatioBP == o.RatioBP &&
		w.ResumeAt.Equal(o.ResumeAt) && w.RatioAt.Equal(o.RatioAt) && w.MaxRatioBP == o.MaxRatioBP &&
		w.FurthestSeconds == o.FurthestSeconds && w.ReportedSeconds == o.ReportedSeconds &&
		w.CountedSeconds == o.CountedSeconds && w.CompletedCount == o.CompletedCount &&
		w.CompletionArmed == o.CompletionArmed && equal(w.LastEmittedRatioBP, o.LastEmittedRatioBP) &&
		equal(w.SessionID, o.SessionID) && equal(w.SessionSeq, o.SessionSeq) &&
		sameTime(w.QualifiedAt, o.QualifiedAt) && sameTime(w.CompletedAt, o.CompletedAt) &&
		w.FirstWatchedAt.Equal(o.FirstWatchedAt) && w.LastWatchedAt.Equal(o.LastWatchedAt)
}

func sameTime(a, b *time.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(*b)
}

func equal[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// WatchRecord is a watch row with the video's length.
type WatchRecord struct {
	Log WatchLog
	// DurationMicros is 0 when unknown.
	DurationMicros int64
}

// Key is the row's place in a history list.
func (w WatchLog) Key() WatchKey { return WatchKey{w.LastWatchedAt, w.VideoID} }

// WatchKey is the place of a row in a history list; the list continues strictly below it.
type WatchKey struct {
	LastWatchedAt time.Time
	VideoID       models.VideoID
}

// WatchQuery selects rows of a history list.
type WatchQuery struct {
	UserID     models.UserID
	Completion models.Completion
	// WatchedAfter (inclusive) and WatchedBefore (exclusive) bound last_watched_at; nil is unbounded.
	WatchedAfter, WatchedBefore *time.Time
	// Before is nil for the newest rows.
	Before *WatchKey
	// Limit is the greatest number of rows.
	Limit int
}
