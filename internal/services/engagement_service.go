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
	"github.com/lingo-services/profile/internal/services/coalesce"
	"github.com/lingo-services/profile/internal/services/pagetoken"
)

// Options are the business settings of all services.
type Options struct {
	VideoPolicy models.VideoPolicy
	// MaxActivePerType is the greatest number of active likes, and of bookmarks, per user (S19).
	MaxActivePerType int64
	Watch            po.WatchRules
	// Coalescing is how callers share transactions.
	Coalescing coalesce.Options
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
	opts     Options
	policy   po.FavoritePolicy
	// favorites answers BatchQuery and is told what changed.
	favorites *Favorites
	videos    *ListedVideos
	lists     *sharedReads[po.FavoriteQuery, []po.Favorite]
	writer    writer[FavoriteCommand, vo.FavoriteOutcome]
}

// NewEngagementService serves likes and bookmarks from store.
func NewEngagementService(store Store, tokens *pagetoken.Codec, observer Observer, newID NewID, favorites *Favorites,
	videos *ListedVideos, opts Options,
) EngagementService {
	s := &engagementService{
		favorites: favorites, videos: videos, store: store, tokens: tokens, observer: observer, newID: newID, opts: opts,
		policy: favoritePolicy(opts.VideoPolicy),
	}
	s.writer = newWriter(writer[FavoriteCommand, vo.FavoriteOutcome]{
		store: store, retention: opts.IdempotencyRetention,
		scope: func(c command[FavoriteCommand]) (string, uuid.UUID) {
			return actionMutateFavorite, uuid.UUID(c.body.VideoID)
		},
		prepare:   s.prepare,
		touched:   s.touched,
		committed: s.committed,
		failed:    func(err error) { observeError(observer, err) },
	}, opts.Coalescing, func(n int, waited time.Duration) { observer.BatchTaken("favorite", n, waited) })
	s.lists = newSharedReads(store, observer, "favorite_list", opts.Coalescing,
		rowsOf(func(ctx context.Context, tx *repositories.Tx, queries []po.FavoriteQuery) ([][]po.Favorite, error) {
			return tx.Engagements.ListByUser(ctx, queries)
		}))
	return s
}

// favoritePolicy spells a policy out for the statement that decides (S22, S23).
func favoritePolicy(p models.VideoPolicy) (out po.FavoritePolicy) {
	for _, a := range []models.Availability{models.Available, models.Private, models.NotReady, models.Deleted, models.Unknown} {
		if !p.AllowsFavorite(a, false) {
			out.Refused = append(out.Refused, a)
		}
		if !p.AllowsFavorite(a, true) {
			out.RefusedOwn = append(out.RefusedOwn, a)
		}
	}
	return out
}

func (s *engagementService) Apply(ctx context.Context, actor models.Actor, cmds []FavoriteCommand) ([]vo.FavoriteOutcome, error) {
	commands := make([]command[FavoriteCommand], len(cmds))
	for i, c := range cmds {
		commands[i] = newCommand(ctx, models.Call{Actor: actor, Subject: c.UserID}, c)
	}
	return values(s.writer.together(ctx, actor, commands))
}

func (s *engagementService) Mutate(ctx context.Context, call models.Call, cmd FavoriteCommand) (Answer[vo.FavoriteOutcome], error) {
	return s.writer.write(ctx, newCommand(ctx, call, cmd))
}

func (s *engagementService) prepare(cmds []command[FavoriteCommand]) ([]read, applyFunc[vo.FavoriteOutcome]) {
	return nil, func(ctx context.Context, tx *repositories.Tx, users locked, places []int, outcomes []outcomeFor[vo.FavoriteOutcome]) (bool, error) {
		return s.apply(ctx, tx, cmds, users, places, outcomes)
	}
}

