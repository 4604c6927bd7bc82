package servers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
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
	mux      *http.ServeMux
	listener Listeners
}

// readiness is whether callers should be sent here.
type readiness struct {
	pool  *pgxpool.Pool
	probe *health.Server
	// warmed: the pool has had its least number of connections.
	warmed atomic.Bool
	// answered is when the database did last, in Unix nanoseconds.
	answered atomic.Int64
}

// NewAdmin answers from the pool, the gRPC health state and the metrics registry.
func NewAdmin(l Listeners, pool *pgxpool.Pool, probe *health.Server, metrics *observability.Metrics) *Admin {
	metrics.ObservePool(pool)
	mux, state := http.NewServeMux(), &readiness{pool: pool, probe: probe}
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { answer(w, state.check(r.Context())) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics.Registry, promhttp.HandlerOpts{}))
	return &Admin{
		listener: l,
		mux:      mux,
		server: &http.Server{
			Handler: mux, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		},
	}
}

var (
	errDraining = errors.New("draining")
	errDatabase = errors.New("database does not answer")
	errWarming  = errors.New("connections are being opened")
)

// patience is how long a database that does not answer in time counts as busy, not as gone: taking a busy instance out
// leaves its load to the others.
const patience = 10 * time.Second

func (r *readiness) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	state, err := r.probe.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil || state.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		return errDraining
	}
	err = r.pool.Ping(ctx)
	switch {
	case err == nil:
		r.answered.Store(time.Now().UnixNano())
	case ctx.Err() == nil || time.Since(time.Unix(0, r.answered.Load())) > patience:
		return errDatabase
	}
	return r.warm()
}

func (r *readiness) warm() error {
	if stat := r.pool.Stat(); stat.IdleConns()+stat.AcquiredConns() >= r.pool.Config().MinConns {
		r.warmed.Store(true)
	}
	if !r.warmed.Load() {
		return errWarming
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

// Handle serves more, before Start; pattern is http.ServeMux's.
func (a *Admin) Handle(pattern string, handler http.Handler) { a.mux.Handle(pattern, handler) }

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
