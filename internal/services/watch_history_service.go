package services

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/lingo-services/profile/internal/models"
	outboxevents "github.com/lingo-services/profile/internal/models/outbox_events"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/models/vo"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/services/pagetoken"
)

type watchHistoryService struct {
	store    Store
	tokens   *pagetoken.Codec
	observer Observer
	newID    NewID
	opts     Options
	videos   *ListedVideos
	lists    *sharedReads[po.WatchQuery, []po.WatchLog]
	writer   writer[ProgressReport, vo.WatchOutcome]
}

// NewWatchHistoryService serves watch progress from store.
func NewWatchHistoryService(store Store, tokens *pagetoken.Codec, observer Observer, newID NewID, videos *ListedVideos, opts Options) WatchHistoryService {
	s := &watchHistoryService{store: store, tokens: tokens, observer: observer, newID: newID, videos: videos, opts: opts}
	s.writer = newWriter(writer[ProgressReport, vo.WatchOutcome]{
		store: store, retention: opts.IdempotencyRetention,
		scope: func(c command[ProgressReport]) (string, uuid.UUID) {
			return actionWatchProgress, uuid.UUID(c.body.VideoID)
		},
		prepare:   s.prepare,
		touched:   untouched[ProgressReport, vo.WatchOutcome],
		committed: s.committed,
		failed:    func(err error) { observeError(observer, err) },
	}, opts.Coalescing, func(n int, waited time.Duration) { observer.BatchTaken("progress", n, waited) })
	s.lists = newSharedReads(store, observer, "history_list", opts.Coalescing,
		rowsOf(func(ctx context.Context, tx *repositories.Tx, queries []po.WatchQuery) ([][]po.WatchLog, error) {
			return tx.WatchLogs.ListRecent(ctx, queries)
		}))
	return s
}

func (s *watchHistoryService) Apply(ctx context.Context, actor models.Actor, reports []ProgressReport) ([]vo.WatchOutcome, error) {
	commands := make([]command[ProgressReport], len(reports))
	for i, r := range reports {
		commands[i] = newCommand(ctx, models.Call{Actor: actor, Subject: r.UserID}, r)
	}
	return values(s.writer.together(ctx, actor, commands))
}

func (s *watchHistoryService) Report(ctx context.Context, call models.Call, report ProgressReport) (Answer[vo.WatchOutcome], error) {
	return s.writer.write(ctx, newCommand(ctx, call, report))
}

// watched is what reports are merged into, one after the other: what was found, and what they made of it.
type watched struct {
	before, after map[repositories.WatchKey]po.WatchLog
	// changed are the keys of after, in the order they were first changed.
	changed []repositories.WatchKey
	videos  map[models.VideoID]po.VideoFacts
	// seen are the numbers of sessions, apart those that must be stored.
	seen, apart map[po.WatchSessionKey]int64
}

func (w *watched) row(key repositories.WatchKey) po.WatchLog {
	if log, changed := w.after[key]; changed {
		return log
	}
	return w.before[key]
}

// keep takes over what a merge has changed.
func (w *watched) keep(key repositories.WatchKey, m po.Merged) {
	if m.Session != nil {
		w.seen[m.Session.WatchSessionKey] = m.Session.Seq
		w.apart[m.Session.WatchSessionKey] = m.Session.Seq
	}
	if !m.Changed {
		return
	}
	if _, again := w.after[key]; !again {
		w.changed = append(w.changed, key)
	}
	w.after[key] = m.Next
}

// writes: there is something to store. Counters and events follow from that alone.
func (w *watched) writes() bool { return len(w.changed) > 0 || len(w.apart) > 0 }

// reads are the questions whose answers reports are merged into.
func (w *watched) reads(keys []repositories.WatchKey, sessions []po.WatchSessionKey) []read {
	w.after, w.seen, w.apart = map[repositories.WatchKey]po.WatchLog{}, map[po.WatchSessionKey]int64{}, map[po.WatchSessionKey]int64{}
	ids := make([]models.VideoID, len(keys))
	for i, key := range keys {
		ids[i] = key.VideoID
	}
	reads := []read{
		func(ctx context.Context, tx *repositories.Tx) (err error) {
			w.before, err = tx.WatchLogs.Get(ctx, keys)
			return err
		},
		func(ctx context.Context, tx *repositories.Tx) (err error) {
			w.videos, err = tx.Videos.Facts(ctx, ids)
			return err
		},
	}
	if len(sessions) == 0 {
		return reads
	}
	return append(reads, func(ctx context.Context, tx *repositories.Tx) (err error) {
		w.seen, err = tx.WatchLogs.Sessions(ctx, sessions)
		return err
	})
}

