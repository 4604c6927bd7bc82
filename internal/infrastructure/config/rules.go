package config

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
)

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
	problems = append(problems, checkTLS(conf.GetServer().GetTls())...)
	problems = append(problems, checkURLs(conf)...)
	if conf.GetCache().GetBackend() == "redis" && conf.GetCache().GetRedisUrl() == "" {
		problems = append(problems, errors.New("cache.redis_url: is required by cache.backend redis"))
	}
	problems = append(problems, checkLimits(conf)...)
	if conf.GetService().GetEnvironment() == production {
		problems = append(problems, checkProduction(conf)...)
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
	shared := kinds*(c.GetWriters()+c.GetStragglers()) + c.GetWriters()
	if !c.GetEnabled() {
		shared = a.GetUpdates().GetSlots() + a.GetReads().GetSlots()
	}
	if need := a.GetReads().GetSlots() + a.GetUpdates().GetSlots() + shared; need > pool.GetMaxConns() {
		problems = append(problems, fmt.Errorf("data.postgres.max_conns: %d calls and writers may need a connection at a time", need))
	}
	return problems
}

func checkLimits(conf *confpb.Bootstrap) (problems []error) {
	l := conf.GetLimits()
	if l.GetBackend() == "redis" && l.GetRedisUrl() == "" && conf.GetCache().GetRedisUrl() == "" {
		problems = append(problems, errors.New("limits.redis_url: is required by limits.backend redis, unless cache.redis_url is set"))
	}
	named := map[string]bool{}
	for i, s := range l.GetServices() {
		if named[s.GetName()] {
			problems = append(problems, fmt.Errorf("limits.services[%d].name: is there twice", i))
		}
		named[s.GetName()] = true
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

// checkTLS: half a setting would be plaintext, or let every client of an authority in, without a word.
func checkTLS(tls *confpb.Server_TLS) (problems []error) {
	if (tls.GetCertFile() == "") != (tls.GetKeyFile() == "") {
		problems = append(problems, errors.New("server.tls: cert_file and key_file go together"))
	}
	if (tls.GetClientCaFile() == "") != (len(tls.GetClientNames()) == 0) {
		problems = append(problems, errors.New("server.tls: client_ca_file and client_names go together"))
	}
	if tls.GetClientCaFile() != "" && tls.GetCertFile() == "" {
		problems = append(problems, errors.New("server.tls.client_ca_file: needs cert_file"))
	}
	return problems
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
