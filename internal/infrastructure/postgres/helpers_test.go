package postgres_test

import (
	"context"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/postgres"
	"github.com/lingo-services/profile/test/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// migrated is an empty database brought to the newest version, without what the test kit adds.
func migrated(t testing.TB) *testkit.Database {
	t.Helper()
	db := testkit.NewEmptyDatabase(t)
	up(t, db)
	return db
}

func up(t testing.TB, db *testkit.Database) []string {
	t.Helper()
	applied, err := postgres.MigrateUp(t.Context(), db.OwnerURL)
	require.NoError(t, err)
	return applied
}

func down(t testing.TB, db *testkit.Database) string {
	t.Helper()
	reverted, err := postgres.MigrateDown(t.Context(), db.OwnerURL)
	require.NoError(t, err)
	return reverted
}

// secured is migrated with row security on, holding one row of every kind for each user.
func secured(t testing.TB, users ...uuid.UUID) *testkit.Database {
	t.Helper()
	db := migrated(t)
	for _, u := range users {
		addRows(t, db, u)
	}
	require.NoError(t, postgres.SetRowSecurity(t.Context(), db.OwnerURL, true))
	return db
}

// addRows gives a user one row in every table that has rows of users.
func addRows(t testing.TB, db *testkit.Database, user uuid.UUID) {
	t.Helper()
	for _, sql := range []string{
		"INSERT INTO profile.users (user_id, display_name) VALUES ($1, 'Ada')",
		"INSERT INTO profile.user_stats (user_id) VALUES ($1)",
		"INSERT INTO profile.engagements (user_id, video_id, engagement_type, engaged_at, state_at) VALUES ($1, gen_random_uuid(), 'like', now(), now())",
		`INSERT INTO profile.watch_logs (user_id, video_id, position_seconds, ratio_bp, resume_at, max_ratio_bp, first_watched_at, last_watched_at, expires_at)
		 VALUES ($1, gen_random_uuid(), 0, 0, now(), 0, now(), now(), now())`,
		"INSERT INTO profile.watch_sessions (user_id, video_id, session_id, seq) VALUES ($1, gen_random_uuid(), 's', 1)",
		`INSERT INTO profile.idempotency_keys (user_id, action, resource_id, idempotency_key, fingerprint, response, expires_at)
		 VALUES ($1, 'a', gen_random_uuid(), 'k', decode(repeat('00', 32), 'hex'), '{}', now())`,
		`WITH e AS (INSERT INTO profile.outbox_events (event_id, aggregate_type, aggregate_id, event_type, ordering_key, version, payload, occurred_at)
		 VALUES (gen_random_uuid(), 'user', $1, 't', $1, 1, '', now()) RETURNING id, slot, ordering_key)
		 INSERT INTO profile.outbox_deliveries (id, slot, lane, ordering_key) SELECT id, slot, 0, ordering_key FROM e`,
	} {
		db.Exec(t, sql, user)
	}
}

// appPool logs in as the service does.
func appPool(t testing.TB, db *testkit.Database, conns int32) *pgxpool.Pool {
	t.Helper()
	pool, closePool, err := postgres.NewPool(t.Context(), &confpb.Data_Postgres{Url: db.AppURL, MaxConns: conns, QueryMode: "exec"})
	require.NoError(t, err)
	t.Cleanup(closePool)
	return pool
}

// as runs fn in a transaction that says who it acts for; its changes stay only when fn returns nil.
func as(ctx context.Context, pool *pgxpool.Pool, role, user string, fn func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT set_config('app.role', $1, true), set_config('app.user_id', $2, true)", role, user); err != nil {
			return err
		}
		return fn(tx)
	})
}

// one reads a single value.
func one[T any](ctx context.Context, tx pgx.Tx, sql string, args ...any) (value T, err error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return value, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
}

// list reads one column as the owner.
func list[T any](t testing.TB, db *testkit.Database, sql string, args ...any) []T {
	t.Helper()
	rows, err := db.Owner.Query(t.Context(), sql, args...)
	require.NoError(t, err)
	values, err := pgx.CollectRows(rows, pgx.RowTo[T])
	require.NoError(t, err)
	return values
}

// together runs n functions at the same time and returns their errors in order.
func together(n int, run func(i int) error) []error {
	errs := make([]error, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { errs[i] = run(i) })
	}
	group.Wait()
	return errs
}
