package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/config"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
)

// remote is a database on another machine with a password that must not be seen.
func remote(rest string) func(*confpb.Bootstrap) {
	return func(c *confpb.Bootstrap) { c.Data.Postgres.Url = "postgres://a:" + canary + rest }
}

func TestT14_ProductionRefusesWhatIsUnsafe(t *testing.T) {
	t.Parallel()
	require.NoError(t, config.Validate(load(t)))
	for name, tc := range map[string]struct {
		change func(*confpb.Bootstrap)
		want   string
	}{
		"insecure identity":      {func(c *confpb.Bootstrap) { c.Auth.InsecureDev = true }, "auth.insecure_dev: refused"},
		"reflection":             {func(c *confpb.Bootstrap) { c.Server.Reflection = true }, "server.reflection: refused"},
		"development cursor key": {func(c *confpb.Bootstrap) { c.Cursor.Keys = []string{"dev-only-" + canary} }, "cursor.keys[0]: a key of the repository"},
		"an old development key": {func(c *confpb.Bootstrap) { c.Cursor.Keys = append(c.Cursor.Keys, "dev-only-"+canary) }, "cursor.keys[1]: a key of the repository"},
		"the example's key":      {func(c *confpb.Bootstrap) { c.Cursor.Keys[0] = "change-me-16-characters-or-more" + canary }, "cursor.keys[0]: a key of the repository"},
		"short cursor key":       {func(c *confpb.Bootstrap) { c.Cursor.Keys[0] = canary + "0123456789ab" }, "cursor.keys[0]: production wants at least 32 characters"},
		"monotonous cursor key":  {func(c *confpb.Bootstrap) { c.Cursor.Keys[0] = strings.Repeat("canary-12", 9) }, "cursor.keys[0]: production wants at least 10 different"},
		"services without the mode": {func(c *confpb.Bootstrap) {
			c.Auth.DevServices = []*confpb.Auth_DevService{{Name: "x", Token: canary, Roles: []string{"admin"}}}
		}, "auth.dev_services: only with"},
		"remote database in clear":    {remote("@db.example.com/p"), "data.postgres.url: needs sslmode=verify-full"},
		"TLS only if it suits":        {remote("@db.example.com/p?sslmode=prefer"), "data.postgres.url: needs"},
		"TLS off":                     {remote("@10.0.0.1/p?sslmode=disable"), "data.postgres.url: needs"},
		"TLS with anybody":            {remote("@db.example.com/p?sslmode=require"), "data.postgres.url: needs"},
		"TLS with any host of the CA": {remote("@db.example.com/p?sslmode=verify-ca"), "data.postgres.url: needs"},
		"remote host by parameter":    {remote("@/p?host=db.example.com&sslmode=disable"), "data.postgres.url: needs"},
		"remote host, keyword form": {func(c *confpb.Bootstrap) {
			c.Data.Postgres.Url = "host=db.example.com password=" + canary + " sslmode=disable"
		}, "data.postgres.url: needs"},
		"loopback host replaced by parameter": {remote("@127.0.0.1/p?host=db.example.com&sslmode=disable"), "data.postgres.url: needs"},
		"one of several hosts":                {remote("@127.0.0.1,db.example.com/p?sslmode=disable"), "data.postgres.url: needs"},
		"notifications from anybody": {func(c *confpb.Bootstrap) {
			c.Messaging.Outbox.ListenUrl = "postgres://a:" + canary + "@db.example.com/p?sslmode=require"
		}, "messaging.outbox.listen_url: needs"},
		"remote Redis in clear": {func(c *confpb.Bootstrap) { c.Cache.RedisUrl = "REDIS://:" + canary + "@cache.example.com:6379/0" }, "cache.redis_url: "},
		"Redis with anybody": {func(c *confpb.Bootstrap) {
			c.Cache.RedisUrl = "rediss://:" + canary + "@cache.example.com:6379/0?skip_verify=true"
		}, "cache.redis_url: needs rediss://"},
		"Redis without its URL": {func(c *confpb.Bootstrap) { c.Cache.Backend = "redis" }, "cache.redis_url: is required"},
		"remote Redis of limits in clear": {func(c *confpb.Bootstrap) {
			c.Limits.RedisUrl = "redis://:" + canary + "@limits.example.com:6379/0"
		}, "limits.redis_url: "},
		"limits in Redis without its URL": {func(c *confpb.Bootstrap) { c.Limits.Backend = "redis" }, "limits.redis_url: is required"},
		"a service with two limits": {func(c *confpb.Bootstrap) {
			c.Limits.Services = []*confpb.Limits_Service{{Name: "a", PerSecond: 1}, {Name: "b", PerSecond: 1}, {Name: "a", PerSecond: 2}}
		}, "limits.services[2].name: "},
		"remote emulator":          {func(c *confpb.Bootstrap) { c.Messaging.Pubsub.EmulatorHost = "emulator:8085" }, "messaging.pubsub.emulator_host: "},
		"gRPC in clear":            {func(c *confpb.Bootstrap) { c.Server.Grpc.Addr = ":9000" }, "server.grpc.addr: plaintext off loopback"},
		"REST in clear":            {func(c *confpb.Bootstrap) { c.Server.Http.Addr = "10.0.0.1:8000" }, "server.http.addr: plaintext off loopback"},
		"admin on every address":   {func(c *confpb.Bootstrap) { c.Server.Admin.Addr = ":9090" }, "server.admin.addr: "},
		"admin on a name":          {func(c *confpb.Bootstrap) { c.Server.Admin.Addr = "metrics:9090" }, "server.admin.addr: "},
		"a certificate but no key": {func(c *confpb.Bootstrap) { c.Server.Tls.CertFile = "tls.crt" }, "server.tls: cert_file and key_file"},
		"an authority for nobody": {func(c *confpb.Bootstrap) {
			c.Server.Tls.CertFile, c.Server.Tls.KeyFile, c.Server.Tls.ClientCaFile = "tls.crt", "tls.key", "ca.crt"
		}, "server.tls: client_ca_file and client_names"},
		"names without an authority": {func(c *confpb.Bootstrap) { c.Server.Tls.ClientNames = []string{"gateway"} }, "server.tls: client_ca_file and client_names"},
		"mTLS without TLS": {func(c *confpb.Bootstrap) {
			c.Server.Tls.ClientCaFile, c.Server.Tls.ClientNames = "ca.crt", []string{"gateway"}
		}, "server.tls.client_ca_file: needs cert_file"},
		"a key where its path belongs": {func(c *confpb.Bootstrap) {
			c.Server.Tls.CertFile, c.Server.Tls.KeyFile = "tls.crt", "-----BEGIN PRIVATE KEY-----\n"+canary
		}, "server.tls.key_file: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conf := load(t)
			tc.change(conf)
			err := config.Validate(conf)
			require.ErrorContains(t, err, tc.want)
			require.NotContains(t, err.Error(), canary)
			require.Len(t, strings.Split(err.Error(), "\n"), 1, "nothing else is wrong: %v", err)
		})
	}
}

