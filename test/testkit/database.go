package testkit

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/repositories"
)

// Database is a test's own database.
type Database struct {
	Name string
	// OwnerURL owns the schema; AppURL is what the service logs in with, through the pooler when there is one.
	OwnerURL, AppURL string
	// Owner is a pool of the owner, to look at and prepare rows. It sees everything when row security is off;
	// with it on, use SELECT through As.
	Owner *pgxpool.Pool
}

var databases atomic.Int64

// NewDatabase clones the migrated template.
func NewDatabase(t testing.TB) *Database { return newDatabase(t, " TEMPLATE "+template) }

// NewEmptyDatabase has nothing in it, for tests of the migrations themselves.
func NewEmptyDatabase(t testing.TB) *Database { return newDatabase(t, "") }

func newDatabase(t testing.TB, from string) *Database {
	t.Helper()
	server := Server(t)
	name := fmt.Sprintf("profile_test_%d_%d", os.Getpid(), databases.Add(1))
	require.NoError(t, execute(t.Context(), server.OwnerURL("profile"), "CREATE DATABASE "+name+from))
	db := &Database{Name: name, OwnerURL: server.OwnerURL(name), AppURL: server.AppURL(name)}
	if shared.pooler != nil {
		db.AppURL = shared.pooler.url(name)
	}
	config, err := pgxpool.ParseConfig(db.OwnerURL)
	require.NoError(t, err)
	// With row security forced, the owner too must say that it may see everything.
	config.ConnConfig.RuntimeParams["app.role"] = "service"
	db.Owner, err = pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() {
		db.Owner.Close()
		if t.Failed() && os.Getenv("PROFILE_TEST_DATABASE_URL") != "" {
			t.Logf("database kept: %s", db.OwnerURL)
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		// A pooler may still hold connections of the app role, which only a superuser may end.
		if err := execute(ctx, server.SuperURL("profile"), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop test database: %v", err)
		}
	})
	return db
}

// Exec runs SQL as the owner.
func (d *Database) Exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	_, err := d.Owner.Exec(t.Context(), sql, args...)
	require.NoError(t, err, sql)
}

// Super runs SQL as the superuser, in another database than the tests': to break theirs.
func Super(t testing.TB, sql string) {
	t.Helper()
	require.NoError(t, execute(t.Context(), Server(t).SuperURL("profile"), sql))
}

// One returns the single value of a query run as the owner.
func One[T any](t testing.TB, d *Database, sql string, args ...any) T {
	t.Helper()
	rows, err := d.Owner.Query(t.Context(), sql, args...)
	require.NoError(t, err, sql)
	value, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	require.NoError(t, err, sql)
	return value
}

// RowCounts is the number of rows of every table of the schema, to prove that something changed nothing.
func (d *Database) RowCounts(t testing.TB) map[string]int64 {
	t.Helper()
	tables := One[string](t, d, `SELECT string_agg(format('SELECT %L AS name, count(*) AS n FROM profile.%I', relname, relname), ' UNION ALL ')
		FROM pg_class WHERE relnamespace = 'profile'::regnamespace AND relkind = 'r'`)
	rows, err := d.Owner.Query(t.Context(), tables)
	require.NoError(t, err)
	counts := map[string]int64{}
	var name string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&name, &n}, func() error {
		counts[name] = n
		return nil
	})
	require.NoError(t, err)
	return counts
}

// installClock replaces the one function that every rule about time reads (S93). NULL is the real time.
const installClock = `
CREATE TABLE profile.test_clock (now timestamptz);
INSERT INTO profile.test_clock VALUES (NULL);
GRANT SELECT ON profile.test_clock TO profile_app;
CREATE OR REPLACE FUNCTION profile.clock_now() RETURNS timestamptz LANGUAGE sql VOLATILE AS
    'SELECT coalesce((SELECT c.now FROM profile.test_clock c), clock_timestamp())'`

// Clock is the database's time.
type Clock struct {
	t  testing.TB
	db *Database
}

// Set stops the clock at a time of microsecond precision.
func (c Clock) Set(at time.Time) {
	c.t.Helper()
	c.db.Exec(c.t, "UPDATE profile.test_clock SET now = $1", at)
}

// Advance moves a stopped clock.
func (c Clock) Advance(d time.Duration) {
	c.t.Helper()
	c.db.Exec(c.t, "UPDATE profile.test_clock SET now = now + make_interval(secs => $1)", d.Seconds())
}

// Now is the database's time.
func (c Clock) Now() time.Time {
	c.t.Helper()
	return One[time.Time](c.t, c.db, "SELECT profile.clock_now()").UTC()
}

// At parses an RFC 3339 time.
func At(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	require.NoError(t, err)
	return at.UTC()
}

// Explain is the executed plan of a reading statement, planned as in the service's read transactions.
func (d *Database) Explain(t testing.TB, sql string, args ...any) string {
	t.Helper()
	var lines []string
	require.NoError(t, d.Reading(t, func(tx pgx.Tx) error {
		rows, err := tx.Query(t.Context(), "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) "+sql, args...)
		if err != nil {
			return err
		}
		lines, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	}))
	return strings.Join(lines, "\n")
}

// Reading runs fn as the owner in a transaction with the planner settings of the service's reads.
func (d *Database) Reading(t testing.TB, fn func(pgx.Tx) error) error {
	t.Helper()
	return pgx.BeginTxFunc(t.Context(), d.Owner, pgx.TxOptions{BeginQuery: "begin; select " + repositories.PlannerSettings()}, fn)
}
