package devpg_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/devpg"
)

// fakeDocker is a daemon whose containers are ephemeral servers of ours, with the password that was asked for.
type fakeDocker struct {
	t       *testing.T
	mu      sync.Mutex
	volumes []string
	running int
}

func (d *fakeDocker) run(ctx context.Context, password, volume string) (int, func(context.Context) error, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	server, err := devpg.Start(ctx, devpg.Options{Ephemeral: true})
	if err != nil {
		return 0, nil, err
	}
	execute(d.t, server.SuperURL(""), "ALTER ROLE postgres PASSWORD '"+password+"'")
	u, err := url.Parse(server.SuperURL(""))
	if err != nil {
		return 0, nil, err
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		return 0, nil, err
	}
	d.volumes = append(d.volumes, volume)
	d.running++
	stop := func(ctx context.Context) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.running--
		return server.Stop(ctx)
	}
	return port, stop, nil
}

// onlyDocker leaves the container as the only candidate.
func onlyDocker(o devpg.Options, d *fakeDocker) (devpg.Options, []devpg.Change) {
	o.Getenv = environment("PATH", "")
	return o, []devpg.Change{devpg.NothingInstalled, devpg.DockerIs(d.run)}
}

func TestDockerCandidate(t *testing.T) {
	t.Parallel()
	docker := &fakeDocker{t: t}
	var seen recorder
	o, changes := onlyDocker(devpg.Options{StateDir: openDir(t), Report: seen.report}, docker)
	first := start(t, o, changes...)
	assert.Equal(t, "docker postgres:16-alpine: started", seen.verdicts()[3])
	assert.Zero(t, first.Pid())
	assert.Equal(t, "profile_app", query[string](t, first.AppURL(""), "SELECT current_user::text"))

	second := start(t, o, changes...)
	assert.True(t, second.Attached(), "the process with the container holds the lock")
	assert.Equal(t, first.OwnerURL(""), second.OwnerURL(""))
	stop(t, second)
	assert.Equal(t, 1, docker.running)
	stop(t, first)
	stop(t, first)
	assert.Zero(t, docker.running)

	o.Getenv = os.Getenv // finds what is installed here as well
	third := start(t, o, devpg.DockerIs(docker.run))
	assert.Zero(t, third.Pid(), "the data used last goes first")
	require.Len(t, docker.volumes, 2)
	assert.Regexp(t, "^lingo-profile-[a-z2-7]{26}$", docker.volumes[0])
	assert.Equal(t, docker.volumes[0], docker.volumes[1], "the data stays")
}

func TestEphemeralDockerKeepsNothing(t *testing.T) {
	t.Parallel()
	docker := &fakeDocker{t: t}
	o, changes := onlyDocker(devpg.Options{Ephemeral: true}, docker)
	stop(t, start(t, o, changes...))
	assert.Equal(t, []string{""}, docker.volumes)
	assert.Zero(t, docker.running)
}

func TestDockerFails(t *testing.T) {
	t.Parallel()
	o := devpg.Options{StateDir: openDir(t), Getenv: environment("PATH", "")}
	broken := func(context.Context, string, string) (int, func(context.Context) error, error) {
		return 0, nil, errors.New("no space left for the image")
	}
	_, err := devpg.StartOn(t.Context(), o, devpg.NothingInstalled, devpg.DockerIs(broken))
	require.ErrorContains(t, err, "docker postgres:16-alpine: failed: no space left for the image")
}

// A daemon that accepts and never answers costs two seconds.
func TestSilentDockerDaemon(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	socket := filepath.Join(dir, "docker.sock")
	silent, err := net.Listen("unix", socket)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, silent.Close()) })
	p := startProcess(t, processConfig{env: []string{bindirVariable + "=", "DOCKER_HOST=unix://" + socket}},
		job{Options: processOptions{StateDir: filepath.Join(dir, "state")}, NothingInstalled: true})
	begin := time.Now()
	p.failure()
	assert.Less(t, time.Since(begin), 10*time.Second)
	require.Len(t, p.attempts, 4)
	assert.Contains(t, p.attempts[3], "postgres: docker postgres:16-alpine: absent: not available: no Docker daemon answers within 2s: ")
	assert.Contains(t, p.attempts[3], "deadline exceeded")
}
