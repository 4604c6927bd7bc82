package devpg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const portRetries = 5

// errPortTaken says that Postgres could not bind its port: no look at a port beforehand is ever certain.
var errPortTaken = errors.New("the port was taken by another process")

// boot is one run of a server on a cluster.
type boot struct {
	tools    tools
	cluster  cluster
	secrets  secrets
	settings []string
	freePort func() (int, error)
}

// run starts Postgres, on the preferred port unless it is 0 or taken, and returns once it answers and has our
// roles.
func (b boot) run(ctx context.Context, preferred int) (*child, address, error) {
	port := preferred
	for retry := 0; ; retry++ {
		if port == 0 {
			free, err := b.freePort()
			if err != nil {
				return nil, address{}, fmt.Errorf("find a free port: %w", err)
			}
			port = free
		}
		at := address{Host: "127.0.0.1", Port: port}
		postgres, err := b.runAt(ctx, at)
		if err == nil {
			at.Pid = postgres.pid()
			return postgres, at, nil
		}
		if !errors.Is(err, errPortTaken) || retry == portRetries {
			return nil, address{}, err
		}
		port = 0
	}
}

func (b boot) runAt(ctx context.Context, at address) (*child, error) {
	if err := b.tools.log.Truncate(0); err != nil {
		return nil, err
	}
	postgres, err := startChild(b.tools.command("postgres", b.cluster.data(), b.arguments(at)...))
	if err != nil {
		return nil, err
	}
	alive, cancel := postgres.whileRunning(ctx)
	defer cancel()
	if err := prepare(alive, at, b.secrets); err != nil {
		err = cmp.Or(b.exited(postgres), err)
		return nil, b.tools.withLog(errors.Join(err, abort(ctx, postgres.stopPostgres)))
	}
	return postgres, nil
}

// arguments fix the address after all settings. There is no Unix socket: TCP is enough for every client, and a
// socket's path may have 107 bytes at most.
func (b boot) arguments(at address) []string {
	args := []string{"-D", b.cluster.data()}
	address := []string{"listen_addresses=" + at.Host, "port=" + strconv.Itoa(at.Port), "unix_socket_directories="}
	for _, setting := range append(b.settings, address...) {
		args = append(args, "-c", setting)
	}
	return args
}

// exited tells whether and how the server has ended.
func (b boot) exited(postgres *child) error {
	if postgres.life.Err() == nil {
		return nil
	}
	// The one line Postgres writes when it could bind no address; our locale keeps it English.
	if strings.Contains(b.tools.logTail(), "could not create any TCP/IP sockets") {
		return errPortTaken
	}
	return fmt.Errorf("postgres ended while starting: %w", postgres.err)
}
