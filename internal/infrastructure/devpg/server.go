package devpg

import (
	"context"
	"sync"
)

// The roles every server of ours has, as in production: the owner migrates, the service logs in as the app.
const (
	superRole = "postgres"
	ownerRole = "profile_owner"
	appRole   = "profile_app"
)

const profileDatabase = "profile"

// Server is a reachable Postgres. The URLs hold passwords: print them only where a developer asked for them.
// They name host, port, user, password, database and sslmode, so that PGHOST, PGPORT and their like in the
// caller's environment do not redirect them. The empty database means "profile"; with Options.DatabaseURL all
// three are that URL, with the database replaced unless it is empty.
type Server struct {
	url      func(role, database string) string
	pid      int
	attached bool

	mu   sync.Mutex
	stop func(context.Context) error
}

// OwnerURL logs in as profile_owner: it may create databases and roles and is no superuser.
func (s *Server) OwnerURL(database string) string { return s.url(ownerRole, database) }

// AppURL logs in as profile_app: it owns nothing and bypasses nothing.
func (s *Server) AppURL(database string) string { return s.url(appRole, database) }

// SuperURL logs in as the superuser, for tests that terminate backends and the like.
func (s *Server) SuperURL(database string) string { return s.url(superRole, database) }

// Attached tells that the server belongs to someone else (DATABASE_URL, another process of ours).
func (s *Server) Attached() bool { return s.attached }

// Pid is the postmaster's process id, 0 when it is not known (DATABASE_URL, Docker).
func (s *Server) Pid() int { return s.pid }

// Stop ends a server of ours with a fast shutdown, waits for it and removes what is ephemeral. It leaves an
// attached server running. When ctx ends first the server is ended without a checkpoint (its data recovers at
// the next start) and the error says so. Calling it again is safe.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.stop(ctx); err != nil {
		return err
	}
	s.stop = leaveRunning
	return nil
}

func leaveRunning(context.Context) error { return nil }
