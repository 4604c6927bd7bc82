package devpg

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

const externalLimit = 5 * time.Second

// errExternalURL replaces every parser's own words: they may quote pieces of a password.
var errExternalURL = errors.New("DATABASE_URL is not a postgres:// URL (percent-encode special characters of the password)")

// connectExternal checks the caller's own server; where is host:port/database, safe to print.
func connectExternal(ctx context.Context, raw string) (server *Server, where string, err error) {
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return nil, "", errExternalURL
	}
	config, err := pgx.ParseConfig(raw)
	if err != nil || strings.Contains(config.Host+config.Database, "@") { // a piece of a password, and both are printed
		return nil, "", errExternalURL
	}
	where = net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))) + "/" + config.Database

	ctx, cancel := context.WithTimeout(ctx, externalLimit)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, "", fmt.Errorf("DATABASE_URL is set and %s does not answer: %w; start that server or unset DATABASE_URL", where, err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "SELECT 1"); err != nil {
		return nil, "", fmt.Errorf("DATABASE_URL is set and %s takes no queries: %w", where, err)
	}
	return &Server{url: externalURLs(*u), attached: true, stop: leaveRunning}, where, nil
}

func externalURLs(given url.URL) func(role, database string) string {
	return func(_, database string) string {
		if database == "" {
			return given.String()
		}
		u := given
		u.Path, u.RawPath = "/"+database, ""
		query := u.Query()
		query.Del("dbname") // either would win over the path
		query.Del("database")
		u.RawQuery = query.Encode()
		return u.String()
	}
}
