package cache

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/lingo-services/profile/internal/infrastructure/redislink"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/services"
)

// RedisOptions are the settings of a Redis cache.
type RedisOptions struct {
	// URL is redis:// or rediss:// with credentials and database.
	URL string
	// TTL bounds how long anything wrong is kept, whatever happens to Redis and its connections.
	TTL time.Duration
	// Timeout bounds connecting, sending and answering, each.
	Timeout time.Duration
	// Pause is how long Redis is left alone after a failure.
	Pause time.Duration
	Now   func() time.Time
}

const (
	// maxLease is longer than a read may take.
	maxLease = 2 * time.Second
	// maxOwed is how many failed drops are remembered.
	maxOwed = 10_000
)

// ErrRedisURL says that the URL cannot be used; the URL may hold a password and is not repeated.
var ErrRedisURL = errors.New("cache.redis_url is not a valid redis URL")

// FailureObserver counts what went wrong inside a cache.
type FailureObserver interface{ CacheFailed(backend string) }

// Redis is a Cache that instances share. A lease is a value of its own kind under the key: a fill replaces exactly
// that, and a drop removes it. Entries live a lease shorter than TTL, so that a value read when the lease was taken
// is gone TTL later by the clock of Redis alone.
type Redis struct {
	link     *redislink.Link
	ttl      time.Duration
	lease    time.Duration
	observer FailureObserver

	// Before distrust, in nanoseconds since the link was opened, Redis may hold what a forgotten drop was for.
	distrust atomic.Int64

	// owed are drops that failed. Until they are made up for, this instance uses nothing of Redis.
	mu    sync.Mutex
	owed  map[services.FavoriteKey]struct{}
	debts atomic.Int64
}

// NewRedis connects when it is first used. The caller calls stop. Errors: ErrRedisURL.
func NewRedis(opts RedisOptions, observer FailureObserver) (r *Redis, stop func(), err error) {
	link, err := redislink.Open(redislink.Options{URL: opts.URL, Timeout: opts.Timeout, Pause: opts.Pause, Now: opts.Now})
	if err != nil {
		return nil, nil, ErrRedisURL
	}
	r = &Redis{
		link: link, ttl: opts.TTL, lease: min(maxLease, opts.TTL/2), observer: observer, owed: map[services.FavoriteKey]struct{}{},
	}
	return r, link.Close, nil
}

// lookup answers what every key holds, and gives keys that hold nothing the lease ARGV[1] for ARGV[2] ms.
var lookup = redis.NewScript(`
local found = {}
for i, key in ipairs(KEYS) do
  local value = redis.call('GET', key)
  if not value then
    value = ARGV[1]
    redis.call('SET', key, value, 'PX', ARGV[2])
  end
  found[i] = value
end
return found`)

// fill replaces leases: KEYS[i] that still holds ARGV[3i-2] gets ARGV[3i-1] for ARGV[3i] ms.
var fill = redis.NewScript(`
for i, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[3*i-2] then
    redis.call('SET', key, ARGV[3*i-1], 'PX', ARGV[3*i])
  end
end
return 0`)

// Get implements services.Cache.
func (r *Redis) Get(ctx context.Context, user models.UserID, videos []models.VideoID) []services.CachedFavorite {
	found := make([]services.CachedFavorite, len(videos))
	if len(videos) == 0 || !r.usable(ctx) {
		return found
	}
	lease := encodeLease(rand.Uint64() | 1) //nolint:gosec // unique, not secret
	values, err := lookup.Run(ctx, r.link.Client, redisKeys(user, videos), lease, r.lease.Milliseconds()).StringSlice()
	if !r.settle(ctx, err) || len(values) != len(videos) {
		return found
	}
	for i, value := range values {
		found[i] = decode(value)
	}
	return found
}

// Fill implements services.Cache.
func (r *Redis) Fill(ctx context.Context, user models.UserID, read []services.FavoriteRead) {
	videos := make([]models.VideoID, 0, len(read))
	args := make([]any, 0, 3*len(read))
	for _, f := range read {
		if f.Lease.Version == 0 {
			continue
		}
		life := r.ttl - r.lease
		life -= rand.N(life/jitter + 1) //nolint:gosec // spreading needs no secrecy
		videos = append(videos, f.VideoID)
		args = append(args, encodeLease(f.Lease.Version), encodeMarks(f.Marks), max(life.Milliseconds(), 1))
	}
	if len(videos) == 0 || !r.usable(ctx) {
		return
	}
	r.settle(ctx, fill.Run(ctx, r.link.Client, redisKeys(user, videos), args...).Err())
}

// Drop implements services.Cache. A drop that fails is made up for when Redis is back.
func (r *Redis) Drop(ctx context.Context, keys []services.FavoriteKey) {
	if len(keys) == 0 {
		return
	}
	if !r.usable(ctx) || !r.settle(ctx, r.unlink(ctx, keys)) {
		r.owe(keys)
	}
}

func (r *Redis) unlink(ctx context.Context, keys []services.FavoriteKey) error {
	// One command per key: keys of two users are on two nodes of a cluster.
	_, err := r.link.Client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, k := range keys {
			p.Unlink(ctx, redisKey(k.UserID, k.VideoID))
		}
		return nil
	})
	return err
}

// usable reports whether Redis may be asked now, and nothing is owed any more.
func (r *Redis) usable(ctx context.Context) bool {
	if distrust := r.distrust.Load(); distrust != 0 && int64(r.link.Since()) < distrust {
		return false
	}
	return r.link.Usable() && (r.debts.Load() == 0 || r.makeUp(ctx))
}

// settle notes how a command went, and reports whether it went well.
func (r *Redis) settle(ctx context.Context, err error) bool {
	verdict := r.link.Settle(ctx, err)
	if verdict == redislink.Failed {
		r.observer.CacheFailed(redislink.Name)
	}
	return verdict == redislink.Answered
}

func (r *Redis) owe(keys []services.FavoriteKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range keys {
		r.owed[k] = struct{}{}
	}
	if len(r.owed) > maxOwed {
		// Too many to remember, but TTL from now everything there is now is gone.
		clear(r.owed)
		r.distrust.Store(int64(r.link.Since() + r.ttl))
	}
	r.debts.Store(int64(len(r.owed)))
}

// makeUp sends the drops that are owed. Callers that come meanwhile go without Redis.
func (r *Redis) makeUp(ctx context.Context) bool {
	if !r.mu.TryLock() {
		return false
	}
	defer r.mu.Unlock()
	keys := make([]services.FavoriteKey, 0, len(r.owed))
	for k := range r.owed {
		keys = append(keys, k)
	}
	if !r.settle(ctx, r.unlink(ctx, keys)) {
		return false
	}
	clear(r.owed)
	r.debts.Store(0)
	return true
}

// redisKey is profile:fav:{user}:video; the braces keep a user's keys together in a cluster.
func redisKey(user models.UserID, video models.VideoID) string {
	const prefix, size = "profile:fav:{", 90
	key := make([]byte, 0, size)
	key = append(key, prefix...)
	key = append(key, uuid.UUID(user).String()...)
	key = append(key, "}:"...)
	return string(append(key, uuid.UUID(video).String()...))
}

func redisKeys(user models.UserID, videos []models.VideoID) []string {
	keys := make([]string, len(videos))
	for i, id := range videos {
		keys[i] = redisKey(user, id)
	}
	return keys
}
