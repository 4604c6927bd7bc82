package devpg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	dockercontainer "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/go-connections/nat"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/modules/postgres"
)

const (
	dockerAnswerLimit = 2 * time.Second
	dockerRunLimit    = time.Minute // pulling the image included
	dockerPort        = "5432/tcp"
)

// runContainer starts a Postgres container through testcontainers, which also removes it when this process is
// killed (unless TESTCONTAINERS_RYUK_DISABLED is set). Docker's own variables come from the process environment.
func runContainer(ctx context.Context, spec containerSpec) (container, error) {
	if err := pingDocker(ctx); err != nil {
		return container{}, fmt.Errorf("%w: no Docker daemon answers within %s: %w", errAbsent, dockerAnswerLimit, err)
	}
	ctx, cancel := context.WithTimeout(ctx, dockerRunLimit)
	defer cancel()
	host, err := daemonHost(ctx)
	if err != nil {
		return container{}, err
	}
	if err := removeContainer(ctx, spec.volume); err != nil {
		return container{}, err
	}
	running, err := postgres.Run(ctx, dockerImage,
		withName(spec.volume),
		postgres.WithPassword(spec.password),
		testcontainers.WithEnv(map[string]string{"POSTGRES_INITDB_ARGS": "--encoding=UTF8 --locale=C.UTF-8 --auth=scram-sha-256"}),
		testcontainers.WithCmd(containerCommand(spec.settings)...),
		testcontainers.WithHostConfigModifier(func(config *dockercontainer.HostConfig) {
			if host == "localhost" {
				config.PortBindings = nat.PortMap{dockerPort: {{HostIP: "127.0.0.1"}}}
			}
			if spec.volume != "" {
				config.Mounts = append(config.Mounts, mount.Mount{
					Type: mount.TypeVolume, Source: spec.volume, Target: "/var/lib/postgresql/data",
				})
			}
		}),
	)
	stop := func(ctx context.Context) error {
		return testcontainers.TerminateContainer(running, testcontainers.StopContext(ctx))
	}
	if err != nil {
		return container{}, errors.Join(fmt.Errorf("run %s: %w", dockerImage, err), abort(ctx, stop))
	}
	port, err := running.MappedPort(ctx, dockerPort)
	if err != nil {
		return container{}, errors.Join(fmt.Errorf("port of the container: %w", err), abort(ctx, stop))
	}
	return container{at: address{Host: host, Port: port.Int()}, stop: stop}, nil
}

// removeContainer ends the container of a process that was killed. Two servers on one volume would not notice
// each other: in a container every postmaster is process 1.
func removeContainer(ctx context.Context, name string) error {
	if name == "" {
		return nil
	}
	client, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return fmt.Errorf("docker client: %w", err)
	}
	defer client.Close()
	err = client.ContainerRemove(ctx, name, dockercontainer.RemoveOptions{Force: true})
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

func containerCommand(settings []string) []string {
	command := []string{"postgres"}
	for _, setting := range settings {
		command = append(command, "-c", setting)
	}
	return command
}

// pingDocker asks the daemon that testcontainers would use. testcontainers panics when it finds none.
func pingDocker(ctx context.Context) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, dockerAnswerLimit)
	defer cancel()
	client, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = client.Ping(ctx)
	return err
}

// daemonHost is where published ports appear: "localhost" for a daemon on this machine.
func daemonHost(ctx context.Context) (string, error) {
	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		return "", fmt.Errorf("docker provider: %w", err)
	}
	defer provider.Close()
	host, err := provider.DaemonHost(ctx)
	if err != nil {
		return "", fmt.Errorf("docker host: %w", err)
	}
	return host, nil
}
