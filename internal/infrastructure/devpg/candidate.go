package devpg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
)

// candidate is one way to get a server of our own.
type candidate struct {
	name  string
	data  string // which data it serves: "pg15", "docker"
	start func(context.Context) (*Server, error)
}

// ErrAbsent marks the reason of a candidate that is not there, as opposed to one that does not work.
var ErrAbsent = errors.New("not available")

func (s *starter) firstThatWorks(ctx context.Context) (*Server, error) {
	candidates, err := s.candidates(ctx)
	if err != nil {
		return nil, err
	}
	usedLast := s.home.state.Data
	for _, c := range candidates {
		server, err := c.start(ctx)
		if err == nil {
			s.worked(c.name, Started, s.describe(c, usedLast))
			return server, nil
		}
		s.failed(c.name, err)
		var data *DataError
		if ctx.Err() != nil || errors.As(err, &data) {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil, &s.tried
}

// candidates are in order of preference: what serves the data used last before all others.
func (s *starter) candidates(ctx context.Context) ([]candidate, error) {
	const local = "local binaries"
	installations, err := localInstallations(ctx, s.options.Getenv, s.machine.bindirs)
	if err != nil {
		s.failed(local, err)
		return nil, err
	}
	if len(installations) == 0 {
		s.failed(local, fmt.Errorf("%w: no postgres and initdb of version %d to %d on PATH or in %q",
			ErrAbsent, oldestMajor, newestMajor, s.machine.bindirs))
	}
	var list []candidate
	for _, in := range append(installations, s.npmInstallation()) {
		list = append(list, s.installed(in))
	}
	list = append(list, s.containerised())
	rank := func(c candidate) int {
		if c.data == s.home.state.Data {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(list, func(a, b candidate) int { return cmp.Compare(rank(a), rank(b)) })
	return list, nil
}

// describe says where the server answers and, when other data was used last, that it has not been forgotten.
func (s *starter) describe(c candidate, usedLast string) string {
	reason := fmt.Sprintf("%s, data %s in %s", s.home.state.Running, c.data, s.home.dir)
	if usedLast != "" && usedLast != c.data {
		reason += fmt.Sprintf("; the data used last, %s, is kept and comes back with what served it", usedLast)
	}
	return reason
}
