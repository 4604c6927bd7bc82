// Package redislink connects to a Redis that the service can do without: a dead one costs one try per pause.
package redislink

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Options of a link.
type Options struct {
	// URL is redis:// or rediss:// with credentials and database.
	URL string
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

// Name is what configuration and metrics call Redis.
const Name = "redis"

// ErrURL says that the URL cannot be used; the URL may hold a password and is not repeated.
var ErrURL = errors.New("not a valid redis URL")

// Link is a Redis and what is known of its health. Safe for concurrent use.
type Link struct {
	Client *redis.Client
	pause  time.Duration
	now    func() time.Time
	start  time.Time
	// resume is when Redis may be tried again, in nanoseconds since start; 0 while it answers.
	resume atomic.Int64
}

// Open connects when the link is first used. Commands are not retried. The caller calls Close. Errors: ErrURL.
func Open(opts Options) (*Link, error) {
	parsed, err := redis.ParseURL(opts.URL)
	if err != nil {
		return nil, ErrURL
	}
	parsed.MaxRetries, parsed.DialerRetries = -1, 1
	parsed.DialTimeout, parsed.ReadTimeout, parsed.WriteTimeout, parsed.PoolTimeout = opts.Timeout, opts.Timeout, opts.Timeout, opts.Timeout
	parsed.ContextTimeoutEnabled = true
	parsed.DisableIdentity = true
	parsed.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return &Link{Client: redis.NewClient(parsed), pause: opts.Pause, now: opts.Now, start: opts.Now()}, nil
}

// Close ends the connections.
func (l *Link) Close() { _ = l.Client.Close() }

// Since is the time since the link was opened.
func (l *Link) Since() time.Duration { return l.now().Sub(l.start) }

// Usable reports whether Redis may be asked now: it answers, or it is time that this one caller tries again.
func (l *Link) Usable() bool {
	resume := l.resume.Load()
	if resume == 0 {
		return true
	}
	now := int64(l.Since())
	return now >= resume && l.resume.CompareAndSwap(resume, now+int64(l.pause))
}

// Verdict is what a command says about Redis.
type Verdict uint8

// The verdicts.
const (
	Answered Verdict = iota + 1
	Failed
	// Unknown: the caller gave up.
	Unknown
)

// Settle notes how a command went.
func (l *Link) Settle(ctx context.Context, err error) Verdict {
	switch {
	case err == nil:
		if l.resume.Load() != 0 {
			l.resume.Store(0)
		}
		return Answered
	case ctx.Err() != nil:
		return Unknown
	}
	l.resume.Store(int64(l.Since()) + int64(l.pause))
	return Failed
}
