package main

import (
	"context"
	"errors"
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
	err := arrivals{start, rate, length, random}.each(ctx, func(n int, intended time.Time) error {
		select {
		case c := <-idle:
			group.Go(func() {
				sent := time.Now()
				a := perform(ctx, c, patience)
				r.answered(n, intended, sent, time.Now(), a)
				idle <- c
			})
		default:
			now := time.Now()
			r.answered(n, intended, now, now, answer{reason: notSent})
		}
		return nil
	}, func() {})
	elapsed := max(time.Since(start), length)
	group.Wait()
	if err != nil {
		return loadResult{}, err
	}
	return r.result(elapsed)
}

// bare is a loop over bare connections, which leave the machine to the service: open with a rate, else closed.
func (j *job) bare(ctx context.Context, sources []*source) (loadResult, error) {
	start := time.Now()
	r := newRecorder(start, j.Length)
	idle := make(chan *source, len(sources))
	pool := &wires{job: j, done: func(call wireCall, a answer) {
		r.answered(call.number, call.intended, call.sent, time.Now(), a)
		if j.Rate == 0 {
			idle <- call.by
		}
	}}
	due := func(n int, by *source, intended time.Time) error {
		next, err := by.next()
		if err != nil {
			return err
		}
		call := wireCall{n, by, intended, time.Now()}
		sent, err := pool.send(ctx, call, next)
		if err == nil && !sent {
			pool.flush() // what is collected makes room
			pool.done(call, answer{reason: notSent})
		}
		return err
	}
	var err error
	if j.Rate > 0 {
		err = arrivals{start, j.Rate, j.Length, newRand(j.Seed, 0)}.each(ctx, func(n int, intended time.Time) error {
			return due(n, sources[n%len(sources)], intended) // who comes waits for nobody
		}, pool.flush)
	} else {
		for _, s := range sources {
			idle <- s
		}
		err = returns{start, j.Length, idle}.each(ctx, func(n int, by *source) error { return due(n, by, time.Now()) }, pool.flush)
	}
	elapsed := max(time.Since(start), j.Length)
	pool.close(ctx, j.Deadline)
	if err != nil {
		return loadResult{}, err
	}
	if j.Rate == 0 {
		elapsed = time.Since(start) // the last answers count, and so does waiting for them
	}
	return r.result(elapsed)
}

// returns are the calls of a closed loop: everybody who is idle makes one.
type returns struct {
	start  time.Time
	length time.Duration
	idle   <-chan *source
}

// each calls due for everybody who is idle, numbered from 1, and pause before it waits for the next, until the loop is over.
func (l returns) each(ctx context.Context, due func(n int, by *source) error, pause func()) error {
	ctx, cancel := context.WithDeadlineCause(ctx, l.start.Add(l.length), errOver)
	defer cancel()
	for n := 1; ctx.Err() == nil; n++ {
		if len(l.idle) == 0 {
			pause()
		}
		select {
		case by := <-l.idle:
			if err := due(n, by); err != nil {
				return err
			}
		case <-ctx.Done():
		}
	}
	pause()
	if errors.Is(context.Cause(ctx), errOver) {
		return nil
	}
	return ctx.Err()
}

var errOver = errors.New("the loop is over")

// arrivals are the calls of an open loop.
type arrivals struct {
	start  time.Time
	rate   float64
	length time.Duration
	random *rand.Rand
}

// each calls due for every arrival, numbered from 1, when its time has come, and pause before it waits for the next.
func (a arrivals) each(ctx context.Context, due func(n int, intended time.Time) error, pause func()) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	moments := schedule(a.rate, a.random)
	n := 0
	for next := moments(); next < a.length; next = moments() {
		if wait := next - time.Since(a.start); wait > 0 {
			pause()
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		n++
		if err := due(n, a.start.Add(next)); err != nil {
			return err
		}
	}
	pause()
	return nil
}

// schedule returns the moments of the calls of an open loop, counted from its start.
func schedule(rate float64, random *rand.Rand) func() time.Duration {
	at := 0.0
	return func() time.Duration {
		at += random.ExpFloat64() / rate
		return time.Duration(at * float64(time.Second))
	}
}
