// Command speed measures the service against what a user could have instead: pgbench with the smallest SQL for
// the same result in tables of its own, and a bare gRPC server. Contestants take turns on one machine, every
// program is a process of its own as in production, and Postgres keeps its promises (fsync). Figures are worth
// their ratios: machines are shared.
//
//	speed bench      the yardsticks beside the service
//	speed scale      the same on a million users, kept between runs
//	speed overload   cold start, flood, restarted and stalled database
//	speed abuse      what healthy callers notice of abusers
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

const (
	commandBench    = "bench"
	commandScale    = "scale"
	commandOverload = "overload"
	commandAbuse    = "abuse"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "speed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	command := commandBench
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	switch command {
	case asLoad:
		return generate(ctx, os.Stdin, os.Stdout)
	case asEcho:
		return serveEcho(ctx, os.Stdout)
	case asAttack:
		return abuser(ctx, os.Stdin, os.Stdout)
	case asBroker:
		return serveBroker(ctx, os.Stdout, args...)
	case commandBench, commandScale, commandOverload, commandAbuse:
	default:
		return fmt.Errorf("unknown command %q: bench, scale, overload or abuse", command)
	}
	o, err := parseOptions(command, args)
	if err != nil {
		return err
	}
	return measure(ctx, command, o)
}

// measure runs a command from an empty machine to a printed report.
func measure(ctx context.Context, command string, o options) (err error) {
	t, err := newTopology(ctx, o, o.DataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	r := &report{}
	if err := r.describe(ctx, t); err != nil {
		return err
	}
	name := "speed"
	switch command {
	case commandScale:
		name, r.Title = "speed-scale", "Speed with a million users"
		err = scale(ctx, t, r)
	case commandOverload:
		name, r.Title = "speed-overload", "Overload, cold start, lost and stalled database"
		err = overload(ctx, t, r)
	case commandAbuse:
		name, r.Title = "speed-abuse", "Slow, oversized, reset and greedy callers"
		err = abuse(ctx, t, r)
	default:
		r.Title = "Speed"
		err = bench(ctx, t, r)
	}
	if err != nil {
		return err
	}
	if o.Quick {
		r.unjudged()
	}
	if err := r.print(os.Stdout); err != nil {
		return err
	}
	dir := o.Out
	if dir == "" {
		dir = filepath.Join(t.dir, "report") // drawn all the same, so that it cannot rot
	}
	return r.write(dir, name)
}

// unjudged forgets what must hold.
func (r *report) unjudged() {
	for _, e := range r.Entries {
		e.unjudged()
	}
}
