package devpg_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/devpg"
)

// dockerEnv names the directory of a fake docker, which is this binary: see dockerMain.
const dockerEnv = "DEVPG_TEST_DOCKER"

// dockerReply is what one command of the fake docker does instead of working.
type dockerReply struct {
	Out  string // printed, and nothing else is done
	Fail string // complained about, with exit status 1
	Hang bool   // until somebody kills it
}

// dockerCLI is a program docker on a PATH of its own. Its one container is a server of ours.
type dockerCLI struct {
	t   *testing.T
	dir string
}

// dockerScript answers by itself what needs no server, as fast as the real one; %[1]s is its directory.
const dockerScript = `
echo "$*" >>'%[1]s/calls'
[ -e '%[1]s/reply.'"$1" ] && . '%[1]s/reply.'"$1"
case $1 in
version | container | network) exit 0 ;;
context) echo unix:///var/run/docker.sock; exit 0 ;;
esac
%[2]s='%[1]s' exec '%[3]s' "$@"
`

// newDockerCLI puts docker on a PATH. Replies are by command: "version", "create"…
func newDockerCLI(t *testing.T, replies map[string]dockerReply) dockerCLI {
	t.Helper()
	d := dockerCLI{t: t, dir: openDir(t)}
	self, err := os.Executable()
	require.NoError(t, err)
	program(t, filepath.Join(d.dir, "docker"), fmt.Sprintf(dockerScript, d.dir, dockerEnv, self))
	never := filepath.Join(d.dir, "never")
	require.NoError(t, syscall.Mkfifo(never, 0o600))
	for command, reply := range replies {
		script := "echo '" + reply.Out + "'; exit 0"
		switch {
		case reply.Hang:
			script = "read -r line <'" + never + "'"
		case reply.Fail != "":
			script = "echo '" + reply.Fail + "' >&2; exit 1"
		}
		require.NoError(t, os.WriteFile(filepath.Join(d.dir, "reply."+command), []byte(script), 0o600))
	}
	return d
}

// serving is newDockerCLI with a server for its container.
func serving(t *testing.T, replies map[string]dockerReply) dockerCLI {
	t.Helper()
	d := newDockerCLI(t, replies)
	server := start(t, devpg.Options{Ephemeral: true})
	require.NoError(t, os.WriteFile(filepath.Join(d.dir, "server"), []byte(server.SuperURL("")), 0o600))
	return d
}

// options leave this docker as the only candidate.
func (d dockerCLI) options(o devpg.Options, inContainer bool) devpg.Options {
	o.Getenv = environment("PATH", d.dir)
	o.Docker = devpg.DockerCommand(o.Getenv, inContainer)
	return o
}

// calls are the commands so far, one a line.
func (d dockerCLI) calls() []string {
	d.t.Helper()
	raw, err := os.ReadFile(filepath.Join(d.dir, "calls"))
	require.NoError(d.t, err)
	return strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
}

// call is the one call of a command, with its arguments.
func (d dockerCLI) call(command string) string {
	d.t.Helper()
	var found []string
	for _, call := range d.calls() {
		if strings.HasPrefix(call, command+" ") {
			found = append(found, call)
		}
	}
	require.Len(d.t, found, 1, "%s among %q", command, d.calls())
	return found[0]
}

// dockerMain is what the script leaves. A running container is a listening socket; whoever ends it dials.
func dockerMain(dir string, args []string) int {
	if err := docker(dir, args[0]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func docker(dir, command string) error {
	socket, removed := filepath.Join(dir, "running"), filepath.Join(dir, "removed")
	switch command {
	case "create":
		if err := os.RemoveAll(removed); err != nil {
			return err
		}
		return takePassword(dir)
	case "start":
		return runUntilStopped(socket, removed)
	case "port":
		if _, err := os.Stat(socket); err != nil {
			return err
		}
		u, err := serverURL(dir)
		if err != nil {
			return err
		}
		fmt.Println(u.Host) //nolint:forbidigo // this is a command
		return nil
	case "stop", "rm":
		if err := os.WriteFile(removed, nil, 0o600); err != nil {
			return err
		}
		if conn, err := net.Dial("unix", socket); err == nil { // else it is not running
			return conn.Close()
		}
		return nil
	}
	return fmt.Errorf("no such command: %s", command)
}

func serverURL(dir string) (*url.URL, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "server"))
	if err != nil {
		return nil, err
	}
	return url.Parse(string(raw))
}

// takePassword gives the server the password of the new container.
func takePassword(dir string) error {
	u, err := serverURL(dir)
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(context.Background(), u.String())
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	_, err = conn.Exec(context.Background(), "ALTER ROLE postgres PASSWORD '"+os.Getenv("POSTGRES_PASSWORD")+"'")
	return err
}

