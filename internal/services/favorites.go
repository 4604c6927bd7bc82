package services

import (
	"context"
	"errors"
	"maps"
	"sync"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/vo"
	"github.com/lingo-services/profile/internal/repositories"
)

// Favorites reads states through the caches; what several calls miss at once, one of them reads for all (S90).
type Favorites struct {
	store    Store
	cache    Cache
	stats    StatsCache
	observer CacheObserver
	board    board
	renewal  *renewal[vo.VideoStats]
}

// NewFavorites reads from store what the caches do not have.
func NewFavorites(store Store, cache Cache, stats StatsCache, observer CacheObserver) *Favorites {
	f := &Favorites{
		store: store, cache: cache, stats: stats, observer: observer,
		board: board{states: map[stateFlight]*trip{}, stats: map[statsFlight]*trip{}},
	}
	f.renewal = newRenewal(stats, func(ctx context.Context, ids []models.VideoID) ([]vo.VideoStats, error) {
		read, err := f.readStats(ctx, models.Call{Actor: models.ServiceActor}, ids)
		stats := make([]vo.VideoStats, len(ids))
		for i, id := range ids {
			stats[i] = read[id]
		}
		return stats, err
	})
	return f
}

// Dropped is told of changed keys after their transaction, whatever its end: an error may hide a commit, and
// forgetting too much costs a read. It outlives ctx.
func (f *Favorites) Dropped(ctx context.Context, keys []FavoriteKey) {
	f.cache.Drop(context.WithoutCancel(ctx), keys)
}

// BatchGet answers in order and length of ids (S18). Errors: those of Store.Read.
func (f *Favorites) BatchGet(ctx context.Context, call models.Call, ids []models.VideoID) ([]vo.FavoriteState, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	if call.Strong {
		f.observer.CacheBypassed(FavoriteCacheName, len(ids))
		f.observer.CacheBypassed(StatsCacheName, len(ids))
		return f.readStates(ctx, call, ids)
	}
	marks, stats := f.cache.Get(ctx, call.Subject, ids), f.stats.Get(ids)
	states := make([]vo.FavoriteState, len(ids))
	marksFound, statsFound := 0, 0
	for i := range ids {
		if marks[i].Found {
			marksFound++
			states[i].LikedAt, states[i].BookmarkedAt = marks[i].Marks.LikedAt, marks[i].Marks.BookmarkedAt
		}
		if stats[i].Found {
			statsFound++
			states[i].Stats = stats[i].Value
		}
		states[i].VideoID = ids[i]
	}
	f.renewal.add(ids, stats)
	f.observer.CacheUsed(FavoriteCacheName, marksFound, len(ids)-marksFound)
	f.observer.CacheUsed(StatsCacheName, statsFound, len(ids)-statsFound)
	if marksFound == len(ids) && statsFound == len(ids) {
		return states, nil
	}
	read, err := f.resolve(ctx, call, ids, marks, stats)
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		if !marks[i].Found {
			states[i].LikedAt, states[i].BookmarkedAt = read[id].LikedAt, read[id].BookmarkedAt
		}
		if !stats[i].Found {
			states[i].Stats = read[id].Stats
		}
	}
	return states, nil
}

// BatchGetStats answers with counters in order and length of ids. Errors: those of Store.Read.
func (f *Favorites) BatchGetStats(ctx context.Context, ids []models.VideoID) ([]vo.VideoStats, error) {
	stats, marks := f.stats.Get(ids), make([]CachedFavorite, len(ids))
	found, out := 0, make([]vo.VideoStats, len(ids))
	for i := range ids {
		marks[i].Found = true // nobody's are asked for
		if stats[i].Found {
			found++
			out[i] = stats[i].Value
		}
	}
	f.renewal.add(ids, stats)
	f.observer.CacheUsed(StatsCacheName, found, len(ids)-found)
	if found == len(ids) {
		return out, nil
	}
	read, err := f.resolve(ctx, models.Call{Actor: models.ServiceActor}, ids, marks, stats)
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		if !stats[i].Found {
			out[i] = read[id].Stats
		}
	}
	return out, nil
}

// resolve finds out what was not found: it reads what nobody is reading, in one round trip, then waits for
// those who read the rest. What they failed to read, for reasons of their own perhaps, it reads itself.
func (f *Favorites) resolve(ctx context.Context, call models.Call, ids []models.VideoID, marks []CachedFavorite, stats []CachedStats) (map[models.VideoID]vo.FavoriteState, error) {
	own, joined := f.board.plan(call.Subject, ids, marks, stats)
	defer f.board.land(own)
	if err := f.read(ctx, call, own); err != nil {
		return nil, err
	}
	f.board.land(own)
	if len(joined) == 0 {
		return own.read, nil
	}
	read, retry := maps.Clone(own.read), &trip{}
	for _, j := range joined {
		select {
		case <-j.trip.done:
		case <-ctx.Done():
			return nil, ended(ctx)
		}
		if state, ok := j.trip.read[j.ask.videoID]; ok {
			read[j.ask.videoID] = state
		} else {
			retry.asks = append(retry.asks, j.ask)
		}
	}
	if err := f.read(ctx, call, retry); err != nil {
		return nil, err
	}
	maps.Copy(read, retry.read)
	return read, nil
}

