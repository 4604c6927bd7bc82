package cache_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/cache"
	"github.com/lingo-services/profile/internal/infrastructure/redislink"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/test/testkit/redistest"
)

func TestM168_InstancesShareOneRedis(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	a, b := newRedis(t, server.URL(), longTTL, slow, &failures{}), newRedis(t, server.URL(), longTTL, slow, &failures{})
	user, video := newUser(), newVideo()
	fill(a, user, video, marked(1), get(t, a, user, video).Lease)
	require.Equal(t, marked(1), get(t, b, user, video).Marks, "what one instance read, the other has")

	drop(b, user, video)
	missing := get(t, a, user, video)
	require.False(t, missing.Found)
	require.Equal(t, missing.Lease.Version, get(t, b, user, video).Lease.Version)
	drop(b, user, video)
	fill(a, user, video, marked(1), missing.Lease)
	require.False(t, get(t, a, user, video).Found, "another instance's drop ends our lease")

	keys := server.Client().Keys(t.Context(), "*").Val()
	require.Equal(t, []string{"profile:fav:{" + user.String() + "}:" + video.String()}, keys)
}

// The clock of Redis alone ends entries: a lease and what it was filled with together live no longer than TTL.
func TestM168_EntriesEndInRedis(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	for _, ttl := range []time.Duration{time.Second, 30 * time.Second, time.Minute} {
		c := newRedis(t, server.URL(), ttl, slow, &failures{})
		user, video := newUser(), newVideo()
		key := "profile:fav:{" + user.String() + "}:" + video.String()
		missing := get(t, c, user, video)
		lease := server.Client().PTTL(t.Context(), key).Val()
		fill(c, user, video, marked(1), missing.Lease)
		life := server.Client().PTTL(t.Context(), key).Val()
		require.Positive(t, lease)
		require.LessOrEqual(t, lease, 2*time.Second, "readers that died must not keep others from filling for long")
		require.Greater(t, life, ttl/4)
		require.LessOrEqual(t, life+min(2*time.Second, ttl/2), ttl)
	}
	c := newRedis(t, server.URL(), time.Second, slow, &failures{})
	user, video := newUser(), newVideo()
	missing := get(t, c, user, video)
	require.Eventually(t, func() bool { return get(t, c, user, video).Lease.Version != missing.Lease.Version }, patience, tick)
	fill(c, user, video, marked(1), missing.Lease)
	require.False(t, get(t, c, user, video).Found, "the lease has ended")
}

// What later versions of this program write is neither understood nor destroyed.
func TestM168_UnknownFormatsAreMisses(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	c := newRedis(t, server.URL(), longTTL, slow, &failures{})
	user, video := newUser(), newVideo()
	key := "profile:fav:{" + user.String() + "}:" + video.String()
	for _, value := range []string{"", "\x02", "\x01", "\x01\x04", "\x01\x01", "\x01\x011234567", "\x01\x03\x0012345678", "\x01\x00 ", "L", "Lshort", "\x01\x011234567890"} {
		require.NoError(t, server.Client().Set(t.Context(), key, value, 0).Err())
		require.Equal(t, services.CachedFavorite{}, get(t, c, user, video), "%q", value)
	}
}

// quickly is how long a call may take when Redis is gone: its own timeouts, on a busy machine.
const quickly = 2 * time.Second

func TestM168_WithoutRedisEverythingIsAMiss(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct{ gone, back func(s *redistest.Server) }{
		"Killed": {func(s *redistest.Server) { s.Kill() }, func(s *redistest.Server) { s.Start() }},
		"Hanging": {
			func(s *redistest.Server) { s.Signal(syscall.SIGSTOP) },
			func(s *redistest.Server) { s.Signal(syscall.SIGCONT) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, failed := redistest.New(t), &failures{}
			c := newRedis(t, server.URL(), longTTL, redislink.DefaultTimeout, failed)
			user, video, other := newUser(), newVideo(), newVideo()
			fillUntilFound(t, c, user, video, 1)
			fillUntilFound(t, c, user, other, 1)
			before := failed.n.Load()

			fault.gone(server)
			begin := time.Now()
			require.Equal(t, services.CachedFavorite{}, get(t, c, user, video), "nothing may be shared either")
			fill(c, user, video, marked(1), services.Lease{Version: 1})
			drop(c, user, video)
			require.Less(t, time.Since(begin), quickly)
			require.Greater(t, failed.n.Load(), before)

			fault.back(server)
			require.Eventually(t, func() bool {
				found := get(t, c, user, video)
				require.False(t, found.Found, "it was dropped while Redis was gone")
				return found.Lease.Version != 0
			}, patience, tick)
			fillUntilFound(t, c, user, video, 2)
		})
	}
}

