package devpg

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
)

const dockerImage = "postgres:16-alpine"

// containerSpec is what a Postgres container needs to know.
type containerSpec struct {
	password string   // of the superuser, when the data is new
	volume   string   // where the data stays, and the container's name; empty: nowhere, any
	settings []string // k=v
}

// container is a started one, perhaps not answering yet. stop is a fast shutdown and removal, data aside.
type container struct {
	at   address
	stop func(context.Context) error
}

// containerised is the candidate that runs Postgres in Docker. The server's processes are not ours, so this
// process holds the lock until Stop.
func (s *starter) containerised() candidate {
	start := func(ctx context.Context) (*Server, error) {
		spec := containerSpec{password: s.home.state.Secrets.Super, settings: s.options.settings()}
		if !s.options.Ephemeral {
			volume, err := s.home.volume()
			if err != nil {
				return nil, err
			}
			spec.volume = volume
		}
		c, err := s.machine.docker(ctx, spec)
		if err != nil {
			return nil, err
		}
		if err := s.adopt(ctx, c); err != nil {
			return nil, errors.Join(err, abort(ctx, c.stop))
		}
		stop := func(ctx context.Context) error { return errors.Join(c.stop(ctx), s.home.leave()) }
		return &Server{url: urls(c.at, s.home.state.Secrets), stop: stop}, nil
	}
	return candidate{name: "docker " + dockerImage, data: "docker", start: start}
}

// adopt waits for the container's server, sets up its roles and tells other processes where it is.
func (s *starter) adopt(ctx context.Context, c container) error {
	if err := prepare(ctx, c.at, s.home.state.Secrets); err != nil {
		return fmt.Errorf("container: %w", err)
	}
	return s.home.publish("docker", c.at)
}

// volume names the Docker volume of this home. The name is random and kept in the state, beside the password
// that opens the data: a lost state means a new volume, not an old one that nobody can open.
func (h *home) volume() (string, error) {
	if h.state.Volume == "" {
		h.state.Volume = "lingo-profile-" + strings.ToLower(rand.Text())
	}
	return h.state.Volume, h.state.save(h.dir)
}
