package devpg

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const connectLimit = 2 * time.Second

// connectSuper opens a superuser connection that has answered a query. Only a server with our data can pass:
// SCRAM proves to the client, too, that the server knows the password.
func connectSuper(ctx context.Context, at address, s secrets) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(urls(at, s)(superRole, "postgres"))
	if err != nil {
		return nil, err
	}
	// PGOPTIONS, PGTZ, PGTARGETSESSIONATTRS and the like of the caller do not reach our own connections.
	config.RuntimeParams = map[string]string{"application_name": "devpg"}
	config.ValidateConnect = nil

	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, "SELECT 1"); err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return conn, nil
}

func isWrongPassword(err error) bool {
	const invalidPassword = "28P01"
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == invalidPassword
}
