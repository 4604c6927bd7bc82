package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	rounds   int
	seed     uint64
	faults   string
	full     bool
	report   bool
	mutants  bool
	parallel int
	// programs and mutation are how a mutant's run is told what to test.
	programs, mutation string
	failures           int
	patience           time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		stop()
		os.Exit(1) //nolint:gocritic // nothing is left to run
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var o options
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.IntVar(&o.rounds, "rounds", 3, "rounds of every fault")
	flags.Uint64Var(&o.seed, "seed", 0, "where all numbers come from; 0 draws one")
	flags.StringVar(&o.faults, "fault", "", "names, comma separated; empty for all")
	flags.BoolVar(&o.full, "full", false, "as many rounds as a report has")
	flags.BoolVar(&o.report, "report", false, "write test/chaos/REPORT.md")
	flags.BoolVar(&o.mutants, "mutants", false, "prove that the suite notices defects")
	flags.IntVar(&o.parallel, "parallel", 2, "worlds at a time")
	flags.StringVar(&o.programs, "programs", "", "directory of built programs; empty builds them")
	flags.StringVar(&o.mutation, "mutation", "", "SQL that every database gets")
	flags.IntVar(&o.failures, "failures", 3, "rounds of a fault that may fail before the rest is left out")
	flags.DurationVar(&o.patience, "patience", patience, "how long to wait for what must happen")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.seed == 0 {
		o.seed = rand.Uint64N(1_000_000) + 1 //nolint:gosec // G404: it is printed
	}
	dir, err := os.MkdirTemp("", "profile-chaos-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // G302: Postgres may run as another user
		return err
	}
	if o.mutants {
		return runMutants(ctx, o, dir, out)
	}
	return runFaults(ctx, o, dir, out)
}

// runFaults plays all chosen faults and prints what they came to.
func runFaults(ctx context.Context, o options, dir string, out io.Writer) error {
	chosen, err := choose(o.faults)
	if err != nil {
		return err
	}
	programs := programsIn(o.programs)
	if o.programs == "" {
		if programs, err = build(ctx, dir, ""); err != nil {
			return err
		}
	}
	start := time.Now()
	c := &campaign{options: o, dir: dir, programs: programs, out: out}
	_, _ = fmt.Fprintf(out, "seed %d, %d faults\n", o.seed, len(chosen))
	err = c.run(ctx, chosen)
	slices.SortFunc(c.tallies, func(a, b *tally) int {
		return slices.Index(names(chosen), a.fault) - slices.Index(names(chosen), b.fault)
	})
	_, _ = fmt.Fprintf(out, "\n%s\n%s in %s\n", table(c.tallies), summary(c.tallies), time.Since(start).Round(time.Second))
	if o.report {
		err = errors.Join(err, writeReport(o, c, time.Since(start)))
	}
	for _, t := range c.tallies {
		for _, p := range t.problems {
			err = errors.Join(err, fmt.Errorf("%s: %s", t.fault, p))
		}
	}
	return err
}

