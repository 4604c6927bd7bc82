package postgres

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/services"
)

// cacheChannel is where instances tell each other which cached keys changed.
const cacheChannel = "profile_cache"

// A payload is the sender's id and then, each after a space, keys of 32 bytes in base64, or everything.
const (
	everything = "*"
	keySize    = len(services.FavoriteKey{}.UserID) + len(services.FavoriteKey{}.VideoID)
	// maxKeys of 44 bytes, and the sender, stay below the 8000 bytes of a payload.
	maxKeys = 170
	// maxQueued keys are told one by one; more become everything.
	maxQueued = 10 * maxKeys
)

// DroppedCache is the cache of this process, as other instances change it.
type DroppedCache interface {
	Drop(ctx context.Context, keys []services.FavoriteKey)
	// Purge drops everything.
	Purge()
}

// CacheChannel tells other instances which keys to drop, and drops what they tell. It is never part of a business
// transaction, for the reason that Notifier is not.
type CacheChannel struct {
	pool   *pgxpool.Pool
	cache  DroppedCache
	log    *slog.Logger
	self   string
	wanted chan struct{}

	mu     sync.Mutex
	queued map[services.FavoriteKey]struct{}
	// all: there were too many keys.
	all bool
}

// DirectURL is the connection that LISTEN can be used on; empty when there is none.
func DirectURL(conf *confpb.Bootstrap) string { return listenURL(conf) }

// NewCacheChannel sends through the pool and listens on url, a direct connection, until stop, which sends what is
// queued. While it does not hear the others, what they change stays in the cache for its time to live.
func NewCacheChannel(pool *pgxpool.Pool, url string, cache DroppedCache, log *slog.Logger) (c *CacheChannel, stop func()) {
	c = &CacheChannel{
		pool: pool, cache: cache, log: log, self: rand.Text(), wanted: make(chan struct{}, 1),
		queued: map[services.FavoriteKey]struct{}{},
	}
	stopSending := background(c.send)
	stopListening := background(ear{url, cacheChannel, c.connected, c.heard, c.lost}.listen)
	return c, func() {
		stopListening()
		stopSending()
	}
}

// Announce tells the others soon; it does not block.
func (c *CacheChannel) Announce(keys []services.FavoriteKey) {
	c.mu.Lock()
	for _, k := range keys {
		c.queued[k] = struct{}{}
	}
	if len(c.queued) > maxQueued {
		c.all = true
		clear(c.queued)
	}
	c.mu.Unlock()
	select {
	case c.wanted <- struct{}{}:
	default:
	}
}

func (c *CacheChannel) send(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			c.flush(context.WithoutCancel(ctx))
			return
		case <-c.wanted:
		}
		pause := notifyGap
		if !c.flush(ctx) {
			pause = listenRetry
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// flush sends what is queued; what could not be sent stays queued.
func (c *CacheChannel) flush(ctx context.Context) (sent bool) {
	c.mu.Lock()
	keys := make([]services.FavoriteKey, 0, len(c.queued))
	for k := range c.queued {
		keys = append(keys, k)
	}
	payloads := c.payloads(keys)
	clear(c.queued)
	c.all = false
	c.mu.Unlock()
	if len(payloads) == 0 {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, notifyTimeout)
	defer cancel()
	if _, err := c.pool.Exec(ctx, "SELECT pg_notify($1, p) FROM unnest($2::text[]) AS p", cacheChannel, payloads); err == nil {
		return true
	}
	if len(keys) > 0 {
		c.Announce(keys)
		return false
	}
	c.mu.Lock()
	c.all = true
	c.mu.Unlock()
	c.Announce(nil)
	return false
}

func (c *CacheChannel) payloads(keys []services.FavoriteKey) (list []string) {
	if c.all {
		return []string{c.self + " " + everything}
	}
	for len(keys) > 0 {
		part := keys[:min(maxKeys, len(keys))]
		keys = keys[len(part):]
		text := strings.Builder{}
		text.WriteString(c.self)
		for _, k := range part {
			text.WriteByte(' ')
			raw := append(append(make([]byte, 0, keySize), k.UserID[:]...), k.VideoID[:]...)
			text.WriteString(base64.RawStdEncoding.EncodeToString(raw))
		}
		list = append(list, text.String())
	}
	return list
}

func (c *CacheChannel) connected() {
	c.log.Info("listening for changes of cached keys")
	c.cache.Purge() // what changed meanwhile was not heard
}

func (c *CacheChannel) lost(err error, again bool) {
	if !again {
		c.cache.Purge()
		c.log.Warn("cannot listen for changes of cached keys: other instances' changes are seen after the time to live", "error", err)
	}
}

// heard drops what another instance changed, and everything when it cannot be read.
func (c *CacheChannel) heard(payload string) {
	words := strings.Split(payload, " ")
	if words[0] == c.self {
		return
	}
	keys := make([]services.FavoriteKey, 0, len(words)-1)
	for _, w := range words[1:] {
		raw, err := base64.RawStdEncoding.DecodeString(w)
		if err != nil || len(raw) != keySize {
			c.cache.Purge()
			return
		}
		keys = append(keys, services.FavoriteKey{
			UserID: models.UserID(raw[:len(uuid.UUID{})]), VideoID: models.VideoID(raw[len(uuid.UUID{}):]),
		})
	}
	c.cache.Drop(context.Background(), keys)
}
