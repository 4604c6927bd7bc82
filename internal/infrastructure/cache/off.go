package cache

import (
	"context"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/vo"
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

// ByVideoOff is a ByVideo that holds nothing.
type ByVideoOff[V any] struct{}

// Get implements services.ByVideo: nothing is found, and nothing may be shared.
func (ByVideoOff[V]) Get(videos []models.VideoID) []services.Cached[V] {
	return make([]services.Cached[V], len(videos))
}

// Fill implements services.ByVideo.
func (ByVideoOff[V]) Fill([]services.Read[V]) {}

// Uncached reads from store every time, for programs that hold no cache.
func Uncached(store services.Store) *services.Favorites {
	return services.NewFavorites(store, Off{}, ByVideoOff[vo.VideoStats]{}, unobserved{})
}

// UncachedVideos is Uncached for the videos of lists.
func UncachedVideos(store services.Store) *services.ListedVideos {
	return services.NewListedVideos(store, ByVideoOff[*vo.ListedVideo]{}, unobserved{})
}

type unobserved struct{}

func (unobserved) CacheUsed(services.CacheName, int, int) {}
func (unobserved) CacheBypassed(services.CacheName, int)  {}
