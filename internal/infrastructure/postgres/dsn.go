package postgres

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrDSN replaces the parser's own words, which may repeat a password.
var ErrDSN = errors.New("not a valid postgres URL (percent-encode special characters of the password), or a certificate file it names cannot be read")

// ParseDSN is pgx.ParseConfig whose one error is ErrDSN. It also refuses what parses but takes a piece of a password
// with an unencoded / or @ for a host or database: errors of connecting would print it.
func ParseDSN(dsn string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil || misread(&config.Config) {
		return nil, ErrDSN
	}
	return config, nil
}

func misread(config *pgconn.Config) bool {
	places := []string{config.Host, config.Database}
	for _, fallback := range config.Fallbacks {
		places = append(places, fallback.Host)
	}
	return strings.Contains(strings.Join(places, " "), "@")
}
