// Package pgcontainer runs the tests' Postgres in a container through testcontainers, when devpg finds nothing
// better. Only tests import it: the Docker client behind it is no part of a binary of ours.
package pgcontainer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/go-connections/nat"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/modules/postgres"

	"github.com/lingo-services/profile/internal/infrastructure/devpg"
)

const (
	answerLimit = 2 * time.Second
	runLimit    = time.Minute // pulling the images included
	port        = "5432/tcp"
)

// Run is a devpg.Docker. The library removes the container also when this process is killed, with a helper
// container (unless TESTCONTAINERS_RYUK_DISABLED is set). Docker's and the library's own variables come from the
// process environment.
func Run(ctx context.Context, spec devpg.ContainerSpec) (devpg.Container, error) {
	if err := ping(ctx); err != nil {
		return devpg.Container{}, fmt.Errorf("%w: no Docker daemon answers within %s: %w", devpg.ErrAbsent, answerLimit, err)
	}
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	host, err := daemonHost(ctx)
	if err != nil {
		return devpg.Container{}, err
	}
	if err := remove(ctx, spec.Volume); err != nil {
		return devpg.Container{}, err
	}
	running, err := postgres.Run(ctx, devpg.DockerImage,
		withName(spec.Volume),
		postgres.WithPassword(spec.Password),
		testcontainers.WithEnv(map[string]string{"POSTGRES_INITDB_ARGS": devpg.DockerInitdbArgs}),
		testcontainers.WithCmd(spec.Command()...),
		testcontainers.WithHostConfigModifier(func(config *container.HostConfig) {
			config.PortBindings = nat.PortMap{port: {{HostIP: host}}}
			if spec.Volume != "" {
				config.Mounts = append(config.Mounts, mount.Mount{
					Type: mount.TypeVolume, Source: spec.Volume, Target: devpg.DockerDataDir,
				})
			}
		}),
	)
	stop := func(ctx context.Context) error {
		return testcontainers.TerminateContainer(running, testcontainers.StopContext(ctx))
	}
	if err != nil {
		return devpg.Container{}, errors.Join(named(err), abort(ctx, stop))
	}
	published, err := running.MappedPort(ctx, port)
	if err != nil {
		return devpg.Container{}, errors.Join(fmt.Errorf("port of the container: %w", err), abort(ctx, stop))
	}
	return devpg.Container{Host: host, Port: published.Int(), Life: context.Background(), Stop: stop}, nil
}

// named says which container failed. The library has no error type for its helper, only this word; a message
// that does not match loses the advice and nothing else.
func named(err error) error {
	if strings.Contains(err.Error(), "reaper") {
		return fmt.Errorf("run the helper that removes the container when this process is killed: %w; "+
			"TESTCONTAINERS_RYUK_DISABLED=true does without it", err)
	}
	return fmt.Errorf("run %s: %w", devpg.DockerImage, err)
}

// abort ends a container that will not be used, also when ctx has ended.
func abort(ctx context.Context, stop func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return stop(ctx)
}

// remove ends the container of a process that was killed. Two servers on one volume would not notice each
// other: in a container every postmaster is process 1.
func remove(ctx context.Context, name string) error {
	if name == "" {
		return nil
	}
	client, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return fmt.Errorf("docker client: %w", err)
	}
	defer client.Close()
	err = client.ContainerRemove(ctx, name, container.RemoveOptions{Force: true})
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove the container %s of an earlier run: %w", name, err)
	}
	return nil
}

func withName(name string) testcontainers.CustomizeRequestOption {
	return func(request *testcontainers.GenericContainerRequest) error {
		request.Name = name
		return nil
	}
}

// ping asks the daemon that testcontainers would use. testcontainers panics when it finds none.
func ping(ctx context.Context) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	client, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = client.Ping(ctx)
	return err
}

// daemonHost is the one address to publish on: loopback for a daemon on this machine, the gateway for a process
// that is itself in a container, else the daemon's machine.
func daemonHost(ctx context.Context) (string, error) {
	provider, err := testcontainers.NewDockerProvider(testcontainers.WithDefaultBridgeNetwork(testcontainers.Bridge))
	if err != nil {
		return "", fmt.Errorf("docker provider: %w", err)
	}
	defer provider.Close()
	host, err := provider.DaemonHost(ctx)
	if err != nil {
		return "", fmt.Errorf("docker host: %w", err)
	}
	if host == "localhost" {
		return "127.0.0.1", nil
	}
	found, err := net.DefaultResolver.LookupIP(ctx, "ip", host)
	if err != nil {
		return "", fmt.Errorf("docker host: %w", err)
	}
	for _, ip := range found {
		if ip.To4() != nil {
			return ip.String(), nil
		}
	}
	return found[0].String(), nil
}
