package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
)

// devSecret marks keys that are public because they are in the repository.
const devSecret = "dev-only-"

// production is the environment that refuses insecure settings.
const production = "production"

// checkTogether returns what is wrong between fields: insecure identity off loopback, and everything the
// production environment refuses (platform.md section 3).
func checkTogether(conf *confpb.Bootstrap) []error {
	var problems []error
	if conf.GetData().GetPostgres().GetUrl() == "" {
		problems = append(problems, errors.New("data.postgres.url: is required (set DATABASE_URL)"))
	}
	if conf.GetAuth().GetInsecureDev() {
		for name, addr := range map[string]string{"grpc": conf.GetServer().GetGrpc().GetAddr(), "http": conf.GetServer().GetHttp().GetAddr()} {
			if !IsLoopback(addr) {
				problems = append(problems, fmt.Errorf("auth.insecure_dev: needs server.%s.addr on a loopback address", name))
			}
		}
	} else if len(conf.GetAuth().GetDevServices()) > 0 {
		problems = append(problems, errors.New("auth.dev_services: only with auth.insecure_dev"))
	}
	problems = append(problems, checkAuth(conf.GetAuth())...)
	problems = append(problems, checkConnections(conf)...)
	problems = append(problems, checkMessaging(conf.GetMessaging())...)
	if conf.GetCache().GetBackend() == "redis" && conf.GetCache().GetRedisUrl() == "" {
		problems = append(problems, errors.New("cache.redis_url: is required by cache.backend redis"))
	}
	if conf.GetService().GetEnvironment() != production {
		return problems
	}
	if conf.GetAuth().GetInsecureDev() {
		problems = append(problems, errors.New("auth.insecure_dev: refused in production"))
	}
	if conf.GetServer().GetReflection() {
		problems = append(problems, errors.New("server.reflection: refused in production"))
	}
	for i, key := range conf.GetCursor().GetKeys() {
		if strings.HasPrefix(key, devSecret) {
			problems = append(problems, fmt.Errorf("cursor.keys[%d]: the development key is refused in production", i))
		}
	}
	if leavesInClear(conf.GetData().GetPostgres().GetUrl()) {
		problems = append(problems, errors.New("data.postgres.url: needs sslmode=require or stricter off loopback in production"))
	}
	if redisLeavesInClear(conf.GetCache().GetRedisUrl()) {
		problems = append(problems, errors.New("cache.redis_url: needs rediss:// off loopback in production"))
	}
	return problems
}

// checkConnections: what may be in work at a time must have connections, or calls would wait for them where nobody
// counts.
func checkConnections(conf *confpb.Bootstrap) (problems []error) {
	pool, a, c := conf.GetData().GetPostgres(), conf.GetAdmission(), conf.GetCoalescing()
	if pool.GetMinConns() > pool.GetMaxConns() {
		problems = append(problems, errors.New("data.postgres.min_conns: must not exceed data.postgres.max_conns"))
	}
	if !a.GetEnabled() {
		return problems
	}
	const kinds = 2 // favourites and progress
	writing := kinds * (c.GetWriters() + c.GetStragglers())
	if !c.GetEnabled() {
		writing = a.GetUpdates().GetSlots()
	}
	if need := a.GetReads().GetSlots() + a.GetUpdates().GetSlots() + writing; need > pool.GetMaxConns() {
		problems = append(problems, fmt.Errorf("data.postgres.max_conns: %d calls and writers may need a connection at a time", need))
	}
	return problems
}

func checkMessaging(m *confpb.Messaging) (problems []error) {
	o, inbox := m.GetOutbox(), m.GetCatalogInbox()
	if o.GetMaxOutstanding() < o.GetBatch() {
		problems = append(problems, errors.New("messaging.outbox.max_outstanding: must be at least messaging.outbox.batch"))
	}
	if 2*o.GetRenew().AsDuration() > o.GetLease().AsDuration() {
		problems = append(problems, errors.New("messaging.outbox.renew: must be at most half of messaging.outbox.lease"))
	}
	if o.GetBackoffMin().AsDuration() > o.GetBackoffMax().AsDuration() {
		problems = append(problems, errors.New("messaging.outbox.backoff_min: must not exceed messaging.outbox.backoff_max"))
	}
	if inbox.GetMaxOutstanding() < inbox.GetBatch() {
		problems = append(problems, errors.New("messaging.catalog_inbox.max_outstanding: must be at least messaging.catalog_inbox.batch"))
	}
	return problems
}

// leavesInClear reports whether the driver may connect to another machine without TLS: any host of dsn,
// wherever it is written, and what sslmode falls back to. What cannot be read fails later, when it is used.
func leavesInClear(dsn string) bool {
	parsed, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return false
	}
	targets := append([]*pgconn.FallbackConfig{{Host: parsed.Host, TLSConfig: parsed.TLSConfig}}, parsed.Fallbacks...)
	return slices.ContainsFunc(targets, func(t *pgconn.FallbackConfig) bool { return t.TLSConfig == nil && !IsLoopback(t.Host) })
}

// redisLeavesInClear is leavesInClear for a Redis URL, whatever the case of its scheme.
func redisLeavesInClear(text string) bool {
	parsed, err := url.Parse(text)
	if err != nil || parsed.Scheme != "redis" {
		return false
	}
	host := parsed.Hostname()
	return host != "" && !IsLoopback(host) // without a host it is localhost
}

// IsLoopback reports whether host or host:port names only this machine. An empty host listens everywhere;
// a path is a Unix socket.
func IsLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	if host == "localhost" || strings.HasPrefix(host, "/") {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}
