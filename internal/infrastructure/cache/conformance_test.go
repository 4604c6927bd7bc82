package cache_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lingo-services/profile/internal/infrastructure/cache"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/vo"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/test/testkit/redistest"
)

const longTTL = time.Minute

const (
	patience = 10 * time.Second
	tick     = 10 * time.Millisecond
)

// slow is a timeout that a busy machine keeps.
const slow = 5 * time.Second

// failures counts what caches report.
type failures struct{ n atomic.Int64 }

func (f *failures) CacheFailed(string) { f.n.Add(1) }

// backends are what every rule of services.Cache is tested on.
func backends(t *testing.T) map[string]func(t testing.TB) services.Cache {
	t.Helper()
	server := redistest.New(t)
	return map[string]func(t testing.TB) services.Cache{
		"memory": func(testing.TB) services.Cache { return cache.NewMemory(10_000, longTTL, time.Now) },
		"small":  func(testing.TB) services.Cache { return cache.NewMemory(2, longTTL, time.Now) },
		"redis":  func(t testing.TB) services.Cache { return newRedis(t, server.URL(), longTTL, slow, &failures{}) },
	}
}

func newRedis(t testing.TB, url string, ttl, timeout time.Duration, observer *failures) *cache.Redis {
	t.Helper()
	c, stop, err := cache.NewRedis(cache.RedisOptions{URL: url, TTL: ttl, Timeout: timeout, Pause: pause, Now: time.Now}, observer)
	require.NoError(t, err)
	t.Cleanup(stop)
	return c
}

const pause = 100 * time.Millisecond

func newUser() models.UserID   { return models.UserID(uuid.New()) }
func newVideo() models.VideoID { return models.VideoID(uuid.New()) }

// marked is a state that stands for the nth version of a row.
func marked(n int64) services.FavoriteMarks {
	at := time.UnixMicro(n).UTC()
	return services.FavoriteMarks{LikedAt: &at}
}

func get(t testing.TB, c services.Cache, user models.UserID, video models.VideoID) services.CachedFavorite {
	t.Helper()
	found := c.Get(context.Background(), user, []models.VideoID{video})
	require.Len(t, found, 1)
	return found[0]
}

func fill(c services.Cache, user models.UserID, video models.VideoID, marks services.FavoriteMarks, lease services.Lease) {
	c.Fill(context.Background(), user, []services.FavoriteRead{{VideoID: video, Marks: marks, Lease: lease}})
}

func drop(c services.Cache, user models.UserID, video models.VideoID) {
	c.Drop(context.Background(), []services.FavoriteKey{{UserID: user, VideoID: video}})
}

func TestS90_EveryCacheKeepsTheRules(t *testing.T) {
	t.Parallel()
	for name, newCache := range backends(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCache(t)
			conform(t, c)
		})
	}
}

// conform runs every rule of services.Cache on one cache. Each uses users of its own.
func conform(t *testing.T, c services.Cache) {
	t.Helper()
	t.Run("AStateIsFoundAsItWasFilled", func(t *testing.T) {
		user, video, at, later := newUser(), newVideo(), time.UnixMicro(1_900_000_000_123_456).UTC(), time.UnixMicro(1_900_000_001_000_000).UTC()
		for _, marks := range []services.FavoriteMarks{{}, {LikedAt: &at}, {BookmarkedAt: &at}, {LikedAt: &at, BookmarkedAt: &later}} {
			missing := get(t, c, user, video)
			require.False(t, missing.Found)
			require.NotZero(t, missing.Lease.Version)
			fill(c, user, video, marks, missing.Lease)
			found := get(t, c, user, video)
			require.True(t, found.Found, "that there is nothing is worth knowing too")
			require.Equal(t, marks, found.Marks)
			drop(c, user, video)
		}
	})
	t.Run("AnswersKeepOrderAndLength", func(t *testing.T) {
		user, a, b := newUser(), newVideo(), newVideo()
		fill(c, user, a, marked(1), get(t, c, user, a).Lease)
		found := c.Get(t.Context(), user, []models.VideoID{b, a, b, a})
		require.Len(t, found, 4)
		for i, want := range []bool{false, true, false, true} {
			require.Equal(t, want, found[i].Found)
		}
		require.Equal(t, found[0].Lease.Version, found[2].Lease.Version)
		require.Equal(t, marked(1), found[3].Marks)
		require.Empty(t, c.Get(t.Context(), user, nil))
	})
	t.Run("UsersAreApart", func(t *testing.T) {
		user, video := newUser(), newVideo()
		fill(c, user, video, marked(1), get(t, c, user, video).Lease)
		require.False(t, get(t, c, newUser(), video).Found)
		require.False(t, get(t, c, user, newVideo()).Found)
	})
	t.Run("ADropEndsTheLeasesBeforeIt", func(t *testing.T) {
		user, video := newUser(), newVideo()
		before := get(t, c, user, video)
		drop(c, user, video)
		fill(c, user, video, marked(1), before.Lease)
		after := get(t, c, user, video)
		require.False(t, after.Found, "the slow reader put an old value back")
		require.NotEqual(t, before.Lease.Version, after.Lease.Version, "readers from before and after a change must not share")
		fill(c, user, video, marked(2), after.Lease)
		fill(c, user, video, marked(1), before.Lease)
		require.Equal(t, marked(2), get(t, c, user, video).Marks)
	})
	t.Run("ReadersBetweenTwoDropsMayShare", func(t *testing.T) {
		user, video := newUser(), newVideo()
		first, second := get(t, c, user, video), get(t, c, user, video)
		require.Equal(t, first.Lease.Version, second.Lease.Version)
		fill(c, user, video, marked(1), second.Lease)
		require.True(t, get(t, c, user, video).Found)
	})
	t.Run("WithoutALeaseNothingIsFilled", func(t *testing.T) {
		user, video := newUser(), newVideo()
		fill(c, user, video, marked(1), services.Lease{})
		require.False(t, get(t, c, user, video).Found)
		c.Fill(t.Context(), user, nil)
		c.Drop(t.Context(), nil)
	})
	t.Run("DroppingIsSafeToRepeat", func(t *testing.T) {
		user, video := newUser(), newVideo()
		drop(c, user, video)
		drop(c, user, video)
		keys := []services.FavoriteKey{{UserID: user, VideoID: video}, {UserID: user, VideoID: video}, {UserID: newUser(), VideoID: video}}
		c.Drop(t.Context(), keys)
		require.False(t, get(t, c, user, video).Found)
	})
}

