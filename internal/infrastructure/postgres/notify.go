package postgres

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
)

// channel is what publishers listen on.
const channel = "profile_outbox"

// Limits of waking and listening.
const (
	notifyGap     = 5 * time.Millisecond
	notifyTimeout = time.Second
	listenRetry   = 500 * time.Millisecond
)

// Notifier wakes publishers after commits. It is never part of a business transaction: NOTIFY takes a lock
// that would make all commits wait for each other.
type Notifier struct {
	pool   *pgxpool.Pool
	wanted chan struct{}
}

// NewNotifier sends from the pool until stop.
func NewNotifier(pool *pgxpool.Pool) (n *Notifier, stop func()) {
	n = &Notifier{pool: pool, wanted: make(chan struct{}, 1)}
	return n, background(n.run)
}

// background runs run until stop, which waits for its end.
func background(run func(ctx context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// Wake implements repositories.Waker. Calls close together become one notification.
func (n *Notifier) Wake() {
	select {
	case n.wanted <- struct{}{}:
	default:
	}
}

func (n *Notifier) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.wanted:
		}
		n.notify(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(notifyGap):
		}
	}
}

// notify says nothing about a failure: publishers poll as well, and the next commit tries again.
func (n *Notifier) notify(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, notifyTimeout)
	defer cancel()
	_, _ = n.pool.Exec(ctx, "SELECT pg_notify($1, '')", channel)
}

// Listener hears Notifiers over a connection of its own, which must not go through a transaction pooler.
type Listener struct {
	url       string
	log       *slog.Logger
	woken     chan struct{}
	connected atomic.Bool
}

// NewListener listens until stop; without a direct connection it never hears anything.
func NewListener(conf *confpb.Bootstrap, log *slog.Logger) (l *Listener, stop func()) {
	l = &Listener{url: listenURL(conf), log: log, woken: make(chan struct{}, 1)}
	return l, background(l.run)
}

func listenURL(conf *confpb.Bootstrap) string {
	if url := conf.GetMessaging().GetOutbox().GetListenUrl(); url != "" {
		return url
	}
	if conf.GetData().GetPostgres().GetQueryMode() == "cache_statement" {
		return conf.GetData().GetPostgres().GetUrl()
	}
	return ""
}

// Woken gets a value when something may have been committed, and after every connect.
func (l *Listener) Woken() <-chan struct{} { return l.woken }

// Hears reports whether commits are heard just now; otherwise the caller has to poll.
func (l *Listener) Hears() bool { return l.connected.Load() }

func (l *Listener) run(ctx context.Context) {
	if l.url == "" {
		l.log.Info("polling for events: there is no direct connection to listen on")
		return
	}
	defer l.connected.Store(false)
	ear{
		url: l.url, channel: channel,
		connected: func() {
			l.log.Info("listening for commits")
			l.connected.Store(true)
			l.wake()
		},
		heard: func(string) { l.wake() },
		lost: func(err error, again bool) {
			l.connected.Store(false)
			if !again {
				l.log.Warn("polling for events: cannot listen for commits", "error", err)
			}
		},
	}.listen(ctx)
}

func (l *Listener) wake() {
	select {
	case l.woken <- struct{}{}:
	default:
	}
}
