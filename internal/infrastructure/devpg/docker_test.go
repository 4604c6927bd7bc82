package devpg_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"strconv"
	"sync"
	"testing"

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

func (d *fakeDocker) run(ctx context.Context, spec devpg.ContainerSpec) (devpg.Container, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	server, err := devpg.Start(ctx, devpg.Options{Ephemeral: true})
	if err != nil {
		return devpg.Container{}, err
	}
	execute(d.t, server.SuperURL(""), "ALTER ROLE postgres PASSWORD '"+spec.Password+"'")
	u, err := url.Parse(server.SuperURL(""))
	if err != nil {
		return devpg.Container{}, err
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		return devpg.Container{}, err
	}
	d.volumes = append(d.volumes, spec.Volume)
	d.running++
	stop := func(ctx context.Context) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.running--
		return server.Stop(ctx)
	}
	return devpg.Container{Host: u.Hostname(), Port: port, Life: context.Background(), Stop: stop}, nil
}

func TestDockerCandidate(t *testing.T) {
	t.Parallel()
	docker := &fakeDocker{t: t}
	var seen recorder
	o := devpg.Options{StateDir: openDir(t), Getenv: environment("PATH", ""), Docker: docker.run, Report: seen.report}
	first := start(t, o, devpg.NothingInstalled)
	assert.Equal(t, "docker postgres:16-alpine: started", seen.verdicts()[3])
	assert.Zero(t, first.Pid())
	assert.Equal(t, "profile_app", query[string](t, first.AppURL(""), "SELECT current_user::text"))

	second := start(t, o, devpg.NothingInstalled)
	assert.True(t, second.Attached(), "the process with the container holds the lock")
	assert.Equal(t, first.OwnerURL(""), second.OwnerURL(""))
	stop(t, second)
	assert.Equal(t, 1, docker.running)
	stop(t, first)
	stop(t, first)
	assert.Zero(t, docker.running)

	o.Getenv = os.Getenv // finds what is installed here as well
	third := start(t, o)
	assert.Zero(t, third.Pid(), "the data used last goes first")
	require.Len(t, docker.volumes, 2)
	assert.Regexp(t, "^lingo-profile-[a-z2-7]{26}$", docker.volumes[0])
	assert.Equal(t, docker.volumes[0], docker.volumes[1], "the data stays")
}

func TestEphemeralDockerKeepsNothing(t *testing.T) {
	t.Parallel()
	docker := &fakeDocker{t: t}
	o := devpg.Options{Ephemeral: true, Getenv: environment("PATH", ""), Docker: docker.run}
	stop(t, start(t, o, devpg.NothingInstalled))
	assert.Equal(t, []string{""}, docker.volumes)
	assert.Zero(t, docker.running)
}

func TestDockerFails(t *testing.T) {
	t.Parallel()
	broken := func(context.Context, devpg.ContainerSpec) (devpg.Container, error) {
		return devpg.Container{}, errors.New("no space left for the image")
	}
	o := devpg.Options{StateDir: openDir(t), Getenv: environment("PATH", ""), Docker: broken}
	_, err := devpg.StartOn(t.Context(), o, devpg.NothingInstalled)
	require.ErrorContains(t, err, "docker postgres:16-alpine: failed: no space left for the image")
}
