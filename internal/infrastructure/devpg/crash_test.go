package devpg_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/devpg"
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
			j := job{Options: processOptions{StateDir: who.dir(t)}}
			committed := 0
			for round := range rounds(t) {
				delay := rand.N(2 * time.Second)
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

func TestKilledParentTakesItsServerAlong(t *testing.T) {
	t.Parallel()
	for _, who := range accounts() {
		t.Run(who.name, func(t *testing.T) {
			t.Parallel()
			p := startProcess(t, who.with("TMPDIR="+who.dir(t)), job{Options: processOptions{Ephemeral: true}})
			r := p.ready()
			p.kill()
			assert.Eventually(t, func() bool { return syscall.Kill(r.Pid, 0) != nil }, 5*time.Second, 10*time.Millisecond,
				"postmaster outlives its parent")
		})
	}
}

func TestKilledPostmaster(t *testing.T) {
	t.Parallel()
	o := devpg.Options{StateDir: openDir(t)}
	first := start(t, o)
	execute(t, first.OwnerURL(""), "CREATE TABLE kept (n int); INSERT INTO kept VALUES (3)")
	require.NoError(t, syscall.Kill(first.Pid(), syscall.SIGKILL))
	second := start(t, o)
	assert.False(t, second.Attached())
	assert.Equal(t, 3, query[int](t, second.OwnerURL(""), "SELECT n FROM kept"))
	stop(t, first) // the end of a server that is gone
}
