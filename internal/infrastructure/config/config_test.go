package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/lingo-services/profile/internal/infrastructure/config"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
)

const (
	canary  = "canary-f00d-secret"
	sound   = "DATABASE_URL=postgres://app:pw@127.0.0.1:5432/profile"
	aKey    = "PROFILE_CURSOR_KEYS=0123456789abcdef0123456789abcdef"
	shipped = "../../../configs/config.yaml"
)

func load(t *testing.T, env ...string) *confpb.Bootstrap {
	t.Helper()
	all := config.Environment(env)
	for _, usual := range []string{sound, aKey} {
		name, _, _ := strings.Cut(usual, "=")
		if !slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, name+"=") }) {
			all = append(all, usual)
		}
	}
	conf, err := config.Load("", all)
	require.NoError(t, err)
	return conf
}

func TestShippedFilesLoadStrictly(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../../configs/*.yaml")
	require.NoError(t, err)
	require.Contains(t, files, shipped)
	for _, file := range files {
		conf, err := config.Load(file, config.Environment{sound, aKey})
		require.NoError(t, err, file)
		require.NoError(t, config.Validate(conf), file)
	}
}

func TestShippedDefaultsAreSafe(t *testing.T) {
	t.Parallel()
	conf := load(t)
	require.Equal(t, "production", conf.GetService().GetEnvironment())
	require.False(t, conf.GetAuth().GetInsecureDev())
	require.False(t, conf.GetServer().GetReflection())
	for _, addr := range []string{conf.GetServer().GetGrpc().GetAddr(), conf.GetServer().GetHttp().GetAddr(), conf.GetServer().GetAdmin().GetAddr()} {
		require.True(t, config.IsLoopback(addr), addr)
	}
	require.Equal(t, "profile.events", conf.GetMessaging().GetPubsub().GetTopicId())
	require.Equal(t, 180*24*time.Hour, conf.GetWatch().GetRetention().AsDuration())
	require.Equal(t, int64(10_000), conf.GetEngagement().GetMaxActivePerType())
}

func TestShippedDefaultsAloneDoNotStart(t *testing.T) {
	t.Parallel()
	conf, err := config.Load("", nil)
	require.NoError(t, err)
	require.ErrorContains(t, config.Validate(conf), "cursor.keys")
	conf, err = config.Load("", config.Environment{aKey})
	require.NoError(t, err)
	require.ErrorContains(t, config.Validate(conf), "data.postgres.url")
}

func TestUnknownKeysFailByName(t *testing.T) {
	t.Parallel()
	for _, document := range []string{"nope: " + canary, "server: {nope: " + canary + "}", "data: {postgres: {nope: " + canary + "}}"} {
		_, err := config.LoadText("x.yaml", []byte(document), nil)
		require.ErrorContains(t, err, "nope", document)
		require.NotContains(t, err.Error(), canary)
	}
}

func TestUnknownVariablesFailByName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"PROFILE_NOPE", "PROFILE_SERVER_NOPE", "PROFILE_SERVER", "PROFILE_AUTH_DEV_SERVICES", "PROFILE_"} {
		_, err := config.Load("", config.Environment{sound, name + "=" + canary})
		require.ErrorContains(t, err, name)
		require.NotContains(t, err.Error(), canary)
	}
	_, err := config.Load("", config.Environment{"PATH=/bin", "PROFILED=1", "PROFILE_TEST_RLS=on", "PROFILE_PG_USER=postgres", "profile_nope=1"})
	require.NoError(t, err, "other programs' variables are none of our business")
}

func TestEnvironmentOverlaysEveryType(t *testing.T) {
	t.Parallel()
	conf := load(t,
		"PROFILE_SERVICE_LOG_LEVEL=debug",                    // string
		"PROFILE_DATA_POSTGRES_MAX_CONNS=7",                  // int32
		"PROFILE_ENGAGEMENT_MAX_ACTIVE_PER_TYPE=12345678901", // int64
		"PROFILE_AUTH_INSECURE_DEV=true",                     // bool
		"PROFILE_FEATURES_PUBLISH_EVENTS=false",              // bool, to its zero value
		"PROFILE_SERVER_TIMEOUTS_QUERY=0.25s",                // duration
		"PROFILE_SERVER_TIMEOUTS_COMMAND=1s",
		"PROFILE_CURSOR_KEYS=first-key-0000000,second-key-000000", // list, replaced
		"PROFILE_SERVER_GRPC_ADDR=127.0.0.1:1",
		"PUBSUB_EMULATOR_HOST=127.0.0.1:2", "GOOGLE_CLOUD_PROJECT=p",
		"PROFILE_MESSAGING_PUBSUB_TOPIC_ID=", // empty: not set
	)
	require.Equal(t, "debug", conf.GetService().GetLogLevel())
	require.Equal(t, int32(7), conf.GetData().GetPostgres().GetMaxConns())
	require.Equal(t, int64(12_345_678_901), conf.GetEngagement().GetMaxActivePerType())
	require.True(t, conf.GetAuth().GetInsecureDev())
	require.False(t, conf.GetFeatures().GetPublishEvents())
	require.Equal(t, 250*time.Millisecond, conf.GetServer().GetTimeouts().GetQuery().AsDuration())
	require.Equal(t, time.Second, conf.GetServer().GetTimeouts().GetCommand().AsDuration(), "not added to the file's 0.5 s")
	require.Equal(t, []string{"first-key-0000000", "second-key-000000"}, conf.GetCursor().GetKeys())
	require.Equal(t, "127.0.0.1:1", conf.GetServer().GetGrpc().GetAddr())
	require.Equal(t, "127.0.0.1:2", conf.GetMessaging().GetPubsub().GetEmulatorHost())
	require.Equal(t, "p", conf.GetMessaging().GetPubsub().GetProjectId())
	require.Equal(t, "profile.events", conf.GetMessaging().GetPubsub().GetTopicId())
	require.Equal(t, int32(262_144), conf.GetServer().GetMaxRequestBytes(), "the rest is the file's")
	conf = load(t, "PROFILE_GRPC_ADDR=127.0.0.1:3", "PROFILE_HTTP_ADDR=127.0.0.1:4", "PROFILE_ADMIN_ADDR=127.0.0.1:5")
	require.Equal(t, []string{"127.0.0.1:3", "127.0.0.1:4", "127.0.0.1:5"},
		[]string{conf.GetServer().GetGrpc().GetAddr(), conf.GetServer().GetHttp().GetAddr(), conf.GetServer().GetAdmin().GetAddr()})
}

func write(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "profile.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestM137_AFileOverlaysTheDefaults(t *testing.T) {
	t.Parallel()
	conf, err := config.Load(write(t, `
service: {logLevel: warn} # the JSON name is as good
server:
  timeouts: {command: 1s}
  reflection: false
data: {postgres: {max_conns: 30, max_attempts: 0}}
features: {publish_events: false}
cursor: {keys: [first-key-0000000]}
messaging: {outbox: {batch: 1}, catalog_inbox: {dead_letter_topic_id: ""}}
`), config.Environment{sound, "PROFILE_SERVICE_ENVIRONMENT=dev"})
	require.NoError(t, err)

	want := load(t, "PROFILE_CURSOR_KEYS=first-key-0000000", "PROFILE_SERVICE_ENVIRONMENT=dev")
	want.Service.LogLevel = "warn"
	want.Server.Timeouts.Command = durationpb.New(time.Second) // not added to the shipped 0.5 s
	want.Data.Postgres.MaxConns, want.Data.Postgres.MaxAttempts = 30, 0
	want.Features.PublishEvents = false
	want.Messaging.Outbox.Batch = 1
	want.Messaging.CatalogInbox.DeadLetterTopicId = ""
	require.Equal(t, protojson.Format(want), protojson.Format(conf))
}

func TestM137_AFileReplacesLists(t *testing.T) {
	t.Parallel()
	env := config.Environment{sound, "PROFILE_CURSOR_KEYS="}
	for document, want := range map[string][]string{
		"cursor: {keys: [one-one-one-one-1, two-two-two-two-2]}": {"one-one-one-one-1", "two-two-two-two-2"},
		"cursor: {keys: []}": nil,
		"cursor: {}":         nil,
	} {
		conf, err := config.Load(write(t, document), env)
		require.NoError(t, err, document)
		require.Equal(t, want, conf.GetCursor().GetKeys(), document)
	}
	conf, err := config.Load(write(t, "cursor: {keys: [one-one-one-one-1]}"), config.Environment{aKey})
	require.NoError(t, err)
	require.Equal(t, []string{"0123456789abcdef0123456789abcdef"}, conf.GetCursor().GetKeys(), "the environment is above the file")
}

func TestM137_AFileThatSaysNothingChangesNothing(t *testing.T) {
	t.Parallel()
	for _, document := range []string{
		"", "# nothing", "server:", "server: {timeouts: }", "server: {grpc: {addr: }}", "server: {}", "data: {postgres: {url: null}}", "cursor: {keys: ~}",
	} {
		conf, err := config.Load(write(t, document), config.Environment{sound, aKey})
		require.NoError(t, err, document)
		require.Equal(t, protojson.Format(load(t)), protojson.Format(conf), document)
		require.NoError(t, config.Validate(conf), document)
	}
}

func TestM137_FileErrorsNameTheFile(t *testing.T) {
	t.Parallel()
	path := write(t, "server: {nope: 1}")
	_, err := config.Load(path, nil)
	require.ErrorContains(t, err, "configuration "+path+": ")
	_, err = config.Load(write(t, "server: {}"), config.Environment{"PROFILE_NOPE=1"})
	require.ErrorContains(t, err, "environment variable PROFILE_NOPE")
	require.NotContains(t, err.Error(), "profile.yaml", "the file is not to blame")
}

func TestVariablesWithAWrongValueAreNamedWithoutIt(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"PROFILE_DATA_POSTGRES_MAX_CONNS", "PROFILE_AUTH_INSECURE_DEV", "PROFILE_SERVER_TIMEOUTS_DRAIN", "PROFILE_ENGAGEMENT_MAX_ACTIVE_PER_TYPE",
	} {
		for _, value := range []string{canary, `"` + canary + `"`, "99999999999999999999", `1,"x":"` + canary, "[]"} {
			_, err := config.Load("", config.Environment{name + "=" + value})
			require.ErrorContains(t, err, name)
			require.NotContains(t, err.Error(), canary)
		}
	}
}

func TestFileErrorsNeverRepeatAValue(t *testing.T) {
	t.Parallel()
	for _, document := range []string{
		"service: " + canary, "data: {postgres: " + canary + "}", "data: {postgres: {url: [" + canary + "]}}", "data: {postgres: {url: {" + canary + ": 1}}}",
		"data: {postgres: {max_conns: " + canary + "}}", "server: {reflection: " + canary + "}", "server: {timeouts: {query: " + canary + "}}",
		"cursor: {keys: " + canary + "}", "cursor: {keys: {a: " + canary + "}}", "auth: {dev_services: " + canary + "}",
		"auth: {dev_services: [" + canary + "]}", "auth: {dev_services: [{token: {x: " + canary + "}}]}", "[" + canary + "]", canary, "a: b: " + canary,
		"data: {postgres: {url: \"" + canary, "cursor: {keys: [[" + canary + "]]}", "idempotency: {retention: [" + canary + "]}",
	} {
		_, err := config.LoadText("x.yaml", []byte(document), nil)
		require.Error(t, err, document)
		require.NotContains(t, err.Error(), canary, document)
	}
}

func TestMissingFileIsNamed(t *testing.T) {
	t.Parallel()
	_, err := config.Load("/no/such/config.yaml", nil)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "/no/such/config.yaml")
}

func TestRedactedHidesEverySecret(t *testing.T) {
	t.Parallel()
	conf := load(t, "DATABASE_URL=postgres://app:"+canary+"@127.0.0.1/profile", "PROFILE_CURSOR_KEYS="+canary+"-1,"+canary+"-2")
	conf.Auth.DevServices = []*confpb.Auth_DevService{{Name: "feed", Token: canary, Roles: []string{"reader"}}}
	text := config.Redacted(conf)
	require.NotContains(t, text, canary)
	require.Contains(t, text, "***")
	require.Contains(t, text, "feed", "what is no secret is shown")
	require.Contains(t, conf.GetData().GetPostgres().GetUrl(), canary, "the configuration itself is not changed")
}

func TestInsecureIdentityStaysOnLoopback(t *testing.T) {
	t.Parallel()
	dev := []string{"PROFILE_SERVICE_ENVIRONMENT=dev", "PROFILE_AUTH_INSECURE_DEV=true"}
	require.NoError(t, config.Validate(load(t, dev...)))
	for _, addr := range []string{":9000", "0.0.0.0:9000", "[::]:9000", "192.0.2.1:9000", "example.com:9000"} {
		for _, name := range []string{"grpc", "http"} {
			conf := load(t, append(slices.Clone(dev), "PROFILE_SERVER_"+strings.ToUpper(name)+"_ADDR="+addr)...)
			require.ErrorContains(t, config.Validate(conf), "server."+name+".addr", addr)
		}
	}
}

func TestRulesOfSingleKeysNameThem(t *testing.T) {
	t.Parallel()
	for key, variable := range map[string]string{
		"service.log_level":        "PROFILE_SERVICE_LOG_LEVEL=loud",
		"service.environment":      "PROFILE_SERVICE_ENVIRONMENT=staging",
		"data.postgres.schema":     "PROFILE_DATA_POSTGRES_SCHEMA=catalog",
		"data.postgres.max_conns":  "PROFILE_DATA_POSTGRES_MAX_CONNS=0",
		"data.postgres.query_mode": "PROFILE_DATA_POSTGRES_QUERY_MODE=simple",
		"server.timeouts.query":    "PROFILE_SERVER_TIMEOUTS_QUERY=0s",
		"server.timeouts.command":  "PROFILE_SERVER_TIMEOUTS_COMMAND=6s",
		"server.max_request_bytes": "PROFILE_SERVER_MAX_REQUEST_BYTES=1",
		"engagement.video_policy":  "PROFILE_ENGAGEMENT_VIDEO_POLICY=maybe",
		"watch.retention":          "PROFILE_WATCH_RETENTION=1s",

		"messaging.pubsub.publish_timeout":        "PROFILE_MESSAGING_PUBSUB_PUBLISH_TIMEOUT=59s",
		"messaging.outbox.max_outstanding":        "PROFILE_MESSAGING_OUTBOX_MAX_OUTSTANDING=3999",
		"messaging.outbox.renew":                  "PROFILE_MESSAGING_OUTBOX_RENEW=2.6s",
		"messaging.outbox.backoff_min":            "PROFILE_MESSAGING_OUTBOX_BACKOFF_MIN=6s",
		"messaging.outbox.ordering_key":           "PROFILE_MESSAGING_OUTBOX_ORDERING_KEY=bucket:0",
		"messaging.catalog_inbox.max_outstanding": "PROFILE_MESSAGING_CATALOG_INBOX_MAX_OUTSTANDING=255",
		"maintenance.event_retention":             "PROFILE_MAINTENANCE_EVENT_RETENTION=604801s",
		"cursor.keys[0]":                          "PROFILE_CURSOR_KEYS=short",
	} {
		err := config.Validate(load(t, variable))
		require.ErrorContains(t, err, key, variable)
	}
}

func TestLoopbackAddresses(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]bool{
		"127.0.0.1:9000": true, "127.9.9.9": true, "localhost:1": true, "localhost": true, "[::1]:1": true, "::1": true, "/var/run/postgresql": true,
		"": false, ":9000": false, "0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false, "localhost.example.com:1": false, "example.com": false,
		"127.0.0.1.example.com:1": false,
	} {
		require.Equal(t, want, config.IsLoopback(addr), addr)
	}
}

func TestS90_CachedValuesCannotBeConfiguredToBeOld(t *testing.T) {
	t.Parallel()
	for _, env := range []string{"PROFILE_CACHE_TTL=61s", "PROFILE_CACHE_TTL=0.5s", "PROFILE_CACHE_STATS_TTL=5.001s", "PROFILE_CACHE_STATS_TTL=0s", "PROFILE_CACHE_BACKEND=disk"} {
		require.ErrorContains(t, config.Validate(load(t, env)), "cache.", env)
	}
	require.NoError(t, config.Validate(load(t, "PROFILE_CACHE_TTL=60s", "PROFILE_CACHE_STATS_TTL=5s", "PROFILE_CACHE_BACKEND=off")))
}
