package repositories_test

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/postgres"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/test/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// noon is where tests that care about time start.
var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

// schema is the Store on a database of its own.
type schema struct {
	*repositories.Store
	DB *testkit.Database
}

// open makes a Store that waits long, because the machine is shared; change sets other limits.
func open(t testing.TB, change ...func(*repositories.TxOptions)) schema {
	t.Helper()
	return openOn(t, testkit.NewDatabase(t), change...)
}

func openOn(t testing.TB, db *testkit.Database, change ...func(*repositories.TxOptions)) schema {
	t.Helper()
	opts := repositories.TxOptions{StatementTimeout: patience, LockTimeout: patience, MaxAttempts: 3}
	for _, f := range change {
		f(&opts)
	}
	return schema{repositories.NewStore(newPool(t, db.AppURL), opts, repositories.NoWaker{}), db}
}

const (
	patience   = 20 * time.Second
	glance     = 5 * time.Millisecond
	poolOfTest = 16
)

func newPool(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	p, closePool, err := postgres.NewPool(t.Context(), &confpb.Data_Postgres{Url: url, MaxConns: poolOfTest, QueryMode: queryMode()})
	require.NoError(t, err)
	t.Cleanup(closePool)
	return p
}

// queryMode is what `make matrix` asks for, as testkit.NewOn reads it.
func queryMode() string {
	if mode := os.Getenv("PROFILE_TEST_QUERY_MODE"); mode != "" {
		return mode
	}
	return "cache_statement"
}

// write runs fn as a service in a transaction that must commit, and returns its result.
func write[T any](t testing.TB, s schema, fn func(ctx context.Context, tx *repositories.Tx) (T, error)) T {
	t.Helper()
	value, err := try(t, s, fn)
	require.NoError(t, err)
	return value
}

// try is write that may fail.
func try[T any](t testing.TB, s schema, fn func(ctx context.Context, tx *repositories.Tx) (T, error)) (value T, err error) {
	t.Helper()
	err = s.Write(t.Context(), models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
		value, err = fn(ctx, tx)
		return err
	})
	return value, err
}

// do is write without a result.
func do(t testing.TB, s schema, fn func(ctx context.Context, tx *repositories.Tx) error) {
	t.Helper()
	require.NoError(t, s.Write(t.Context(), models.ServiceActor, fn))
}

// read runs fn in a read-only transaction of a service.
func read[T any](t testing.TB, s schema, fn func(ctx context.Context, tx *repositories.Tx) (T, error)) (value T) {
	t.Helper()
	require.NoError(t, s.Read(t.Context(), models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) (err error) {
		value, err = fn(ctx, tx)
		return err
	}))
	return value
}

// stopClock makes the database believe it is at.
func (s schema) stopClock(t testing.TB, at time.Time) {
	t.Helper()
	s.DB.Exec(t, "UPDATE profile.test_clock SET now = $1", at)
}

// hold keeps the locks of a statement on a connection of its own until release.
func (s schema) hold(t testing.TB, sql string, args ...any) (release func()) {
	t.Helper()
	tx, err := s.DB.Owner.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
	release = sync.OnceFunc(func() { _ = tx.Rollback(context.Background()) })
	t.Cleanup(release)
	return release
}

// awaitBlocked returns when exactly n transactions of the test's database wait for a lock.
func (s schema) awaitBlocked(t testing.TB, n int64) {
	t.Helper()
	require.Eventually(t, func() bool {
		return n == testkit.One[int64](t, s.DB, `
			SELECT count(DISTINCT waiting.pid) FROM pg_locks waiting
			WHERE NOT waiting.granted AND EXISTS (
				SELECT FROM pg_locks mine WHERE mine.pid = waiting.pid
				AND mine.database = (SELECT oid FROM pg_database WHERE datname = current_database()))`)
	}, patience, glance)
}

// user and video make ids whose order is that of n.
func user(n byte) models.UserID   { return models.UserID(uuid.UUID{0: n, 15: 1}) }
func video(n byte) models.VideoID { return models.VideoID(uuid.UUID{0: n, 15: 2}) }

func ptr[T any](v T) *T { return &v }

// catalog publishes videos that are available unless change says otherwise.
func catalog(t testing.TB, s schema, id models.VideoID, change ...func(*po.VideoChange)) {
	t.Helper()
	c := po.VideoChange{VideoID: id, Kind: po.VideoCreated, Version: 1, Title: ptr("t"), Status: ptr("ready"), VisibilityStatus: ptr("public")}
	for _, f := range change {
		f(&c)
	}
	write(t, s, func(ctx context.Context, tx *repositories.Tx) ([]models.VideoID, error) {
		return tx.Videos.UpsertFromCatalogEvent(ctx, []po.VideoChange{c})
	})
}

func newUser() models.UserID   { return testkit.NewUser() }
func newVideo() models.VideoID { return testkit.NewVideo() }

func countTrue(values []bool) (n int) {
	for _, v := range values {
		if v {
			n++
		}
	}
	return n
}

// increment moves counters of videos that may have none yet.
func increment(ctx context.Context, tx *repositories.Tx, deltas []po.StatsDelta) (map[models.VideoID]po.VideoStats, error) {
	ids := make([]models.VideoID, len(deltas))
	for i, d := range deltas {
		ids[i] = d.VideoID
	}
	if err := tx.VideoStats.Ensure(ctx, ids); err != nil {
		return nil, err
	}
	return tx.VideoStats.Increment(ctx, deltas)
}
