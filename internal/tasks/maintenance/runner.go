package maintenance

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// Runner is a servers.Task. It runs once.
type Runner struct {
	opts     Options
	store    Store
	inbox    Inbox
	watches  Watches
	observer Observer
	log      *slog.Logger

	// stop ends waiting and the work in hand; done says that they have ended.
	stop, done chan struct{}
	stopOnce   sync.Once
	started    sync.Once
}

// NewRunner maintains the tables of store, and those of inbox and watches.
func NewRunner(opts Options, store Store, inbox Inbox, watches Watches, observer Observer, log *slog.Logger) *Runner {
	return &Runner{opts: opts, store: store, inbox: inbox, watches: watches, observer: observer, log: log, stop: make(chan struct{}), done: make(chan struct{})}
}

// Start runs the jobs again and again until Stop and then returns nil. It survives failures of the database.
func (r *Runner) Start(ctx context.Context) error {
	r.started.Do(func() {
		defer close(r.done)
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		go func() {
			select {
			case <-r.stop:
				cancel()
			case <-ctx.Done():
			}
		}()
		for r.wait(ctx) {
			r.runAll(ctx)
		}
	})
	return nil
}

// wait is false when it is over. Instances that were started together drift apart.
func (r *Runner) wait(ctx context.Context) bool {
	timer := time.NewTimer(r.opts.Interval/2 + rand.N(r.opts.Interval)) //nolint:gosec // spreading runs needs no secrecy
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// runAll runs every job. One that fails is tried again with the next run.
func (r *Runner) runAll(ctx context.Context) {
	for _, name := range Jobs() {
		removed, err := r.job(name)(ctx)
		r.observer.Removed(name, removed)
		switch {
		case ctx.Err() != nil:
			return // stopped: what was not done is done by the next process
		case err != nil:
			r.observer.Failed(name)
			r.log.Warn("maintenance failed", "action", string(name), "error", err, "count", removed)
		default:
			r.observer.Succeeded(name)
			r.log.Debug("maintenance done", "action", string(name), "count", removed)
		}
	}
}

// Stop gives up the transaction in hand, which the next process repeats, and returns when Start has ended, or
// at the end of ctx. Safe before Start and safe twice.
func (r *Runner) Stop(ctx context.Context) error {
	r.stopOnce.Do(func() { close(r.stop) })
	r.started.Do(func() { close(r.done) })
	select {
	case <-r.done:
	case <-ctx.Done():
	}
	return nil
}
