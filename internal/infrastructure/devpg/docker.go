package devpg

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
)

// DockerImage is the server of the container candidate.
const DockerImage = "postgres:16-alpine"

// Docker runs DockerImage in a container. The container's port is published on one address only, and no other
// container uses the volume once it returns. An error that wraps ErrAbsent says that there is no Docker here.
type Docker func(context.Context, ContainerSpec) (Container, error)

// ContainerSpec is what a Postgres container needs to know.
type ContainerSpec struct {
	Password string   // of the superuser, when the data is new
	Volume   string   // where the data stays, and the container's name; empty: nowhere, any
	Settings []string // k=v
}

// Command is the program that runs in the container, with its arguments.
func (s ContainerSpec) Command() []string {
	command := []string{"postgres"}
	for _, setting := range s.Settings {
		command = append(command, "-c", setting)
	}
	return command
}

// What every Docker uses of the image.
const (
	DockerInitdbArgs = "--encoding=UTF8 --locale=C.UTF-8 --auth=scram-sha-256" // value of POSTGRES_INITDB_ARGS
	DockerDataDir    = "/var/lib/postgresql/data"                              // where a volume belongs
)

// Container is a started one, perhaps not answering yet.
type Container struct {
	Host string
	Port int
	// Life ends with the container, and its cause says how; context.Background when nobody watches it.
	Life context.Context
	// Stop is a fast shutdown and removal, data aside.
	Stop func(context.Context) error
}

// containerised is the candidate that runs Postgres in Docker. The server's processes are not ours, so this
// process holds the lock until Stop.
func (s *starter) containerised() candidate {
	start := func(ctx context.Context) (*Server, error) {
		spec := ContainerSpec{Password: s.home.state.Secrets.Super, Settings: s.options.settings()}
		if !s.options.Ephemeral {
			volume, err := s.home.volume()
			if err != nil {
				return nil, err
			}
			spec.Volume = volume
		}
		c, err := s.options.Docker(ctx, spec)
		if err != nil {
			return nil, err
		}
		at := address{Host: c.Host, Port: c.Port}
		if err := s.adopt(ctx, c, at); err != nil {
			return nil, errors.Join(err, abort(ctx, c.Stop))
		}
		stop := func(ctx context.Context) error { return errors.Join(c.Stop(ctx), s.home.leave()) }
		return &Server{url: urls(at, s.home.state.Secrets), stop: stop}, nil
	}
	return candidate{name: "docker " + DockerImage, data: "docker", start: start}
}

// adopt waits for the container's server, sets up its roles and tells other processes where it is.
func (s *starter) adopt(ctx context.Context, c Container, at address) error {
	alive, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.Life, cancel)() //nolint:contextcheck // the container's life, not the call's
	if err := prepare(alive, at, s.home.state.Secrets); err != nil {
		return fmt.Errorf("container: %w", cmp.Or(context.Cause(c.Life), err)) //nolint:contextcheck // as above
	}
	return s.home.publish("docker", at)
}

// volume names the Docker volume of this home. The name is random and kept in the state, beside the password
// that opens the data: a lost state means a new volume, not an old one that nobody can open.
func (h *home) volume() (string, error) {
	if h.state.Volume == "" {
		h.state.Volume = randomName()
	}
	return h.state.Volume, h.state.save(h.dir)
}

func randomName() string { return "lingo-profile-" + strings.ToLower(rand.Text()) }
