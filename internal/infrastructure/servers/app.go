package servers

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/go-kratos/kratos/v2"
	kratoslog "github.com/go-kratos/kratos/v2/log"
	kgrpc "github.com/go-kratos/kratos/v2/transport/grpc"
	"google.golang.org/grpc/health"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/observability"
)

// App is the running service.
type App struct {
	*kratos.App
	Listeners Listeners
	log       *slog.Logger
}

// NewApp runs the servers together. On a stop signal it turns not ready, stops accepting, lets running
// calls finish within the drain time, and only then returns.
func NewApp(conf *confpb.Bootstrap, log *slog.Logger, l Listeners, g *kgrpc.Server, admin *Admin, probe *health.Server) *App {
	logger := observability.KratosLogger(log)
	kratoslog.SetLogger(logger)
	return &App{
		Listeners: l,
		log:       log,
		App: kratos.New(
			kratos.Name("profile"),
			kratos.Logger(logger),
			kratos.Server(g, admin),
			kratos.StopTimeout(conf.GetServer().GetTimeouts().GetDrain().AsDuration()),
			kratos.BeforeStop(func(context.Context) error {
				probe.Shutdown()
				return nil
			}),
		),
	}
}

// Run serves until a stop signal, ctx ending or a server failing.
func (a *App) Run(ctx context.Context) error {
	a.log.Info("serving", "addr", a.Listeners.GRPC.Addr().String())
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
