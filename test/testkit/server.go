// Package testkit gives a test a migrated database of its own, the service on a real gRPC listener, clients
// as any user or service, a clock, and what was written. It needs no configuration: a package's tests share
// one private Postgres, started by Main. No Postgres is a failure, never a skip.
//
// Environment: PROFILE_TEST_DATABASE_URL uses that server (a role that may create databases; databases of
// failed tests are kept and their URL printed). PROFILE_TEST_QUERY_MODE (cache_statement, exec),
// PROFILE_TEST_POOLER=pgbouncer, PROFILE_TEST_RLS=on and PROFILE_TEST_SWITCHES=off (no shared transactions, no cache, no
// admission) run the same tests another way (`make matrix`).
package testkit

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lingo-services/profile/internal/infrastructure/devpg"
	"github.com/lingo-services/profile/internal/infrastructure/postgres"
	"github.com/lingo-services/profile/test/testkit/pgcontainer"
)

const startTimeout = 2 * time.Minute

// shared is the package's Postgres, with one migrated template that tests clone.
var shared struct {
	once   sync.Once
	server *devpg.Server
	pooler *pooler
	err    error
}

const template = "profile_test_template"

// Main runs a package's tests and then stops its Postgres. Call it from TestMain.
func Main(m *testing.M) { os.Exit(Suite{m}.Run()) }

// Suite is Main for goleak.VerifyTestMain.
type Suite struct{ M *testing.M }

// Run runs the tests, stops Postgres and returns the exit code.
func (s Suite) Run() int {
	code := s.M.Run()
	if shared.pooler != nil {
		shared.pooler.stop()
	}
	if shared.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		if err := shared.server.Stop(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "testkit: stop postgres:", err)
			code = max(code, 1)
		}
	}
	return code
}

// Server is the package's Postgres, started on first use.
func Server(t testing.TB) *devpg.Server {
	t.Helper()
	shared.once.Do(func() { shared.err = start() })
	if shared.err != nil {
		t.Fatalf("testkit needs a Postgres: %v", shared.err)
	}
	return shared.server
}

func start() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	server, err := devpg.Start(ctx, devpg.Options{
		DatabaseURL: os.Getenv("PROFILE_TEST_DATABASE_URL"), Ephemeral: true, Docker: pgcontainer.Run,
	})
	if err != nil {
		return err
	}
	shared.server = server
	for _, sql := range []string{"DROP DATABASE IF EXISTS " + template, "CREATE DATABASE " + template} {
		if err := execute(ctx, server.OwnerURL("profile"), sql); err != nil {
			return err
		}
	}
	if _, err := postgres.MigrateUp(ctx, server.OwnerURL(template)); err != nil {
		return err
	}
	if err := execute(ctx, server.OwnerURL(template), installClock); err != nil {
		return err
	}
	if os.Getenv("PROFILE_TEST_RLS") == "on" {
		if err := postgres.SetRowSecurity(ctx, server.OwnerURL(template), true); err != nil {
			return err
		}
	}
	if os.Getenv("PROFILE_TEST_POOLER") == "pgbouncer" {
		if shared.pooler, err = startPooler(ctx, server); err != nil {
			return err
		}
	}
	return nil
}

func execute(ctx context.Context, url, sql string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("run %q: %w", sql, err)
	}
	return nil
}
