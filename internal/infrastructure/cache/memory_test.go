package cache_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/lingo-services/profile/internal/infrastructure/cache"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/models/vo"
	"github.com/lingo-services/profile/internal/services"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that a test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func TestS90_AnEntryEndsATimeToLiveAfterItsLease(t *testing.T) {
	t.Parallel()
	const ttl = 10 * time.Second
	time0 := &clock{time.Unix(0, 0)}
	c := cache.NewMemory(100, ttl, time0.now)
	user, video := newUser(), newVideo()
	lease := get(t, c, user, video).Lease
	time0.at = time0.at.Add(5 * time.Second) // a slow read
	fill(c, user, video, marked(1), lease)
	require.True(t, get(t, c, user, video).Found)
	time0.at = time0.at.Add(ttl - 5*time.Second)
	require.False(t, get(t, c, user, video).Found, "the time of the read counts")

	fill(c, user, video, marked(1), get(t, c, user, video).Lease)
	time0.at = time0.at.Add(ttl - ttl/10 - time.Millisecond)
	require.True(t, get(t, c, user, video).Found, "jitter takes a tenth at most")
}

// Writers that die before they drop: their change is seen a time to live later at the latest.
func TestS90_ALostDropIsWrongForATimeToLiveAtMost(t *testing.T) {
	t.Parallel()
	const ttl = 10 * time.Second
	rapid.Check(t, func(t *rapid.T) {
		now := &clock{time.Unix(0, 0)}
		c := cache.NewMemory(100, ttl, now.now)
		user, video := newUser(), newVideo()
		stored := int64(1)
		superseded := map[int64]time.Time{}
		var readers []reader
		t.Repeat(map[string]func(*rapid.T){
			"ask": func(t *rapid.T) {
				found := c.Get(nil, user, []models.VideoID{video})[0] //nolint:staticcheck // SA1012: memory has no use for one
				if !found.Found {
					readers = append(readers, reader{found.Lease, stored})
					return
				}
				version := found.Marks.LikedAt.UnixMicro()
				if end, old := superseded[version]; old && now.at.Sub(end) >= ttl {
					t.Fatalf("version %d is found %s after it was replaced", version, now.at.Sub(end))
				}
			},
			"fill": func(t *rapid.T) {
				if len(readers) == 0 {
					t.Skip("nobody")
				}
				i := rapid.IntRange(0, len(readers)-1).Draw(t, "which")
				fill(c, user, video, marked(readers[i].read), readers[i].lease)
				readers = append(readers[:i], readers[i+1:]...)
			},
			"commit": func(*rapid.T) { superseded[stored], stored = now.at, stored+1 },
			"wait": func(t *rapid.T) {
				now.at = now.at.Add(time.Duration(rapid.IntRange(1, int(ttl)).Draw(t, "for")))
			},
		})
	})
}

func TestS90_PurgeDropsEverything(t *testing.T) {
	t.Parallel()
	c := cache.NewMemory(10_000, longTTL, time.Now)
	user, leases := newUser(), map[models.VideoID]services.Lease{}
	for range 2000 {
		video := newVideo()
		leases[video] = get(t, c, user, video).Lease
	}
	for video, lease := range leases {
		fill(c, user, video, marked(1), lease)
	}
	require.Equal(t, 2000, c.Len())
	c.Purge()
	require.Zero(t, c.Len())
	for video, lease := range leases {
		fill(c, user, video, marked(1), lease)
	}
	require.Zero(t, c.Len(), "what was read before is not for afterwards")
}

func TestM69_TheCacheIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	t.Parallel()
	const size = 10
	now := &clock{time.Unix(0, 0)}
	c := cache.NewMemory(size, longTTL, now.now)
	user, used := newUser(), newVideo()
	fill(c, user, used, marked(1), get(t, c, user, used).Lease)
	for range 100 {
		video := newVideo()
		fill(c, user, video, marked(1), get(t, c, user, video).Lease)
		now.at = now.at.Add(time.Nanosecond)
		require.True(t, get(t, c, user, used).Found)
	}
	require.Equal(t, size, c.Len())
	big := cache.NewMemory(1000, longTTL, time.Now)
	for range 5000 {
		video := newVideo()
		fill(big, user, video, marked(1), get(t, big, user, video).Lease)
	}
	require.LessOrEqual(t, big.Len(), 1000)
	require.Greater(t, big.Len(), 900)
}

