package devpg_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// rounds is 5, or PROFILE_DEVPG_ROUNDS for the full 50.
func rounds(t *testing.T) int {
	t.Helper()
	raw := os.Getenv("PROFILE_DEVPG_ROUNDS")
	if raw == "" {
		return 5
	}
	n, err := strconv.Atoi(raw)
	require.NoError(t, err, "PROFILE_DEVPG_ROUNDS")
	return n
}

// Start, kill -9 at a random moment (initdb, boot and writing included), start again: every commit that was
// acknowledged is there, and no gap.
func TestKilledProcessLosesNothing(t *testing.T) {
	t.Parallel()
	for _, who := range accounts() {
		t.Run(who.name, func(t *testing.T) {
			t.Parallel()
			dir := onDisk(t)
			who.own(t, dir)
			j := job{Options: processOptions{StateDir: dir}}
			committed := 0
			for round := range rounds(t) {
				delay := rand.N(time.Second)
				committed = max(committed, killWhileWriting(t, who.processConfig, j, delay))
				committed = verifyRows(t, who.processConfig, j, committed)
				t.Logf("round %d: killed after %s, %d rows", round, delay, committed)
			}
		})
	}
}

// killWhileWriting returns the last commit the process reported.
func killWhileWriting(t *testing.T, c processConfig, j job, delay time.Duration) (last int) {
	t.Helper()
	j.Insert = true
	p := startProcess(t, c, j)
	moment := time.After(delay)
	for {
		select {
		case m, alive := <-p.messages:
			require.True(t, alive, "the process ended by itself")
			require.Empty(t, m.Err)
			last = max(last, m.Committed)
		case <-moment:
			for _, m := range p.kill() {
				require.Empty(t, m.Err)
				last = max(last, m.Committed)
			}
			return last
		}
	}
}

// verifyRows starts once more and returns how many rows there are: at least those committed.
func verifyRows(t *testing.T, c processConfig, j job, committed int) int {
	t.Helper()
	p := startProcess(t, c, j)
	r := p.ready()
	require.False(t, r.Attached, "nobody is left to attach to")
	count := 0
	if query[bool](t, r.Owner, "SELECT to_regclass('entries') IS NOT NULL") {
		count = query[int](t, r.Owner, "SELECT count(*) FROM entries")
		require.Equal(t, count, query[int](t, r.Owner, "SELECT coalesce(max(n), 0) FROM entries"), "gap")
	}
	require.GreaterOrEqual(t, count, committed)
	p.stop()
	return count
}

// An ephemeral server, for which HOME does not matter: a kill -9 of its process ends it, a normal end removes it.
func TestEphemeralServerOfAnotherProcess(t *testing.T) {
	t.Parallel()
	for _, who := range accounts() {
		t.Run(who.name, func(t *testing.T) {
			t.Parallel()
			c, j := who.with("TMPDIR="+who.dir(t)), job{Options: processOptions{Ephemeral: true}}
			killed := startProcess(t, c, j)
			abandoned := killed.ready()
			killed.kill()
			assert.Eventually(t, func() bool { return syscall.Kill(abandoned.Pid, 0) != nil }, 10*time.Second, 10*time.Millisecond,
				"the postmaster outlives its parent")
			assert.DirExists(t, abandoned.DataDirectory)

			// The next one, of the same user, cleans up after the killed one and then after itself.
			next := startProcess(t, c, j)
			r := next.ready()
			assert.NoDirExists(t, homeOf(abandoned.DataDirectory))
			third := startProcess(t, who.with("TMPDIR="+filepath.Dir(homeOf(r.DataDirectory)), "PROFILE_PG_BINDIR=/nonexistent"), job{Options: j.Options})
			third.failure()
			assert.DirExists(t, r.DataDirectory, "a living server is left alone")
			next.stop()
			assert.NoDirExists(t, homeOf(r.DataDirectory))
		})
	}
}

// After a crash of the whole machine or container, the number in postmaster.pid may belong to another program of
// the same user; Postgres alone would refuse to start.
func TestReusedProcessID(t *testing.T) {
	t.Parallel()
	who := accounts()[len(accounts())-1]
	j := job{Options: processOptions{StateDir: who.dir(t)}}
	first := startProcess(t, who.processConfig, j)
	r := first.ready()
	pidFile := filepath.Join(r.DataDirectory, "postmaster.pid")
	raw, err := os.ReadFile(pidFile)
	require.NoError(t, err)
	first.stop()

	bystander := startProcess(t, who.processConfig, job{Idle: true})
	lines := strings.SplitN(string(raw), "\n", 2)
	lines[0] = strconv.Itoa(bystander.cmd.Process.Pid)
	require.NoError(t, os.WriteFile(pidFile, []byte(strings.Join(lines, "\n")), 0o600))
	who.own(t, pidFile)
	second := startProcess(t, who.processConfig, j)
	assert.False(t, second.ready().Attached)
	second.stop()
	bystander.stop()
}

// homeOf is the directory that holds everything of a server.
func homeOf(dataDirectory string) string { return filepath.Dir(filepath.Dir(dataDirectory)) }
