package servers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/lingo-services/profile/internal/infrastructure/observability"
)

// Limits of the admin listener (trust.md T13).
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 120 * time.Second
	readyTimeout      = time.Second
)

// Admin serves /livez (the process answers), /readyz (it is not draining and the database answers) and
// /metrics.
type Admin struct {
	server   *http.Server
	listener Listeners
}

// NewAdmin answers from the pool, the gRPC health state and the metrics registry.
func NewAdmin(l Listeners, pool *pgxpool.Pool, probe *health.Server, metrics *observability.Metrics) *Admin {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { answer(w, ready(r.Context(), pool, probe)) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics.Registry, promhttp.HandlerOpts{}))
	return &Admin{
		listener: l,
		server: &http.Server{
			Handler: mux, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		},
	}
}

var (
	errDraining = errors.New("draining")
	errDatabase = errors.New("database does not answer")
)

func ready(ctx context.Context, pool *pgxpool.Pool, probe *health.Server) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	state, err := probe.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil || state.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		return errDraining
	}
	if pool.Ping(ctx) != nil {
		return errDatabase
	}
	return nil
}

func answer(w http.ResponseWriter, problem error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if problem != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprintln(w, problem)
		return
	}
	_, _ = fmt.Fprintln(w, "ok")
}

// Start serves until Stop and then returns nil.
func (a *Admin) Start(context.Context) error {
	if err := a.server.Serve(a.listener.Admin); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve admin: %w", err)
	}
	return nil
}

// Stop lets running requests finish, or gives up at ctx.
func (a *Admin) Stop(ctx context.Context) error {
	if err := a.server.Shutdown(ctx); err != nil {
		return fmt.Errorf("stop admin: %w", err)
	}
	return nil
}