func (s *watchHistoryService) prepare(cmds []command[ProgressReport]) ([]read, applyFunc[vo.WatchOutcome]) {
	var found watched
	keys := make([]repositories.WatchKey, len(cmds))
	var sessions []po.WatchSessionKey
	for i, c := range cmds {
		keys[i] = keyOf(c.body)
		if c.body.SessionID != "" && c.body.Seq > 0 {
			sessions = append(sessions, po.WatchSessionKey{UserID: c.body.UserID, VideoID: c.body.VideoID, SessionID: c.body.SessionID})
		}
	}
	reads := found.reads(keys, sessions)
	return reads, func(ctx context.Context, tx *repositories.Tx, users locked, places []int, outcomes []outcomeFor[vo.WatchOutcome]) (bool, error) {
		return s.apply(ctx, tx, cmds, &found, users, places, outcomes)
	}
}

// apply merges every report into its row in order, and books the difference between the rows as they were and as they
// are.
func (s *watchHistoryService) apply(ctx context.Context, tx *repositories.Tx, cmds []command[ProgressReport], found *watched, users locked,
	places []int, outcomes []outcomeFor[vo.WatchOutcome],
) (wrote bool, err error) {
	book := newLedger()
	for _, i := range places {
		r := cmds[i].body
		key, video := keyOf(r), found.videos[r.VideoID]
		m, err := s.merge(r, found, users[r.UserID].Now)
		if err != nil {
			outcomes[i].Err = err
			continue
		}
		found.keep(key, m)
		outcomes[i].Value.Value = vo.WatchOutcome{
			Progress: vo.WatchRecord{Log: m.Next, DurationMicros: video.DurationMicros},
			Recorded: m.Next.QualifiedAt != nil, Outcome: m.Outcome, Doubts: m.Doubts,
		}
		book.ask(r.VideoID)
		s.announce(book, key, m, video, cmds[i].trace)
	}
	stats, err := s.save(ctx, tx, book, found, users)
	if err != nil {
		return false, err
	}
	for _, i := range places {
		outcomes[i].Value.Value.Stats = stats[cmds[i].body.VideoID]
	}
	return found.writes(), nil
}

func (s *watchHistoryService) merge(r ProgressReport, found *watched, now time.Time) (po.Merged, error) {
	video := found.videos[r.VideoID]
	if !s.opts.VideoPolicy.AllowsProgress(video.Availability) {
		return po.Merged{}, models.ErrVideoUnavailable
	}
	at, err := r.Claimed.Effective(now)
	if err != nil {
		return po.Merged{}, err
	}
	report := r.at(at)
	c := po.WatchContext{Rules: s.opts.Watch, Now: now, DurationMicros: video.DurationMicros, SeenSeq: found.seen[report.SessionKey()]}
	return found.row(keyOf(r)).Merge(report, c), nil
}

// announce queues the event of a merge, if it has one (S35).
func (s *watchHistoryService) announce(book *ledger, key repositories.WatchKey, m po.Merged, video po.VideoFacts, trace string) {
	if !m.Changed || !m.Emits() || !s.opts.PublishEvents {
		return
	}
	book.announce(pendingEvent{key.UserID, key.VideoID, trace, func(id uuid.UUID, stats po.VideoStats) (po.Event, error) {
		return outboxevents.Progress(id, m, video.DurationMicros, stats)
	}})
}

// save stores changed rows and books what they add to counters (S39, S42).
func (s *watchHistoryService) save(ctx context.Context, tx *repositories.Tx, book *ledger, found *watched, users locked) (map[models.VideoID]po.VideoStats, error) {
	rows := make([]po.WatchLog, len(found.changed))
	for i, key := range found.changed {
		rows[i] = found.after[key]
		oldWatchers, oldSeconds := found.before[key].Contribution()
		newWatchers, newSeconds := rows[i].Contribution()
		if newWatchers != oldWatchers || newSeconds != oldSeconds {
			video := book.video(key.VideoID, found.videos[key.VideoID].Counted)
			video.Watchers += newWatchers - oldWatchers
			video.Seconds += newSeconds - oldSeconds
		}
		if newWatchers != oldWatchers {
			book.user(key.UserID).Watched += newWatchers - oldWatchers
		}
	}
	if len(rows) > 0 {
		if err := tx.Later(func(tx *repositories.Tx) error { return tx.WatchLogs.UpsertProgress(ctx, rows) }); err != nil {
			return nil, err
		}
	}
	if len(found.apart) > 0 {
		sessions := make([]po.WatchSession, 0, len(found.apart))
		for key, seq := range found.apart {
			sessions = append(sessions, po.WatchSession{WatchSessionKey: key, Seq: seq})
		}
		if err := tx.Later(func(tx *repositories.Tx) error { return tx.WatchLogs.UpsertSessions(ctx, sessions) }); err != nil {
			return nil, err
		}
	}
	return book.book(ctx, tx, users, s.newID)
}