// read gets what a trip asks for and fills the caches. Errors: those of Store.Read; nothing is filled then.
func (f *Favorites) read(ctx context.Context, call models.Call, t *trip) error {
	read := make(map[models.VideoID]vo.FavoriteState, len(t.asks))
	ids := make([]models.VideoID, len(t.asks))
	statsOnly := true
	for i, a := range t.asks {
		ids[i] = a.videoID
		statsOnly = statsOnly && !a.wantsMarks
	}
	switch {
	case len(ids) == 0:
	case statsOnly:
		stats, err := f.readStats(ctx, call, ids)
		if err != nil {
			return err
		}
		for _, id := range ids {
			read[id] = vo.FavoriteState{VideoID: id, Stats: stats[id]}
		}
	default:
		states, err := f.readStates(ctx, call, ids)
		if err != nil {
			return err
		}
		for i, id := range ids {
			read[id] = states[i]
		}
	}
	t.read = read
	f.fill(ctx, call.Subject, t)
	return nil
}

func (f *Favorites) fill(ctx context.Context, user models.UserID, t *trip) {
	var marks []FavoriteRead
	var stats []StatsRead
	for _, a := range t.asks {
		state := t.read[a.videoID]
		if a.wantsMarks && a.marks.Version != 0 {
			marks = append(marks, FavoriteRead{a.videoID, FavoriteMarks{state.LikedAt, state.BookmarkedAt}, a.marks})
		}
		if a.stats.Version != 0 {
			stats = append(stats, StatsRead{VideoID: a.videoID, Value: state.Stats, Lease: a.stats})
		}
	}
	if len(marks) > 0 {
		f.cache.Fill(ctx, user, marks)
	}
	if len(stats) > 0 {
		f.stats.Fill(stats)
	}
}

func (f *Favorites) readStates(ctx context.Context, call models.Call, ids []models.VideoID) (states []vo.FavoriteState, err error) {
	err = f.store.Read(ctx, call.Actor, func(ctx context.Context, tx *repositories.Tx) error {
		states, err = tx.Engagements.BatchGet(ctx, call.Subject, ids)
		return err
	})
	return states, err
}

func (f *Favorites) readStats(ctx context.Context, call models.Call, ids []models.VideoID) (stats map[models.VideoID]vo.VideoStats, err error) {
	err = f.store.Read(ctx, call.Actor, func(ctx context.Context, tx *repositories.Tx) error {
		stats, err = tx.VideoStats.BatchGet(ctx, ids)
		return err
	})
	return stats, err
}

func ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return models.ErrDeadlineExceeded.Because(ctx.Err())
	}
	return models.ErrCancelled.Because(ctx.Err())
}

// trip is one call's visit to the database.
type trip struct {
	user models.UserID
	asks []ask
	// read is nil until the trip has succeeded, and never changes then.
	read map[models.VideoID]vo.FavoriteState
	// done is closed when the trip has landed.
	done   chan struct{}
	landed bool
}

// ask is a video to be read: its counters, and with wantsMarks the state; each with the lease it was missed with.
type ask struct {
	videoID      models.VideoID
	wantsMarks   bool
	marks, stats Lease
}

func (a ask) state(user models.UserID) stateFlight {
	return stateFlight{FavoriteKey{user, a.videoID}, a.marks.Version}
}

func (a ask) counters() statsFlight { return statsFlight{a.videoID, a.stats.Version} }

// join is what another trip will bring.
type join struct {
	trip *trip
	ask  ask
}

type stateFlight struct {
	FavoriteKey
	version uint64
}

type statsFlight struct {
	videoID models.VideoID
	version uint64
}

// board shows the trips that are under way, by what they read. Only a lease of the same version gets on: what was
// changed since a trip set out is not for those who come now.
type board struct {
	mu     sync.Mutex
	states map[stateFlight]*trip
	stats  map[statsFlight]*trip
}

// plan divides what was missed into what the caller has to read, which it shows from now on, and what others do.
func (b *board) plan(user models.UserID, ids []models.VideoID, marks []CachedFavorite, stats []CachedStats) (own *trip, joined []join) {
	own = &trip{user: user, done: make(chan struct{})}
	planned := make(map[models.VideoID]struct{}, len(ids))
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, id := range ids {
		if _, again := planned[id]; again || marks[i].Found && stats[i].Found {
			continue
		}
		planned[id] = struct{}{}
		a := ask{videoID: id, wantsMarks: !marks[i].Found, marks: marks[i].Lease, stats: stats[i].Lease}
		other := b.stats[a.counters()]
		if a.wantsMarks {
			other = b.states[a.state(user)]
		}
		if other != nil {
			joined = append(joined, join{other, a})
			continue
		}
		own.asks = append(own.asks, a)
		if a.wantsMarks && a.marks.Version != 0 {
			b.states[a.state(user)] = own
		}
		if key := a.counters(); b.stats[key] == nil && a.stats.Version != 0 {
			b.stats[key] = own
		}
	}
	return own, joined
}

// land lets those who joined have what was read, or know that nothing was. Safe to repeat.
func (b *board) land(t *trip) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.landed {
		return
	}
	t.landed = true
	for _, a := range t.asks {
		if key := a.state(t.user); b.states[key] == t {
			delete(b.states, key)
		}
		if key := a.counters(); b.stats[key] == t {
			delete(b.stats, key)
		}
	}
	close(t.done)
}
