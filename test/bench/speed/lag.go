package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// oldest is the age in seconds of the first event that waits; 0 when none does.
const oldest = `SELECT coalesce((SELECT extract(epoch FROM clock_timestamp() - e.created_at) FROM profile.outbox_deliveries d
	JOIN profile.outbox_events e ON (e.slot, e.id) = (d.slot, d.id) WHERE d.dead_at IS NULL ORDER BY d.id LIMIT 1), 0)::float8`

// watchLag samples the publisher's lag every 100 ms until stop, which returns its p99 in milliseconds. Samples
// that fail (the database may be gone) are left out.
func (t *topology) watchLag(ctx context.Context) (stop func() float64) {
	const every, tail = 100 * time.Millisecond, 0.99
	ctx, cancel := context.WithCancel(ctx)
	h := newHistogram()
	var group sync.WaitGroup
	group.Go(func() {
		for waited(ctx, every) {
			var seconds float64
			if err := t.look.QueryRow(ctx, oldest).Scan(&seconds); err == nil {
				record(h, time.Duration(seconds*float64(time.Second)))
			}
		}
	})
	return func() float64 {
		cancel()
		group.Wait()
		return millis(h, tail)
	}
}

// settle waits until everything is published, so that nobody's turn pays for another's events.
func (t *topology) settle(ctx context.Context) error {
	err := eventually(ctx, 2*time.Minute, 50*time.Millisecond, func(ctx context.Context) error {
		var waiting int
		if err := t.look.QueryRow(ctx, "SELECT count(*) FROM (SELECT FROM profile.outbox_deliveries WHERE dead_at IS NULL LIMIT 1000) d").Scan(&waiting); err != nil {
			return err
		}
		if waiting > 0 {
			return fmt.Errorf("%d events or more wait for the publisher", waiting)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("await the publisher: %w", err)
	}
	return nil
}
