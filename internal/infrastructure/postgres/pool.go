// Package postgres connects to the database, migrates it and switches row level security.
package postgres

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/repositories"
)

const (
	// connectTimeout bounds one connection attempt.
	connectTimeout = 5 * time.Second
	// unheardTimeout is how long a server may take to react to a cancelled call before its connection is given up.
	unheardTimeout = 2 * time.Second
)

// NewPool opens a pool, which begins to open its least number of connections. The caller calls closePool.
func NewPool(ctx context.Context, conf *confpb.Data_Postgres) (pool *pgxpool.Pool, closePool func(), err error) {
	config, err := pgxpool.ParseConfig(conf.GetUrl())
	if err != nil || misread(&config.ConnConfig.Config) {
		return nil, nil, fmt.Errorf("data.postgres.url: %w", ErrDSN)
	}
	config.MaxConns = conf.GetMaxConns()
	config.MinConns = min(conf.GetMinConns(), conf.GetMaxConns())
	config.ConnConfig.ConnectTimeout = connectTimeout
	// Behind a pooler nothing of a session's can be relied on, nor prepared. A connection to it is cheap, and pgbouncer
	// 1.18 does not survive every request to cancel ("bad client state"): what nobody waits for is closed there.
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.AfterConnect = registerTypes
	if conf.GetQueryMode() != "exec" {
		direct(config, conf)
	}
	if pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, nil, fmt.Errorf("open database pool: %w", err)
	}
	return pool, pool.Close, nil
}

// direct makes use of connections that are ours.
func direct(config *pgxpool.Config, conf *confpb.Data_Postgres) {
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
	config.ConnConfig.BuildContextWatcherHandler = keepConnection
	config.AfterConnect = prepareConnection
	maps.Copy(config.ConnConfig.RuntimeParams, repositories.TxOptions{
		StatementTimeout: conf.GetStatementTimeout().AsDuration(), LockTimeout: conf.GetLockTimeout().AsDuration(),
	}.SessionSettings())
}

// keepConnection has the server cancel what nobody waits for any more. The driver would close the connection instead,
// and the next call pay for another one: under load that feeds on itself.
func keepConnection(conn *pgconn.PgConn) ctxwatch.Handler {
	return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: unheardTimeout}
}

func prepareConnection(ctx context.Context, conn *pgx.Conn) error {
	if err := registerTypes(ctx, conn); err != nil {
		return err
	}
	return repositories.Warm(ctx, conn)
}

// registerTypes lets mode exec, which asks the server nothing, know our parameter types.
func registerTypes(_ context.Context, conn *pgx.Conn) error {
	types := conn.TypeMap()
	if scalar, known := types.TypeForOID(pgtype.UUIDOID); known {
		types.RegisterType(&pgtype.Type{Name: scalar.Name, OID: scalar.OID, Codec: uuidScalar{scalar.Codec}})
	}
	if array, known := types.TypeForOID(pgtype.UUIDArrayOID); known {
		types.RegisterType(&pgtype.Type{Name: array.Name, OID: array.OID, Codec: uuidArray{array.Codec}})
	}
	types.RegisterDefaultPgType(uuid.UUID{}, "uuid")
	types.RegisterDefaultPgType([]uuid.UUID{}, "_uuid")
	return nil
}
