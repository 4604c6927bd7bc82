package devpg_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/devpg"
)

func TestPersistentServer(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	o := devpg.Options{StateDir: dir}

	begin := time.Now()
	first := start(t, o)
	t.Logf("cold start: %s", time.Since(begin))
	assert.False(t, first.Attached())
	assert.Positive(t, first.Pid())
	execute(t, first.OwnerURL(""), "CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)")

	t.Run("StateIsPrivate", func(t *testing.T) {
		info, err := os.Stat(filepath.Join(dir, "state.json"))
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	})
	t.Run("StopIsSafeTwice", func(t *testing.T) {
		stop(t, first)
		stop(t, first)
		assertDown(t, first.OwnerURL(""))
	})
	t.Run("NextStartHasTheDataPortAndPasswords", func(t *testing.T) {
		begin := time.Now()
		second := start(t, o)
		t.Logf("warm start: %s", time.Since(begin))
		assert.Less(t, time.Since(begin), 2*time.Second)
		assert.Equal(t, 42, query[int](t, second.OwnerURL(""), "SELECT n FROM kept"))
		assert.Equal(t, first.OwnerURL(""), second.OwnerURL(""))
		assert.Equal(t, first.AppURL("x"), second.AppURL("x"))
		assert.False(t, second.Attached())
	})
}

func TestServerIsSetUpAsInProduction(t *testing.T) {
	t.Parallel()
	server := start(t, devpg.Options{StateDir: openDir(t), Settings: map[string]string{"work_mem": "5MB", "port": "1"}})

	rights := `SELECT concat_ws(' ', rolname, rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolbypassrls, rolreplication)
		FROM pg_roles WHERE rolname = `
	for name, tc := range map[string]struct{ sql, want string }{
		"Owner":         {rights + "'profile_owner'", "profile_owner t f t t f f"},
		"App":           {rights + "'profile_app'", "profile_app t f f f f f"},
		"DatabaseOwner": {"SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = 'profile'", "profile_owner"},
		"Passwords":     {"SELECT string_agg(DISTINCT left(rolpassword, 13), ' ') FROM pg_authid WHERE rolcanlogin", "SCRAM-SHA-256"},
		"Access":        {"SELECT string_agg(DISTINCT auth_method, ' ') FROM pg_hba_file_rules", "scram-sha-256"},
		"Loopback":      {"SHOW listen_addresses", "127.0.0.1"},
		"NoSocket":      {"SHOW unix_socket_directories", ""},
		"Durable":       {"SHOW fsync", "on"},
		"Buffers":       {"SHOW shared_buffers", "128MB"},
		"TimeZone":      {"SHOW timezone", "UTC"},
		"LogTimeZone":   {"SHOW log_timezone", "UTC"},
		"Encoding":      {"SHOW server_encoding", "UTF8"},
		"Locale":        {"SELECT datcollate FROM pg_database WHERE datname = 'profile'", "C.UTF-8"},
		"Settings":      {"SHOW work_mem", "5MB"},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, query[string](t, server.SuperURL("profile"), tc.sql))
		})
	}
	t.Run("EachURLIsItsRole", func(t *testing.T) {
		for url, role := range map[string]string{
			server.OwnerURL(""): "profile_owner", server.AppURL(""): "profile_app", server.SuperURL("postgres"): "postgres",
		} {
			assert.Equal(t, role, query[string](t, url, "SELECT current_user::text"))
		}
	})
}

// Every start repairs what a developer changed by hand.
func TestStartRepairsRoles(t *testing.T) {
	t.Parallel()
	o := devpg.Options{StateDir: openDir(t)}
	first := start(t, o)
	execute(t, first.SuperURL(""), "ALTER ROLE profile_app SUPERUSER PASSWORD 'forgotten'")
	stop(t, first)
	second := start(t, o)
	assert.Equal(t, "off", query[string](t, second.AppURL(""), "SHOW is_superuser"))
}

func TestEphemeralServer(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	one := start(t, devpg.Options{Ephemeral: true})
	t.Logf("ephemeral start: %s", time.Since(begin))
	two := start(t, devpg.Options{Ephemeral: true, Settings: map[string]string{"max_connections": "33"}})

	for setting, want := range map[string]string{
		"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200",
		"shared_buffers": "128MB", "timezone": "UTC",
	} {
		assert.Equal(t, want, query[string](t, one.SuperURL(""), "SHOW "+setting), setting)
	}
	assert.Equal(t, "33", query[string](t, two.SuperURL(""), "SHOW max_connections"))
	execute(t, one.OwnerURL(""), "CREATE TABLE mine ()")
	assert.False(t, query[bool](t, two.OwnerURL(""), "SELECT to_regclass('mine') IS NOT NULL"), "servers are private")

	data := query[string](t, one.SuperURL(""), "SHOW data_directory")
	home := filepath.Dir(filepath.Dir(data))
	assert.Equal(t, filepath.Clean(os.TempDir()), filepath.Dir(home))
	stop(t, one)
	stop(t, one)
	assert.NoDirExists(t, home)
	assertDown(t, one.OwnerURL(""))
	assert.Equal(t, 1, query[int](t, two.OwnerURL(""), "SELECT 1"), "the other server goes on")
}

func TestEphemeralLeftoversOfKilledProcessesGo(t *testing.T) {
	t.Parallel()
	killed := startProcess(t, processConfig{}, job{Options: processOptions{Ephemeral: true}})
	gone := killed.ready()
	alive := startProcess(t, processConfig{}, job{Options: processOptions{Ephemeral: true}})
	kept := alive.ready()
	killed.kill()

	// The killed one's postmaster is still shutting down; then nobody holds the lock and the next start sweeps.
	assert.Eventually(t, func() bool {
		server, err := devpg.StartOn(t.Context(), devpg.Options{Ephemeral: true, Getenv: environment(
			"PROFILE_PG_BINDIR", "/nonexistent", // fails at once: only the sweep matters
		)})
		assert.Nil(t, server)
		assert.Error(t, err)
		_, err = os.Stat(filepath.Dir(filepath.Dir(gone.DataDirectory)))
		return os.IsNotExist(err)
	}, 20*time.Second, 50*time.Millisecond)
	assert.DirExists(t, kept.DataDirectory)
	assert.Equal(t, 1, query[int](t, kept.Owner, "SELECT 1"))
	alive.stop()
}

func TestStopPastItsDeadlineStillEndsTheServer(t *testing.T) {
	t.Parallel()
	o := devpg.Options{StateDir: openDir(t)}
	server := start(t, o)
	execute(t, server.OwnerURL(""), "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := server.Stop(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "ended without a checkpoint")
	assertDown(t, server.OwnerURL(""))
	assert.Equal(t, 7, query[int](t, start(t, o).OwnerURL(""), "SELECT n FROM kept"))
}

func TestCancelledStartLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	o := devpg.Options{StateDir: openDir(t)}
	for _, patience := range []time.Duration{0, 100 * time.Millisecond, 400 * time.Millisecond} {
		server, err := devpg.Start(within(t, patience), o)
		if err == nil { // a very fast machine
			stop(t, server)
			continue
		}
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	// Had a process stayed, it would hold the lock and this would attach, or wait.
	assert.False(t, start(t, o).Attached())
}
