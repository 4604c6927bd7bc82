package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// options of a run.
type options struct {
	Data dataset
	// Turns is how often everything is measured, Turn how long each time.
	Turns        int
	Turn, Warmup time.Duration
	// Callers of the headline figures, and the yardsticks' clients.
	Callers, Clients int
	// Patience is the callers' deadline, Outstanding the bound of open loops.
	Patience    time.Duration
	Outstanding int
	// Quick leaves most of the curves out; nothing is judged.
	Quick bool
	// Out is where the report goes; empty: nowhere.
	Out string
	// Env is added to the environment of the service's programs.
	Env list
	// DataDir keeps the data of bench-scale.
	DataDir string
	// Small is the report that bench-scale compares with.
	Small string
	// Flood, Stall and Away are lengths of the overload rows.
	Flood, Stall, Away time.Duration
	// Abuse is how long each abuser goes on.
	Abuse time.Duration
	// Attack is the only one to be made; empty: all.
	Attack string
	log    io.Writer
}

// list collects a repeated flag.
type list []string

func (l *list) String() string { return fmt.Sprint(*l) }

// Set implements flag.Value.
func (l *list) Set(value string) error {
	*l = append(*l, value)
	return nil
}

// parseOptions reads the flags of a command; scale has other defaults.
func parseOptions(command string, args []string) (o options, err error) {
	small, large := dataset{Users: 100_000, Videos: 10_000, Warm: 20}, dataset{Users: 1_000_000, Videos: 100_000, Warm: 20}
	o.Data, o.log = small, os.Stderr
	if command == commandScale {
		o.Data = large
	}
	flags := flag.NewFlagSet("bench "+command, flag.ContinueOnError)
	flags.IntVar(&o.Data.Users, "users", o.Data.Users, "users")
	flags.IntVar(&o.Data.Videos, "videos", o.Data.Videos, "videos")
	flags.IntVar(&o.Data.Warm, "warm", o.Data.Warm, "likes and watched videos of each user")
	flags.IntVar(&o.Turns, "turns", 5, "turns of each contestant")
	flags.DurationVar(&o.Turn, "turn", 5*time.Second, "how long a turn lasts, whole seconds")
	flags.DurationVar(&o.Warmup, "warmup", 3*time.Second, "how long each side runs before a turn of it counts")
	flags.IntVar(&o.Callers, "callers", 128, "callers of the service")
	flags.IntVar(&o.Clients, "clients", 32, "clients of the yardsticks")
	flags.DurationVar(&o.Patience, "patience", 5*time.Second, "deadline of a caller")
	flags.IntVar(&o.Outstanding, "outstanding", 20_000, "unanswered calls that an open loop bears")
	flags.BoolVar(&o.Quick, "quick", false, "a smoke test: few curves, nothing judged")
	flags.StringVar(&o.Out, "out", "", "directory for the report; empty: print only")
	flags.Var(&o.Env, "env", "K=V for the service's programs; may be repeated")
	flags.StringVar(&o.DataDir, "data-dir", "", "scale: where the data is kept; empty: below the user's cache directory, or /var/lib for root")
	flags.StringVar(&o.Small, "small", "", "scale: the report (JSON) of the small data set to compare with")
	flags.DurationVar(&o.Flood, "flood", time.Minute, "overload: how long three times the peak lasts")
	flags.DurationVar(&o.Stall, "stall", 10*time.Second, "overload: how long the database is stopped")
	flags.DurationVar(&o.Away, "away", 2*time.Second, "overload: how long the database is away")
	flags.DurationVar(&o.Abuse, "abuse", 30*time.Second, "abuse: how long each abuser goes on")
	flags.StringVar(&o.Attack, "attack", "", "abuse: only this one: slow, oversized, reset or greedy")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("what is %q? flags come after the command", flags.Arg(0))
	}
	if command == commandAbuse { // as shipped: elsewhere limits would be in the way of the load
		o.Env = append(list{fmt.Sprintf("PROFILE_LIMITS_FAVORITES_PER_SECOND=%d", limitOfLikes)}, o.Env...)
	}
	if o.DataDir == "" && command == commandScale {
		o.DataDir, err = cacheDir()
	}
	return o, errors.Join(err, o.check())
}

func (o options) check() error {
	switch {
	case o.Turn < time.Second:
		return errors.New("-turn: pgbench knows whole seconds only")
	case o.Turns < 1 || o.Callers < 1 || o.Clients < 1 || o.Outstanding < 1:
		return errors.New("-turns, -callers, -clients and -outstanding must be positive")
	case o.Data.Warm < 1 || o.Data.Videos < o.Data.Warm || o.Data.Users < 1:
		return errors.New("-warm must be positive and at most -videos, -users positive")
	}
	return nil
}

func cacheDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/lingo-profile-bench", nil // not below /root, which Postgres's user cannot enter
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "lingo-profile-bench"), err
}

// say tells the one who waits what goes on.
func (o options) say(format string, args ...any) {
	_, _ = fmt.Fprintf(o.log, time.Now().UTC().Format(time.TimeOnly)+" "+format+"\n", args...)
}

// newProgress shows a bar per table on a terminal; elsewhere, and where nothing can be counted, a line.
func (o options) newProgress() progress {
	var bar *progressbar.ProgressBar
	last := ""
	return func(what string, done, total int) {
		if what != last {
			last, bar = what, nil
			if total == 0 || !isTerminal(o.log) {
				o.say("loading %s", what)
			} else {
				bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(o.log), progressbar.OptionSetDescription(what),
					progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionThrottle(500*time.Millisecond),
					progressbar.OptionOnCompletion(func() { _, _ = fmt.Fprintln(o.log) }))
			}
		}
		if bar != nil {
			_ = bar.Set(done) // a bar that cannot be drawn is no reason to stop
		}
	}
}

func isTerminal(out io.Writer) bool {
	file, isFile := out.(*os.File)
	return isFile && term.IsTerminal(int(file.Fd()))
}
