package devpg

import "os"

// Options say where a server may come from and what it is for. The zero value asks for the persistent
// development server of this user.
type Options struct {
	// DatabaseURL, when not empty, is the only candidate: a postgres:// URL that answers within five seconds.
	DatabaseURL string
	// StateDir holds the data, the lock and the passwords. Empty means PROFILE_STATE_DIR, else
	// /var/lib/lingo-profile for root, else lingo-profile under $XDG_STATE_HOME or ~/.local/state.
	StateDir string
	// Ephemeral asks for a private server in a temporary directory: fsync off, everything removed by Stop.
	Ephemeral bool
	// Docker runs the container when it is its turn; nil means the program docker on PATH.
	Docker Docker
	// Getenv is how the environment is read; nil means os.Getenv.
	Getenv func(string) string
	// Report is called once per candidate tried, in order; nil means nobody listens.
	Report func(Attempt)
	// Settings are further server settings (max_connections, log_statement…); they win over the defaults
	// except for the address. An attached server keeps the settings it was started with.
	Settings map[string]string
}

func (o Options) withDefaults() Options {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Docker == nil {
		o.Docker = dockerCommand{getenv: o.Getenv, inContainer: inContainer()}.run
	}
	if o.Report == nil {
		o.Report = func(Attempt) {}
	}
	return o
}
