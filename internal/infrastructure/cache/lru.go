package cache

import (
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/lingo-services/profile/internal/services"
)

const (
	// maxShards and stripes make 1024 versions: a drop ends the leases of about one key in so many.
	maxShards = 64
	stripes   = 16
	// minShard is how many entries a shard is worth its own lock for.
	minShard = 64
	// jitter: entries live up to one part in so many shorter, so that what was filled together is not missed
	// together.
	jitter = 10
	// promoteOne: one call in so many moves what it finds to the front, which is most of what a hit costs. What is used often
	// is moved soon.
	promoteOne = 8
)

// lru is a bounded map whose entries end with their time to live, counted from the lease they were read under.
type lru[K comparable, V any] struct {
	seed maphash.Seed
	ttl  time.Duration
	now  func() time.Duration
	// renew is the part of its life after which an entry that is used is to be read again.
	renew  float64
	shards []shard[K, V]
}

// never is for entries that whoever changes them drops.
const never = 1

type shard[K comparable, V any] struct {
	mu      sync.Mutex
	entries *simplelru.LRU[K, entry[V]]
	// versions move with every drop and are never 0.
	versions [stripes]uint64
	_        [64]byte // two locks in one cache line would slow each other
}

type entry[V any] struct {
	value V
	// taken is its lease's time.
	taken, until time.Duration
	// due is when to ask for it again; whoever is asked first is asked alone.
	due time.Duration
}

// newLRU holds about size entries, at least one per shard.
func newLRU[K comparable, V any](size int, ttl time.Duration, now func() time.Time, renew float64) *lru[K, V] {
	count := 1
	for count < maxShards && count*2*minShard <= size {
		count *= 2
	}
	start := now()
	c := &lru[K, V]{
		seed: maphash.MakeSeed(), ttl: ttl, renew: renew, shards: make([]shard[K, V], count),
		now: func() time.Duration { return now().Sub(start) }, // monotonic when the clock is the process's own
	}
	for i := range c.shards {
		s := &c.shards[i]
		s.entries, _ = simplelru.NewLRU[K, entry[V]](max(size/count, 1), nil) // fails only without a size
		for j := range s.versions {
			s.versions[j] = 1
		}
	}
	return c
}

// place is where a key lives: a shard and one of its versions.
func (c *lru[K, V]) place(key K) (s *shard[K, V], version *uint64) {
	hash := maphash.Comparable(c.seed, key)
	s = &c.shards[hash%uint64(len(c.shards))]
	return s, &s.versions[hash>>32%stripes]
}

// get returns the value when there is one, and a lease to fill it with when there is none or it is due.
func (c *lru[K, V]) get(key K, now time.Duration) (value V, found bool, lease services.Lease) {
	s, version := c.place(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.entries.Peek(key)
	if !ok || now >= e.until {
		return value, false, services.Lease{Version: *version, Taken: now}
	}
	if now%promoteOne == 0 {
		s.entries.Get(key)
	}
	if now < e.due {
		return e.value, true, services.Lease{}
	}
	e.due = e.until
	s.entries.Add(key, e)
	return e.value, true, services.Lease{Version: *version, Taken: now}
}

// fill stores value if no drop ended the lease. What is there stays when it was read under a later lease, or is newer.
func (c *lru[K, V]) fill(key K, value V, lease services.Lease, newer func(have, value V) bool) {
	s, version := c.place(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if lease.Version != *version {
		return
	}
	if have, ok := s.entries.Peek(key); ok && c.now() < have.until && (lease.Taken < have.taken || !newer(have.value, value)) {
		return
	}
	life := c.ttl - rand.N(c.ttl/jitter+1) //nolint:gosec // spreading needs no secrecy
	s.entries.Add(key, entry[V]{value, lease.Taken, lease.Taken + life, lease.Taken + time.Duration(c.renew*float64(life))})
}

func (c *lru[K, V]) drop(key K) {
	s, version := c.place(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	*version++
	s.entries.Remove(key)
}

// purge drops everything.
func (c *lru[K, V]) purge() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for j := range s.versions {
			s.versions[j]++
		}
		s.entries.Purge()
		s.mu.Unlock()
	}
}

// len counts entries, expired ones included.
func (c *lru[K, V]) len() (n int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += s.entries.Len()
		s.mu.Unlock()
	}
	return n
}