func TestT14_ProductionAcceptsWhatIsSafe(t *testing.T) {
	t.Parallel()
	for _, env := range [][]string{
		{"DATABASE_URL=postgres:///p?host=/var/run/postgresql"},
		{"DATABASE_URL=postgres://a:b@db.example.com/p?sslmode=verify-full"},
		{"DATABASE_URL=postgres://a:b@db.example.com/p?sslrootcert=system"},
		{"PROFILE_MESSAGING_OUTBOX_LISTEN_URL=postgres://a:b@127.0.0.1/p"},
		{"PROFILE_CACHE_BACKEND=redis", "PROFILE_CACHE_REDIS_URL=rediss://:pw@cache.example.com:6379/0"},
		{"PROFILE_CACHE_BACKEND=redis", "PROFILE_CACHE_REDIS_URL=redis://127.0.0.1:6379"},
		{"PROFILE_CACHE_BACKEND=redis", "PROFILE_CACHE_REDIS_URL=redis://localhost"},
		{"PROFILE_CACHE_BACKEND=redis", "PROFILE_CACHE_REDIS_URL=unix:///run/redis.sock"},
		{"PUBSUB_EMULATOR_HOST=127.0.0.1:8085"},
		{"PROFILE_GRPC_ADDR=:9000", "PROFILE_HTTP_ADDR=:8000", "PROFILE_SERVER_TLS_TERMINATED_BY_PLATFORM=true"},
		{"PROFILE_GRPC_ADDR=:9000", "PROFILE_HTTP_ADDR=:8000", "PROFILE_SERVER_TLS_CERT_FILE=tls.crt", "PROFILE_SERVER_TLS_KEY_FILE=tls.key"},
		{
			"PROFILE_GRPC_ADDR=:9000", "PROFILE_SERVER_TLS_CERT_FILE=tls.crt", "PROFILE_SERVER_TLS_KEY_FILE=tls.key",
			"PROFILE_SERVER_TLS_CLIENT_CA_FILE=ca.crt", "PROFILE_SERVER_TLS_CLIENT_NAMES=gateway.internal,spiffe://prod/gateway",
		},
	} {
		require.NoError(t, config.Validate(load(t, env...)), env)
	}
}

