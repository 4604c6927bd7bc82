package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/lingo-services/profile/internal/infrastructure/postgres"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
)

// whileInserting drains while two writers insert as fast as they can: both rates.
func (w *world) whileInserting(ctx context.Context, s sizes, r *report) error {
	defer w.broker.ClearMessages()
	const writers, perTransaction = 2, 10
	total := 2 * s.few
	notifier, stopNotifier := postgres.NewNotifier(w.pool) //nolint:contextcheck // lives until it is stopped
	defer stopNotifier()
	store := w.store(w.pool, notifier)
	t := newTally(total)
	stop, err := w.publish(ctx, t)
	if err != nil {
		return err
	}
	begin := time.Now()
	errs := make([]error, writers)
	var group sync.WaitGroup
	for i := range errs {
		group.Go(func() {
			for from := range total / writers / perTransaction {
				list := events(perTransaction, perTransaction)
				if errs[i] = store.Write(ctx, models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
					return tx.Outbox.Append(ctx, list)
				}); errs[i] != nil {
					errs[i] = fmt.Errorf("transaction %d: %w", from, errs[i])
					return
				}
			}
		})
	}
	group.Wait()
	inserted := time.Since(begin)
	if err := errors.Join(errs...); err != nil {
		return errors.Join(err, stop())
	}
	<-t.reached
	r.add("drain rate while inserting", "inserted", "events/s", float64(total)/inserted.Seconds())
	r.add("drain rate while inserting", "ours", "events/s", float64(total)/time.Since(begin).Seconds())
	return stop()
}

// latency measures, one event at a time, from the return of COMMIT until the broker has the Publish call.
func (w *world) latency(ctx context.Context, r *report) error {
	defer w.broker.ClearMessages()
	const samples, warmup, pause = 300, 20, 20 * time.Millisecond
	if err := w.rest(ctx); err != nil {
		return err
	}
	notifier, stopNotifier := postgres.NewNotifier(w.pool) //nolint:contextcheck // lives until it is stopped
	defer stopNotifier()
	store := w.store(w.pool, notifier)
	stop, err := w.publish(ctx, newTally(0))
	if err != nil {
		return err
	}
	idle := time.NewTicker(pause)
	defer idle.Stop()
	var took []time.Duration
	for i := range samples + warmup {
		e := event(models.UserID(uuid.New()), 1)
		arrived := w.accepted.await(e.ID.String())
		if err := store.Write(ctx, models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
			return tx.Outbox.Append(ctx, []po.Event{e})
		}); err != nil {
			return errors.Join(err, stop())
		}
		committed := time.Now()
		select {
		case at := <-arrived:
			if i >= warmup {
				took = append(took, at.Sub(committed))
			}
		case <-ctx.Done():
			return errors.Join(ctx.Err(), stop())
		}
		<-idle.C
	}
	r.add("idle: commit to Publish", "p50", "ms", quantile(took, 0.50))
	r.add("idle: commit to Publish", "p99", "ms", quantile(took, 0.99))
	return stop()
}

// heldTransaction drains again and again while one transaction keeps its snapshot, and compares the first
// drains without it to the last ones with it.
func (w *world) heldTransaction(ctx context.Context, s sizes, r *report) error {
	const last = 3
	const row = "drain rate, 10000 keys, transaction held open"
	before := make([]cost, last)
	for i := range before {
		c, err := w.ours(ctx, 10_000, s.events)
		if err != nil {
			return err
		}
		before[i] = c
	}
	tx, err := w.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if _, err := tx.Exec(ctx, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "SELECT count(*) FROM profile.outbox_lanes"); err != nil {
		return err
	}
	var held []cost
	for begin := time.Now(); time.Since(begin) < s.held || len(held) < last; {
		c, err := w.ours(ctx, 10_000, s.events)
		if err != nil {
			return err
		}
		held = append(held, c)
	}
	for i, c := range held[len(held)-last:] {
		// A publisher that starts walks once over what the held transaction keeps; one that runs does not.
		running := func(c cost) float64 { return float64(s.events) / (float64(s.events)/c.rate - c.start.Seconds()) }
		r.add(row, "before", "events/s", running(before[i]))
		r.add(row, "at the end of "+s.held.String(), "events/s", running(c))
		r.add(row, "end / before", "", running(c)/running(before[i]))
		r.add(row, "first event of a start, before", "s", before[i].start.Seconds())
		r.add(row, "first event of a start, end", "s", c.start.Seconds())
	}
	r.add(row, "events drained meanwhile", "", float64(len(held)*s.events))
	return nil
}