func (s *watchHistoryService) Judge(ctx context.Context, limit int32) (judged int64, err error) {
	err = s.store.Write(ctx, models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
		keys, err := tx.WatchLogs.Unjudged(ctx, limit)
		if judged = int64(len(keys)); err != nil || len(keys) == 0 {
			return err
		}
		users := make([]models.UserID, len(keys))
		for i, key := range keys {
			users[i] = key.UserID
		}
		locked, err := tx.UserStats.Lock(ctx, users)
		if err != nil {
			return err
		}
		var found watched
		if err := tx.Together(ctx, bound(ctx, found.reads(keys, nil))...); err != nil {
			return err
		}
		book := newLedger()
		for _, key := range keys {
			video := found.videos[key.VideoID]
			m := found.row(key).Judge(po.WatchContext{Rules: s.opts.Watch, Now: locked[key.UserID].Now, DurationMicros: video.DurationMicros})
			found.keep(key, m)
			s.announce(book, key, m, video, "")
		}
		_, err = s.save(ctx, tx, book, &found, locked)
		return err
	})
	observeError(s.observer, err)
	return judged, err
}

func (s *watchHistoryService) committed(_ []command[ProgressReport], outcomes []outcomeFor[vo.WatchOutcome]) {
	for _, o := range outcomes {
		if o.Err == nil && !o.Busy && !o.Value.Replayed {
			s.observer.ProgressReported(o.Value.Value.Outcome, o.Value.Value.Doubts)
		}
	}
}

func (r ProgressReport) at(at models.Effective) po.ProgressReport {
	return po.ProgressReport{
		UserID: r.UserID, VideoID: r.VideoID, At: at, PositionSeconds: r.PositionSeconds, RatioBP: r.RatioBP,
		TotalSeconds: r.TotalSeconds, SessionID: r.SessionID, Seq: r.Seq,
	}
}

func keyOf(r ProgressReport) repositories.WatchKey {
	return repositories.WatchKey{UserID: r.UserID, VideoID: r.VideoID}
}

func (s *watchHistoryService) BatchGet(ctx context.Context, call models.Call, ids []models.VideoID) (records []vo.WatchRecord, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	err = s.store.Read(ctx, call.Actor, func(ctx context.Context, tx *repositories.Tx) error {
		found, err := tx.WatchLogs.BatchGet(ctx, call.Subject, ids)
		records = make([]vo.WatchRecord, len(ids))
		for i, id := range ids {
			records[i] = found[id]
		}
		return err
	})
	return records, err
}

func (s *watchHistoryService) List(ctx context.Context, call models.Call, q WatchListQuery) (page vo.Page[vo.WatchEntry], err error) {
	scope := pagetoken.Scope{
		List: "watch_history", User: call.Subject,
		Filter: filterText(q.Completion, instant(q.WatchedAfter), instant(q.WatchedBefore), q.IncludeUnavailable),
	}
	key, err := s.tokens.Decode(scope, q.Page.Token)
	if err != nil {
		return page, err
	}
	query := po.WatchQuery{
		UserID: call.Subject, Completion: q.Completion, WatchedAfter: q.WatchedAfter, WatchedBefore: q.WatchedBefore,
	}
	if key != nil {
		query.Before = &po.WatchKey{LastWatchedAt: key.At, VideoID: key.VideoID}
	}
	rows, err := listing[po.WatchQuery, po.WatchLog, vo.WatchEntry]{
		lists: s.lists, videos: s.videos, call: call, everything: q.IncludeUnavailable,
		below: func(last *po.WatchLog, limit int) po.WatchQuery {
			below := query
			if below.Limit = limit; last != nil {
				key := last.Key()
				below.Before = &key
			}
			return below
		},
		video: func(row po.WatchLog) models.VideoID { return row.VideoID },
		entry: func(row po.WatchLog, video *vo.ListedVideo) vo.WatchEntry {
			return vo.WatchEntry{Log: row, ListedVideo: video}
		},
	}.first(ctx, q.Page.size()+1)
	page.Items, page.NextToken = cut(rows, q.Page.size(), func(last vo.WatchEntry) string {
		return s.tokens.Encode(scope, pagetoken.Key{At: last.Log.LastWatchedAt, VideoID: last.Log.VideoID})
	})
	return page, err
}

func instant(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
