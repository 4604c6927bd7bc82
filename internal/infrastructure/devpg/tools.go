package devpg

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// tools runs the programs of one installation: as the right account, in the data directory, without anything
// of our environment, with their output in the log and holding the lock for as long as they live.
type tools struct {
	bindir string
	who    account
	lock   *os.File
	log    *os.File
}

func (t tools) command(program, dir string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(t.bindir, program), args...)
	cmd.Dir = dir
	cmd.Env = childEnv()
	cmd.Stdout, cmd.Stderr = t.log, t.log
	cmd.ExtraFiles = []*os.File{t.lock}
	cmd.SysProcAttr = t.who.attributes()
	return cmd
}

// childEnv is the whole environment of a Postgres program: PG* and LC_* of the caller do not reach it.
func childEnv() []string { return []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"} }

// openLog opens the log of one data directory for tools; every run starts it anew.
func openLog(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
}

// withLog adds the end of the programs' output to err.
func (t tools) withLog(err error) error {
	end := t.logTail()
	if end == "" {
		return err
	}
	return fmt.Errorf("%w; the end of %s:\n%s", err, t.log.Name(), end)
}

const (
	logTailLines = 30
	logTailBytes = 16 << 10
)

func (t tools) logTail() string { return tail(t.log) }

// tail is the end of a log. It is best effort: without a log the error it would explain still stands.
func tail(log *os.File) string {
	info, err := log.Stat()
	if err != nil {
		return ""
	}
	raw := make([]byte, min(info.Size(), logTailBytes))
	n, _ := log.ReadAt(raw, info.Size()-int64(len(raw)))
	lines := strings.Split(strings.TrimSpace(string(raw[:n])), "\n")
	return strings.Join(lines[max(0, len(lines)-logTailLines):], "\n")
}
