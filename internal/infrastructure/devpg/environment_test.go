package devpg_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Every way a machine may be set up, as every user: fresh start, restart with the data. HOME is set nowhere but
// where a case says so.
func TestEnvironments(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		state string
		env   []string
	}{
		// A socket in there would have a path of more than 107 bytes.
		"HomeUnsetAwkwardPath": {state: "state of the 'service'/" + strings.Repeat("long/", 30)},
		"HostileVariables": {state: "state", env: []string{
			"PGPORT=1", "PGHOST=/nonexistent", "PGUSER=ghost", "PGPASSWORD=wrong", "PGDATABASE=nowhere", "PGDATA=/nonexistent",
			"PGSSLMODE=verify-full", "PGOPTIONS=-c work_mem=64kB", "PGTARGETSESSIONATTRS=read-only", "PGTZ=Asia/Tokyo",
			"TZ=Asia/Tokyo", "LC_ALL=xx_YY.UTF-8", "LANG=xx_YY", "HOME=/nonexistent",
		}},
	}
	for _, who := range accounts() {
		for name, tc := range cases {
			t.Run(who.name+name, func(t *testing.T) {
				t.Parallel()
				j := job{Options: processOptions{StateDir: filepath.Join(who.dir(t), tc.state)}}
				first := startProcess(t, who.with(tc.env...), j)
				r := first.ready()
				execute(t, r.Owner, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (5)")
				assert.True(t, strings.HasPrefix(r.DataDirectory, filepath.Clean(j.Options.StateDir)+"/pg"), r.DataDirectory)
				assert.Equal(t, postmasterEnvironment, environmentOf(t, r.Pid))
				first.stop()

				second := startProcess(t, who.with(tc.env...), j)
				r = second.ready()
				assert.Equal(t, 5, query[int](t, r.Owner, "SELECT n FROM kept"))
				second.stop()
			})
		}
	}
}

// postmasterEnvironment is everything a server sees; PG_OOM… and the like would be ours to add.
var postmasterEnvironment = []string{"LC_ALL=C", "PATH=/usr/bin:/bin", "TZ=UTC"}

// environmentOf reads what the process was started with.
func environmentOf(t *testing.T, pid int) []string {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	require.NoError(t, err)
	variables := strings.Split(strings.TrimRight(string(raw), "\x00"), "\x00")
	slices.Sort(variables)
	return variables
}

// Where the state goes when nobody says so. Root's default is a fixed path outside every test.
func TestDefaultStateDirectory(t *testing.T) {
	t.Parallel()
	who := accounts()[len(accounts())-1]
	home := who.dir(t)
	for name, tc := range map[string]struct {
		env  []string
		want string
	}{
		"StateDirVariable": {[]string{"PROFILE_STATE_DIR=" + home + "/a", "XDG_STATE_HOME=" + home, "HOME=" + home}, home + "/a"},
		"XDG":              {[]string{"XDG_STATE_HOME=" + home + "/xdg", "HOME=" + home}, home + "/xdg/lingo-profile"},
		"RelativeXDG":      {[]string{"XDG_STATE_HOME=xdg", "HOME=" + home + "/r"}, home + "/r/.local/state/lingo-profile"},
		"Home":             {[]string{"HOME=" + home}, home + "/.local/state/lingo-profile"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Without binaries the start ends before initdb; the place is decided by then.
			p := startProcess(t, who.with(append(tc.env, "PROFILE_PG_BINDIR=/nonexistent")...), job{})
			p.failure()
			assert.Equal(t, "postgres: running server: absent: not available: no process serves "+tc.want, p.attempts[0])
			info, err := os.Stat(tc.want)
			require.NoError(t, err)
			assert.Equal(t, os.FileMode(0o700), info.Mode().Perm())
		})
	}
}

func TestNoPlaceForTheState(t *testing.T) {
	t.Parallel()
	who := accounts()[len(accounts())-1]
	readOnly := openDir(t)
	require.NoError(t, os.Chmod(readOnly, 0o555))
	for name, tc := range map[string]struct {
		env  string
		want string
	}{
		"HomeUnset": {"HOME=", "no place for the database: HOME is not set; set PROFILE_STATE_DIR to a writable directory"},
		"HomeReadOnly": {
			"HOME=" + readOnly,
			"state directory: mkdir " + readOnly + "/.local: permission denied; set PROFILE_STATE_DIR to a writable directory",
		},
		"StateReadOnly": {
			"PROFILE_STATE_DIR=" + readOnly,
			"state directory: open " + readOnly + "/server.lock: permission denied; set PROFILE_STATE_DIR to a writable directory",
		},
		"StateIsAFile": {
			"PROFILE_STATE_DIR=/etc/passwd",
			"state directory: /etc/passwd is not a directory; set PROFILE_STATE_DIR to a writable directory",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tc.want, startProcess(t, who.with(tc.env), job{}).failure())
		})
	}
}
