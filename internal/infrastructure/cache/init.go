package cache

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/wire"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/postgres"
	"github.com/lingo-services/profile/internal/infrastructure/redislink"
	"github.com/lingo-services/profile/internal/models/vo"
	"github.com/lingo-services/profile/internal/services"
)

// ProviderSet provides the configured caches, and the videos of lists, which programs without a cache read UncachedVideos.
var ProviderSet = wire.NewSet(New, NewStatsCache, NewListedCache, services.NewListedVideos)

// Observer is told what happens inside the caches.
type Observer interface {
	FailureObserver
	// CacheHolds is told once how to ask for the number of keys held in memory.
	CacheHolds(name services.CacheName, entries func() int)
}

// New is the configured cache of favourite states. With backend memory and a direct connection instances tell each
// other what to drop; without one the time to live is all that ends what another instance changed. The caller calls
// stop. Errors: ErrRedisURL.
func New(conf *confpb.Bootstrap, pool *pgxpool.Pool, log *slog.Logger, observer Observer) (cache services.Cache, stop func(), err error) {
	c := conf.GetCache()
	switch c.GetBackend() {
	case "off":
		return Off{}, func() {}, nil
	case redislink.Name:
		shared, stop, err := NewRedis(RedisOptions{
			URL: c.GetRedisUrl(), TTL: c.GetTtl().AsDuration(), Timeout: redislink.DefaultTimeout, Pause: redislink.DefaultPause, Now: time.Now,
		}, observer)
		return shared, stop, err
	}
	memory := NewMemory(int(c.GetSize()), c.GetTtl().AsDuration(), time.Now)
	observer.CacheHolds(services.FavoriteCacheName, memory.Len)
	url := postgres.DirectURL(conf)
	if url == "" {
		log.Info("there is no direct connection to hear other instances on: their changes are seen after cache.ttl")
		return memory, func() {}, nil
	}
	channel, stop := postgres.NewCacheChannel(pool, url, memory, log)
	return Told{memory, channel}, stop, nil
}

// NewStatsCache is the configured cache of counters: in memory, also beside Redis.
func NewStatsCache(conf *confpb.Cache, observer Observer) services.StatsCache {
	if conf.GetBackend() == "off" {
		return ByVideoOff[vo.VideoStats]{}
	}
	stats := NewStats(int(conf.GetStatsSize()), conf.GetStatsTtl().AsDuration(), time.Now)
	observer.CacheHolds(services.StatsCacheName, stats.Len)
	return stats
}

// NewListedCache is the configured cache of what lists show: in memory, also beside Redis.
func NewListedCache(conf *confpb.Cache, observer Observer) services.ListedCache {
	if conf.GetBackend() == "off" {
		return ByVideoOff[*vo.ListedVideo]{}
	}
	listed := NewListed(int(conf.GetListedSize()), conf.GetStatsTtl().AsDuration(), time.Now)
	observer.CacheHolds(services.ListedCacheName, listed.Len)
	return listed
}

// Announcer tells other instances which keys changed. It does not block.
type Announcer interface {
	Announce(keys []services.FavoriteKey)
}

// Told is a Memory whose drops the other instances are told of.
type Told struct {
	*Memory
	Others Announcer
}

// Drop implements services.Cache.
func (t Told) Drop(ctx context.Context, keys []services.FavoriteKey) {
	t.Memory.Drop(ctx, keys)
	t.Others.Announce(keys)
}
