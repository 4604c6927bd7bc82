package services

import (
	"context"
	"time"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/vo"
)

// Cache holds the favourite state of a user and a video, that there is none included (S90). It never fails: what
// goes wrong inside is a miss, is counted, and ends with the time to live at the latest. Safe for concurrent use.
type Cache interface {
	// Get answers in order and length of videos. What is not found comes with a lease, to be taken before the
	// database is read.
	Get(ctx context.Context, user models.UserID, videos []models.VideoID) []CachedFavorite
	// Fill stores what was read under a lease, unless the key was dropped since the Get that gave it: a slow
	// reader never puts an old value back.
	Fill(ctx context.Context, user models.UserID, read []FavoriteRead)
	// Drop forgets keys and ends every lease on them. Call it when the change is committed, and whenever it may
	// have been; never before.
	Drop(ctx context.Context, keys []FavoriteKey)
}

// FavoriteKey names what a Cache holds.
type FavoriteKey struct {
	UserID  models.UserID
	VideoID models.VideoID
}

// FavoriteMarks is when a user liked and bookmarked a video; nil unless active. What is pointed to is shared and
// never changes.
type FavoriteMarks struct{ LikedAt, BookmarkedAt *time.Time }

// Lease says since when its holder reads. No Drop of a key came between two Gets that gave leases of one Version,
// so that their holders may share what either reads.
type Lease struct {
	// Version is 0 when nothing may be filled or shared.
	Version uint64
	// Taken is on a clock of the cache's own.
	Taken time.Duration
}

// CachedFavorite is what a Cache knows of one key.
type CachedFavorite struct {
	Marks FavoriteMarks
	Found bool
	// Lease is set when nothing was found.
	Lease Lease
}

// FavoriteRead is a state read under a lease.
type FavoriteRead struct {
	VideoID models.VideoID
	Marks   FavoriteMarks
	Lease   Lease
}

// ByVideo holds something of videos for some seconds (S90); nobody drops it. Of two snapshots the newer one
// stays (S78). Safe for concurrent use.
type ByVideo[V any] interface {
	// Get answers in order and length of videos. What is found with a lease will soon be too old: whoever gets it is the
	// only one who is asked to read it again.
	Get(videos []models.VideoID) []Cached[V]
	// Fill stores what was read under a lease.
	Fill(read []Read[V])
}

// StatsCache holds counters for at most 5 s.
type StatsCache interface{ ByVideo[vo.VideoStats] }

// ListedCache holds what lists show for at most 5 s. The values are shared and never change.
type ListedCache interface{ ByVideo[*vo.ListedVideo] }

// Cached is what a ByVideo knows of one video.
type Cached[V any] struct {
	Value V
	Found bool
	Lease Lease
}

// Read is a value read under a lease.
type Read[V any] struct {
	VideoID models.VideoID
	Value   V
	Lease   Lease
}

// CachedStats is what a StatsCache knows of one video.
type CachedStats = Cached[vo.VideoStats]

// StatsRead are counters read under a lease.
type StatsRead = Read[vo.VideoStats]

// CacheName tells the caches apart in CacheObserver.
type CacheName string

// The caches.
const (
	FavoriteCacheName CacheName = "favorite"
	StatsCacheName    CacheName = "stats"
	ListedCacheName   CacheName = "listed"
)

// CacheObserver counts how keys were answered. Implementations do not block.
type CacheObserver interface {
	// CacheUsed counts keys found and not found.
	CacheUsed(name CacheName, hits, misses int)
	// CacheBypassed counts keys that the caller wanted from the database.
	CacheBypassed(name CacheName, keys int)
}
