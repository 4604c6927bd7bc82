package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"
)

// How long the parts of a break last: the rate of before, and the time given to recover.
const (
	before    = 5 * time.Second
	afterward = 15 * time.Second
	// enough is the share of the rate of before that counts as recovered.
	enough = 0.9
	tail   = 0.99
	half   = 0.5
	// fewCallers beside -callers.
	fewCallers = 32
)

// overload does the rows about cold starts, floods, and databases that are away or stopped.
func overload(ctx context.Context, t *topology, r *report) error {
	w := &overloaded{topology: t, report: r}
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"peak", w.findPeak},
		{"cold starts", w.coldStarts},
		{"flood", w.flood},
		{"restarts", w.restarts},
		{"stall", w.stall},
	} {
		t.options.say("%s", part.name)
		if err := part.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	r.Notes = append(r.Notes,
		"Callers of closed loops that are refused come again at once, the least friendly way.",
		"The peak and the flood come from bare connections (HTTP/2 frames, no gRPC client), so that callers, whose machines are elsewhere, take little of this one: grpc-go's client would take half of it, and its own waiting would count as the service's.",
		"The generator shares the machine: latencies from when a call was due include its own waiting for a processor. `from sending` leaves that part out.",
		"NotSent are calls beyond the generator's own bound of unanswered calls.")
	return nil
}

type overloaded struct {
	*topology
	report *report
	// peak is the rate of likes that a closed loop reaches; usual is that of journalled likes, by callers.
	peak  float64
	usual map[int]float64
}

func (w *overloaded) findPeak(ctx context.Context) error {
	var rates []float64
	for range w.options.Turns + 1 {
		j := w.job(workLike, uniform)
		j.Bare = true
		res, err := w.run(ctx, j)
		if err != nil {
			return err
		}
		rates = append(rates, res.rate())
	}
	// The first was warming up.
	w.peak = median(rates[1:])
	w.report.Notes = append(w.report.Notes, fmt.Sprintf("Peak: %s likes/s, closed loop, %d callers, uniform, bare connections.", number(w.peak), w.options.Callers))
	w.usual = map[int]float64{}
	for _, callers := range []int{fewCallers, w.options.Callers} {
		j := w.job(workJournal, uniform)
		j.Callers = callers
		res, err := w.run(ctx, j)
		if err != nil {
			return err
		}
		w.usual[callers] = res.rate()
	}
	return w.settle(ctx)
}

// freshService replaces the service's process.
func (w *overloaded) freshService(ctx context.Context) (err error) {
	w.service.stop(stopTimeout)
	fresh, err := w.startService(ctx)
	if err == nil {
		*w.service = *fresh // what stops it at the end holds this pointer
	}
	return err
}