// The admin listener answers anybody who reaches it.
func TestT15_AdminListensWhereNobodyOutsideCanReachIt(t *testing.T) {
	t.Parallel()
	for addr, private := range map[string]bool{
		"127.0.0.1:9090": true, "localhost:9090": true, "[::1]:9090": true, "10.1.2.3:9090": true, "172.16.0.1:9090": true, "172.31.255.255:9090": true,
		"192.168.0.1:9090": true, "100.64.0.1:9090": true, "169.254.0.1:9090": true, "[fd00::1]:9090": true, "[fe80::1%eth0]:9090": true,
		"[::ffff:10.0.0.1]:9090": true,
		":9090":                  false, "0.0.0.0:9090": false, "[::]:9090": false, "8.8.8.8:9090": false, "172.32.0.1:9090": false, "100.128.0.1:9090": false,
		"[2001:db8::1]:9090": false, "[::ffff:8.8.8.8]:9090": false, "metrics.example.com:9090": false, "10.0.0.1.example.com:9090": false, "10.0.0.1": false,
	} {
		err := config.Validate(load(t, "PROFILE_ADMIN_ADDR="+addr))
		if private {
			require.NoError(t, err, addr)
		} else {
			require.ErrorContains(t, err, "server.admin.addr", addr)
		}
		require.NoError(t, config.Validate(load(t, "PROFILE_SERVICE_ENVIRONMENT=dev", "PROFILE_ADMIN_ADDR="+addr)), "development may")
	}
}

func TestT14_EveryProblemIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	conf := load(t,
		"PROFILE_SERVICE_LOG_LEVEL=loud", "PROFILE_AUTH_INSECURE_DEV=true", "PROFILE_SERVER_REFLECTION=true", "PROFILE_CURSOR_KEYS=change-me-"+canary,
		"DATABASE_URL=postgres://a:"+canary+"@db.example.com/p", "PROFILE_MESSAGING_OUTBOX_LISTEN_URL=postgres://a:"+canary+"@db.example.com/p",
		"PROFILE_CACHE_BACKEND=redis", "PROFILE_CACHE_REDIS_URL=redis://:"+canary+"@cache.example.com", "PUBSUB_EMULATOR_HOST=emulator:8085",
		"PROFILE_GRPC_ADDR=:9000", "PROFILE_HTTP_ADDR=:8000", "PROFILE_ADMIN_ADDR=:9090", "PROFILE_SERVER_TLS_CLIENT_CA_FILE=ca.crt",
	)
	conf.Auth.DevServices = []*confpb.Auth_DevService{{Name: "x", Token: canary, Roles: []string{"admin"}}}
	err := config.Validate(conf)
	require.Error(t, err)
	require.NotContains(t, err.Error(), canary)
	for _, key := range []string{
		"service.log_level", "auth.insecure_dev: refused", "auth.insecure_dev: needs server.grpc", "auth.insecure_dev: needs server.http", "auth.dev_services: shared tokens",
		"server.reflection", "cursor.keys[0]", "data.postgres.url", "messaging.outbox.listen_url", "cache.redis_url", "messaging.pubsub.emulator_host",
		"server.grpc.addr", "server.http.addr", "server.admin.addr", "server.tls",
	} {
		require.Contains(t, err.Error(), key)
	}
}
