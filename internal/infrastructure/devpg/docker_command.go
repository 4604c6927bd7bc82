package devpg

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	dockerAnswerLimit = 2 * time.Second
	dockerRunLimit    = time.Minute // pulling the image included
	dockerPort        = "5432/tcp"
)

// dockerCommand drives the program docker, so that nothing of a Docker client is compiled into the binary.
type dockerCommand struct {
	getenv      func(string) string
	inContainer bool // this process runs in a container beside the one it starts
}

func (d dockerCommand) run(ctx context.Context, spec ContainerSpec) (Container, error) {
	path, err := lookPath("docker", d.getenv("PATH"))
	if err != nil {
		return Container{}, err
	}
	docker := dockerProgram{path: path, env: append(os.Environ(), "PATH="+d.getenv("PATH"))}
	if err := docker.ping(ctx); err != nil {
		return Container{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, dockerRunLimit)
	defer cancel()
	host, err := docker.publishedOn(ctx, d.inContainer)
	if err != nil {
		return Container{}, err
	}
	c := &dockerContainer{docker: docker, name: cmp.Or(spec.Volume, randomName())}
	if err := c.removeLeftover(ctx); err != nil {
		return Container{}, err
	}
	if err := c.create(ctx, spec, host); err != nil {
		return Container{}, errors.Join(err, abort(ctx, c.remove))
	}
	port, err := c.start(ctx)
	if err != nil {
		return Container{}, errors.Join(err, abort(ctx, c.remove))
	}
	return Container{Host: host, Port: port, Life: c.life, Stop: c.stop}, nil
}

// dockerContainer is a container by its name.
type dockerContainer struct {
	docker   dockerProgram
	name     string
	attached *child          // docker start --attach
	output   *os.File        // of the container
	life     context.Context // ends with the container
	removed  bool            // by force
}

// removeLeftover ends the container of a process that was killed. Two servers on one volume would not notice
// each other: in a container every postmaster is process 1.
func (c *dockerContainer) removeLeftover(ctx context.Context) error {
	found, err := c.docker.call(ctx, "container", "ls", "--all", "--quiet", "--filter=name="+c.name)
	if err != nil || found == "" {
		return err
	}
	return c.force(ctx)
}

// create pulls the image when it is missing. The password does not show among the arguments.
func (c *dockerContainer) create(ctx context.Context, spec ContainerSpec, host string) error {
	args := []string{
		"create", "--rm", "--name=" + c.name, "--publish=" + net.JoinHostPort(host, "") + ":" + dockerPort,
		"--env=POSTGRES_PASSWORD", "--env=POSTGRES_INITDB_ARGS=" + DockerInitdbArgs,
	}
	if spec.Volume != "" {
		args = append(args, "--mount=type=volume,source="+spec.Volume+",target="+DockerDataDir)
	}
	docker := c.docker
	docker.env = append(docker.env, "POSTGRES_PASSWORD="+spec.Password)
	_, err := docker.call(ctx, append(append(args, DockerImage), spec.Command()...)...)
	return err
}

// start attaches to the container: its output is at hand when it ends early, and when this process is killed
// the interrupt that docker then gets goes on to Postgres, a fast shutdown.
func (c *dockerContainer) start(ctx context.Context) (port int, err error) {
	c.output, err = os.CreateTemp("", "lingo-profile-docker-")
	if err != nil {
		return 0, err
	}
	if err := os.Remove(c.output.Name()); err != nil {
		return 0, errors.Join(err, c.output.Close())
	}
	cmd := c.docker.command("start", "--attach", c.name)
	cmd.Stdout, cmd.Stderr = c.output, c.output
	c.attached, err = startChild(cmd)
	if err != nil {
		return 0, errors.Join(err, c.output.Close())
	}
	life, end := context.WithCancelCause(context.Background())
	c.life = life
	context.AfterFunc(c.attached.life, func() { //nolint:contextcheck // the container's life, not the call's
		end(fmt.Errorf("it ended: %w; the end of its output:\n%s", cmp.Or(c.attached.err, errors.New("exit status 0")), tail(c.output)))
		_ = c.output.Close() // it has been read
	})
	return c.port(ctx)
}

// port is the published one, which Docker chooses while the container starts.
func (c *dockerContainer) port(ctx context.Context) (port int, err error) {
	alive, cancel := c.attached.whileRunning(ctx)
	defer cancel()
	var refusal error
	err = poll(alive, 100*time.Millisecond, func() (bool, error) {
		list, err := c.docker.call(alive, "port", c.name, dockerPort)
		if refusal = err; refusal != nil {
			return false, nil //nolint:nilerr // not started yet
		}
		port, err = publishedPort(list)
		return true, err
	})
	if err == nil {
		return port, nil
	}
	if c.attached.life.Err() != nil {
		<-c.life.Done()
		return 0, fmt.Errorf("container: %w", context.Cause(c.life)) //nolint:contextcheck // the container's life, not the call's
	}
	return 0, fmt.Errorf("port of the container: %w", errors.Join(err, refusal))
}

// publishedPort reads what docker port prints, "127.0.0.1:49153" a line.
func publishedPort(list string) (int, error) {
	first, _, _ := strings.Cut(list, "\n")
	_, port, err := net.SplitHostPort(first)
	if err != nil {
		return 0, fmt.Errorf("docker port printed %q: %w", list, err)
	}
	return strconv.Atoi(port)
}

// stop is a fast shutdown: the image's stop signal is the interrupt. When ctx ends first, the container is
// removed as it is.
func (c *dockerContainer) stop(ctx context.Context) error {
	if c.removed {
		return nil
	}
	seconds := strconv.Itoa(int(dockerStopLimit.Seconds()))
	_, err := c.docker.call(ctx, "stop", "-t", seconds, c.name)
	if err == nil || c.attached.life.Err() != nil {
		err = c.ended(ctx)
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("the container did not stop and was removed without a checkpoint: %w", err), abort(ctx, c.remove))
	}
	return err
}

