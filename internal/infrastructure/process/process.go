// Package process is what every binary of the service does around its work: flags, configuration, log,
// signals, exit code.
package process

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"google.golang.org/grpc/grpclog"

	"github.com/lingo-services/profile/internal/infrastructure/config"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/observability"
)

// App runs until ctx ends and then stops in order.
type App interface {
	Run(ctx context.Context) error
}

// Build makes the app; cleanup is called after it has run.
type Build[A App] func(ctx context.Context, conf *confpb.Bootstrap, log *slog.Logger) (app A, cleanup func(), err error)

// Main loads and checks the configuration, runs what build makes until SIGINT or SIGTERM, and exits: 0 after
// an orderly stop, 1 with one line on stderr otherwise.
func Main[A App](name string, build Build[A]) {
	if err := run(name, os.Args[1:], build); err != nil {
		fmt.Fprintf(os.Stderr, "profile %s: %v\n", name, err)
		os.Exit(1)
	}
}

// garbagePercent: what lives is small, a few dozen megabytes, and most of what a call allocates dies with it. Collecting
// at Go's 100 % cost a sixth of the process under load.
const garbagePercent = 400

// collectLess leaves an operator's GOGC alone.
func collectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}

func run[A App](name string, args []string, build Build[A]) error {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	path := flags.String("conf", "", "YAML `file` laid over the shipped defaults (configs/config.yaml) and under the environment;\n"+
		"what it does not name keeps its default")
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	conf, err := config.Load(*path, os.Environ())
	if err != nil {
		return err
	}
	if err := config.Validate(conf); err != nil {
		return err
	}
	log, flush, err := observability.NewBufferedLogger(os.Stdout, conf.GetService().GetLogLevel())
	if err != nil {
		return err
	}
	defer flush()
	collectLess()
	go giveBack(ctx)
	// gRPC and grpc-gateway would write lines of their own beside the log, some at a caller's will.
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
	log.Debug("configuration", "config", config.Redacted(conf))
	app, cleanup, err := build(ctx, conf, log)
	if err != nil {
		return err
	}
	defer cleanup()
	return app.Run(ctx)
}
