package servers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-kratos/kratos/v2"
	kratoslog "github.com/go-kratos/kratos/v2/log"
	"github.com/go-kratos/kratos/v2/transport"
	kgrpc "github.com/go-kratos/kratos/v2/transport/grpc"
	khttp "github.com/go-kratos/kratos/v2/transport/http"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/observability"
)

// shareLogger: Kratos has one logger per process and reads it without a lock, so that a second App must not
// replace it while the first one runs.
var shareLogger sync.Once

// App is the running service.
type App struct {
	*kratos.App
	Listeners Listeners
	log       *slog.Logger
}

// NewApp runs the servers together. On a stop signal it turns not ready, stops accepting, lets running
// calls finish within the drain time, and only then returns.
func NewApp(conf *confpb.Bootstrap, log *slog.Logger, l Listeners, g *kgrpc.Server, r *khttp.Server, admin *Admin, probe *health.Server) *App {
	return newApp(conf.GetServer().GetTimeouts().GetDrain().AsDuration(), log, l, []transport.Server{g, r}, admin, probe)
}

// Task is a background worker of a process of its own. Start blocks until Stop and then returns nil; an error
// it returns earlier ends the process. Stop finishes what is in hand, or gives up at ctx.
type Task transport.Server

// NewTaskApp runs a task beside the admin listener. On a stop signal the task gets grace to finish.
func NewTaskApp(grace Grace, log *slog.Logger, l Listeners, task Task, admin *Admin, probe *health.Server) *App {
	return newApp(time.Duration(grace), log, l, []transport.Server{task}, admin, probe)
}

// Grace is how long a stopping task may take.
type Grace time.Duration

func newApp(drain time.Duration, log *slog.Logger, l Listeners, work []transport.Server, admin *Admin, probe *health.Server) *App {
	shareLogger.Do(func() { kratoslog.SetLogger(observability.KratosLogger(log)) })
	last := lasting{Admin: admin}
	var all []transport.Server
	for _, server := range work {
		working := draining{server, make(chan struct{})}
		all, last.drained = append(all, working), append(last.drained, working.done)
	}
	return &App{
		Listeners: l,
		log:       log,
		App: kratos.New(
			kratos.Name("profile"),
			kratos.Server(append(all, last)...),
			kratos.StopTimeout(drain),
			kratos.BeforeStop(func(context.Context) error {
				probe.Shutdown()
				return nil
			}),
		),
	}
}

// draining tells when its server has finished its work.
type draining struct {
	transport.Server
	done chan struct{}
}

// Start implements transport.Server. Being stopped before it began to serve is no failure.
func (d draining) Start(ctx context.Context) error {
	if err := d.Server.Start(ctx); !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

// Stop implements transport.Server.
func (d draining) Stop(ctx context.Context) error {
	defer close(d.done)
	return d.Server.Stop(ctx)
}

// lasting answers probes, which must see "not ready", until the calls have been drained.
type lasting struct {
	*Admin
	drained []<-chan struct{}
}

// Stop implements transport.Server.
func (l lasting) Stop(ctx context.Context) error {
	for _, done := range l.drained {
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTimeout)
	defer cancel()
	return l.Admin.Stop(ctx)
}

// Run serves until a stop signal, ctx ending or a server failing.
func (a *App) Run(ctx context.Context) error {
	a.log.Info("serving", "addr", a.Listeners.addr())
	stopped := make(chan struct{})
	defer close(stopped)
	go func() {
		select {
		case <-ctx.Done():
			_ = a.Stop()
		case <-stopped:
		}
	}()
	if err := a.App.Run(); err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	a.log.Info("stopped")
	return nil
}
