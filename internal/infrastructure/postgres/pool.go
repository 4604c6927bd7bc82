// Package postgres connects to the database, migrates it and switches row level security.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
)

// connectTimeout bounds one connection attempt.
const connectTimeout = 5 * time.Second

// errDSN hides what the parser says, which would repeat the password.
var errDSN = errors.New("data.postgres.url is not a valid postgres URL")

// NewPool opens a pool; the first connection is made when it is needed. The caller calls closePool.
func NewPool(ctx context.Context, conf *confpb.Data_Postgres) (pool *pgxpool.Pool, closePool func(), err error) {
	config, err := pgxpool.ParseConfig(conf.GetUrl())
	if err != nil {
		return nil, nil, errDSN
	}
	config.MaxConns = conf.GetMaxConns()
	config.ConnConfig.ConnectTimeout = connectTimeout
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
	if conf.GetQueryMode() == "exec" {
		config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	config.AfterConnect = registerTypes
	if pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, nil, fmt.Errorf("open database pool: %w", err)
	}
	return pool, pool.Close, nil
}

// registerTypes lets mode exec, which asks the server nothing, know our parameter types.
func registerTypes(_ context.Context, conn *pgx.Conn) error {
	conn.TypeMap().RegisterDefaultPgType(uuid.UUID{}, "uuid")
	conn.TypeMap().RegisterDefaultPgType([]uuid.UUID{}, "_uuid")
	return nil
}
