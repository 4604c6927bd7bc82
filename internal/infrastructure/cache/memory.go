package cache

import (
	"context"
	"time"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/vo"
	"github.com/lingo-services/profile/internal/services"
)

// Memory is a Cache of this process.
type Memory struct {
	entries *lru[services.FavoriteKey, services.FavoriteMarks]
}

// NewMemory holds about size states for at most ttl.
func NewMemory(size int, ttl time.Duration, now func() time.Time) *Memory {
	return &Memory{newLRU[services.FavoriteKey, services.FavoriteMarks](size, ttl, now, never)}
}

// Get implements services.Cache.
func (m *Memory) Get(_ context.Context, user models.UserID, videos []models.VideoID) []services.CachedFavorite {
	found := make([]services.CachedFavorite, len(videos))
	now := m.entries.now()
	for i, id := range videos {
		marks, hit, lease := m.entries.get(services.FavoriteKey{UserID: user, VideoID: id}, now)
		found[i] = services.CachedFavorite{Marks: marks, Found: hit, Lease: lease}
	}
	return found
}

// Fill implements services.Cache.
func (m *Memory) Fill(_ context.Context, user models.UserID, read []services.FavoriteRead) {
	for _, r := range read {
		m.entries.fill(services.FavoriteKey{UserID: user, VideoID: r.VideoID}, r.Marks, r.Lease, always)
	}
}

// always: under one version every reader reads the same.
func always(_, _ services.FavoriteMarks) bool { return true }

// Drop implements services.Cache.
func (m *Memory) Drop(_ context.Context, keys []services.FavoriteKey) {
	for _, k := range keys {
		m.entries.drop(k)
	}
}

// Purge drops everything.
func (m *Memory) Purge() { m.entries.purge() }

// Len is how many states are held, some of them too old to be used.
func (m *Memory) Len() int { return m.entries.len() }

// ByVideo holds something of videos in this process.
type ByVideo[V any] struct {
	entries *lru[models.VideoID, V]
	newer   func(have, value V) bool
}

// halfway is when what is used should be read again.
const halfway = 0.5

// NewStats holds counters of about size videos for at most ttl.
func NewStats(size int, ttl time.Duration, now func() time.Time) *ByVideo[vo.VideoStats] {
	return &ByVideo[vo.VideoStats]{newLRU[models.VideoID, vo.VideoStats](size, ttl, now, halfway), newerStats}
}

// NewListed holds what lists show of about size videos for at most ttl.
func NewListed(size int, ttl time.Duration, now func() time.Time) *ByVideo[*vo.ListedVideo] {
	return &ByVideo[*vo.ListedVideo]{newLRU[models.VideoID, *vo.ListedVideo](size, ttl, now, halfway), newerListed}
}

// Get implements services.ByVideo.
func (c *ByVideo[V]) Get(videos []models.VideoID) []services.Cached[V] {
	found := make([]services.Cached[V], len(videos))
	now := c.entries.now()
	for i, id := range videos {
		value, hit, lease := c.entries.get(id, now)
		found[i] = services.Cached[V]{Value: value, Found: hit, Lease: lease}
	}
	return found
}

// Fill implements services.ByVideo.
func (c *ByVideo[V]) Fill(read []services.Read[V]) {
	for _, r := range read {
		c.entries.fill(r.VideoID, r.Value, r.Lease, c.newer)
	}
}

// Len is how many videos are held, some of them too old to be used.
func (c *ByVideo[V]) Len() int { return c.entries.len() }

func newerStats(have, stats vo.VideoStats) bool { return stats.Version >= have.Version }

// newerListed: neither part goes back. Where versions say nothing, as of fields that an older event brought late, the later
// lease decides.
func newerListed(have, video *vo.ListedVideo) bool {
	return newerStats(have.Stats, video.Stats) && version(video) >= version(have)
}

func version(v *vo.ListedVideo) int64 {
	if v.Video == nil {
		return 0
	}
	return v.Video.Version
}