func choose(wanted string) ([]*fault, error) {
	all := slices.Concat(publisherFaults(), consumerFaults(), apiFaults())
	if wanted == "" {
		return all, nil
	}
	var chosen []*fault
	for name := range strings.SplitSeq(wanted, ",") {
		i := slices.Index(names(all), name)
		if i < 0 {
			return nil, fmt.Errorf("no fault %q; there are %s", name, strings.Join(names(all), ", "))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

func names(faults []*fault) (list []string) {
	for _, f := range faults {
		list = append(list, f.name)
	}
	return list
}

// campaign is one run of many faults.
type campaign struct {
	options
	dir      string
	programs binaries
	out      io.Writer

	mu      sync.Mutex
	tallies []*tally
}

// run plays the faults that measure time alone first, and then the others side by side, each lane with a
// Postgres of its own.
func (c *campaign) run(ctx context.Context, chosen []*fault) error {
	alone, others := make(chan *fault, len(chosen)), make(chan *fault, len(chosen))
	for _, f := range chosen {
		if f.alone {
			alone <- f
		} else {
			others <- f
		}
	}
	close(alone)
	close(others)
	if err := c.lane(ctx, 0, alone); err != nil {
		return err
	}
	errs := make([]error, c.parallel)
	var group sync.WaitGroup
	for i := range c.parallel {
		group.Go(func() { errs[i] = c.lane(ctx, i+1, others) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// lane plays faults one after the other.
func (c *campaign) lane(ctx context.Context, number int, faults <-chan *fault) (err error) {
	if len(faults) == 0 {
		return nil
	}
	dir := fmt.Sprintf("%s/lane-%d", c.dir, number)
	if err := errors.Join(os.Mkdir(dir, 0o755), os.Chmod(dir, 0o755)); err != nil { //nolint:gosec // G301, G302: Postgres may run as another user
		return err
	}
	db, err := startDatabase(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.stop(ctx)) }()
	r := &rig{binaries: c.programs, dir: dir, database: db, mutation: c.mutation, patience: c.patience}
	for f := range faults {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if c.roundsOf(f) == 0 {
			continue
		}
		t := c.play(ctx, r, f)
		c.mu.Lock()
		c.tallies = append(c.tallies, t)
		for _, note := range t.notes[max(0, len(t.notes)-1):] {
			_, _ = fmt.Fprintf(c.out, "  %s\n", note)
		}
		for _, problem := range t.problems {
			_, _ = fmt.Fprintf(c.out, "  %s\n", problem)
		}
		_, _ = fmt.Fprintf(c.out, "%-34s %3d rounds %7d events %5d duplicates %6s %s\n", f.name, t.rounds, t.committed, t.duplicate,
			t.took.Round(100*time.Millisecond), verdictWord(t))
		c.mu.Unlock()
	}
	return nil
}

func verdictWord(t *tally) string {
	if len(t.problems) > 0 {
		return "RED"
	}
	return "ok"
}

// worldRounds is how many rounds share a world: judging looks at all that ever happened in it.
const worldRounds = 10

// play runs all rounds of a fault. A round that fails ends its world.
func (c *campaign) play(ctx context.Context, r *rig, f *fault) *tally {
	t := &tally{fault: f.name, seed: c.seed}
	start := time.Now()
	defer func() { t.took = time.Since(start) }()
	var w *world
	defer func() {
		if w != nil {
			w.close(ctx)
		}
	}()
	rounds := c.roundsOf(f)
	for i := 0; i < rounds; i++ {
		if t.failed == c.failures || ctx.Err() != nil {
			break
		}
		seed := c.seed + uint64(i)
		var err error
		if w != nil && (i%worldRounds == 0) {
			w.close(ctx)
			w = nil
		}
		if w == nil {
			w, err = newWorld(ctx, r, f.setup)
		}
		if err == nil {
			err = (&round{world: w, fault: f, seed: seed, rng: newRand(seed, 1000), tally: t}).run(ctx)
			t.rounds++
		}
		if err != nil && ctx.Err() == nil {
			t.failed++
			t.problems = append(t.problems, fmt.Sprintf("round %d: %v\n  again: make chaos FAULT=%s SEED=%d ROUNDS=1", i+1, err, f.name, seed))
			if w != nil {
				w.close(ctx)
				w = nil
			}
		}
		if i == rounds-1 && f.unsure != nil && f.unsure(t) {
			rounds = max(rounds, f.full)
		}
	}
	if f.finish != nil {
		f.finish(t)
	}
	return t
}

func (c *campaign) roundsOf(f *fault) int {
	const usualFull = 30
	switch {
	case f.long && !c.full && c.faults == "":
		return 0
	case !c.full && f.full == 1:
		return 1
	case !c.full:
		return c.rounds
	case f.full > 0:
		return f.full
	}
	return usualFull
}
