package devpg

import "net"

// machine is what Start finds outside its options; tests put another one in its place.
type machine struct {
	bindirs  []string // glob patterns of directories where packages install postgres
	freePort func() (int, error)
}

func thisMachine() machine {
	return machine{
		bindirs: []string{
			"/usr/lib/postgresql/*/bin",                       // Debian, Ubuntu
			"/usr/pgsql-*/bin",                                // Fedora, RHEL with the PGDG repository
			"/opt/homebrew/opt/postgresql@*/bin",              // Homebrew on Apple silicon
			"/usr/local/opt/postgresql@*/bin",                 // Homebrew on Intel
			"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin", // Homebrew on Linux
			"/Applications/Postgres.app/Contents/Versions/[0-9]*/bin",
		},
		freePort: freePort,
	}
}

// freePort asks the system for a loopback port. Another process may take it before Postgres does.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}
