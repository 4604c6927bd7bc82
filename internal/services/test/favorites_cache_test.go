package test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/cache"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/test/testkit"
)

// table is a store of favourites in memory that counts and can hold reads back. A state's version is its LikedAt in
// microseconds; its counters have the same version.
type table struct {
	repositories.EngagementRepository
	repositories.VideoStatsRepository

	mu       sync.Mutex
	versions map[models.VideoID]int64
	reads    [][]models.VideoID
	// gate lets one read go on with what it has seen, or fail, per value; nil lets all go on.
	gate chan error
}

func newTable() *table { return &table{versions: map[models.VideoID]int64{}} }

func (s *table) WriteFor(context.Context, []models.UserID, func(context.Context, *repositories.Tx) error) error {
	return errors.New("this test only reads")
}

func (s *table) ReadFor(ctx context.Context, _ []models.UserID, fn func(context.Context, *repositories.Tx) error) error {
	return s.Read(ctx, models.ServiceActor, fn)
}

func (s *table) Write(ctx context.Context, _ models.Actor, fn func(context.Context, *repositories.Tx) error) error {
	return s.Read(ctx, models.ServiceActor, fn)
}

func (s *table) Read(ctx context.Context, _ models.Actor, fn func(context.Context, *repositories.Tx) error) error {
	return fn(ctx, &repositories.Tx{Engagements: s, VideoStats: statsTable{s}})
}

func (s *table) set(video models.VideoID, version int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions[video] = version
}

func (s *table) BatchGet(ctx context.Context, _ models.UserID, ids []models.VideoID) ([]po.FavoriteState, error) {
	s.mu.Lock()
	s.reads = append(s.reads, ids)
	states := make([]po.FavoriteState, len(ids))
	for i, id := range ids {
		states[i] = versioned(id, s.versions[id])
	}
	s.mu.Unlock()
	return states, s.pass(ctx)
}

func (s *table) pass(ctx context.Context) error {
	if s.gate == nil {
		return nil
	}
	select {
	case err := <-s.gate:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *table) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.reads)
}

// statsTable reads counters alone.
type statsTable struct{ *table }

func (s statsTable) BatchGet(ctx context.Context, ids []models.VideoID) (map[models.VideoID]po.VideoStats, error) {
	s.mu.Lock()
	s.reads = append(s.reads, ids)
	stats := map[models.VideoID]po.VideoStats{}
	for _, id := range ids {
		stats[id] = po.VideoStats{Version: s.versions[id]}
	}
	s.mu.Unlock()
	return stats, s.pass(ctx)
}

func versioned(id models.VideoID, version int64) po.FavoriteState {
	at := time.UnixMicro(version).UTC()
	return po.FavoriteState{VideoID: id, LikedAt: &at, Stats: po.VideoStats{Version: version}}
}

// reading is Favorites on a table, with caches in memory whose clock is the process's (a bubble's in synctest).
type reading struct {
	*table
	*services.Favorites
	*uses
	call models.Call
}

const (
	stateTTL   = 30 * time.Second
	counterTTL = 2 * time.Second
)

func newReading() reading {
	s, u := newTable(), &uses{}
	return reading{
		s, services.NewFavorites(s, cache.NewMemory(1000, stateTTL, time.Now), cache.NewStats(1000, counterTTL, time.Now), u), u,
		models.Call{Subject: testkit.NewUser()},
	}
}

// uses adds up what a CacheObserver is told.
type uses struct {
	mu                     sync.Mutex
	hits, misses, bypassed map[services.CacheName]int
}

func (u *uses) CacheUsed(name services.CacheName, hits, misses int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.hits == nil {
		u.hits, u.misses = map[services.CacheName]int{}, map[services.CacheName]int{}
	}
	u.hits[name] += hits
	u.misses[name] += misses
}

func (u *uses) CacheBypassed(name services.CacheName, keys int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.bypassed == nil {
		u.bypassed = map[services.CacheName]int{}
	}
	u.bypassed[name] += keys
}

// versions are what ids answer, which must be consistent in themselves.
func (r reading) versions(t testing.TB, ids ...models.VideoID) []int64 {
	t.Helper()
	states, err := r.Favorites.BatchGet(t.Context(), r.call, ids)
	require.NoError(t, err)
	require.Len(t, states, len(ids))
	versions := make([]int64, len(ids))
	for i, s := range states {
		require.Equal(t, ids[i], s.VideoID)
		versions[i] = s.LikedAt.UnixMicro()
	}
	return versions
}

func (r reading) drop(ids ...models.VideoID) {
	keys := make([]services.FavoriteKey, len(ids))
	for i, id := range ids {
		keys[i] = services.FavoriteKey{UserID: r.call.Subject, VideoID: id}
	}
	r.Dropped(context.Background(), keys)
}

