package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// TableSecurity is the row level security state of a table that has policies.
type TableSecurity struct {
	Table   string
	Enabled bool
}

// SetRowSecurity switches row level security on every table that has policies, for its owner too, in one
// transaction (S94). The service works the same with it on or off; no restart and no migration is needed.
func SetRowSecurity(ctx context.Context, url string, enabled bool) error {
	actions := "DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY"
	if enabled {
		actions = "ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"
	}
	return withConn(ctx, url, func(conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			tables, err := readSecurity(ctx, tx)
			if err != nil {
				return err
			}
			for _, t := range tables {
				name := pgx.Identifier{"profile", t.Table}.Sanitize()
				if _, err := tx.Exec(ctx, "ALTER TABLE "+name+" "+actions); err != nil {
					return fmt.Errorf("switch row security of %s: %w", t.Table, err)
				}
			}
			return nil
		})
	})
}

// RowSecurity lists the tables that have policies, by name.
func RowSecurity(ctx context.Context, url string) (tables []TableSecurity, err error) {
	err = withConn(ctx, url, func(conn *pgx.Conn) error {
		tables, err = readSecurity(ctx, conn)
		return err
	})
	return tables, err
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func readSecurity(ctx context.Context, q querier) ([]TableSecurity, error) {
	rows, err := q.Query(ctx, `
		SELECT c.relname AS table, c.relrowsecurity AS enabled
		FROM pg_class c
		WHERE c.relnamespace = 'profile'::regnamespace AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid)
		ORDER BY 1`)
	if err != nil {
		return nil, fmt.Errorf("read row security: %w", err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[TableSecurity])
	if err != nil {
		return nil, fmt.Errorf("read row security: %w", err)
	}
	return tables, nil
}

func withConn(ctx context.Context, url string, fn func(*pgx.Conn) error) error {
	config, err := ParseDSN(url)
	if err != nil {
		return fmt.Errorf("DATABASE_URL: %w", err)
	}
	config.ConnectTimeout = connectTimeout
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("connect to database: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	return fn(conn)
}
