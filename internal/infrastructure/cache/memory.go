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
	return &Memory{newLRU[services.FavoriteKey, services.FavoriteMarks](size, ttl, now)}
}

// Get implements services.Cache.
func (m *Memory) Get(_ context.Context, user models.UserID, videos []models.VideoID) []services.CachedFavorite {
	found := make([]services.CachedFavorite, len(videos))
	now := m.entries.now()
	for i, id := range videos {
		marks, lease := m.entries.get(services.FavoriteKey{UserID: user, VideoID: id}, now)
		found[i] = services.CachedFavorite{Marks: marks, Found: lease.Version == 0, Lease: lease}
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

// Stats is a StatsCache of this process.
type Stats struct {
	entries *lru[models.VideoID, vo.VideoStats]
}

// NewStats holds counters of about size videos for at most ttl.
func NewStats(size int, ttl time.Duration, now func() time.Time) *Stats {
	return &Stats{newLRU[models.VideoID, vo.VideoStats](size, ttl, now)}
}

// Get implements services.StatsCache.
func (s *Stats) Get(videos []models.VideoID) []services.CachedStats {
	found := make([]services.CachedStats, len(videos))
	now := s.entries.now()
	for i, id := range videos {
		stats, lease := s.entries.get(id, now)
		found[i] = services.CachedStats{Stats: stats, Found: lease.Version == 0, Lease: lease}
	}
	return found
}

// Fill implements services.StatsCache.
func (s *Stats) Fill(read []services.StatsRead) {
	for _, r := range read {
		s.entries.fill(r.VideoID, r.Stats, r.Lease, newerStats)
	}
}

func newerStats(have, stats vo.VideoStats) bool { return stats.Version >= have.Version }

// Len is how many videos are held, some of them too old to be used.
func (s *Stats) Len() int { return s.entries.len() }
