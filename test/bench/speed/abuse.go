package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// healthyRate is what the others ask for, by each transport.
const healthyRate = 100

// abuse measures what healthy callers notice of abusers, by gRPC and by REST.
func abuse(ctx context.Context, t *topology, r *report) error {
	a := &abused{overloaded{topology: t, report: r}}
	if err := a.healthy(ctx, time.Second, nil); err != nil { // warms up
		return err
	}
	r.Entries = nil
	for _, abuse := range []struct {
		what string
		kind attackKind
	}{
		{fmt.Sprintf("%d slow connections", slowConnections), slowHeaders},
		{fmt.Sprintf("%d bodies of %d MiB", oversizedBodies, oversizedBytes>>20), longBodies},
		{"HTTP/2 rapid reset", rapidReset},
		{"a user at ten times the limit of likes", greedyUser},
		{"nobody, but busy processors", noAttack},
	} {
		if only := t.options.Attack; only != "" && only != string(abuse.kind) {
			continue
		}
		t.options.say("%s", abuse.what)
		must := "healthy p99 < 2 ×; healthy failures 0; memory + < 64 MiB"
		if abuse.kind == noAttack {
			must = "nothing: for comparison"
		}
		e := r.entry(abuse.what, must)
		for range t.options.Turns {
			if err := a.compare(ctx, e, abuse.kind); err != nil {
				return fmt.Errorf("%s: %w", abuse.what, err)
			}
		}
		if abuse.kind == noAttack {
			e.unjudged()
		}
	}
	r.Notes = append(r.Notes,
		"Abusers are a process that runs when nobody else wants to (SCHED_IDLE): their machines are elsewhere. What an attack costs the service is its own processor time, which no priority hides.",
		"Busy processors are the yardstick of the others: a process of the same kind that calls nobody. What healthy callers notice of it, this machine's scheduler does to them.",
		fmt.Sprintf("Healthy callers read profiles, %d a second over gRPC and as many over REST, open loop; each turn compares %s without and %s with the abuser.", healthyRate, t.options.Turn, t.options.Abuse))
	return nil
}

type abused struct{ overloaded }

// compare is one turn: without, then with.
func (a *abused) compare(ctx context.Context, e *entry, kind attackKind) error {
	calm := map[string]loadResult{}
	quietly, err := a.cores(func() error { return a.healthy(ctx, a.options.Turn, calm) })
	if err != nil {
		return err
	}
	before, err := a.vitals(ctx)
	if err != nil {
		return err
	}
	attacking, stop := context.WithCancel(ctx)
	defer stop()
	var told string
	var failure error
	var group sync.WaitGroup
	group.Go(func() {
		told, failure = runAttack(attacking, attack{kind, a.service.grpc, a.service.http, a.options.Data.Videos}, a.logOf("abuser"))
	})
	rss, during := a.watchRSS(ctx), map[string]loadResult{}
	loudly, err := a.cores(func() error { return a.healthy(ctx, a.options.Abuse, during) })
	stop()
	group.Wait()
	most := rss()
	if err = errors.Join(err, failure); err != nil {
		return err
	}
	for _, name := range []string{"gRPC", "REST"} {
		quiet, err := calm[name].latency(isAccepted)
		if err != nil {
			return err
		}
		loud, err := during[name].latency(isAccepted)
		if err != nil {
			return err
		}
		e.add(name+" p99, with / without", "", millis(loud, tail)/max(0.01, millis(quiet, tail)), atMost(2))
		e.add(name+" p99 without", "ms", millis(quiet, tail), nil)
		e.add(name+" failed", "%", percent(during[name].failedShare()), atMost(0))
	}
	e.add("service's processors, with", "", loudly, nil)
	e.add("service's processors, without", "", quietly, nil)
	e.add("memory, growth", "MiB", most-before.rss, atMost(64))
	a.report.Notes = append(a.report.Notes, told)
	return nil
}

// cores is how many processors the service used while work went on.
func (a *abused) cores(work func() error) (float64, error) {
	from := time.Now()
	start, err := a.service.processorTime()
	if err != nil {
		return 0, err
	}
	if err := work(); err != nil {
		return 0, err
	}
	end, err := a.service.processorTime()
	return (end - start) / time.Since(from).Seconds(), err
}

// healthy runs the healthy callers.
func (a *abused) healthy(ctx context.Context, length time.Duration, results map[string]loadResult) error {
	var group sync.WaitGroup
	var mu sync.Mutex
	var failure error
	for name, work := range map[string]string{"gRPC": workProfile, "REST": workRESTProfile} {
		j := a.job(work, uniform)
		j.Rate, j.Length = healthyRate, length
		group.Go(func() {
			res, err := a.run(ctx, j)
			mu.Lock()
			defer mu.Unlock()
			failure = errors.Join(failure, err)
			if results != nil {
				results[name] = res
			}
		})
	}
	group.Wait()
	return failure
}
