package devpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	lockName = "server.lock"
	// lockLimit is longer than the slowest start of another process: a download, then a first boot.
	lockLimit = 4 * time.Minute
)

// home is the directory of one server, with its lock held:
//
//	server.lock   held by this process while it boots and by every process of the server while it lives
//	state.json    passwords, port, where the server answers
//	pg15/data     the data of one major version
//	pg15.log      output of its last run
//	npm/          downloaded programs
type home struct {
	dir   string
	lock  *os.File
	state state
}

// enterHome takes the lock of dir, or attaches to the server that another process of ours runs there. While
// that process boots or its server ends, it waits; one of home and Server is set when the error is nil.
func enterHome(ctx context.Context, dir string) (*home, *Server, error) {
	path := filepath.Join(dir, lockName)
	ctx, cancel := context.WithTimeout(ctx, lockLimit)
	defer cancel()
	var (
		lock    *os.File
		running *Server
		refusal error
	)
	err := poll(ctx, 20*time.Millisecond, func() (bool, error) {
		var err error
		lock, err = tryLock(path)
		if !errors.Is(err, errLocked) {
			return err == nil, err
		}
		running, refusal = attach(ctx, dir)
		return refusal == nil, nil
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, nil, fmt.Errorf("another process holds %s and its server does not answer: %w: %w", path, err, refusal)
	case err != nil:
		return nil, nil, unusable(err)
	case running != nil:
		return nil, running, nil
	}
	h, err := newHome(dir, lock)
	if err != nil {
		return nil, nil, errors.Join(unusable(err), lock.Close())
	}
	return h, nil, nil
}

func unusable(err error) error {
	return fmt.Errorf("state directory: %w; set PROFILE_STATE_DIR to a writable directory", err)
}

// newHome reads the state of a locked directory and forgets where its server answered.
func newHome(dir string, lock *os.File) (*home, error) {
	s, err := loadState(dir)
	if err != nil {
		return nil, err
	}
	h := &home{dir: dir, lock: lock, state: s}
	h.state.Running = address{}
	return h, h.state.save(dir)
}

// publish tells the next Start, and those that wait, where the server answers.
func (h *home) publish(data string, at address) error {
	h.state.Data, h.state.Port, h.state.Running = data, at.Port, at
	return h.state.save(h.dir)
}

// leave gives up our hold of the lock; calling it again is safe.
func (h *home) leave() error {
	if err := h.lock.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

var errBooting = errors.New("it has not said yet where it listens")

// attach connects to the server that the state of dir names. A stale state is harmless: nobody answers there
// who knows the password.
func attach(ctx context.Context, dir string) (*Server, error) {
	s, err := loadState(dir)
	if err != nil {
		return nil, err
	}
	if s.Running == (address{}) {
		return nil, errBooting
	}
	conn, err := connectSuper(ctx, s.Running, s.Secrets)
	if err != nil {
		return nil, err
	}
	if err := conn.Close(ctx); err != nil {
		return nil, err
	}
	return &Server{url: urls(s.Running, s.Secrets), pid: s.Running.Pid, attached: true, stop: leaveRunning}, nil
}
