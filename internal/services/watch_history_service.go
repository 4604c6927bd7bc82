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
}

// NewWatchHistoryService serves watch progress from store.
func NewWatchHistoryService(store Store, tokens *pagetoken.Codec, observer Observer, newID NewID, opts Options) WatchHistoryService {
	return &watchHistoryService{store, tokens, observer, newID, opts}
}

func (s *watchHistoryService) Apply(ctx context.Context, actor models.Actor, reports []ProgressReport) ([]vo.WatchOutcome, error) {
	var outcomes []vo.WatchOutcome
	var merged []po.Merged
	err := s.store.Write(ctx, actor, func(ctx context.Context, tx *repositories.Tx) (err error) {
		outcomes, merged, err = s.apply(ctx, tx, reports)
		return err
	})
	s.observe(merged, err)
	if err != nil {
		return nil, err
	}
	return outcomes, nil
}

func (s *watchHistoryService) Report(ctx context.Context, call models.Call, report ProgressReport) (Answer[vo.WatchOutcome], error) {
	var merged []po.Merged
	answer, err := idempotent(ctx, s.store, s.opts.IdempotencyRetention, call, actionWatchProgress, uuid.UUID(report.VideoID),
		func(ctx context.Context, tx *repositories.Tx) (outcome vo.WatchOutcome, err error) {
			var outcomes []vo.WatchOutcome
			if outcomes, merged, err = s.apply(ctx, tx, []ProgressReport{report}); err != nil {
				return outcome, err
			}
			return outcomes[0], nil
		})
	s.observe(merged, err)
	return answer, err
}

// apply locks, merges every report into its row in order, and books the difference between the rows as
// they were and as they are.
func (s *watchHistoryService) apply(ctx context.Context, tx *repositories.Tx, reports []ProgressReport) ([]vo.WatchOutcome, []po.Merged, error) {
	counters, before, videos, err := s.lock(ctx, tx, reports)
	if err != nil {
		return nil, nil, err
	}
	book := newLedger()
	current := make(map[repositories.WatchKey]po.WatchLog, len(before))
	merged := make([]po.Merged, len(reports))
	var changed []repositories.WatchKey
	for i, r := range reports {
		key, video := keyOf(r), videos[r.VideoID]
		if !s.opts.VideoPolicy.AllowsProgress(availabilityOf(video)) {
			return nil, nil, models.ErrVideoUnavailable
		}
		now := counters[r.UserID].Now
		at, err := r.Claimed.Effective(now)
		if err != nil {
			return nil, nil, err
		}
		row, touched := current[key]
		if !touched {
			row = before[key]
		}
		m := row.Merge(r.at(at), po.WatchContext{Rules: s.opts.Watch, Now: now, DurationMicros: durationOf(video)})
		merged[i] = m
		if !m.Changed {
			continue
		}
		if !touched {
			changed = append(changed, key)
		}
		current[key] = m.Next
		if m.Emits() && s.opts.PublishEvents {
			book.video(r.VideoID)
			book.announce(r.UserID, r.VideoID, func(id uuid.UUID, stats po.VideoStats) (po.Event, error) {
				return outboxevents.Progress(id, m, durationOf(video), stats)
			})
		}
	}
	if err := s.save(ctx, tx, book, before, current, changed); err != nil {
		return nil, nil, err
	}
	outcomes, err := s.outcomes(ctx, tx, reports, merged, videos)
	return outcomes, merged, err
}

func (s *watchHistoryService) lock(ctx context.Context, tx *repositories.Tx, reports []ProgressReport) (
	map[models.UserID]po.UserCounters, map[repositories.WatchKey]po.WatchLog, map[models.VideoID]po.Video, error,
) {
	users := make([]models.UserID, len(reports))
	keys := make([]repositories.WatchKey, len(reports))
	ids := make([]models.VideoID, len(reports))
	for i, r := range reports {
		users[i], keys[i], ids[i] = r.UserID, keyOf(r), r.VideoID
	}
	counters, err := tx.UserStats.Lock(ctx, users)
	if err != nil {
		return nil, nil, nil, err
	}
	logs, err := tx.WatchLogs.Lock(ctx, keys)
	if err != nil {
		return nil, nil, nil, err
	}
	videos, err := tx.Videos.ListByIDs(ctx, ids)
	return counters, logs, videos, err
}

// save stores changed rows and books what they add to counters (S39, S42).
func (s *watchHistoryService) save(ctx context.Context, tx *repositories.Tx, book *ledger,
	before, current map[repositories.WatchKey]po.WatchLog, changed []repositories.WatchKey,
) error {
	if len(changed) == 0 {
		return nil
	}
	rows := make([]po.WatchLog, len(changed))
	for i, key := range changed {
		rows[i] = current[key]
		oldWatchers, oldSeconds := before[key].Contribution()
		newWatchers, newSeconds := rows[i].Contribution()
		if newWatchers != oldWatchers || newSeconds != oldSeconds {
			video := book.video(key.VideoID)
			video.Watchers += newWatchers - oldWatchers
			video.Seconds += newSeconds - oldSeconds
		}
		if newWatchers != oldWatchers {
			book.user(key.UserID).Watched += newWatchers - oldWatchers
		}
	}
	if err := tx.WatchLogs.UpsertProgress(ctx, rows); err != nil {
		return err
	}
	return book.book(ctx, tx, s.newID)
}

// outcomes answers with rows and counters as the transaction leaves them (S20).
func (s *watchHistoryService) outcomes(ctx context.Context, tx *repositories.Tx, reports []ProgressReport, merged []po.Merged,
	videos map[models.VideoID]po.Video,
) ([]vo.WatchOutcome, error) {
	ids := make([]models.VideoID, len(reports))
	for i, r := range reports {
		ids[i] = r.VideoID
	}
	stats, err := tx.VideoStats.BatchGet(ctx, ids)
	if err != nil {
		return nil, err
	}
	outcomes := make([]vo.WatchOutcome, len(reports))
	for i, m := range merged {
		outcomes[i] = vo.WatchOutcome{
			Progress: vo.WatchRecord{Log: m.Next, DurationMicros: durationOf(videos[ids[i]])},
			Stats:    stats[ids[i]],
			Recorded: m.Next.QualifiedAt != nil,
			Outcome:  m.Outcome,
		}
	}
	return outcomes, nil
}

func (s *watchHistoryService) observe(merged []po.Merged, err error) {
	if err != nil {
		observeError(s.observer, err)
		return
	}
	for _, m := range merged {
		s.observer.ProgressReported(m.Outcome, m.Doubts)
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

// availabilityOf reads the zero Video as one the catalog has not told us about.
func availabilityOf(v po.Video) models.Availability {
	if v.Availability == "" {
		return models.Unknown
	}
	return v.Availability
}

func durationOf(v po.Video) int64 {
	if v.DurationMicros == nil {
		return 0
	}
	return *v.DurationMicros
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
