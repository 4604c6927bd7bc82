package devpg

import (
	"context"
	"errors"
	"fmt"
)

// Start returns a reachable Postgres, from the first candidate that works (see the package comment). On a
// server of ours the roles and the database profile exist afterwards. ctx bounds the start only. Two Starts on
// one state directory are safe: the second waits for the first and attaches.
//
// Errors: *NoServerError when no candidate works, *DataError when existing data cannot be served.
func Start(ctx context.Context, o Options) (*Server, error) {
	return start(ctx, o, thisMachine())
}

// Running is the persistent server that a process of ours runs now. It starts and creates nothing. Errors: ErrAbsent
// when none answers.
func Running(ctx context.Context, o Options) (*Server, error) {
	dir, err := o.withDefaults().stateDir()
	if err != nil {
		return nil, err
	}
	server, err := attach(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("%w: no server answers for %s: %w", ErrAbsent, dir, err)
	}
	return server, nil
}

func start(ctx context.Context, o Options, m machine) (*Server, error) {
	s := &starter{options: o.withDefaults(), machine: m}
	if o.DatabaseURL != "" {
		return s.external(ctx)
	}
	who, err := postgresAccount(s.options.Getenv)
	if err != nil {
		return nil, err
	}
	s.who = who
	if o.Ephemeral {
		return s.ephemeral(ctx)
	}
	return s.persistent(ctx)
}

// starter is one call of Start.
type starter struct {
	options Options
	machine machine
	who     account // of the server's processes
	home    *home   // of the server; not used by external
	tried   NoServerError
}

func (s *starter) external(ctx context.Context) (*Server, error) {
	const candidate = "DATABASE_URL"
	server, where, err := connectExternal(ctx, s.options.DatabaseURL)
	if err != nil {
		s.failed(candidate, err)
		return nil, err
	}
	s.worked(candidate, Connected, where)
	return server, nil
}

func (s *starter) persistent(ctx context.Context) (*Server, error) {
	dir, err := s.options.stateDir()
	if err != nil {
		return nil, err
	}
	if err := makeStateDir(dir, s.who); err != nil {
		return nil, err
	}
	const candidate = "running server"
	h, running, err := enterHome(ctx, dir)
	if err != nil {
		s.failed(candidate, err)
		return nil, err
	}
	if running != nil {
		s.worked(candidate, Attached, "another process serves "+dir)
		return running, nil
	}
	s.failed(candidate, fmt.Errorf("%w: no process serves %s", ErrAbsent, dir))
	s.home = h
	server, err := s.firstThatWorks(ctx)
	if err != nil {
		return nil, errors.Join(err, h.leave())
	}
	return server, nil
}

func (s *starter) ephemeral(ctx context.Context) (*Server, error) {
	h, err := temporaryHome(s.who)
	if err != nil {
		return nil, err
	}
	s.home = h
	server, err := s.firstThatWorks(ctx)
	if err != nil {
		return nil, errors.Join(err, h.leave(), h.remove(context.WithoutCancel(ctx)))
	}
	stop := server.stop
	server.stop = func(ctx context.Context) error { return errors.Join(stop(ctx), h.remove(ctx)) }
	return server, nil
}

// worked and failed report a candidate; failed ones are also kept for NoServerError.
func (s *starter) worked(candidate, verdict, reason string) {
	s.options.Report(Attempt{Candidate: candidate, Verdict: verdict, Reason: reason})
}

func (s *starter) failed(candidate string, err error) {
	attempt := Attempt{Candidate: candidate, Verdict: Failed, Reason: err.Error()}
	if errors.Is(err, ErrAbsent) {
		attempt.Verdict = Absent
	}
	s.tried.Attempts = append(s.tried.Attempts, attempt)
	s.tried.causes = append(s.tried.causes, err)
	s.options.Report(attempt)
}
