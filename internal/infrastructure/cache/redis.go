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
	"github.com/redis/go-redis/v9/maintnotifications"

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

// DefaultTimeout and DefaultPause keep a dead Redis cheap: one call in a second waits 50 ms.
const (
	DefaultTimeout = 50 * time.Millisecond
	DefaultPause   = time.Second
)

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

// backendRedis is the name of Redis in configuration and metrics.
const backendRedis = "redis"

// Redis is a Cache that instances share. A lease is a value of its own kind under the key: a fill replaces exactly
// that, and a drop removes it. Entries live a lease shorter than TTL, so that a value read when the lease was taken
// is gone TTL later by the clock of Redis alone.
type Redis struct {
	client   *redis.Client
	opts     RedisOptions
	lease    time.Duration
	observer FailureObserver

	// resume is when Redis may be tried again, in nanoseconds since start; 0 while it answers. Before distrust
	// it may hold what a forgotten drop was for.
	resume, distrust atomic.Int64
	start            time.Time

	// owed are drops that failed. Until they are made up for, this instance uses nothing of Redis.
	mu    sync.Mutex
	owed  map[services.FavoriteKey]struct{}
	debts atomic.Int64
}

// NewRedis connects when it is first used. The caller calls stop. Errors: ErrRedisURL.
func NewRedis(opts RedisOptions, observer FailureObserver) (r *Redis, stop func(), err error) {
	parsed, err := redis.ParseURL(opts.URL)
	if err != nil {
		return nil, nil, ErrRedisURL
	}
	parsed.MaxRetries, parsed.DialerRetries = -1, 1
	parsed.DialTimeout, parsed.ReadTimeout, parsed.WriteTimeout, parsed.PoolTimeout = opts.Timeout, opts.Timeout, opts.Timeout, opts.Timeout
	parsed.ContextTimeoutEnabled = true
	parsed.DisableIdentity = true
	parsed.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	r = &Redis{
		client: redis.NewClient(parsed), opts: opts, lease: min(maxLease, opts.TTL/2), observer: observer,
		start: opts.Now(), owed: map[services.FavoriteKey]struct{}{},
	}
	return r, func() { _ = r.client.Close() }, nil
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
	values, err := lookup.Run(ctx, r.client, redisKeys(user, videos), lease, r.lease.Milliseconds()).StringSlice()
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
		life := r.opts.TTL - r.lease
		life -= rand.N(life/jitter + 1) //nolint:gosec // spreading needs no secrecy
		videos = append(videos, f.VideoID)
		args = append(args, encodeLease(f.Lease.Version), encodeMarks(f.Marks), max(life.Milliseconds(), 1))
	}
	if len(videos) == 0 || !r.usable(ctx) {
		return
	}
	r.settle(ctx, fill.Run(ctx, r.client, redisKeys(user, videos), args...).Err())
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
	_, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, k := range keys {
			p.Unlink(ctx, redisKey(k.UserID, k.VideoID))
		}
		return nil
	})
	return err
}

// usable reports whether Redis may be asked now: it answers, or it is time that one caller tries again, and
// nothing is owed any more.
func (r *Redis) usable(ctx context.Context) bool {
	if distrust := r.distrust.Load(); distrust != 0 && r.now() < distrust {
		return false
	}
	if resume := r.resume.Load(); resume != 0 {
		now := r.now()
		if now < resume || !r.resume.CompareAndSwap(resume, now+int64(r.opts.Pause)) {
			return false
		}
	}
	return r.debts.Load() == 0 || r.makeUp(ctx)
}

func (r *Redis) now() int64 { return int64(r.opts.Now().Sub(r.start)) }

// settle notes how a command went, and reports whether it went well.
func (r *Redis) settle(ctx context.Context, err error) bool {
	if err == nil {
		if r.resume.Load() != 0 {
			r.resume.Store(0)
		}
		return true
	}
	if ctx.Err() == nil { // else it says nothing about Redis
		r.observer.CacheFailed(backendRedis)
		r.resume.Store(r.now() + int64(r.opts.Pause))
	}
	return false
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
		r.distrust.Store(r.now() + int64(r.opts.TTL))
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
