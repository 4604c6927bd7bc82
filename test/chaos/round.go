package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/google/uuid"
)

// fault is a way to break the chain.
type fault struct {
	name  string
	setup setup
	// mix of the writers; nil is the usual one.
	mix *mix
	// strike does the damage while writers write, and undoes it.
	strike func(ctx context.Context, r *round) error
	// harmless faults may not repeat a single event.
	harmless bool
	// full is how many rounds a report has, 30 unless told.
	full int
	// slack is added to the time to recover: what the broker's client takes to connect again, whatever the lease.
	slack time.Duration
	// long faults are for reports and for who asks for them.
	long bool
	// alone: measures time, so nothing else may run.
	alone bool
	// play replaces the whole round; nil is the usual one.
	play func(ctx context.Context, r *round) error
	// unsure: a few rounds look bad, and as many as a report has must tell; nil for never.
	unsure func(t *tally) bool
	// finish judges all rounds together; nil when there is nothing more to say.
	finish func(t *tally)
}

// round is one run of a fault in a world.
type round struct {
	*world
	fault *fault
	seed  uint64
	rng   *rand.Rand
	load  *load
	// crowd calls the API where there is one.
	crowd *crowd
	tally *tally
	// slow is why the recovery took too long; what became of the events is judged all the same.
	slow error
}

// tally is what the rounds of a fault came to.
type tally struct {
	fault string
	// seed of the first round.
	seed                                  uint64
	rounds, failed                        int
	committed, delivered                  int
	lost, phantoms, inversions, duplicate int
	// recovery is how long it took at most until the lag was below a second again.
	recovery time.Duration
	notes    []string
	problems []string
	took     time.Duration
	// plain and poisoned are latencies of other keys without and with a poisoned one.
	plain, poisoned stretches
}

// run plays a round and returns what is wrong, as one error.
func (r *round) run(ctx context.Context) error {
	if r.fault.play != nil {
		return r.fault.play(ctx, r)
	}
	m := usual
	if r.fault.mix != nil {
		m = *r.fault.mix
	}
	var err error
	if r.load, err = startWriters(ctx, r.world, m, r.seed); err != nil {
		return err
	}
	if err := r.underLoad(ctx); err != nil {
		r.load.wait()
		return fmt.Errorf("strike: %w\n%s", err, r.tails())
	}
	r.load.wait()
	return errors.Join(r.slow, r.settle(ctx))
}

// underLoad strikes and waits for the recovery while writers write.
func (r *round) underLoad(ctx context.Context) error {
	if err := r.pause(ctx, 50*time.Millisecond, 200*time.Millisecond); err != nil {
		return err
	}
	if !r.fault.harmless {
		r.strikes++
	}
	if err := r.fault.strike(ctx, r); err != nil {
		return err
	}
	if err := r.recover(ctx); err != nil {
		return err
	}
	return r.pause(ctx, 50*time.Millisecond, 150*time.Millisecond)
}

// recover waits until the lag is below a second, which two lease times after the fault it has to be (I14).
func (r *round) recover(ctx context.Context) error {
	const fine = time.Second
	start, limit := time.Now(), 2*r.lease()+r.fault.slack
	err := eventually(ctx, max(r.patience, limit), func(ctx context.Context) (bool, error) {
		lag, err := r.lag(ctx)
		return lag < fine, err
	})
	took := time.Since(start)
	r.tally.recovery = max(r.tally.recovery, took)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil || took > limit {
		r.slow = fmt.Errorf("I14: lag was above a second for %s after the fault, allowed are %s", took.Round(time.Millisecond), limit)
	}
	return nil
}

// settle waits for silence and judges everything that ever happened in this world.
func (r *round) settle(ctx context.Context) error {
	drained := r.drain(ctx)
	h, err := r.history(ctx)
	if err != nil {
		return errors.Join(drained, err)
	}
	v := judge(h)
	v.problems = append(v.problems, checkFormats(h.arrivals[r.checked:])...)
	r.checked = len(h.arrivals)
	r.count(v)
	if drained != nil {
		v.problems = append(v.problems, "I1: "+drained.Error())
	}
	if len(v.problems) > 0 {
		return errors.New(strings.Join(v.problems, "\n"))
	}
	return nil
}

// count keeps the numbers of the world, which grow; the tally adds worlds up.
func (r *round) count(v verdict) {
	t, last := r.tally, r.counted
	t.committed += v.committed - last.committed
	t.delivered += v.delivered - last.delivered
	t.lost += v.lost - last.lost
	t.phantoms += v.phantoms - last.phantoms
	t.inversions += v.inversions - last.inversions
	t.duplicate += v.duplicate - last.duplicate
	r.counted = v
}

// pause waits for a random moment; the error is that of ctx.
func (r *round) pause(ctx context.Context, from, to time.Duration) error {
	if !waited(ctx, between(r.rng, from, to)) {
		return ctx.Err()
	}
	return nil
}

// latencies are the times from a writer's commit to the broker, of events that arrived since index from and
// that want includes.
func (r *round) latencies(from int, want func(key uuid.UUID) bool) (sample []time.Duration) {
	seen := map[uuid.UUID]bool{}
	for _, a := range r.broker.taken()[from:] {
		at, known := r.ledger.confirmed(a.event)
		if known && want(a.key) && !seen[a.event] {
			seen[a.event] = true
			sample = append(sample, max(0, a.at.Sub(at)))
		}
	}
	return sample
}