// coldStarts meet a process that has just become ready with all callers at once.
func (w *overloaded) coldStarts(ctx context.Context) error {
	const watched, from, to = 6 * time.Second, time.Second, 3 * time.Second
	for range w.options.Turns {
		if err := w.freshService(ctx); err != nil {
			return err
		}
		j := w.job(workLike, uniform)
		j.Length = watched
		cold, err := w.run(ctx, j)
		if err != nil && !errors.Is(err, errSilent) {
			return err
		}
		again := w.job(workLike, uniform) // not the same calls: they would have no effect
		again.Length = watched
		warm, err := w.run(ctx, again)
		if err != nil && !errors.Is(err, errSilent) {
			return err
		}
		e := w.report.entry(fmt.Sprintf("cold process met by %d callers", w.options.Callers), "≥ 90 % of the warm rate within 3 s, failed calls < 1 %")
		e.add("rate in seconds 1–3 / warm", "", rateBetween(cold.OK, from, to)/max(1, warm.rate()), atLeast(enough))
		e.add("failed", "%", percent(cold.failedShare()), atMost(1))
		e.add("first second", "/s", rateBetween(cold.OK, 0, from), nil)
		e.add("warm", "/s", warm.rate(), nil)
		w.reasons("cold start", cold)
		if err := w.settle(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (w *overloaded) reasons(what string, res loadResult) {
	if failures := failuresOf(res); len(failures) > 0 {
		w.report.Notes = append(w.report.Notes, fmt.Sprintf("Failures, %s: %s of %d calls.", what, counts(failures), res.calls()))
	}
}

// vitals are the service's own figures.
type vitals struct{ goroutines, rss, sessions float64 }

func (w *overloaded) vitals(ctx context.Context) (v vitals, err error) {
	if v.goroutines, err = w.service.metric(ctx, "go_goroutines"); err != nil {
		return v, err
	}
	if v.rss, err = w.service.rss(); err != nil {
		return v, err
	}
	err = w.look.QueryRow(ctx, "SELECT sessions::float8 FROM pg_stat_database WHERE datname = $1", ourDatabase).Scan(&v.sessions)
	return v, err
}

// watchRSS samples the service's memory until stop, which returns the greatest in MiB.
func (w *overloaded) watchRSS(ctx context.Context) (stop func() float64) {
	ctx, cancel := context.WithCancel(ctx)
	most := 0.0
	var group sync.WaitGroup
	group.Go(func() {
		for waited(ctx, slice) {
			if now, err := w.service.rss(); err == nil {
				most = max(most, now)
			}
		}
	})
	return func() float64 {
		cancel()
		group.Wait()
		return most
	}
}

// idleLatency is the p50 of one caller, in milliseconds.
func (w *overloaded) idleLatency(ctx context.Context, length time.Duration) (float64, error) {
	j := w.job(workLike, uniform)
	j.Callers, j.Length = 1, length
	res, err := w.run(ctx, j)
	if err != nil {
		return 0, err
	}
	h, err := res.latency(isAccepted)
	return millis(h, half), err
}

// restWithin is how soon after a flood it must be as if there had been none.
const restWithin = 10 * time.Second

// flood offers three times the peak and looks at what is accepted, what is refused and how, and what is left.
func (w *overloaded) flood(ctx context.Context) error {
	const times = 3
	j := w.job(workLike, uniform)
	j.Rate, j.Bare = times*w.peak, true
	if err := w.acquaint(ctx, j); err != nil {
		return err
	}
	idleBefore, err := w.idleLatency(ctx, w.options.Turn)
	if err != nil {
		return err
	}
	if err := w.settle(ctx); err != nil {
		return err
	}
	first, err := w.vitals(ctx)
	if err != nil {
		return err
	}
	j.Length = w.options.Flood
	rss := w.watchRSS(ctx)
	res, err := w.run(ctx, j)
	most := rss()
	if err != nil && !errors.Is(err, errSilent) {
		return err
	}
	// Within two seconds it must be idle again: what is measured is the second second.
	waited(ctx, time.Second)
	idleAfter, err := w.idleLatency(ctx, time.Second)
	if err != nil && !errors.Is(err, errSilent) {
		return err
	}
	last, err := w.vitals(ctx)
	if err != nil {
		return err
	}
	waited(ctx, restWithin-2*time.Second)
	rested, err := w.vitals(ctx)
	if err != nil {
		return err
	}
	e := w.report.entry(fmt.Sprintf("three times the peak rate, open loop, %s", w.options.Flood),
		"goodput ≥ 90 % of the peak; accepted p99 ≤ 300 ms; the rest RESOURCE_EXHAUSTED with RetryInfo within 20 ms; new connections ≤ 5; idle latency within 2 s, goroutines and memory at rest within 10 s")
	e.add("goodput / peak", "", res.rate()/w.peak, atLeast(enough))
	e.add("goodput", "/s", res.rate(), nil)
	if err := judgeFlood(e, res); err != nil {
		return err
	}
	e.add("new database connections", "", last.sessions-first.sessions, atMost(5))
	e.add("idle p50 after / before", "", idleAfter/idleBefore, atMost(1.5))
	e.add("idle p50 before", "ms", idleBefore, nil)
	e.add("idle p50 in the second second after", "ms", idleAfter, nil)
	e.add("goroutines before", "", first.goroutines, nil)
	e.add("goroutines after 10 s / before", "", rested.goroutines/first.goroutines, atMost(1.1))
	e.add("memory before", "MiB", first.rss, nil)
	e.add("memory, greatest", "MiB", most, nil)
	e.add("memory after 10 s / before", "", rested.rss/first.rss, atMost(1.1))
	e.add("generator's processors", "", res.CPU/max(1, res.Seconds), nil)
	w.reasons("flood", res)
	o, err := newOffered(j, res)
	w.report.Offered = append(w.report.Offered, o)
	return errors.Join(err, w.settle(ctx))
}

// acquaint lets the service meet as many users as it remembers (limits.size), and rest: what it remembers of those who
// called is no burst that has to be given back.
func (w *overloaded) acquaint(ctx context.Context, j job) error {
	j.Length = 2 * w.options.Turn
	_, err := w.run(ctx, j)
	waited(ctx, restWithin)
	if err != nil && !errors.Is(err, errSilent) {
		return err
	}
	return w.settle(ctx)
}

// judgeFlood looks at the answers.
func judgeFlood(e *entry, res loadResult) error {
	good, err := res.latency(isAccepted)
	if err != nil {
		return err
	}
	goodService, err := res.service(isAccepted)
	if err != nil {
		return err
	}
	refused, err := res.latency(isRefusal)
	if err != nil {
		return err
	}
	refusedService, err := res.service(isRefusal)
	if err != nil {
		return err
	}
	e.add("accepted p99", "ms", millis(good, tail), atMost(300))
	e.add("accepted p99 from sending", "ms", millis(goodService, tail), nil)
	var refusals, told, others int64
	for reason, a := range res.Answers {
		switch {
		case isRefusal(reason):
			refusals += a.Count
			told += a.RetryInfo
		case reason != accepted && reason != notSent:
			others += a.Count
		}
	}
	if refusals > 0 {
		e.add("refused p99", "ms", millis(refused, tail), atMost(20))
		e.add("refused p99 from sending", "ms", millis(refusedService, tail), nil)
		e.add("refused with RetryInfo", "%", percent(float64(told)/float64(refusals)), atLeast(100))
	}
	calls := float64(max(1, res.calls()))
	e.add("refused", "%", percent(float64(refusals)/calls), nil)
	e.add("failed otherwise", "%", percent(float64(others)/calls), atMost(0.1))
	return nil
}

// broken lets callers like while something is done to the database. It returns what they saw, when the
// database was back, and the likes that were acknowledged and are not there.
func (w *overloaded) broken(ctx context.Context, callers int, length time.Duration, harm func(context.Context) (time.Time, error)) (res loadResult, back time.Time, lost int, err error) {
	j := w.job(workJournal, uniform)
	j.Callers, j.Length, j.Journal = callers, length, filepath.Join(w.dir, fmt.Sprintf("journal-%d", w.turns))
	var group sync.WaitGroup
	var loadErr error
	group.Go(func() { res, loadErr = w.run(ctx, j) })
	waited(ctx, before)
	back, err = harm(ctx)
	group.Wait()
	if err = errors.Join(err, loadErr); err != nil {
		return res, back, 0, err
	}
	lost, err = w.lost(ctx, j.Journal)
	return res, back, lost, err
}

// restarts take the database away under callers.
func (w *overloaded) restarts(ctx context.Context) error {
	for _, callers := range []int{fewCallers, w.options.Callers} {
		pid := w.service.pid()
		harm := func(ctx context.Context) (time.Time, error) { return w.db.restart(ctx, w.options.Away) }
		res, back, lost, err := w.broken(ctx, callers, before+w.options.Away+afterward, harm)
		if err != nil {
			return err
		}
		e := w.report.entry(fmt.Sprintf("database restarted (%s away) under %d callers", w.options.Away, callers),
			"90 % of the rate of before within 3 s of its return; no restart of ours")
		w.judgeRecovery(e, res, back, callers)
		restarts := 0.0
		if !w.service.alive() || w.service.pid() != pid {
			restarts = 1
		}
		e.add("restarts of ours", "", restarts, atMost(0))
		e.add("acknowledged likes lost", "", float64(lost), atMost(0))
		w.reasons(fmt.Sprintf("restart, %d callers", callers), res)
		if err := w.settle(ctx); err != nil {
			return err
		}
	}
	return nil
}

// judgeRecovery compares with the second to the last second before the harm.
func (w *overloaded) judgeRecovery(e *entry, res loadResult, back time.Time, callers int) {
	const settled = time.Second
	usual := rateBetween(res.OK, settled, before)
	since := back.Sub(res.Start)
	e.add("rate of before", "/s", usual, nil)
	// Coming back to a rate that had collapsed before is no recovery.
	e.add("rate of before / that of the same callers at the start", "", usual/w.usual[callers], atLeast(half))
	took, recovered := recovery(res.OK, since, enough*usual)
	if !recovered {
		took = afterward // it never did; that long at least
	}
	e.add("90 % again after", "s", took.Seconds(), atMost(3))
	e.add("rate from 3 s after its return", "/s", rateBetween(res.OK, since+3*time.Second, time.Duration(len(res.OK))*slice), nil)
}

// stall stops the database's processes under load.
func (w *overloaded) stall(ctx context.Context) error {
	// What may be held in memory for a stopped database: a bound, not a figure of ours to be proud of.
	const mayGrow = 256
	first, err := w.vitals(ctx)
	if err != nil {
		return err
	}
	rss := w.watchRSS(ctx)
	harm := func(ctx context.Context) (back time.Time, err error) {
		resume, err := w.db.stall()
		defer func() { err = errors.Join(err, resume()) }()
		if err == nil {
			waited(ctx, w.options.Stall)
		}
		return time.Now(), err
	}
	res, back, lost, err := w.broken(ctx, w.options.Callers, before+w.options.Stall+afterward, harm)
	most := rss()
	if err != nil {
		return err
	}
	failures, err := res.latency(func(reason string) bool { return reason != accepted })
	if err != nil {
		return err
	}
	last, err := w.vitals(ctx)
	if err != nil {
		return err
	}
	e := w.report.entry(fmt.Sprintf("database stopped for %s under %d callers", w.options.Stall, w.options.Callers),
		"memory bounded, quick refusals, recovery within 3 s, no acknowledged write lost")
	e.add("memory, greatest − before", "MiB", most-first.rss, atMost(mayGrow))
	e.add("failures p99", "ms", millis(failures, tail), atMost(1000))
	e.add("failures p50", "ms", millis(failures, half), nil)
	e.add("failures during it", "/s", float64(res.failures())/w.options.Stall.Seconds(), nil)
	w.judgeRecovery(e, res, back, w.options.Callers)
	e.add("acknowledged likes lost", "", float64(lost), atMost(0))
	e.add("goroutines before", "", first.goroutines, nil)
	e.add("goroutines after", "", last.goroutines, nil)
	w.reasons("stall", res)
	return w.settle(ctx)
}
