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
	writer   writer[ProgressReport, vo.WatchOutcome]
}

// NewWatchHistoryService serves watch progress from store.
func NewWatchHistoryService(store Store, tokens *pagetoken.Codec, observer Observer, newID NewID, opts Options) WatchHistoryService {
	s := &watchHistoryService{store: store, tokens: tokens, observer: observer, newID: newID, opts: opts}
	s.writer = newWriter(writer[ProgressReport, vo.WatchOutcome]{
		store: store, retention: opts.IdempotencyRetention,
		scope: func(c command[ProgressReport]) (string, uuid.UUID) {
			return actionWatchProgress, uuid.UUID(c.body.VideoID)
		},
		prepare:   s.prepare,
		touched:   untouched[ProgressReport],
		committed: s.committed,
		failed:    func(err error) { observeError(observer, err) },
	}, opts.Coalescing, func(n int, waited time.Duration) { observer.BatchTaken("progress", n, waited) })
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

// watched is what reports are merged into.
type watched struct {
	before map[repositories.WatchKey]po.WatchLog
	videos map[models.VideoID]po.VideoFacts
}

func (s *watchHistoryService) prepare(cmds []command[ProgressReport]) ([]read, applyFunc[vo.WatchOutcome]) {
	var found watched
	keys, ids := make([]repositories.WatchKey, len(cmds)), make([]models.VideoID, len(cmds))
	for i, c := range cmds {
		keys[i], ids[i] = keyOf(c.body), c.body.VideoID
	}
	reads := []read{
		func(ctx context.Context, tx *repositories.Tx) (err error) {
			found.before, err = tx.WatchLogs.Get(ctx, keys)
			return err
		},
		func(ctx context.Context, tx *repositories.Tx) (err error) {
			found.videos, err = tx.Videos.Facts(ctx, ids)
			return err
		},
	}
	return reads, func(ctx context.Context, tx *repositories.Tx, users locked, places []int, outcomes []outcomeFor[vo.WatchOutcome]) error {
		return s.apply(ctx, tx, cmds, found, users, places, outcomes)
	}
}

// apply merges every report into its row in order, and books the difference between the rows as they were and as they
// are.
func (s *watchHistoryService) apply(ctx context.Context, tx *repositories.Tx, cmds []command[ProgressReport], found watched, users locked,
	places []int, outcomes []outcomeFor[vo.WatchOutcome],
) error {
	book := newLedger()
	current := make(map[repositories.WatchKey]po.WatchLog, len(places))
	var changed []repositories.WatchKey
	for _, i := range places {
		r := cmds[i].body
		key, video := keyOf(r), found.videos[r.VideoID]
		m, err := s.merge(r, row(current, found.before, key), video, users[r.UserID].Now)
		if err != nil {
			outcomes[i].Err = err
			continue
		}
		outcomes[i].Value.Value = vo.WatchOutcome{
			Progress: vo.WatchRecord{Log: m.Next, DurationMicros: video.DurationMicros},
			Recorded: m.Next.QualifiedAt != nil, Outcome: m.Outcome, Doubts: m.Doubts,
		}
		book.ask(r.VideoID)
		if !m.Changed {
			continue
		}
		if _, touched := current[key]; !touched {
			changed = append(changed, key)
		}
		current[key] = m.Next
		if m.Emits() && s.opts.PublishEvents {
			book.announce(pendingEvent{r.UserID, r.VideoID, cmds[i].trace, func(id uuid.UUID, stats po.VideoStats) (po.Event, error) {
				return outboxevents.Progress(id, m, video.DurationMicros, stats)
			}})
		}
	}
	stats, err := s.save(ctx, tx, book, found, current, changed, users)
	if err != nil {
		return err
	}
	for _, i := range places {
		outcomes[i].Value.Value.Stats = stats[cmds[i].body.VideoID]
	}
	return nil
}

func row(current, before map[repositories.WatchKey]po.WatchLog, key repositories.WatchKey) po.WatchLog {
	if log, touched := current[key]; touched {
		return log
	}
	return before[key]
}

func (s *watchHistoryService) merge(r ProgressReport, log po.WatchLog, video po.VideoFacts, now time.Time) (po.Merged, error) {
	if !s.opts.VideoPolicy.AllowsProgress(video.Availability) {
		return po.Merged{}, models.ErrVideoUnavailable
	}
	at, err := r.Claimed.Effective(now)
	if err != nil {
		return po.Merged{}, err
	}
	return log.Merge(r.at(at), po.WatchContext{Rules: s.opts.Watch, Now: now, DurationMicros: video.DurationMicros}), nil
}

// save stores changed rows and books what they add to counters (S39, S42).
func (s *watchHistoryService) save(ctx context.Context, tx *repositories.Tx, book *ledger, found watched,
	current map[repositories.WatchKey]po.WatchLog, changed []repositories.WatchKey, users locked,
) (map[models.VideoID]po.VideoStats, error) {
	rows := make([]po.WatchLog, len(changed))
	for i, key := range changed {
		rows[i] = current[key]
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
	return book.book(ctx, tx, users, s.newID)
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
		IncludeUnavailable: q.IncludeUnavailable, PageSize: q.Page.size() + 1,
	}
	if key != nil {
		query.Before = &po.WatchKey{LastWatchedAt: key.At, VideoID: key.VideoID}
	}
	err = s.store.Read(ctx, call.Actor, func(ctx context.Context, tx *repositories.Tx) error {
		rows, err := tx.WatchLogs.ListRecent(ctx, query)
		page.Items, page.NextToken = cut(rows, q.Page.size(), func(last vo.WatchEntry) string {
			return s.tokens.Encode(scope, pagetoken.Key{At: last.Log.LastWatchedAt, VideoID: last.VideoID})
		})
		return err
	})
	return page, err
}

func instant(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
