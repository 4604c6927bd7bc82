package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
)

// contest is a kind of work and the yardstick that it is compared with.
type contest struct {
	what, must   string
	work, spread string
	// ratio is the least that ours must be of theirs; lag and failed say what else must hold.
	ratio     float64
	writes    bool
	noneFails bool
	theirs    string
	script    string
	echo      bool
	// against is work of our own that the work is compared with; empty for a yardstick.
	against string
}

// contests are the rows of the table that compare rates.
func contests(d dataset) []contest {
	return []contest{
		{what: "like, uniform", must: "≥ 1.0 × Y1, publisher's lag p99 < 1 s", work: workLike, spread: uniform, ratio: 1, writes: true, theirs: "Y1", script: yardLike(d, uniform)},
		{what: "like, Zipf(1.1)", must: "≥ 1.0 × Y1, publisher's lag p99 < 1 s", work: workLike, spread: zipf, ratio: 1, writes: true, theirs: "Y1", script: yardLike(d, zipf)},
		{what: "like, one video", must: "≥ 4 × Y2, 0 failed", work: workLike, spread: hot, ratio: 4, writes: true, noneFails: true, theirs: "Y2", script: yardLike(d, hot)},
		{what: "progress", must: "≥ 0.8 × Y3", work: workProgress, spread: uniform, ratio: 0.8, writes: true, theirs: "Y3", script: yardProgress(d)},
		{what: "BatchQueryFavorite 50, cache cold", must: "≥ 0.8 × Y4", work: workBatchCold, spread: uniform, ratio: 0.8, theirs: "Y4", script: yardBatch(d, uniform)},
		{what: "BatchQueryFavorite 50, cache warm", must: "≥ 2 × Y4", work: workBatchWarm, spread: uniform, ratio: 2, theirs: "Y4", script: yardBatch(d, uniform)},
		{what: "BatchQueryFavorite 50, random pairs", must: "told", work: workBatchRandom, spread: zipf, theirs: "Y4", script: yardBatch(d, zipf)},
		{what: "ListFavorites 20", must: "≥ 0.8 × Y5", work: workFavorites, spread: uniform, ratio: 0.8, theirs: "Y5", script: yardFavorites(d)},
		{what: "ListWatchHistory 20", must: "≥ 0.8 × Y5", work: workHistory, spread: uniform, ratio: 0.8, theirs: "Y5", script: yardHistory(d)},
		{what: "GetProfile", must: "≥ 0.5 × Y6", work: workProfile, spread: uniform, ratio: 0.5, theirs: "Y6", echo: true},
		{what: "GetProfile over REST", must: "≥ 0.5 × gRPC", work: workRESTProfile, spread: uniform, ratio: 0.5, theirs: "gRPC", against: workProfile},
		{what: "like over REST", must: "≥ 0.5 × gRPC", work: workRESTLike, spread: uniform, ratio: 0.5, writes: true, theirs: "gRPC", against: workLike},
	}
}

// arena is a run of contests.
type arena struct {
	*topology
	report *report
	echo   string
	size   int
}

func newArena(ctx context.Context, t *topology, r *report) (*arena, error) {
	a := &arena{topology: t, report: r}
	server, address, err := startPrinting(ctx, "echo server", t.logOf("echo"), asEcho)
	if err != nil {
		return nil, err
	}
	t.cleanup(func() error { server.stop(0); return nil })
	a.echo = address
	a.size, err = t.profileSize(ctx)
	return a, err
}

// job is work as cheap for the machine as pgbench's, which is a thin client too. Where our own transports are compared,
// everybody has their framework's client.
func (a *arena) job(work, spread string) job {
	j := a.topology.job(work, spread)
	switch work {
	case workLike, workProgress, workBatchCold, workBatchWarm, workBatchRandom, workFavorites, workHistory, workMixed:
		j.Bare = true
	}
	return j
}

