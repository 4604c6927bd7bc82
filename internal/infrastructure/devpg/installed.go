package devpg

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
)

// installed is the candidate that runs the programs of an installation as children of this process.
func (s *starter) installed(in installation) candidate {
	data := "pg" + strconv.Itoa(in.major)
	start := func(ctx context.Context) (*Server, error) {
		bindir, err := in.resolve(ctx)
		if err != nil {
			return nil, err
		}
		if err := s.who.canEnter(bindir); err != nil {
			return nil, err
		}
		c, err := openCluster(filepath.Join(s.home.dir, data), in.major, s.who)
		if err != nil {
			return nil, err
		}
		log, err := openLog(filepath.Join(s.home.dir, data+".log"))
		if err != nil {
			return nil, err
		}
		defer log.Close()
		return s.serve(ctx, c, tools{bindir: bindir, who: s.who, lock: s.home.lock, log: log})
	}
	return candidate{name: in.candidate, data: data, start: start}
}

// serve boots the cluster, which it creates first when it is not there. Then the server's own processes hold
// the lock, and this one lets go of it.
func (s *starter) serve(ctx context.Context, c cluster, t tools) (*Server, error) {
	postgres, at, err := s.bootCluster(ctx, c, t)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(s.home.publish(filepath.Base(c.dir), at), s.home.leave()); err != nil {
		return nil, errors.Join(err, abort(ctx, postgres.stopPostgres))
	}
	return &Server{url: urls(at, s.home.state.Secrets), pid: at.Pid, stop: postgres.stopPostgres}, nil
}

// bootCluster fails with *DataError when the cluster existed and ctx is not the cause.
func (s *starter) bootCluster(ctx context.Context, c cluster, t tools) (*child, address, error) {
	b := boot{tools: t, cluster: c, secrets: s.home.state.Secrets, settings: s.options.settings(), freePort: s.machine.freePort}
	if !c.exists() {
		if err := c.create(ctx, t, s.home.state.Secrets.Super, !s.options.Ephemeral); err != nil {
			return nil, address{}, fmt.Errorf("create database: %w", err)
		}
		return b.run(ctx, s.home.state.Port)
	}
	if err := c.dropStalePid(); err != nil {
		return nil, address{}, &DataError{Dir: c.dir, err: err}
	}
	postgres, at, err := b.run(ctx, s.home.state.Port)
	if err != nil && ctx.Err() == nil {
		return nil, address{}, &DataError{Dir: c.dir, err: err}
	}
	return postgres, at, err
}
