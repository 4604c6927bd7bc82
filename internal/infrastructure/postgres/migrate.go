package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/lingo-services/profile/migrations"
)

// Migration is one migration and its state.
type Migration struct {
	Version int64
	Name    string
	Applied bool
}

// MigrateUp applies every migration that is missing, one process at a time, and returns their names.
func MigrateUp(ctx context.Context, url string) (applied []string, err error) {
	err = withProvider(url, func(p *goose.Provider) error {
		results, err := p.Up(ctx)
		for _, r := range results {
			applied = append(applied, r.Source.Path)
		}
		return err
	})
	if err != nil {
		return applied, fmt.Errorf("migrate up: %w", err)
	}
	return applied, nil
}

// MigrateDown takes the newest applied migration back and returns its name, empty when there is none. The
// first one drops the schema with all data.
func MigrateDown(ctx context.Context, url string) (reverted string, err error) {
	err = withProvider(url, func(p *goose.Provider) error {
		result, err := p.Down(ctx)
		if errors.Is(err, goose.ErrNoNextVersion) {
			return nil
		}
		if err == nil {
			reverted = result.Source.Path
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("migrate down: %w", err)
	}
	return reverted, nil
}

// MigrateStatus lists every migration in order.
func MigrateStatus(ctx context.Context, url string) (list []Migration, err error) {
	err = withProvider(url, func(p *goose.Provider) error {
		statuses, err := p.Status(ctx)
		for _, s := range statuses {
			list = append(list, Migration{Version: s.Source.Version, Name: s.Source.Path, Applied: s.State == goose.StateApplied})
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("migration status: %w", err)
	}
	return list, nil
}

func withProvider(url string, fn func(*goose.Provider) error) error {
	config, err := ParseDSN(url)
	if err != nil {
		return fmt.Errorf("DATABASE_URL: %w", err)
	}
	// What the Down sections wait for; see migrations/101.
	config.RuntimeParams["profile.allow_down"] = "on"
	db := stdlib.OpenDB(*config)
	defer func(db *sql.DB) { _ = db.Close() }(db)
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS,
		goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	return fn(provider)
}
