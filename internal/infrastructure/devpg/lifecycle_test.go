package devpg_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/devpg"
)

// The life of one persistent server: each step finds what the one before it left.
func TestPersistentServer(t *testing.T) {
	t.Parallel()
	dir := onDisk(t)
	o := devpg.Options{StateDir: dir}

	begin := time.Now()
	first := start(t, o)
	t.Logf("cold start: %s", time.Since(begin))
	assert.False(t, first.Attached())
	assert.Positive(t, first.Pid())
	execute(t, first.OwnerURL(""), "CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)")
	// again starts on the same directory and checks that everything is as it was.
	again := func(t *testing.T) *devpg.Server {
		t.Helper()
		server := start(t, o)
		assert.False(t, server.Attached())
		assert.Equal(t, 42, query[int](t, server.OwnerURL(""), "SELECT n FROM kept"))
		assert.Equal(t, first.OwnerURL(""), server.OwnerURL(""), "same port and password")
		assert.Equal(t, first.AppURL("x"), server.AppURL("x"))
		return server
	}

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
	t.Run("WarmStartIsFast", func(t *testing.T) {
		begin := time.Now()
		server := start(t, o)
		took := time.Since(begin)
		t.Logf("warm start: %s", took)
		assert.Less(t, took, 5*time.Second, "the budget of all of make run, on a busy machine")
		stop(t, server)
		again(t)
	})
	t.Run("RolesAreRepaired", func(t *testing.T) {
		server := again(t)
		execute(t, server.SuperURL(""), "ALTER ROLE profile_app SUPERUSER PASSWORD 'forgotten'")
		stop(t, server)
		assert.Equal(t, "off", query[string](t, again(t).AppURL(""), "SHOW is_superuser"))
	})
	t.Run("StopPastItsDeadlineStillEndsTheServer", func(t *testing.T) {
		server := again(t)
		// A backend that does nothing at all holds up a fast shutdown for ever.
		stuck := query[int](t, server.SuperURL(""), "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
		require.NoError(t, syscall.Kill(stuck, syscall.SIGSTOP))
		err := server.Stop(within(t, 100*time.Millisecond))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "ended without a checkpoint")
		assertDown(t, server.OwnerURL(""))
		again(t)
	})
	t.Run("PostmasterKilled", func(t *testing.T) {
		server := again(t)
		require.NoError(t, syscall.Kill(server.Pid(), syscall.SIGKILL))
		again(t)
		stop(t, server) // the end of a server that is gone
	})
}

func TestServerIsSetUpAsInProduction(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	var seen recorder
	server := start(t, devpg.Options{StateDir: dir, Report: seen.report, Settings: map[string]string{
		"work_mem": "5MB", "port": "1", "log_statement": "all", "log_min_duration_statement": "0",
	}})

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
	t.Run("PasswordsStaySecret", func(t *testing.T) {
		execute(t, server.OwnerURL(""), "SELECT 'this is logged'")
		logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
		require.NoError(t, err)
		require.Len(t, logs, 1)
		log, err := os.ReadFile(logs[0])
		require.NoError(t, err)
		require.True(t, bytes.Contains(log, []byte("this is logged")))
		require.True(t, bytes.Contains(log, []byte("ALTER ROLE profile_owner")))
		arguments, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", server.Pid()))
		require.NoError(t, err)
		for _, url := range []string{server.OwnerURL(""), server.AppURL(""), server.SuperURL("")} {
			secret := password(t, url)
			assert.False(t, bytes.Contains(log, []byte(secret)), "in the log")
			assert.False(t, bytes.Contains(arguments, []byte(secret)), "in the process list")
			for _, a := range seen.attempts {
				assert.NotContains(t, a.String(), secret)
			}
		}
	})
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
	home := homeOf(data)
	assert.Equal(t, filepath.Clean(os.TempDir()), filepath.Dir(home))
	stop(t, one)
	stop(t, one)
	assert.NoDirExists(t, home)
	assertDown(t, one.OwnerURL(""))
	assert.Equal(t, 1, query[int](t, two.OwnerURL(""), "SELECT 1"), "the other server goes on")
}

func TestCancelledWhileItAsksForTheVersion(t *testing.T) {
	t.Parallel()
	never := filepath.Join(openDir(t), "never")
	require.NoError(t, syscall.Mkfifo(never, 0o600))
	o := devpg.Options{Ephemeral: true, Getenv: onlyBindir(t, bindir(t, "read -r line <"+never, ""))}
	_, err := devpg.StartOn(within(t, 100*time.Millisecond), o)
	require.ErrorIs(t, err, context.DeadlineExceeded)
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
		var none *devpg.NoServerError
		require.NotErrorAs(t, err, &none, "no further candidate is tried")
	}
	// Had a process stayed, it would hold the lock and this would attach, or wait.
	assert.False(t, start(t, o).Attached())
}

// A cancelled start does not wait for initdb, and initdb's own children go with it.
func TestCancelledInitdb(t *testing.T) {
	t.Parallel()
	o := devpg.Options{StateDir: openDir(t), Getenv: onlyBindir(t, bindir(t, saysVersion15, "sleep 300; exit 1"))}
	begin := time.Now()
	_, err := devpg.Start(within(t, 500*time.Millisecond), o)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Less(t, time.Since(begin), 20*time.Second)
	assert.Eventually(t, func() bool {
		lock, err := devpg.TryLock(filepath.Join(o.StateDir, "server.lock"))
		return err == nil && lock.Close() == nil
	}, 20*time.Second, 10*time.Millisecond, "a process of the cancelled start is alive")
}
