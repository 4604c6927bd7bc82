package services

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/lingo-services/profile/internal/models"
	outboxevents "github.com/lingo-services/profile/internal/models/outbox_events"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/models/vo"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/services/pagetoken"
)

// Options are the business settings of all services.
type Options struct {
	VideoPolicy models.VideoPolicy
	// MaxActivePerType is the greatest number of active likes, and of bookmarks, per user (S19).
	MaxActivePerType int64
	Watch            po.WatchRules
	// IdempotencyRetention is how long answers are kept for their key.
	IdempotencyRetention time.Duration
	// PublishEvents false: writes store no events (S48).
	PublishEvents bool
	// PublishPreferences switches profile.preferences.updated alone.
	PublishPreferences bool
}

type engagementService struct {
	store    Store
	tokens   *pagetoken.Codec
	observer Observer
	newID    NewID
	// favorites answers BatchQuery and is told what changed.
	favorites *Favorites
	opts      Options
}

// NewEngagementService serves likes and bookmarks from store.
func NewEngagementService(store Store, tokens *pagetoken.Codec, observer Observer, newID NewID, favorites *Favorites, opts Options) EngagementService {
	return &engagementService{store, tokens, observer, newID, favorites, opts}
}

func (s *engagementService) Apply(ctx context.Context, actor models.Actor, cmds []FavoriteCommand) (outcomes []vo.FavoriteOutcome, err error) {
	err = s.store.Write(ctx, actor, func(ctx context.Context, tx *repositories.Tx) error {
		outcomes, err = s.apply(ctx, tx, cmds)
		return err
	})
	s.favorites.Dropped(ctx, favoriteKeys(cmds))
	s.observe(cmds, outcomes, err)
	if err != nil {
		return nil, err
	}
	return outcomes, nil
}

func (s *engagementService) Mutate(ctx context.Context, call models.Call, cmd FavoriteCommand) (Answer[vo.FavoriteOutcome], error) {
	answer, err := idempotent(ctx, s.store, s.opts.IdempotencyRetention, call, actionMutateFavorite, uuid.UUID(cmd.VideoID),
		func(ctx context.Context, tx *repositories.Tx) (vo.FavoriteOutcome, error) {
			outcomes, err := s.apply(ctx, tx, []FavoriteCommand{cmd})
			if err != nil {
				return vo.FavoriteOutcome{}, err
			}
			return outcomes[0], nil
		})
	s.favorites.Dropped(ctx, []FavoriteKey{{cmd.UserID, cmd.VideoID}})
	if !answer.Replayed {
		s.observe([]FavoriteCommand{cmd}, []vo.FavoriteOutcome{answer.Value}, err)
	}
	return answer, err
}

func (s *engagementService) apply(ctx context.Context, tx *repositories.Tx, cmds []FavoriteCommand) ([]vo.FavoriteOutcome, error) {
	users := make([]models.UserID, len(cmds))
	for i, c := range cmds {
		users[i] = c.UserID
	}
	counters, err := tx.UserStats.Lock(ctx, users)
	if err != nil {
		return nil, err
	}
	rows := make([]po.FavoriteCommand, len(cmds))
	for i, c := range cmds {
		at, err := c.Claimed.Effective(counters[c.UserID].Now)
		if err != nil {
			return nil, err
		}
		rows[i] = po.FavoriteCommand{UserID: c.UserID, VideoID: c.VideoID, Type: c.Type, Active: c.Active, At: at}
	}
	changes, err := tx.Engagements.Upsert(ctx, rows)
	if err != nil {
		return nil, err
	}
	book := newLedger()
	for i, c := range changes {
		if rows[i].Active && !s.opts.VideoPolicy.AllowsFavorite(c.Availability, c.UploaderID == rows[i].UserID) {
			return nil, models.ErrVideoUnavailable
		}
		if c.Changed {
			s.enter(book, rows[i], c)
		}
	}
	if err := s.checkLimits(book, counters); err != nil {
		return nil, err
	}
	if err := book.book(ctx, tx, s.newID); err != nil {
		return nil, err
	}
	return s.outcomes(ctx, tx, rows, changes)
}

// enter books one state transition.
func (s *engagementService) enter(book *ledger, cmd po.FavoriteCommand, change po.FavoriteChange) {
	step := int64(1)
	if !cmd.Active {
		step = -1
	}
	user, video := book.user(cmd.UserID), book.video(cmd.VideoID)
	switch cmd.Type {
	case models.Like:
		user.Likes += step
		video.Likes += step
	case models.Bookmark:
		user.Bookmarks += step
		video.Bookmarks += step
	}
	if s.opts.PublishEvents {
		book.announce(cmd.UserID, cmd.VideoID, func(id uuid.UUID, stats po.VideoStats) (po.Event, error) {
			return outboxevents.Engagement(id, cmd, change, stats)
		})
	}
}

