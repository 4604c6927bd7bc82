package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// caller performs one call after another; it belongs to one goroutine at a time.
type caller interface {
	call(ctx context.Context) error
}

func perform(ctx context.Context, c caller, patience time.Duration) answer {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return judge(c.call(ctx))
}

// closedLoop lets every caller make a call as soon as the one before is answered, until length has passed. A
// caller that is refused comes again at once, which is the least friendly way.
func closedLoop(ctx context.Context, callers []caller, length, patience time.Duration) (loadResult, error) {
	start := time.Now()
	r := newRecorder(start, length)
	var group sync.WaitGroup
	for i, c := range callers {
		group.Go(func() {
			for begin := time.Now(); begin.Sub(start) < length && ctx.Err() == nil; begin = time.Now() {
				a := perform(ctx, c, patience)
				r.answered(i, begin, begin, time.Now(), a)
			}
		})
	}
	group.Wait()
	if err := ctx.Err(); err != nil {
		return loadResult{}, err
	}
	return r.result(time.Since(start))
}

// openLoop makes rate calls a second whether or not earlier ones are answered, at random (Poisson) moments. It
// runs at most cap(idle) calls at a time; each takes a caller out of idle and puts it back.
func openLoop(ctx context.Context, idle chan caller, rate float64, length, patience time.Duration, random *rand.Rand) (loadResult, error) {
	start := time.Now()
	r := newRecorder(start, length)
	var group sync.WaitGroup
	timer := time.NewTimer(0)
	defer timer.Stop()
	arrivals := schedule(rate, random)
	n := 0
	for next := arrivals(); next < length; next = arrivals() {
		if wait := next - time.Since(start); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			break
		}
		intended := start.Add(next)
		n++
		worker := n
		select {
		case c := <-idle:
			group.Go(func() {
				sent := time.Now()
				a := perform(ctx, c, patience)
				r.answered(worker, intended, sent, time.Now(), a)
				idle <- c
			})
		default:
			now := time.Now()
			r.answered(worker, intended, now, now, answer{reason: notSent})
		}
	}
	elapsed := max(time.Since(start), length)
	group.Wait()
	if err := ctx.Err(); err != nil {
		return loadResult{}, err
	}
	return r.result(elapsed)
}

// schedule returns the moments of the calls of an open loop, counted from its start.
func schedule(rate float64, random *rand.Rand) func() time.Duration {
	at := 0.0
	return func() time.Duration {
		at += random.ExpFloat64() / rate
		return time.Duration(at * float64(time.Second))
	}
}
