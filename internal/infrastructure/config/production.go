package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/redis/go-redis/v9"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/postgres"
)

// publicSecrets begin the keys that are in this repository: of development and of examples.
var publicSecrets = []string{"dev-only-", "change-me"}

// What a key of page tokens is in production: what `openssl rand -hex 32` makes is far above both.
const (
	leastKeyLength   = 32
	leastKeyAlphabet = 10
)

// checkProduction returns everything that production refuses to start with (trust.md T12, T14, T15).
func checkProduction(conf *confpb.Bootstrap) (problems []error) {
	refuse := func(unsafe bool, format string, args ...any) {
		if unsafe {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	server := conf.GetServer()
	refuse(conf.GetAuth().GetInsecureDev(), "auth.insecure_dev: refused in production")
	refuse(conf.GetAuth().GetInsecureDev() && len(conf.GetAuth().GetDevServices()) > 0, "auth.dev_services: shared tokens are refused in production")
	refuse(server.GetReflection(), "server.reflection: refused in production")
	for i, key := range conf.GetCursor().GetKeys() {
		if why := weakness(key); why != "" {
			refuse(true, "cursor.keys[%d]: %s; openssl rand -hex 32 makes a good one", i, why)
		}
	}
	for i, issuer := range conf.GetAuth().GetIssuers() {
		if secret := issuer.GetHs256Secret(); secret != "" {
			why := weakness(secret)
			refuse(why != "", "auth.issuers[%d].hs256_secret: %s", i, why)
		}
	}
	if server.GetTls().GetCertFile() == "" && !server.GetTlsTerminatedByPlatform() {
		const fix = "server.%s.addr: plaintext off loopback is refused in production; set server.tls, or server.tls_terminated_by_platform when that is so"
		refuse(!IsLoopback(server.GetGrpc().GetAddr()), fix, "grpc")
		refuse(!IsLoopback(server.GetHttp().GetAddr()), fix, "http")
	}
	refuse(!isPrivate(server.GetAdmin().GetAddr()),
		"server.admin.addr: production wants an IP address nobody outside can reach: loopback, private, shared (100.64.0.0/10) or link-local")
	const verify = "%s: needs sslmode=verify-full off loopback in production"
	refuse(unverified(conf.GetData().GetPostgres().GetUrl()), verify, "data.postgres.url")
	refuse(unverified(conf.GetMessaging().GetOutbox().GetListenUrl()), verify, "messaging.outbox.listen_url")
	emulator := conf.GetMessaging().GetPubsub().GetEmulatorHost()
	refuse(emulator != "" && !IsLoopback(emulator), "messaging.pubsub.emulator_host: events would leave in clear; refused off loopback in production")
	const private = "%s: needs rediss:// without skip_verify off loopback in production"
	refuse(unverifiedRedis(conf.GetCache().GetRedisUrl()), private, "cache.redis_url")
	refuse(unverifiedRedis(conf.GetLimits().GetRedisUrl()), private, "limits.redis_url")
	return problems
}

// weakness is why a key can be guessed; empty when it is good.
func weakness(key string) string {
	distinct := map[rune]bool{}
	for _, r := range key {
		distinct[r] = true
	}
	switch {
	case slices.ContainsFunc(publicSecrets, func(p string) bool { return strings.HasPrefix(key, p) }):
		return "a key of the repository is refused in production"
	case len(key) < leastKeyLength:
		return fmt.Sprintf("production wants at least %d characters", leastKeyLength)
	case len(distinct) < leastKeyAlphabet:
		return fmt.Sprintf("production wants at least %d different characters", leastKeyAlphabet)
	}
	return ""
}

// shared is the space between carriers and their customers (RFC 6598), which clusters use for pods.
var shared = netip.MustParsePrefix("100.64.0.0/10")

// isPrivate reports whether host:port names only an address that the internet does not route to. A name may resolve to
// anything, and an empty or unspecified host is every address there is.
func isPrivate(addr string) bool {
	if IsLoopback(addr) {
		return true
	}
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return false
	}
	ip := at.Addr().Unmap().WithZone("")
	return ip.IsPrivate() || ip.IsLinkLocalUnicast() || shared.Contains(ip)
}

// unverified reports whether the driver may talk to another machine without knowing that it is the right one: any host
// of dsn, wherever it is written, and what sslmode falls back to. What cannot be parsed is reported by checkURLs.
func unverified(dsn string) bool {
	if dsn == "" {
		return false
	}
	parsed, err := postgres.ParseDSN(dsn)
	if err != nil {
		return false
	}
	targets := append([]*pgconn.FallbackConfig{{Host: parsed.Host, TLSConfig: parsed.TLSConfig}}, parsed.Fallbacks...)
	return slices.ContainsFunc(targets, func(t *pgconn.FallbackConfig) bool {
		return (t.TLSConfig == nil || t.TLSConfig.InsecureSkipVerify) && !IsLoopback(t.Host)
	})
}

// unverifiedRedis is unverified for a Redis URL.
func unverifiedRedis(text string) bool {
	if text == "" {
		return false
	}
	parsed, err := redis.ParseURL(text)
	if err != nil {
		return false
	}
	isLocal := parsed.Network == "unix" || IsLoopback(parsed.Addr)
	return !isLocal && (parsed.TLSConfig == nil || parsed.TLSConfig.InsecureSkipVerify)
}
