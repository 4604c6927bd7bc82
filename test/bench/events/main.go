// Command events compares ways to move events from Postgres to Pub/Sub: ours, the Pub/Sub client alone from
// memory (the ceiling), a textbook poller, and River, which publishes nothing. All of them use one Postgres
// with fsync on and one in-process broker, and take turns, so that a noisy machine is noisy for all.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench-events:", err)
		os.Exit(1)
	}
}

// sizes of a run.
type sizes struct {
	rounds, events, few int
	held                time.Duration
}

func run(ctx context.Context) (err error) {
	var s sizes
	flag.IntVar(&s.rounds, "rounds", 5, "turns of each contestant")
	flag.IntVar(&s.events, "events", 200_000, "events of a turn")
	flag.IntVar(&s.few, "few", 10_000, "events of a turn of the textbook poller, which is slow")
	flag.DurationVar(&s.held, "held", 3*time.Minute, "how long a transaction is held open; 0 leaves that row out")
	flag.Parse()
	w, err := newWorld(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	r := &report{}
	for round := range s.rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, s.rounds)
		if err := w.round(ctx, s, r); err != nil {
			return err
		}
	}
	if s.held > 0 {
		fmt.Fprintf(os.Stderr, "holding a transaction for %s\n", s.held)
		if err := w.heldTransaction(ctx, s, r); err != nil {
			return err
		}
	}
	return r.print(os.Stdout)
}

// round gives every contestant one turn.
func (w *world) round(ctx context.Context, s sizes, r *report) error {
	for _, keys := range []int{100, 10_000} {
		drain := fmt.Sprintf("drain rate, %d keys", keys)
		ceiling, err := w.raw(ctx, keys, s.events)
		if err != nil {
			return fmt.Errorf("raw client: %w", err)
		}
		r.add(drain, "raw client", "events/s", ceiling)
		cost, err := w.ours(ctx, keys, s.events)
		if err != nil {
			return fmt.Errorf("ours: %w", err)
		}
		r.add(drain, "ours", "events/s", cost.rate)
		r.add(drain, "ours / raw client", "", cost.rate/ceiling)
		r.cost("ours", cost)
		textbook, err := w.textbook(ctx, min(keys, s.few), s.few)
		if err != nil {
			return fmt.Errorf("textbook poller: %w", err)
		}
		r.add(drain, "textbook", "events/s", textbook.rate)
		r.add(drain, "ours / textbook", "", cost.rate/textbook.rate)
		r.cost("textbook", textbook)
	}
	insert, work, err := w.river(ctx, s.few)
	if err != nil {
		return fmt.Errorf("river: %w", err)
	}
	r.add("River, for context", "insert", "jobs/s", insert)
	r.add("River, for context", "work", "jobs/s", work)
	if err := w.whileInserting(ctx, s, r); err != nil {
		return fmt.Errorf("while inserting: %w", err)
	}
	return w.latency(ctx, r)
}