// fillUntilFound is patient with a busy machine.
func fillUntilFound(t *testing.T, c services.Cache, user models.UserID, video models.VideoID, version int64) {
	t.Helper()
	require.Eventually(t, func() bool {
		found := get(t, c, user, video)
		if found.Found {
			require.Equal(t, marked(version), found.Marks)
			return true
		}
		fill(c, user, video, marked(version), found.Lease)
		return false
	}, patience, tick)
}

// A Redis that is gone costs one try per pause.
func TestM168_ADeadRedisIsLeftAlone(t *testing.T) {
	t.Parallel()
	server, failed := redistest.New(t), &failures{}
	at := &clock{time.Unix(0, 0)}
	c, stop, err := cache.NewRedis(cache.RedisOptions{URL: server.URL(), TTL: longTTL, Timeout: slow, Pause: time.Second, Now: at.now}, failed)
	require.NoError(t, err)
	t.Cleanup(stop)
	server.Kill()
	for range 100 {
		get(t, c, newUser(), newVideo())
	}
	require.Equal(t, int64(1), failed.n.Load())
	at.at = at.at.Add(time.Second)
	for range 100 {
		get(t, c, newUser(), newVideo())
	}
	require.Equal(t, int64(2), failed.n.Load())
	server.Start()
	require.Zero(t, get(t, c, newUser(), newVideo()).Lease)
	at.at = at.at.Add(time.Second)
	require.NotZero(t, get(t, c, newUser(), newVideo()).Lease)
	require.NotZero(t, get(t, c, newUser(), newVideo()).Lease)
}

// More failed drops than can be remembered: Redis is not believed until all it may hold has ended.
func TestM168_ForgottenDropsAreWaitedFor(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	at := &clock{time.Unix(0, 0)}
	c, stop, err := cache.NewRedis(cache.RedisOptions{URL: server.URL(), TTL: longTTL, Timeout: slow, Pause: time.Second, Now: at.now}, &failures{})
	require.NoError(t, err)
	t.Cleanup(stop)
	user, video := newUser(), newVideo()
	server.Kill()
	drop(c, user, video)
	keys := make([]services.FavoriteKey, 10_001)
	for i := range keys {
		keys[i] = services.FavoriteKey{UserID: user, VideoID: newVideo()}
	}
	c.Drop(t.Context(), keys)
	server.Start()
	at.at = at.at.Add(longTTL - time.Millisecond)
	require.Zero(t, get(t, c, user, video).Lease)
	at.at = at.at.Add(time.Millisecond)
	require.NotZero(t, get(t, c, user, video).Lease)
}

// A caller that has gone says nothing about Redis.
func TestM168_ACancelledCallIsNoFailureOfRedis(t *testing.T) {
	t.Parallel()
	server, failed := redistest.New(t), &failures{}
	c := newRedis(t, server.URL(), longTTL, slow, failed)
	user, video := newUser(), newVideo()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	require.Equal(t, []services.CachedFavorite{{}}, c.Get(gone, user, []models.VideoID{video}))
	require.Zero(t, failed.n.Load())
	lease := get(t, c, user, video).Lease
	require.NotZero(t, lease)
	c.Drop(gone, []services.FavoriteKey{{UserID: user, VideoID: video}})
	fill(c, user, video, marked(1), lease)
	require.False(t, get(t, c, user, video).Found, "the drop was made up for")
}

func TestM168_ABadURLIsNotRepeated(t *testing.T) {
	t.Parallel()
	_, _, err := cache.NewRedis(cache.RedisOptions{URL: "http://secret@nowhere", Now: time.Now}, &failures{})
	require.ErrorIs(t, err, cache.ErrRedisURL)
	require.NotContains(t, err.Error(), "secret")
}

func BenchmarkRedisGet50(b *testing.B) {
	server := redistest.New(b)
	c := newRedis(b, server.URL(), longTTL, slow, &failures{})
	user, videos := newUser(), make([]models.VideoID, 50)
	for i := range videos {
		videos[i] = newVideo()
		fill(c, user, videos[i], marked(1), get(b, c, user, videos[i]).Lease)
	}
	b.ReportAllocs()
	for b.Loop() {
		c.Get(b.Context(), user, videos)
	}
}
