package devpg

import (
	"context"
	"os"
)

// A Change replaces a part of the machine that Start finds.
type Change func(*machine)

// StartOn is Start on this machine with changes.
func StartOn(ctx context.Context, o Options, changes ...Change) (*Server, error) {
	m := thisMachine()
	for _, change := range changes {
		change(&m)
	}
	return start(ctx, o, m)
}

// NothingInstalled hides the directories where packages install Postgres.
func NothingInstalled(m *machine) { m.bindirs = nil }

// PortsInTurn are the ports taken for free ones; the last repeats.
func PortsInTurn(ports ...int) Change {
	return func(m *machine) {
		m.freePort = func() (int, error) {
			port := ports[0]
			ports = ports[min(1, len(ports)-1):]
			return port, nil
		}
	}
}

// FreePort is a port nobody uses right now.
func FreePort() (int, error) { return freePort() }

// DockerCommand is the default of Options.Docker, on a machine or in a container.
func DockerCommand(getenv func(string) string, inContainer bool) Docker {
	return dockerCommand{getenv: getenv, inContainer: inContainer}.run
}

// Internals that have a contract of their own.
var (
	Unpack    = unpack
	TryLock   = tryLock
	ErrLocked = errLocked
)

// AnyBindir is the directory of the best local binaries, else of npm's, downloaded into the state directory.
func AnyBindir(ctx context.Context, stateDir string) (string, error) {
	s := &starter{options: Options{StateDir: stateDir}.withDefaults()}
	who, err := postgresAccount(s.options.Getenv)
	if err != nil {
		return "", err
	}
	s.who = who
	if err := os.Chmod(stateDir, who.dirMode()); err != nil {
		return "", err
	}
	local, err := localInstallations(ctx, s.options.Getenv, thisMachine().bindirs)
	if err != nil {
		return "", err
	}
	return append(local, s.npmInstallation())[0].resolve(ctx)
}

// MarkerName is the file that makes a directory ours.
const MarkerName = markerName