// later asks in the background.
func (r reading) later(ctx context.Context, ids ...models.VideoID) <-chan answer {
	done := make(chan answer, 1)
	go func() {
		states, err := r.Favorites.BatchGet(ctx, r.call, ids)
		done <- answer{states, err}
	}()
	return done
}

type answer struct {
	states []po.FavoriteState
	err    error
}

func (a answer) version(t testing.TB) int64 {
	t.Helper()
	require.NoError(t, a.err)
	require.Len(t, a.states, 1)
	return a.states[0].LikedAt.UnixMicro()
}

func TestS90_WhatWasReadOnceIsNotReadAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReading()
		a, b, c := testkit.NewVideo(), testkit.NewVideo(), testkit.NewVideo()
		r.set(a, 1)
		r.set(b, 2)
		require.Equal(t, []int64{2, 1, 2, 0}, r.versions(t, b, a, b, c), "order, length and duplicates (S18)")
		require.Len(t, r.reads, 1)
		require.ElementsMatch(t, []models.VideoID{a, b, c}, r.reads[0], "each once")
		require.Equal(t, []int64{0, 1, 2}, r.versions(t, c, a, b))
		require.Len(t, r.reads, 1)
		require.Equal(t, map[services.CacheName]int{services.FavoriteCacheName: 3, services.StatsCacheName: 3}, r.hits)
		require.Equal(t, map[services.CacheName]int{services.FavoriteCacheName: 4, services.StatsCacheName: 4}, r.misses)

		d := testkit.NewVideo()
		require.Equal(t, []int64{1, 0, 2}, r.versions(t, a, d, b))
		require.Equal(t, []models.VideoID{d}, r.reads[1], "only what is missing")
	})
}

func TestS90_ADropIsSeenByTheNextRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReading()
		a, b := testkit.NewVideo(), testkit.NewVideo()
		require.Equal(t, []int64{0, 0}, r.versions(t, a, b))
		r.set(a, 1)
		r.drop(a)
		require.Equal(t, []int64{1, 0}, r.versions(t, a, b))
		require.Equal(t, []models.VideoID{a}, r.reads[1])
	})
}

func TestS90_StrongGoesPastTheCache(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReading()
		a := testkit.NewVideo()
		require.Equal(t, []int64{0}, r.versions(t, a))
		r.set(a, 1) // by somebody who tells nobody
		require.Equal(t, []int64{0}, r.versions(t, a))
		r.call.Strong = true
		require.Equal(t, []int64{1}, r.versions(t, a))
		require.Equal(t, map[services.CacheName]int{services.FavoriteCacheName: 1, services.StatsCacheName: 1}, r.bypassed)
		r.call.Strong = false
		time.Sleep(stateTTL) //nolint:forbidigo // a bubble's time
		require.Equal(t, []int64{1}, r.versions(t, a))
	})
}

func TestS90_CountersInUseAreRenewedBehindTheCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReading()
		a := testkit.NewVideo()
		require.Equal(t, []int64{0}, r.versions(t, a))
		r.set(a, 7)
		for range 8 {
			time.Sleep(counterTTL / 2) //nolint:forbidigo // a bubble's time
			reads := r.count()
			r.versions(t, a)
			require.Equal(t, reads, r.count(), "no caller reads")
			time.Sleep(renewalGap) //nolint:forbidigo // a bubble's time
			synctest.Wait()
		}
		require.Greater(t, r.count(), 4)
		states, err := r.Favorites.BatchGet(t.Context(), r.call, []models.VideoID{a})
		require.NoError(t, err)
		require.Equal(t, int64(7), states[0].Stats.Version)
	})
}

func TestS90_CountersEndSoonerAndAreReadAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReading()
		a := testkit.NewVideo()
		require.Equal(t, []int64{0}, r.versions(t, a))
		r.set(a, 7)
		time.Sleep(counterTTL) //nolint:forbidigo // a bubble's time
		states, err := r.Favorites.BatchGet(t.Context(), r.call, []models.VideoID{a})
		require.NoError(t, err)
		require.Equal(t, int64(7), states[0].Stats.Version)
		require.Equal(t, int64(0), states[0].LikedAt.UnixMicro(), "the state is still cached")
		require.Len(t, r.reads, 2)
		other := r
		other.call.Subject = testkit.NewUser()
		require.Equal(t, []int64{7}, other.versions(t, a))
		require.Len(t, r.reads, 3)
	})
}

func TestS90_CallsThatMissTogetherReadOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReading()
		r.gate = make(chan error)
		a, b := testkit.NewVideo(), testkit.NewVideo()
		first := r.later(t.Context(), a)
		synctest.Wait()
		var waiting []<-chan answer
		for range 20 {
			waiting = append(waiting, r.later(t.Context(), a))
		}
		mixed := r.later(t.Context(), a, b)
		synctest.Wait()
		require.Equal(t, [][]models.VideoID{{a}, {b}}, r.reads, "one reads a, and the one who wants more reads only that")
		close(r.gate)
		require.Equal(t, int64(0), (<-first).version(t))
		for _, w := range waiting {
			require.Equal(t, int64(0), (<-w).version(t))
		}
		require.NoError(t, (<-mixed).err)
		require.Len(t, r.reads, 2)
	})
}

// A caller who comes after a change must not get what was read before it, from whomever.
func TestS90_NobodyJoinsAReadFromBeforeAChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReading()
		r.gate = make(chan error)
		a := testkit.NewVideo()
		r.set(a, 1)
		early := r.later(t.Context(), a)
		synctest.Wait()
		r.set(a, 2)
		r.drop(a)
		late := r.later(t.Context(), a)
		synctest.Wait()
		require.Len(t, r.reads, 2)
		r.gate <- nil
		r.gate <- nil
		require.Equal(t, int64(1), (<-early).version(t))
		require.Equal(t, int64(2), (<-late).version(t))
		require.Equal(t, []int64{2}, r.versions(t, a), "and what is kept is the newer, whoever came last")
	})
}

func TestS90_WhoeverWaitedForAFailureReadsItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for name, fail := range map[string]func(r reading, leave context.CancelFunc){
			"failed":    func(r reading, _ context.CancelFunc) { r.gate <- errInjected },
			"cancelled": func(_ reading, leave context.CancelFunc) { leave() },
		} {
			r := newReading()
			r.gate = make(chan error)
			a := testkit.NewVideo()
			r.set(a, 1)
			ctx, leave := context.WithCancel(t.Context())
			leader := r.later(ctx, a)
			synctest.Wait()
			waiter := r.later(t.Context(), a)
			synctest.Wait()
			require.Len(t, r.reads, 1, name)
			fail(r, leave)
			require.Error(t, (<-leader).err, name)
			r.gate <- nil
			require.Equal(t, int64(1), (<-waiter).version(t), name)
			require.Equal(t, []int64{1}, r.versions(t, a), name)
			require.Len(t, r.reads, 2, name)
			leave()
		}
	})
}

func TestS90_WaitingEndsWithTheCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReading()
		r.gate = make(chan error)
		a := testkit.NewVideo()
		leader := r.later(t.Context(), a)
		synctest.Wait()
		hasty, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, (<-r.later(hasty, a)).err, models.ErrDeadlineExceeded)
		gone, leave := context.WithCancel(t.Context())
		leave()
		require.ErrorIs(t, (<-r.later(gone, a)).err, models.ErrCancelled)
		close(r.gate)
		require.NoError(t, (<-leader).err)
	})
}

func TestS90_AFailedReadIsNotKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReading()
		r.gate = make(chan error, 1)
		a := testkit.NewVideo()
		r.gate <- errInjected
		_, err := r.Favorites.BatchGet(t.Context(), r.call, []models.VideoID{a})
		require.ErrorIs(t, err, errInjected)
		close(r.gate)
		require.Equal(t, []int64{0}, r.versions(t, a))
		require.Equal(t, 2, r.count())
	})
}

// A hundred writers and readers of a few rows, in the order the scheduler likes: nobody who starts after a writer has
// finished sees what was there before it.
func TestS90_ConcurrentCallsNeverGoBack(t *testing.T) {
	t.Parallel()
	r := newReading()
	videos := []models.VideoID{testkit.NewVideo(), testkit.NewVideo(), testkit.NewVideo()}
	var finished [3]int64
	var mu sync.Mutex
	errs := testkit.Together(16, func(n int) error {
		for i := range 200 {
			v := (n + i) % len(videos)
			if n < 4 {
				mu.Lock()
				r.table.mu.Lock()
				r.table.versions[videos[v]]++
				version := r.table.versions[videos[v]]
				r.table.mu.Unlock()
				mu.Unlock()
				r.drop(videos[v])
				mu.Lock()
				finished[v] = max(finished[v], version)
				mu.Unlock()
				continue
			}
			mu.Lock()
			least := finished[v]
			mu.Unlock()
			states, err := r.Favorites.BatchGet(context.Background(), r.call, []models.VideoID{videos[v], videos[(v+1)%len(videos)]})
			if err != nil {
				return err
			}
			if got := states[0].LikedAt.UnixMicro(); got < least {
				return errors.New("a caller saw what had been replaced before it came")
			}
		}
		return nil
	})
	require.NoError(t, errors.Join(errs...))
}
