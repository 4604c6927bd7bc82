package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/postgres"
)

// ownerColumns names the tables that have rows of users and the column that says whose; partitions count.
const ownerColumns = `
	SELECT c.relname::text AS name, a.attname::text AS owner
	FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname IN ('user_id', 'ordering_key')
	WHERE c.relnamespace = 'profile'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1`

type ownedTable struct{ Name, Owner string }

func ownedTables(t testing.TB, db interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
},
) []ownedTable {
	t.Helper()
	rows, err := db.Query(t.Context(), ownerColumns)
	require.NoError(t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ownedTable])
	require.NoError(t, err)
	require.Subset(t, tables, []ownedTable{{"users", "user_id"}, {"engagements", "user_id"}, {"outbox_events", "ordering_key"}})
	return tables
}

var (
	ada   = uuid.UUID{0: 1, 15: 1}
	grace = uuid.UUID{0: 2, 15: 1}
)

func TestM47_PoliciesExistAndAreOffByDefault(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	tables, err := postgres.RowSecurity(t.Context(), db.OwnerURL)
	require.NoError(t, err)
	var names []string
	for _, table := range tables {
		require.False(t, table.Enabled, table.Table)
		names = append(names, table.Table)
	}
	for _, table := range ownedTables(t, db.Owner) {
		require.Contains(t, names, table.Name, "a table with rows of users has a policy")
	}
}

func TestM47_RowSecuritySwitchesWithoutAMigration(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	applied := func() []int64 { return list[int64](t, db, "SELECT version_id FROM goose_db_version ORDER BY id") }
	before, schema := applied(), dump(t, db)
	switchTo := func(on bool) {
		require.NoError(t, postgres.SetRowSecurity(t.Context(), db.OwnerURL, on))
		tables, err := postgres.RowSecurity(t.Context(), db.OwnerURL)
		require.NoError(t, err)
		require.NotEmpty(t, tables)
		for _, table := range tables {
			require.Equal(t, on, table.Enabled, table.Table)
		}
		require.Equal(t, before, applied())
	}
	switchTo(true)
	require.Empty(t, list[string](t, db, `SELECT relname::text FROM pg_class WHERE relnamespace = 'profile'::regnamespace
		AND relrowsecurity AND NOT relforcerowsecurity`), "the owner is bound too")
	switchTo(true)
	switchTo(false)
	require.Equal(t, schema, dump(t, db))
}

func TestS94_QueryThatForgotItsWhereSeesOwnRowsOnly(t *testing.T) {
	t.Parallel()
	db := secured(t, ada, grace)
	pool := appPool(t, db, 1)
	for _, table := range append(ownedTables(t, db.Owner), ownedTable{"outbox_status", "ordering_key"}) {
		t.Run(table.Name, func(t *testing.T) {
			require.NoError(t, as(t.Context(), pool, "user", ada.String(), func(tx pgx.Tx) error {
				foreign, err := one[int64](t.Context(), tx, fmt.Sprintf("SELECT count(*) FROM profile.%s WHERE %s <> $1", table.Name, table.Owner), ada)
				require.Zero(t, foreign)
				return err
			}))
		})
	}
}

func TestS94_WriteThatForgotItsWhereChangesOwnRowsOnly(t *testing.T) {
	t.Parallel()
	db := secured(t, ada, grace)
	pool := appPool(t, db, 1)
	errBack := errors.New("take it back")
	for _, table := range []string{"users", "user_stats", "engagements", "watch_logs", "watch_sessions", "idempotency_keys", "outbox_events", "outbox_deliveries"} {
		owner := "user_id"
		if table == "outbox_events" || table == "outbox_deliveries" {
			owner = "ordering_key"
		}
		for verb, sql := range map[string]string{
			"update": fmt.Sprintf("UPDATE profile.%s SET %s = %s", table, owner, owner),
			"delete": "DELETE FROM profile." + table,
		} {
			t.Run(verb+" "+table, func(t *testing.T) {
				require.ErrorIs(t, as(t.Context(), pool, "user", ada.String(), func(tx pgx.Tx) error {
					tag, err := tx.Exec(t.Context(), sql)
					require.NoError(t, err)
					require.Equal(t, int64(1), tag.RowsAffected())
					return errBack
				}), errBack)
			})
		}
		t.Run("give away "+table, func(t *testing.T) {
			err := as(t.Context(), pool, "user", ada.String(), func(tx pgx.Tx) error {
				_, err := tx.Exec(t.Context(), fmt.Sprintf("UPDATE profile.%s SET %s = $1", table, owner), uuid.New())
				return err
			})
			var refused *pgconn.PgError
			require.ErrorAs(t, err, &refused)
			require.Equal(t, "42501", refused.Code)
		})
	}
}

