// Command grpc is the API server: ProfileService over gRPC, and the admin listener.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/lingo-services/profile/internal/infrastructure/config"
	"github.com/lingo-services/profile/internal/infrastructure/observability"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "profile:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("grpc", flag.ContinueOnError)
	path := flags.String("conf", "", "configuration file; empty for the shipped defaults")
	if err := flags.Parse(args); err != nil {
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
	log, err := observability.NewLogger(os.Stdout, conf.GetService().GetLogLevel())
	if err != nil {
		return err
	}
	log.Debug("configuration", "config", config.Redacted(conf))
	app, cleanup, err := newApp(ctx, conf, log)
	if err != nil {
		return err
	}
	defer cleanup()
	return app.Run(ctx)
}