// dockerStopLimit is longer than a fast shutdown takes, and than anyone waits for it.
const dockerStopLimit = time.Minute

// remove ends the container without a shutdown.
func (c *dockerContainer) remove(ctx context.Context) error {
	if err := c.force(ctx); err != nil {
		return err
	}
	c.removed = true
	if c.attached == nil {
		return nil
	}
	return c.ended(ctx)
}

func (c *dockerContainer) force(ctx context.Context) error {
	_, err := c.docker.call(ctx, "rm", "--force", "--volumes", c.name)
	return err
}

// ended waits for the end of the container; --rm removes it then.
func (c *dockerContainer) ended(ctx context.Context) error {
	select {
	case <-c.life.Done():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// dockerProgram is the command line of Docker: its version, its context and DOCKER_HOST are the user's own.
type dockerProgram struct {
	path string
	env  []string
}

// command is in a process group of its own: an interrupt typed at a terminal is for us alone.
func (d dockerProgram) command(args ...string) *exec.Cmd {
	cmd := exec.Command(d.path, args...)
	cmd.Env = d.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// call runs a command to its end and returns what it printed.
func (d dockerProgram) call(ctx context.Context, args ...string) (string, error) {
	cmd := d.command(args...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	running, err := startChild(cmd)
	if err != nil {
		return "", err
	}
	if err := running.run(ctx); err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", args[0], err, strings.TrimSpace(complaint.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

// ping asks the daemon, which may be missing or may never answer.
func (d dockerProgram) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dockerAnswerLimit)
	defer cancel()
	if _, err := d.call(ctx, "version", "--format={{.Server.Version}}"); err != nil {
		return fmt.Errorf("%w: no Docker daemon answers within %s: %w", ErrAbsent, dockerAnswerLimit, err)
	}
	return nil
}

// publishedOn is the one address on which to publish the container's port: where this process reaches it.
func (d dockerProgram) publishedOn(ctx context.Context, inContainer bool) (string, error) {
	endpoint, err := d.call(ctx, "context", "inspect", "--format={{.Endpoints.docker.Host}}")
	if err != nil {
		return "", err
	}
	at, err := url.Parse(endpoint)
	switch {
	case err != nil:
		return "", fmt.Errorf("address of the Docker daemon: %w", err)
	case at.Hostname() != "": // tcp, ssh
		return lookupIP(ctx, at.Hostname())
	case inContainer: // loopback is the container's own; the daemon's machine has this address beside it
		gateway, err := d.call(ctx, "network", "inspect", "bridge", "--format={{(index .IPAM.Config 0).Gateway}}")
		if err == nil && net.ParseIP(gateway) == nil {
			err = fmt.Errorf("the network bridge has the gateway %q, which is no address", gateway)
		}
		return gateway, err
	}
	return "127.0.0.1", nil
}

// lookupIP is an address of host, IPv4 if it has one.
func lookupIP(ctx context.Context, host string) (string, error) {
	found, err := net.DefaultResolver.LookupIP(ctx, "ip", host)
	if err != nil {
		return "", fmt.Errorf("address of the Docker daemon: %w", err)
	}
	for _, ip := range found {
		if ip.To4() != nil {
			return ip.String(), nil
		}
	}
	return found[0].String(), nil
}

// inContainer tells whether Docker made the file system of this process.
func inContainer() bool {
	_, err := os.Stat("/.dockerenv")
	return err == nil
}