// profileSize is how long GetProfile's answer is.
func (t *topology) profileSize(ctx context.Context) (size int, err error) {
	conn, err := grpc.NewClient(t.service.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	id := userID(1).String()
	res, err := profilev1.NewProfileServiceClient(conn).GetProfile(as(ctx, id), &profilev1.GetProfileRequest{UserId: id})
	return proto.Size(res), err
}

// bench runs everything but what needs a large data set or a broken database.
func bench(ctx context.Context, t *topology, r *report) error {
	a, err := newArena(ctx, t, r)
	if err != nil {
		return err
	}
	all := contests(t.options.Data)
	if err := a.warmUp(ctx, all); err != nil {
		return err
	}
	for turn := range t.options.Turns {
		t.options.say("turn %d of %d", turn+1, t.options.Turns)
		if err := a.turn(ctx, turn, all); err != nil {
			return err
		}
	}
	if err := a.sweep(ctx); err != nil {
		return err
	}
	r.Notes = append(r.Notes, notes()...)
	return t.recountBoth(ctx)
}

// notes say how to read the figures.
func notes() []string {
	return []string{
		"Likes are ADD or REMOVE at random, of random pairs, on both sides: about half of the calls change something.",
		"Progress is sessions of ten reports, ten seconds of a ten-minute video apart; nine sessions in ten continue a video the user has watched.",
		"Cache cold is `x-md-consistency: strong`, which goes past caches. Warm are 500 users who come back to a screen of 50 videos each; random pairs are hardly ever asked for twice, so that the cache is in the way.",
		"Closed loops give rates. Latencies are of open loops at half the rate of the closed loop, Poisson arrivals, from the moment a call was due; who offers load at their own time goes first to a processor (nice -10, where that is allowed), as other machines would.",
		"Calls compared with pgbench, and offered load, come over bare connections: HTTP/2 frames, the status read, the rows thrown away as pgbench does. GetProfile, Y6 and what REST is compared with have grpc-go's client.",
		"Both sides warm up right before each of their turns: minutes pass between two of a kind, and what is cached seconds ago has ended by then.",
		"Between turns the publisher is awaited, so that no turn pays for another's events; within a turn it takes part.",
		"After the run every video's counter equalled a recount, on both sides.",
		"pgbench runs -M prepared with two threads; connecting is not counted.",
	}
}

// warmUp lets caches fill and pools grow.
func (a *arena) warmUp(ctx context.Context, all []contest) error {
	a.options.say("warming up")
	for _, c := range all {
		j := a.job(c.work, c.spread)
		j.Callers, j.Length = min(8, a.options.Callers), a.options.Warmup
		if _, err := a.run(ctx, j); err != nil {
			return err
		}
	}
	return a.settle(ctx)
}

// job aims at the service.
func (t *topology) job(work, spread string) job {
	t.turns++
	return job{
		Target: t.service.grpc, REST: "http://" + t.service.http, Work: work, Spread: spread, Data: t.options.Data, Callers: t.options.Callers, Outstanding: t.options.Outstanding,
		Length: t.options.Turn, Deadline: t.options.Patience, Seed: t.turns,
	}
}

// errSilent is a defect of the benchmark or of the service, not a figure.
var errSilent = errors.New("not one call succeeded")

// run lets a load generator do the job.
func (t *topology) run(ctx context.Context, j job) (loadResult, error) {
	res, err := runLoad(ctx, j, t.logOf("load"))
	if err == nil && res.Answers[accepted].Count == 0 {
		err = fmt.Errorf("%w: %s", errSilent, counts(failuresOf(res)))
	}
	if err != nil {
		return res, fmt.Errorf("%s, %s: %w", j.Work, j.Spread, err)
	}
	return res, nil
}

// turn measures everything once.
func (a *arena) turn(ctx context.Context, turn int, all []contest) error {
	for i := range all {
		// Everybody is first, last and in the middle in turn.
		if err := a.contest(ctx, turn, all[(i+turn)%len(all)]); err != nil {
			return err
		}
	}
	if err := a.idle(ctx, turn); err != nil {
		return err
	}
	return a.curves(ctx, all)
}

// contest is a turn of both sides, each right after a warm-up of its own; who begins alternates.
func (a *arena) contest(ctx context.Context, turn int, c contest) error {
	a.options.say("  %s", c.what)
	var theirs float64
	var ours loadResult
	var lag float64
	sides := []func(length time.Duration) error{
		func(length time.Duration) (err error) { theirs, err = a.yard(ctx, c, length); return err },
		func(length time.Duration) (err error) { ours, lag, err = a.ours(ctx, c, length); return err },
	}
	if turn%len(sides) == 1 {
		slices.Reverse(sides)
	}
	for _, side := range sides {
		if err := errors.Join(side(a.options.Warmup), side(a.options.Turn)); err != nil {
			return err
		}
	}
	e := a.report.entry(c.what, c.must)
	var least *bound
	if c.ratio > 0 {
		least = atLeast(c.ratio)
	}
	if theirs > 0 {
		e.add("service / "+c.theirs, "", ours.rate()/theirs, least)
	}
	e.add("service", "/s", ours.rate(), nil)
	e.add(c.theirs, "/s", theirs, nil)
	var none *bound
	if c.noneFails {
		none = atMost(0)
	}
	e.add("failed", "%", percent(ours.failedShare()), none)
	if c.writes {
		e.add("publisher's lag p99", "ms", lag, atMost(1000))
	}
	if c.work == workLike && c.spread == zipf {
		if uniformly := a.report.entry("like, uniform", "").find("Y1"); uniformly != nil && uniformly.median() > 0 {
			e.add("service / Y1 uniform", "", ours.rate()/uniformly.median(), nil)
		}
	}
	a.report.curve(c.what).add(a.options.Callers, ours)
	if a.options.Quick && c.spread != hot {
		return nil
	}
	return a.openLoop(ctx, c, ours.rate())
}

func (a *arena) yard(ctx context.Context, c contest, length time.Duration) (float64, error) {
	if c.echo {
		j := a.job(workEcho, uniform)
		j.Target, j.Size, j.Length = a.echo, a.size, length
		res, err := a.run(ctx, j)
		return res.rate(), err
	}
	if c.against != "" {
		j := a.topology.job(c.against, c.spread)
		j.Length = length
		res, err := a.run(ctx, j)
		return res.rate(), errors.Join(err, a.settle(ctx))
	}
	res, err := a.pgbench(ctx, c.script, a.options.Clients, length, false)
	if err != nil {
		return 0, fmt.Errorf("yardstick of %s: %w", c.what, err)
	}
	return res.Rate, nil
}

func (a *arena) ours(ctx context.Context, c contest, length time.Duration) (loadResult, float64, error) {
	j := a.job(c.work, c.spread)
	j.Length = length
	lag := a.watchLag(ctx)
	res, err := a.run(ctx, j)
	p99 := lag()
	return res, p99, errors.Join(err, a.settle(ctx))
}

// openLoop measures latencies at half of what the service could do in the first turn.
func (a *arena) openLoop(ctx context.Context, c contest, rate float64) error {
	const share = 0.5
	i := slices.IndexFunc(a.report.Latencies, func(l *percentiles) bool { return l.Work == c.what })
	if i < 0 {
		i = len(a.report.Latencies)
		a.report.Latencies = append(a.report.Latencies, &percentiles{Work: c.what, Rate: max(1, share*rate)})
	}
	l := a.report.Latencies[i]
	j := a.job(c.work, c.spread)
	j.Rate = l.Rate
	res, err := a.run(ctx, j)
	if err != nil {
		return err
	}
	return errors.Join(l.add(res), a.settle(ctx))
}

// idle is one caller on an idle machine.
func (a *arena) idle(ctx context.Context, turn int) error {
	const half = 0.5
	var ours, theirs float64
	sides := []func() error{
		func() error {
			res, err := a.pgbench(ctx, yardLike(a.options.Data, uniform), 1, a.options.Turn, true)
			if err == nil {
				theirs = millis(res.Latency, half)
			}
			return err
		},
		func() error {
			j := a.job(workLike, uniform)
			j.Callers = 1
			res, err := a.run(ctx, j)
			if err != nil {
				return err
			}
			h, err := res.latency(isAccepted)
			if err != nil {
				return err
			}
			ours = millis(h, half)
			a.report.curve("like, uniform").add(1, res)
			return a.settle(ctx)
		},
	}
	if turn%len(sides) == 1 {
		slices.Reverse(sides)
	}
	for _, side := range sides {
		if err := side(); err != nil {
			return err
		}
	}
	e := a.report.entry("one caller, idle machine: like p50", "≤ Y1's c=1 latency + 1 ms")
	e.add("service − Y1", "ms", ours-theirs, atMost(1))
	e.add("service p50", "ms", ours, nil)
	e.add("Y1 p50", "ms", theirs, nil)
	return nil
}

// curves are throughput against callers, and the mixed work.
func (a *arena) curves(ctx context.Context, all []contest) error {
	callers, mixed := []int{1, 8, 32}, []int{8, 16, 64, 256}
	if a.options.Quick {
		callers, mixed, all = []int{8}, []int{8}, all[:1]
	}
	for _, c := range all {
		for _, n := range callers {
			if n == 1 && c.what == "like, uniform" {
				continue // idle has it
			}
			if err := a.curvePoint(ctx, c.what, c.work, c.spread, n); err != nil {
				return err
			}
		}
	}
	for _, n := range mixed {
		if err := a.curvePoint(ctx, "mixed work", workMixed, uniform, n); err != nil {
			return err
		}
	}
	return nil
}

func (a *arena) curvePoint(ctx context.Context, what, work, spread string, callers int) error {
	j := a.job(work, spread)
	j.Callers = callers
	res, err := a.run(ctx, j)
	// No call succeeding is a figure here: it is what overload looked like.
	if err != nil && !errors.Is(err, errSilent) {
		return err
	}
	a.report.curve(what).add(callers, res)
	return a.settle(ctx)
}

// sweep offers likes at parts and multiples of the peak, for one turn each.
func (a *arena) sweep(ctx context.Context) error {
	peak := a.report.entry("like, uniform", "").find("service").median()
	steps := []float64{0.25, 0.5, 0.75, 0.9, 1, 1.25, 1.5, 2, 3}
	if a.options.Quick {
		steps = []float64{0.5}
	}
	for _, step := range steps {
		a.options.say("likes at %.2f of the peak", step)
		j := a.job(workLike, uniform)
		j.Rate = step * peak
		res, err := a.run(ctx, j)
		if err != nil && !errors.Is(err, errSilent) {
			return err
		}
		o, err := newOffered(j, res)
		if err != nil {
			return err
		}
		a.report.Offered = append(a.report.Offered, o)
		if err := a.settle(ctx); err != nil {
			return err
		}
	}
	return nil
}

func newOffered(j job, res loadResult) (offered, error) {
	const tail = 0.99
	h, err := res.latency(isAccepted)
	if err != nil {
		return offered{}, err
	}
	return offered{Offered: j.Rate, Goodput: res.rate(), P99: millis(h, tail), Failures: failuresOf(res)}, nil
}
