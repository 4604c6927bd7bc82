package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/lingo-services/profile/internal/infrastructure/config"
	"github.com/lingo-services/profile/internal/infrastructure/postgres"
	infrapubsub "github.com/lingo-services/profile/internal/infrastructure/pubsub"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/tasks/outbox"
)

// tally is an outbox.Observer that says when the first and when a number of events have been published.
type tally struct {
	published, target atomic.Int64
	begun, reached    chan struct{}
}

func newTally(target int) *tally {
	t := &tally{begun: make(chan struct{}), reached: make(chan struct{})}
	t.target.Store(int64(target))
	return t
}

// Published implements outbox.Observer.
func (t *tally) Published(string, time.Duration) {
	n := t.published.Add(1)
	if n == 1 {
		close(t.begun)
	}
	if n == t.target.Load() {
		close(t.reached)
	}
}

// Refused implements outbox.Observer.
func (t *tally) Refused(string) {}

// DeadLettered implements outbox.Observer.
func (t *tally) DeadLettered(string) {}

// BrokerFailed implements outbox.Observer.
func (t *tally) BrokerFailed() {}

// DatabaseFailed implements outbox.Observer.
func (t *tally) DatabaseFailed() {}

// Observed implements outbox.Observer.
func (t *tally) Observed(outbox.Status) {}

// Backlog implements outbox.Observer.
func (t *tally) Backlog(int64) {}

// publish runs our publisher until stop.
func (w *world) publish(ctx context.Context, t *tally) (stop func() error, err error) {
	topic, err := infrapubsub.NewEventTopic(ctx, w.client, w.conf.GetMessaging())
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.DiscardHandler)
	alarm, stopAlarm := postgres.NewListener(w.conf, log) //nolint:contextcheck // lives until it is stopped
	p := outbox.NewPublisher(config.OutboxOptions(w.conf), w.store(w.worker, repositories.NoWaker{}), topic, alarm, t, log)
	done := make(chan error, 1)
	go func() { done <- p.Start(ctx) }()
	return func() error {
		err := errors.Join(p.Stop(context.WithoutCancel(ctx)), <-done)
		stopAlarm()
		return err
	}, nil
}

// ours drains the outbox with our publisher.
func (w *world) ours(ctx context.Context, users, n int) (cost, error) {
	if err := w.fill(ctx, events(users, n)); err != nil {
		return cost{}, err
	}
	var start time.Duration
	c, err := w.measure(ctx, n, func() (time.Duration, error) {
		t := newTally(n)
		begin := time.Now()
		stop, err := w.publish(ctx, t)
		if err != nil {
			return 0, err
		}
		for _, signal := range []chan struct{}{t.begun, t.reached} {
			select {
			case <-signal:
				start = cmp.Or(start, time.Since(begin))
			case <-ctx.Done():
				return 0, fmt.Errorf("drain: %w", ctx.Err())
			}
		}
		took := time.Since(begin)
		return took, stop()
	})
	c.start = start
	return c, err
}