func TestS90_OffFindsAndSharesNothing(t *testing.T) {
	t.Parallel()
	user, video := newUser(), newVideo()
	missing := get(t, cache.Off{}, user, video)
	require.Equal(t, services.CachedFavorite{}, missing)
	fill(cache.Off{}, user, video, marked(1), services.Lease{Version: 1})
	drop(cache.Off{}, user, video)
	require.False(t, get(t, cache.Off{}, user, video).Found)
	stats := cache.ByVideoOff[vo.VideoStats]{}
	stats.Fill([]services.StatsRead{{VideoID: video, Lease: services.Lease{Version: 1}}})
	require.Equal(t, []services.CachedStats{{}}, stats.Get([]models.VideoID{video}))
}

// A row of a database, readers that are anywhere between asking the cache and filling it, and writers that are
// anywhere between committing and dropping, in every order: what is found is never older than what the last finished
// writer wrote.
func TestS90_NoOrderOfReadersAndWritersBringsAnOldValueBack(t *testing.T) {
	t.Parallel()
	for name, newCache := range backends(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCache(t)
			rapid.Check(t, func(t *rapid.T) { newSchedule(c).run(t) })
		})
	}
}

// schedule is one order of events around one row.
type schedule struct {
	c     services.Cache
	user  models.UserID
	video models.VideoID

	// stored is the row's version, dropped the greatest whose writer has finished.
	stored, dropped int64
	undropped       []int64
	readers         []reader
}

type reader struct {
	lease services.Lease
	// read is what the reader saw in the database; 0 before it looked.
	read int64
}

func newSchedule(c services.Cache) *schedule {
	return &schedule{c: c, user: newUser(), video: newVideo(), stored: 1, dropped: 1}
}

func (s *schedule) run(t *rapid.T) {
	ctx := context.Background()
	pick := func(t *rapid.T, n int) int {
		if n == 0 {
			t.Skip("nobody")
		}
		return rapid.IntRange(0, n-1).Draw(t, "which")
	}
	t.Repeat(map[string]func(*rapid.T){
		"ask": func(t *rapid.T) {
			found := s.c.Get(ctx, s.user, []models.VideoID{s.video})[0]
			if !found.Found {
				s.readers = append(s.readers, reader{lease: found.Lease})
				return
			}
			if found.Marks.LikedAt.UnixMicro() < s.dropped {
				t.Fatalf("found version %d after version %d was dropped", found.Marks.LikedAt.UnixMicro(), s.dropped)
			}
		},
		"read": func(t *rapid.T) { s.readers[pick(t, len(s.readers))].read = s.stored },
		"fill": func(t *rapid.T) {
			i := pick(t, len(s.readers))
			if s.readers[i].read == 0 {
				t.Skip("has read nothing")
			}
			fill(s.c, s.user, s.video, marked(s.readers[i].read), s.readers[i].lease)
			s.readers = append(s.readers[:i], s.readers[i+1:]...)
		},
		"commit": func(*rapid.T) {
			s.stored++
			s.undropped = append(s.undropped, s.stored)
		},
		"drop": func(t *rapid.T) {
			i := pick(t, len(s.undropped))
			drop(s.c, s.user, s.video)
			s.dropped = max(s.dropped, s.undropped[i])
			s.undropped = append(s.undropped[:i], s.undropped[i+1:]...)
		},
	})
}

// The same with real threads: a row in memory instead of a database, and a cache before it.
func TestS90_ConcurrentReadersAndWritersAgree(t *testing.T) {
	t.Parallel()
	const writes, readers = 300, 4
	for name, newCache := range backends(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCache(t)
			user, video := newUser(), newVideo()
			var stored, dropped atomic.Int64
			var group sync.WaitGroup
			stop := make(chan struct{})
			var hits atomic.Int64
			for range readers {
				group.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						least := dropped.Load()
						found := c.Get(context.Background(), user, []models.VideoID{video})[0]
						if !found.Found {
							fill(c, user, video, marked(stored.Load()), found.Lease)
							continue
						}
						hits.Add(1)
						if got := found.Marks.LikedAt.UnixMicro(); got < least {
							t.Errorf("found version %d after version %d was dropped", got, least)
							return
						}
					}
				})
			}
			for range writes {
				version := stored.Add(1)
				drop(c, user, video)
				dropped.Store(version)
			}
			require.Eventually(t, func() bool { return hits.Load() > 0 }, patience, tick)
			close(stop)
			group.Wait()
		})
	}
}
