package cache

import (
	"context"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/services"
)

// Off is a Cache that holds nothing.
type Off struct{}

// Get implements services.Cache: nothing is found, and nothing may be shared.
func (Off) Get(_ context.Context, _ models.UserID, videos []models.VideoID) []services.CachedFavorite {
	return make([]services.CachedFavorite, len(videos))
}

// Fill implements services.Cache.
func (Off) Fill(context.Context, models.UserID, []services.FavoriteRead) {}

// Drop implements services.Cache.
func (Off) Drop(context.Context, []services.FavoriteKey) {}

// StatsOff is a StatsCache that holds nothing.
type StatsOff struct{}

// Get implements services.StatsCache: nothing is found, and nothing may be shared.
func (StatsOff) Get(videos []models.VideoID) []services.CachedStats {
	return make([]services.CachedStats, len(videos))
}

// Fill implements services.StatsCache.
func (StatsOff) Fill([]services.StatsRead) {}

// Uncached reads from store every time, for programs that hold no cache.
func Uncached(store services.Store) *services.Favorites {
	return services.NewFavorites(store, Off{}, StatsOff{}, unobserved{})
}

type unobserved struct{}

func (unobserved) CacheUsed(services.CacheName, int, int) {}
func (unobserved) CacheBypassed(services.CacheName, int)  {}