// checkLimits refuses only what grows a kind beyond its limit (S19).
func (s *engagementService) checkLimits(book *ledger, counters map[models.UserID]po.UserCounters) error {
	for id, d := range book.users {
		have := counters[id]
		if (d.Likes > 0 && have.LikeCount+d.Likes > s.opts.MaxActivePerType) ||
			(d.Bookmarks > 0 && have.BookmarkCount+d.Bookmarks > s.opts.MaxActivePerType) {
			return models.ErrFavoriteLimitReached
		}
	}
	return nil
}

// outcomes reads every command's state in its transaction (S20).
func (s *engagementService) outcomes(ctx context.Context, tx *repositories.Tx, cmds []po.FavoriteCommand, changes []po.FavoriteChange) ([]vo.FavoriteOutcome, error) {
	outcomes := make([]vo.FavoriteOutcome, len(cmds))
	byUser := map[models.UserID][]int{}
	for i, c := range cmds {
		byUser[c.UserID] = append(byUser[c.UserID], i)
	}
	for user, positions := range byUser {
		ids := make([]models.VideoID, len(positions))
		for n, i := range positions {
			ids[n] = cmds[i].VideoID
		}
		states, err := tx.Engagements.BatchGet(ctx, user, ids)
		if err != nil {
			return nil, err
		}
		for n, i := range positions {
			outcomes[i] = vo.FavoriteOutcome{State: states[n], Changed: changes[i].Changed}
			if changes[i].Stale {
				outcomes[i].Outcome = models.OutcomeStale
			}
		}
	}
	return outcomes, nil
}

func (s *engagementService) observe(cmds []FavoriteCommand, outcomes []vo.FavoriteOutcome, err error) {
	if err != nil {
		observeError(s.observer, err)
		return
	}
	for i, o := range outcomes {
		if o.Changed {
			s.observer.FavoriteChanged(cmds[i].Type, cmds[i].Active)
		}
	}
}

func observeError(o Observer, err error) {
	if errors.Is(err, repositories.ErrCounterDrift) {
		o.CounterDrift()
	}
}

func (s *engagementService) BatchQuery(ctx context.Context, call models.Call, ids []models.VideoID) ([]vo.FavoriteState, error) {
	return s.favorites.BatchGet(ctx, call, ids)
}

func (s *engagementService) List(ctx context.Context, call models.Call, q FavoriteListQuery) (page vo.Page[vo.Favorite], err error) {
	scope := pagetoken.Scope{List: "favorites", User: call.Subject, Filter: filterText(string(q.Type), q.IncludeUnavailable)}
	key, err := s.tokens.Decode(scope, q.Page.Token)
	if err != nil {
		return page, err
	}
	query := po.FavoriteQuery{UserID: call.Subject, Type: q.Type, IncludeUnavailable: q.IncludeUnavailable, PageSize: q.Page.size() + 1}
	if key != nil {
		query.Before = &po.FavoriteKey{EngagedAt: key.At, VideoID: key.VideoID, Type: typeOf(key.Kind)}
	}
	err = s.store.Read(ctx, call.Actor, func(ctx context.Context, tx *repositories.Tx) error {
		page = vo.Page[vo.Favorite]{}
		rows, err := tx.Engagements.ListByUser(ctx, query)
		if err != nil {
			return err
		}
		page.Items, page.NextToken = cut(rows, q.Page.size(), func(last vo.Favorite) string {
			return s.tokens.Encode(scope, pagetoken.Key{At: last.EngagedAt, VideoID: last.VideoID, Kind: kindOf(last.Type)})
		})
		if q.WithCount {
			total, err := tx.Engagements.CountByUser(ctx, query)
			page.Total = &total
			return err
		}
		return nil
	})
	return page, err
}

// The tail of a favourite's key; its order is that of the type names.
const (
	kindBookmark byte = 'b'
	kindLike     byte = 'l'
)

func kindOf(t models.FavoriteType) byte {
	if t == models.Bookmark {
		return kindBookmark
	}
	return kindLike
}

func typeOf(kind byte) models.FavoriteType {
	if kind == kindBookmark {
		return models.Bookmark
	}
	return models.Like
}