func (s *engagementService) apply(ctx context.Context, tx *repositories.Tx, cmds []command[FavoriteCommand], users locked,
	places []int, outcomes []outcomeFor[vo.FavoriteOutcome],
) (wrote bool, err error) {
	rows := make(map[int]po.FavoriteCommand, len(places))
	timely := make([]int, 0, len(places))
	for _, i := range places {
		c := cmds[i].body
		at, err := c.Claimed.Effective(users[c.UserID].Now)
		if err != nil {
			outcomes[i].Err = err
			continue
		}
		rows[i] = po.FavoriteCommand{UserID: c.UserID, VideoID: c.VideoID, Type: c.Type, Active: c.Active, At: at}
		timely = append(timely, i)
	}
	book, states := newLedger(), pairStates{}
	for _, round := range s.rounds(rows, timely, users) {
		batch := make([]po.FavoriteCommand, len(round))
		for n, i := range round {
			batch[n] = rows[i]
			batch[n].AtLimit = s.room(users, book, rows[i]) <= 0
		}
		changes, err := tx.Engagements.Upsert(ctx, batch, s.policy)
		if err != nil {
			return false, err
		}
		for n, i := range round {
			wrote = wrote || changes[n].Stored
			switch change := changes[n]; {
			case change.Unavailable:
				outcomes[i].Err = models.ErrVideoUnavailable
			case change.OverLimit:
				outcomes[i].Err = models.ErrFavoriteLimitReached
			default:
				outcomes[i].Value.Value = states.after(rows[i], change)
				s.enter(book, cmds[i].trace, rows[i], change)
			}
		}
	}
	stats, err := book.book(ctx, tx, users, s.newID)
	if err != nil {
		return false, err
	}
	for _, i := range timely {
		if outcomes[i].Err == nil {
			outcomes[i].Value.Value.State.Stats = stats[rows[i].VideoID]
		}
	}
	return wrote, nil
}

// rounds splits places so that no round has a register twice, and so that a user who may reach a limit has one command
// of that type in each: one statement touches a row once, and knows the counters before it only. Order is kept.
func (s *engagementService) rounds(rows map[int]po.FavoriteCommand, places []int, users locked) (rounds [][]int) {
	type register struct {
		user  models.UserID
		video models.VideoID
		kind  models.FavoriteType
	}
	additions := map[register]int64{}
	for _, i := range places {
		if c := rows[i]; c.Active {
			additions[register{user: c.UserID, kind: c.Type}]++
		}
	}
	seen := make(map[register]int, len(places))
	for _, i := range places {
		c := rows[i]
		key := register{c.UserID, c.VideoID, c.Type}
		if all := (register{user: c.UserID, kind: c.Type}); additions[all] > s.room(users, nil, c) {
			key = all
		}
		n := seen[key]
		seen[key]++
		if n == len(rounds) {
			rounds = append(rounds, nil)
		}
		rounds[n] = append(rounds[n], i)
	}
	return rounds
}

// room is how many more of the command's type its user may have (S19), after what the book has entered; a nil book has
// entered nothing.
func (s *engagementService) room(users locked, book *ledger, c po.FavoriteCommand) int64 {
	var entered po.UserDelta
	if book != nil && book.users[c.UserID] != nil {
		entered = *book.users[c.UserID]
	}
	if c.Type == models.Bookmark {
		return s.opts.MaxActivePerType - users[c.UserID].BookmarkCount - entered.Bookmarks
	}
	return s.opts.MaxActivePerType - users[c.UserID].LikeCount - entered.Likes
}

// enter books a command that was applied, and asks for the counters of its video.
func (s *engagementService) enter(book *ledger, trace string, cmd po.FavoriteCommand, change po.FavoriteChange) {
	if !change.Changed {
		book.ask(cmd.VideoID)
		return
	}
	video := book.video(cmd.VideoID, change.Counted)
	step := int64(1)
	if !cmd.Active {
		step = -1
	}
	user := book.user(cmd.UserID)
	switch cmd.Type {
	case models.Like:
		user.Likes += step
		video.Likes += step
	case models.Bookmark:
		user.Bookmarks += step
		video.Bookmarks += step
	}
	if s.opts.PublishEvents {
		book.announce(pendingEvent{cmd.UserID, cmd.VideoID, trace, func(id uuid.UUID, stats po.VideoStats) (po.Event, error) {
			return outboxevents.Engagement(id, cmd, change, stats)
		}})
	}
}