// runUntilStopped is an attached container: it ends when it is told to, or interrupted.
func runUntilStopped(socket, removed string) error {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	if _, err := os.Stat(removed); err == nil { // before it listened
		return errors.Join(errors.New("no such container"), l.Close())
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, syscall.SIGINT)
	go func() {
		<-interrupted
		_ = os.WriteFile(filepath.Join(filepath.Dir(socket), "interrupted"), nil, 0o600)
		_ = l.Close()
	}()
	if conn, err := l.Accept(); err == nil {
		_ = conn.Close()
	}
	return os.RemoveAll(socket)
}

// What the program is asked to do, from the first look to the removal.
func TestDockerCommand(t *testing.T) {
	t.Parallel()
	cli := serving(t, map[string]dockerReply{"container": {Out: "c0ffee"}})
	var seen recorder
	server := start(t, cli.options(devpg.Options{StateDir: openDir(t), Report: seen.report}, false), devpg.NothingInstalled)
	assert.Equal(t, "docker postgres:16-alpine: started", seen.verdicts()[3])
	assert.Equal(t, "profile_app", query[string](t, server.AppURL(""), "SELECT current_user::text"))

	create := cli.call("create")
	_, name, _ := strings.Cut(create, "--name=")
	name, _, _ = strings.Cut(name, " ")
	assert.Regexp(t, "^lingo-profile-[a-z2-7]{26}$", name)
	assert.Equal(t, "create --rm --name="+name+" --publish=127.0.0.1::5432/tcp --env=POSTGRES_PASSWORD"+
		" --env=POSTGRES_INITDB_ARGS=--encoding=UTF8 --locale=C.UTF-8 --auth=scram-sha-256"+
		" --mount=type=volume,source="+name+",target=/var/lib/postgresql/data"+
		" postgres:16-alpine postgres -c log_timezone=UTC -c shared_buffers=128MB -c timezone=UTC", create)
	assert.NotContains(t, strings.Join(cli.calls(), "\n"), password(t, server.SuperURL("")))

	stop(t, server)
	port := "port " + name + " 5432/tcp"
	assert.Equal(t, []string{
		"version --format={{.Server.Version}}",
		"context inspect --format={{.Endpoints.docker.Host}}",
		"container ls --all --quiet --filter=name=" + name,
		"rm --force --volumes " + name, // never two containers on one volume
		create,
		"start --attach " + name,
		"stop -t 60 " + name,
	}, slices.DeleteFunc(cli.calls(), func(call string) bool { return call == port }))
	assert.Contains(t, cli.calls(), port, "once or, while the container starts, more often")
}

func TestDockerCommandKeepsNothingOfAnEphemeralServer(t *testing.T) {
	t.Parallel()
	cli := serving(t, nil)
	stop(t, start(t, cli.options(devpg.Options{Ephemeral: true}, false), devpg.NothingInstalled))
	create := cli.call("create")
	assert.Contains(t, create, "create --rm --name=lingo-profile-")
	assert.NotContains(t, create, "--mount")
	cli.call("stop")
}

// The port is published where this process reaches it and nowhere else.
func TestDockerCommandPublishesOnOneAddress(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		inContainer bool
		replies     map[string]dockerReply
		want        string
	}{
		"SameMachine":      {false, nil, "127.0.0.1"},
		"BesideAContainer": {true, map[string]dockerReply{"network": {Out: "127.0.0.2"}}, "127.0.0.2"},
		"OverTheNetwork":   {true, map[string]dockerReply{"context": {Out: "tcp://127.0.0.3:2375"}}, "127.0.0.3"},
		"NamedHost":        {false, map[string]dockerReply{"context": {Out: "ssh://me@localhost"}}, "127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// No server listens on these addresses but the first; what matters is what was asked for.
			cli := newDockerCLI(t, tc.replies)
			_, err := devpg.StartOn(t.Context(), cli.options(devpg.Options{Ephemeral: true}, tc.inContainer), devpg.NothingInstalled)
			require.ErrorContains(t, err, "docker postgres:16-alpine: failed: docker create: exit status 1: ")
			assert.Contains(t, cli.call("create"), " --publish="+tc.want+"::5432/tcp ")
			cli.call("rm")
		})
	}
}

