package devpg_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/lingo-services/profile/internal/infrastructure/devpg"
)

func TestConcurrentProcessesShareOneServer(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	j := job{Options: processOptions{StateDir: dir}}
	processes := []*process{
		startProcess(t, processConfig{}, j), startProcess(t, processConfig{}, j), startProcess(t, processConfig{}, j),
	}
	var owner *process
	var attached []*process
	var url string
	pids := map[int]bool{}
	for _, p := range processes {
		r := p.ready()
		pids[r.Pid] = true
		url = r.Owner
		if r.Attached {
			attached = append(attached, p)
			assert.Contains(t, p.attempts[0], "running server: attached: another process serves "+dir)
		} else {
			owner = p
		}
	}
	require.NotNil(t, owner)
	require.Len(t, attached, 2, "exactly one process runs the server")
	require.Len(t, pids, 1)
	execute(t, url, "CREATE TABLE shared (n int); INSERT INTO shared VALUES (1)")

	attached[0].stop()
	attached[1].kill()
	assert.Equal(t, 1, query[int](t, url, "SELECT n FROM shared"), "the end of an attached process ends nothing")
	owner.stop()
	assertDown(t, url)
	assert.Equal(t, 1, query[int](t, start(t, devpg.Options{StateDir: dir}).OwnerURL(""), "SELECT n FROM shared"))
}

// The rounds after the first find the port and process id of the round before in the state file.
func TestConcurrentStartsOfOneProcess(t *testing.T) {
	t.Parallel()
	o := devpg.Options{StateDir: openDir(t)}
	for range 3 {
		servers := make([]*devpg.Server, 4)
		var group errgroup.Group
		for i := range servers {
			group.Go(func() (err error) {
				servers[i], err = devpg.Start(within(t, time.Minute), o)
				return err
			})
		}
		require.NoError(t, group.Wait())
		var owners []*devpg.Server
		for _, s := range servers {
			assert.Equal(t, servers[0].Pid(), s.Pid())
			if !s.Attached() {
				owners = append(owners, s)
			}
		}
		require.Len(t, owners, 1)
		stop(t, owners[0])
	}
}

// A start during the shutdown of another process waits for it instead of running into its files.
func TestStartDuringShutdown(t *testing.T) {
	t.Parallel()
	o := devpg.Options{StateDir: openDir(t)}
	server := start(t, o)
	for range 5 {
		var group errgroup.Group
		group.Go(func() error { return server.Stop(within(t, 30*time.Second)) })
		var next *devpg.Server
		group.Go(func() (err error) {
			next, err = devpg.Start(within(t, time.Minute), o)
			return err
		})
		require.NoError(t, group.Wait())
		if next.Attached() { // it was just in time to see the old server alive
			next = start(t, o)
		}
		t.Cleanup(func() { stop(t, next) })
		require.Equal(t, 1, query[int](t, next.OwnerURL(""), "SELECT 1"))
		server = next
	}
}

func TestLockWithoutServer(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	lock, err := devpg.TryLock(filepath.Join(dir, "server.lock"))
	require.NoError(t, err)
	_, err = devpg.TryLock(filepath.Join(dir, "server.lock"))
	require.ErrorIs(t, err, devpg.ErrLocked)

	_, err = devpg.Start(within(t, 200*time.Millisecond), devpg.Options{StateDir: dir})
	require.ErrorContains(t, err, "another process holds "+filepath.Join(dir, "server.lock")+" and its server does not answer")
	require.ErrorContains(t, err, "it has not said yet where it listens")
	require.NoError(t, lock.Close())
}
