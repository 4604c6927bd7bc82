package contract

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/test/testkit"
)

// Every command, started as it is shipped, with a URL that cannot be right.
func TestT12_NoCommandShowsASecretOfAMalformedURL(t *testing.T) {
	t.Parallel()
	const secret = "canary-f00d-secret"
	const sound, key = "DATABASE_URL=postgres://app:pw@127.0.0.1:1/profile", "PROFILE_CURSOR_KEYS=0123456789abcdef0123456789" + secret
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", dir, "./cmd/...")
	build.Dir = "../.."
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))

	run := func(t *testing.T, want string, env []string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), filepath.Join(dir, args[0]), args[1:]...)
		cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "PROFILE_SERVICE_LOG_LEVEL=debug", "PROFILE_STATE_DIR=" + dir, key}, env...)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit, "%v must not start", args)
		require.Equal(t, 1, exit.ExitCode(), string(out))
		require.Contains(t, string(out), want, args)
		require.NotContains(t, string(out), secret, args)
		require.LessOrEqual(t, strings.Count(string(out), "\n"), 2, "a clear line, or two where attempts are listed: %s", out)
	}
	for _, dsn := range testkit.MalformedDSNs(secret) {
		t.Run("", func(t *testing.T) { // the URL in a name would be a leak of ours
			t.Parallel()
			for _, server := range []string{"grpc", "outbox", "catalog_inbox", "maintenance"} {
				run(t, "data.postgres.url: not a valid postgres URL", []string{"DATABASE_URL=" + dsn}, server)
			}
			run(t, "messaging.outbox.listen_url: not a valid postgres URL", []string{sound, "PROFILE_MESSAGING_OUTBOX_LISTEN_URL=" + dsn}, "outbox")
			for _, command := range []string{"migrate up", "rls status", "stats verify", "outbox status", "dev --ephemeral"} {
				run(t, "postgres", []string{"DATABASE_URL=" + dsn}, append([]string{"profilectl"}, strings.Fields(command)...)...)
			}
		})
	}
	for _, url := range testkit.MalformedRedisURLs(secret) {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			run(t, "cache.redis_url: not a valid redis://", []string{sound, "PROFILE_CACHE_BACKEND=redis", "PROFILE_CACHE_REDIS_URL=" + url}, "grpc")
		})
	}
}