func TestS94_RowCannotBeWrittenForAnother(t *testing.T) {
	t.Parallel()
	db := secured(t, ada)
	pool := appPool(t, db, 1)
	create := func(role string, user, owner uuid.UUID) error {
		return as(t.Context(), pool, role, user.String(), func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), "INSERT INTO profile.users (user_id, display_name) VALUES ($1, '')", owner)
			return err
		})
	}
	var refused *pgconn.PgError
	require.ErrorAs(t, create("user", ada, grace), &refused)
	require.Equal(t, "42501", refused.Code)
	require.NoError(t, create("user", grace, grace))
	require.NoError(t, create("service", uuid.Nil, uuid.New()))
}

func TestS94_UnsetSettingsSeeNothing(t *testing.T) {
	t.Parallel()
	db := secured(t, ada, grace)
	pool := appPool(t, db, 1) // one connection, so it is the one that carried settings before
	seen := func(tx pgx.Tx) int64 {
		n, err := one[int64](t.Context(), tx, "SELECT count(*) FROM profile.users")
		require.NoError(t, err)
		return n
	}
	bare := func() {
		require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			require.Zero(t, seen(tx))
			return nil
		}))
	}
	bare()
	require.NoError(t, as(t.Context(), pool, "user", ada.String(), func(tx pgx.Tx) error {
		require.Equal(t, int64(1), seen(tx))
		return nil
	}))
	bare() // the settings are empty strings now; casting one to uuid would be 22P02
	for _, persona := range [][2]string{{"", ""}, {"user", ""}, {"", uuid.NewString()}, {"SERVICE", ""}, {"user", uuid.NewString()}} {
		require.NoError(t, as(t.Context(), pool, persona[0], persona[1], func(tx pgx.Tx) error {
			require.Zero(t, seen(tx), "%q", persona)
			return nil
		}))
	}
}

func TestS94_ServiceSeesAll(t *testing.T) {
	t.Parallel()
	db := secured(t, ada, grace)
	pool := appPool(t, db, 1)
	for _, table := range append(ownedTables(t, db.Owner), ownedTable{Name: "outbox_status"}) {
		all := list[int64](t, db, "SELECT count(*) FROM profile."+table.Name)
		require.NoError(t, as(t.Context(), pool, "service", "", func(tx pgx.Tx) error {
			n, err := one[int64](t.Context(), tx, "SELECT count(*) FROM profile."+table.Name)
			require.Equal(t, all[0], n, table.Name)
			return err
		}))
	}
}

func TestS94_UsersAlternatingOnFewConnectionsNeverMeet(t *testing.T) {
	t.Parallel()
	const conns, workers, rounds = 4, 64, 40
	users := make([]uuid.UUID, 8)
	for i := range users {
		users[i] = uuid.New()
	}
	db := secured(t, users...)
	pool := appPool(t, db, conns)
	ctx := t.Context()
	for _, err := range together(workers, func(worker int) error {
		for round := range rounds {
			me := users[(worker+round)%len(users)]
			if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return visit(ctx, tx, me) }); err != nil {
				return err
			}
		}
		return nil
	}) {
		require.NoError(t, err)
	}
	require.LessOrEqual(t, pool.Stat().TotalConns(), int32(conns))
	names := list[string](t, db, "SELECT display_name FROM profile.users ORDER BY user_id::text")
	owners := list[string](t, db, "SELECT user_id::text FROM profile.users ORDER BY user_id::text")
	require.Equal(t, owners, names, "every row was last written by its owner")
}

// visit fails when the connection remembers anybody, or shows or lets change a row that is not me's.
func visit(ctx context.Context, tx pgx.Tx, me uuid.UUID) error {
	var left string
	err := tx.QueryRow(ctx, "SELECT coalesce(current_setting('app.role', true), '') || coalesce(current_setting('app.user_id', true), '')").Scan(&left)
	if err != nil || left != "" {
		return errors.Join(err, fmt.Errorf("settings left on the connection: %q", left))
	}
	if _, err := tx.Exec(ctx, "SELECT set_config('app.role', 'user', true), set_config('app.user_id', $1, true)", me.String()); err != nil {
		return err
	}
	var mine, others int
	err = tx.QueryRow(ctx, `SELECT count(*) FILTER (WHERE user_id = $1), count(*) FILTER (WHERE user_id <> $1) FROM profile.engagements`, me).
		Scan(&mine, &others)
	if err != nil || mine != 1 || others != 0 {
		return errors.Join(err, fmt.Errorf("%s sees %d own and %d foreign rows", me, mine, others))
	}
	tag, err := tx.Exec(ctx, "UPDATE profile.users SET display_name = $1", me.String())
	if err != nil || tag.RowsAffected() != 1 {
		return errors.Join(err, fmt.Errorf("%s changed %d rows", me, tag.RowsAffected()))
	}
	return nil
}
