package devpg_test

import (
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/devpg"
)

func TestDatabaseURL(t *testing.T) {
	t.Parallel()
	own := start(t, devpg.Options{Ephemeral: true})
	var seen recorder
	given := own.OwnerURL("profile") + "&application_name=mine"
	server := start(t, devpg.Options{DatabaseURL: given, StateDir: "/nonexistent", Report: seen.report})

	assert.True(t, server.Attached())
	assert.Zero(t, server.Pid())
	u, err := url.Parse(given)
	require.NoError(t, err)
	require.Len(t, seen.attempts, 1)
	assert.Equal(t, "postgres: DATABASE_URL: connected: "+u.Host+"/profile", seen.attempts[0].String())

	for _, of := range []func(string) string{server.OwnerURL, server.AppURL, server.SuperURL} {
		assert.Equal(t, given, of(""), "left as it is")
		assert.Equal(t, "postgres", query[string](t, of("postgres"), "SELECT current_database()::text"))
		assert.Equal(t, "mine", query[string](t, of("postgres"), "SHOW application_name"))
	}
	t.Run("DatabaseInTheQuery", func(t *testing.T) {
		u := *u
		u.Path, u.RawQuery = "", "sslmode=disable&dbname=profile"
		server := start(t, devpg.Options{DatabaseURL: u.String()})
		assert.Equal(t, "profile", query[string](t, server.AppURL(""), "SELECT current_database()::text"))
		assert.Equal(t, "postgres", query[string](t, server.AppURL("postgres"), "SELECT current_database()::text"))
	})
	t.Run("StopLeavesItRunning", func(t *testing.T) {
		stop(t, server)
		assert.Equal(t, 1, query[int](t, given, "SELECT 1"))
	})
}

// A dead DATABASE_URL ends the start within its limit, tries nothing else and tells no password.
func TestDeadDatabaseURL(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the kernel, never answers
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, silent.Close()) })
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())

	const secret = "s3cr3tpassw0rd"
	const malformed = "DATABASE_URL is not a postgres:// URL (percent-encode special characters of the password)"
	for name, tc := range map[string]struct{ url, want string }{
		"Silent":    {"postgres://u:" + secret + "@" + silent.Addr().String() + "/db", "DATABASE_URL is set and " + silent.Addr().String() + "/db does not answer: "},
		"Refused":   {"postgres://u:" + secret + "@" + closed.Addr().String() + "/db", "DATABASE_URL is set and " + closed.Addr().String() + "/db does not answer: "},
		"Unescaped": {"postgres://u:" + secret + "#x@127.0.0.1/db", malformed},
		"NotAURL":   {"host=127.0.0.1 password=" + secret, malformed},
		"BadOption": {"postgres://u:" + secret + "@127.0.0.1/db?sslmode=perhaps", malformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			state := t.TempDir() + "/state"
			var seen recorder
			begin := time.Now()
			server, err := devpg.Start(t.Context(), devpg.Options{DatabaseURL: tc.url, StateDir: state, Ephemeral: true, Report: seen.report})
			assert.Less(t, time.Since(begin), 8*time.Second)
			assert.Nil(t, server)
			require.ErrorContains(t, err, tc.want)
			assert.NotContains(t, err.Error(), secret)
			assert.Equal(t, []string{"DATABASE_URL: failed"}, seen.verdicts())
			assert.NotContains(t, seen.attempts[0].String(), secret)
			assert.NoDirExists(t, state)
		})
	}
}