// pairStates are the states of (user, video) pairs as the commands of a transaction leave them, one after the other:
// what one command changed, the statement of the next one may not have seen yet.
type pairStates map[pair]*vo.FavoriteState

type pair struct {
	user  models.UserID
	video models.VideoID
}

// after is the answer to a command that was applied (S20), counters apart.
func (p pairStates) after(cmd po.FavoriteCommand, change po.FavoriteChange) vo.FavoriteOutcome {
	state := p[pair{cmd.UserID, cmd.VideoID}]
	if state == nil {
		state = &vo.FavoriteState{VideoID: cmd.VideoID, LikedAt: change.Other, BookmarkedAt: change.Other}
		p[pair{cmd.UserID, cmd.VideoID}] = state
	}
	since := change.Before
	switch {
	case change.Changed && cmd.Active:
		since = &change.At
	case change.Changed:
		since = nil
	}
	if cmd.Type == models.Bookmark {
		state.BookmarkedAt = since
	} else {
		state.LikedAt = since
	}
	outcome := vo.FavoriteOutcome{State: *state, Changed: change.Changed}
	if change.Stale {
		outcome.Outcome = models.OutcomeStale
	}
	return outcome
}

// touched forgets what is cached of everything that may have changed.
func (s *engagementService) touched(ctx context.Context, cmds []command[FavoriteCommand], outcomes []outcomeFor[vo.FavoriteOutcome]) {
	keys := make([]FavoriteKey, 0, len(cmds))
	for i, c := range cmds {
		if outcomes == nil || outcomes[i].Value.Value.Changed {
			keys = append(keys, FavoriteKey{c.body.UserID, c.body.VideoID})
		}
	}
	if len(keys) > 0 {
		s.favorites.Dropped(ctx, keys)
	}
}

func (s *engagementService) committed(cmds []command[FavoriteCommand], outcomes []outcomeFor[vo.FavoriteOutcome]) {
	for i, o := range outcomes {
		if o.Err == nil && !o.Value.Replayed && o.Value.Value.Changed {
			s.observer.FavoriteChanged(cmds[i].body.Type, cmds[i].body.Active)
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
	query := po.FavoriteQuery{UserID: call.Subject, Type: q.Type, IncludeUnavailable: q.IncludeUnavailable}
	if key != nil {
		query.Before = &po.FavoriteKey{EngagedAt: key.At, VideoID: key.VideoID, Type: typeOf(key.Kind)}
	}
	rows, err := listing[po.FavoriteQuery, po.Favorite, vo.Favorite]{
		lists: s.lists, videos: s.videos, call: call, everything: q.IncludeUnavailable,
		below: func(last *po.Favorite, limit int) po.FavoriteQuery {
			below := query
			if below.Limit = limit; last != nil {
				key := last.Key()
				below.Before = &key
			}
			return below
		},
		video: func(row po.Favorite) models.VideoID { return row.VideoID },
		entry: func(row po.Favorite, video *vo.ListedVideo) vo.Favorite {
			return vo.Favorite{Favorite: row, ListedVideo: video}
		},
	}.first(ctx, q.Page.size()+1)
	if err != nil {
		return page, err
	}
	page.Items, page.NextToken = cut(rows, q.Page.size(), func(last vo.Favorite) string {
		return s.tokens.Encode(scope, pagetoken.Key{At: last.EngagedAt, VideoID: last.VideoID, Kind: kindOf(last.Type)})
	})
	if q.WithCount {
		page.Total, err = s.count(ctx, call, query)
	}
	return page, err
}

func (s *engagementService) count(ctx context.Context, call models.Call, query po.FavoriteQuery) (*int64, error) {
	var total int64
	err := s.store.Read(ctx, call.Actor, func(ctx context.Context, tx *repositories.Tx) (err error) {
		total, err = tx.Engagements.CountByUser(ctx, query)
		return err
	})
	return &total, err
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