func TestDockerCommandFails(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		command     string
		reply       dockerReply
		inContainer bool
		verdict     string
		want        string
		removed     bool
	}{
		"NoDaemon": {
			command: "version", reply: dockerReply{Fail: "Cannot connect to the Docker daemon"}, verdict: devpg.Absent,
			want: "not available: no Docker daemon answers within 2s: docker version: exit status 1: Cannot connect to the Docker daemon",
		},
		"SilentDaemon": {
			command: "version", reply: dockerReply{Hang: true}, verdict: devpg.Absent,
			want: "not available: no Docker daemon answers within 2s: docker version: context deadline exceeded: ",
		},
		"NoContext": {
			command: "context", reply: dockerReply{Fail: "context not found"}, verdict: devpg.Failed,
			want: "docker context: exit status 1: context not found",
		},
		"OddEndpoint": {
			command: "context", reply: dockerReply{Out: "tcp://a b"}, verdict: devpg.Failed,
			want: "address of the Docker daemon: parse ",
		},
		"UnknownHost": {
			command: "context", reply: dockerReply{Out: "tcp://docker.invalid:2375"}, verdict: devpg.Failed,
			want: "address of the Docker daemon: lookup docker.invalid",
		},
		"NoBridge": {
			command: "network", reply: dockerReply{Fail: "network bridge not found"}, inContainer: true, verdict: devpg.Failed,
			want: "docker network: exit status 1: network bridge not found",
		},
		"NoGateway": {
			command: "network", reply: dockerReply{Out: "<no value>"}, inContainer: true, verdict: devpg.Failed,
			want: `the network bridge has the gateway "<no value>", which is no address`,
		},
		"NoList": {
			command: "container", reply: dockerReply{Fail: "permission denied"}, verdict: devpg.Failed,
			want: "docker container: exit status 1: permission denied",
		},
		"NoImage": {
			command: "create", reply: dockerReply{Fail: "Unable to find image"}, verdict: devpg.Failed, removed: true,
			want: "docker create: exit status 1: Unable to find image",
		},
		"EndsEarly": {
			command: "start", reply: dockerReply{Fail: "FATAL: database files are incompatible with server"}, verdict: devpg.Failed, removed: true,
			want: "container: it ended: exit status 1; the end of its output:\nFATAL: database files are incompatible with server",
		},
		"OddPort": {
			command: "port", reply: dockerReply{Out: "none"}, verdict: devpg.Failed, removed: true,
			want: `port of the container: docker port printed "none": `,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			replies := map[string]dockerReply{tc.command: tc.reply}
			if tc.command != "create" {
				replies["create"] = dockerReply{Out: "c0ffee"}
			}
			cli := newDockerCLI(t, replies)
			var seen recorder
			o := cli.options(devpg.Options{StateDir: openDir(t), Report: seen.report}, tc.inContainer)
			begin := time.Now()
			_, err := devpg.StartOn(t.Context(), o, devpg.NothingInstalled)
			require.ErrorContains(t, err, strings.Split(tc.want, "\n")[0])
			assert.Less(t, time.Since(begin), 15*time.Second, "no limit but the two seconds is waited for")
			last := seen.attempts[3]
			assert.Equal(t, tc.verdict, last.Verdict)
			assert.Contains(t, last.Reason, tc.want)
			assert.Equal(t, tc.removed, strings.Contains(strings.Join(cli.calls(), "\n"), "\nrm --force --volumes "))
		})
	}
}

func TestNoDockerProgram(t *testing.T) {
	t.Parallel()
	var seen recorder
	o := devpg.Options{StateDir: openDir(t), Getenv: environment("PATH", openDir(t)), Report: seen.report}
	_, err := devpg.StartOn(t.Context(), o, devpg.NothingInstalled)
	require.ErrorContains(t, err, "docker postgres:16-alpine: absent: not available: docker is not on PATH")
	assert.Equal(t, devpg.Absent, seen.attempts[3].Verdict)
}

// A container that does not obey is removed, and the error says what that means.
func TestDockerCommandStopPastItsDeadline(t *testing.T) {
	t.Parallel()
	cli := serving(t, map[string]dockerReply{"stop": {Hang: true}})
	server := start(t, cli.options(devpg.Options{Ephemeral: true}, false), devpg.NothingInstalled)
	err := server.Stop(within(t, 100*time.Millisecond))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "the container did not stop and was removed without a checkpoint")
	cli.call("rm")
	assert.NoFileExists(t, filepath.Join(cli.dir, "running"))
}

// When this process is killed, Postgres gets the interrupt that is a fast shutdown.
func TestDockerCommandDiesWithItsParent(t *testing.T) {
	t.Parallel()
	cli := serving(t, map[string]dockerReply{"network": {Out: "127.0.0.1"}}) // asked for when the tests run in a container
	env := []string{bindirVariable + "=", "PATH=" + cli.dir}
	p := startProcess(t, processConfig{env: env}, job{Options: processOptions{StateDir: openDir(t)}, NothingInstalled: true})
	p.ready()
	p.kill()
	gone := func() bool {
		_, err := os.Stat(filepath.Join(cli.dir, "interrupted"))
		return err == nil
	}
	require.Eventually(t, gone, 10*time.Second, 10*time.Millisecond)
}