func TestS90_StatsKeepTheNewerAndEnd(t *testing.T) {
	t.Parallel()
	const ttl = 2 * time.Second
	now := &clock{time.Unix(0, 0)}
	c := cache.NewStats(100, ttl, now.now)
	video := newVideo()
	one := func() services.CachedStats { return c.Get([]models.VideoID{video})[0] }
	put := func(version int64, lease services.Lease) {
		c.Fill([]services.StatsRead{{VideoID: video, Value: vo.VideoStats{Version: version}, Lease: lease}})
	}
	early := one().Lease
	put(5, early)
	put(4, early)
	require.Equal(t, int64(5), one().Value.Version, "the counters went back")
	now.at = now.at.Add(ttl)
	require.False(t, one().Found)
	put(5, early)
	require.False(t, one().Found, "the time of the read counts")
	put(3, one().Lease)
	require.Equal(t, int64(3), one().Value.Version, "what has ended decides nothing")
}

func TestS90_ListedVideosKeepTheNewer(t *testing.T) {
	t.Parallel()
	now := &clock{time.Unix(0, 0)}
	c := cache.NewListed(100, longTTL, now.now)
	video := newVideo()
	of := func(version, stats int64) *vo.ListedVideo {
		return vo.NewListedVideo(po.ListedVideo{Video: &vo.Video{Version: version}, Stats: vo.VideoStats{Version: stats}})
	}
	one := func() services.Cached[*vo.ListedVideo] { return c.Get([]models.VideoID{video})[0] }
	fill := func(lease services.Lease, read *vo.ListedVideo) {
		c.Fill([]services.Read[*vo.ListedVideo]{{VideoID: video, Value: read, Lease: lease}})
	}
	early := one().Lease
	now.at = now.at.Add(time.Second)
	late := one().Lease
	unknown, newest := vo.NewListedVideo(po.ListedVideo{Stats: vo.VideoStats{Version: 2}}), of(7, 2)
	for _, read := range []*vo.ListedVideo{unknown, newest, unknown, of(6, 2), of(7, 1)} {
		fill(late, read)
	}
	fill(early, of(7, 2))
	require.Same(t, newest, one().Value)
}

// One reader of many is asked to read again what will soon be too old, and everybody is answered meanwhile.
func TestS90_WhatIsUsedIsAskedForBeforeItEnds(t *testing.T) {
	t.Parallel()
	const ttl = 10 * time.Second
	now := &clock{time.Unix(0, 0)}
	c := cache.NewStats(100, ttl, now.now)
	video := newVideo()
	one := func() services.CachedStats { return c.Get([]models.VideoID{video})[0] }
	put := func(version int64, lease services.Lease) {
		c.Fill([]services.StatsRead{{VideoID: video, Value: vo.VideoStats{Version: version}, Lease: lease}})
	}
	put(1, one().Lease)
	require.Zero(t, one().Lease, "it is new")
	now.at = now.at.Add(ttl / 2)
	due := one()
	require.True(t, due.Found)
	require.NotZero(t, due.Lease)
	require.Zero(t, one().Lease, "somebody else has been asked")
	put(2, due.Lease)
	now.at = now.at.Add(ttl/2 - time.Second)
	require.Equal(t, int64(2), one().Value.Version, "its time began anew")
	require.Zero(t, one().Lease)

	now.at = now.at.Add(2 * time.Second)
	require.NotZero(t, one().Lease)
	now.at = now.at.Add(ttl)
	require.False(t, one().Found, "nobody has read it again")
}

func BenchmarkMemoryGet50(b *testing.B) {
	c := cache.NewMemory(100_000, longTTL, time.Now)
	user, videos := newUser(), make([]models.VideoID, 50)
	for i := range videos {
		videos[i] = newVideo()
	}
	var read []services.FavoriteRead
	for i, missing := range c.Get(b.Context(), user, videos) {
		read = append(read, services.FavoriteRead{VideoID: videos[i], Marks: marked(1), Lease: missing.Lease})
	}
	c.Fill(b.Context(), user, read)
	b.ReportAllocs()
	for b.Loop() {
		c.Get(b.Context(), user, videos)
	}
}

func BenchmarkMemoryGet50Parallel(b *testing.B) {
	c := cache.NewMemory(100_000, longTTL, time.Now)
	user, videos := newUser(), make([]models.VideoID, 50)
	for i := range videos {
		videos[i] = newVideo()
		fill(c, user, videos[i], marked(1), get(b, c, user, videos[i]).Lease)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c.Get(b.Context(), user, videos)
		}
	})
}
