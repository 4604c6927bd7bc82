package devpg

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// StateDir is where the persistent server of o lives; it touches nothing.
func StateDir(o Options) (string, error) { return o.withDefaults().stateDir() }

// stateDir decides where the persistent server lives; it touches nothing.
func (o Options) stateDir() (string, error) {
	if o.StateDir != "" {
		return filepath.Abs(o.StateDir)
	}
	if dir := o.Getenv("PROFILE_STATE_DIR"); dir != "" {
		return filepath.Abs(dir)
	}
	if os.Geteuid() == 0 {
		return "/var/lib/lingo-profile", nil
	}
	// The XDG specification says to ignore a relative path.
	if dir := o.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "lingo-profile"), nil
	}
	if home := o.Getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "lingo-profile"), nil
	}
	return "", errors.New("no place for the database: HOME is not set; set PROFILE_STATE_DIR to a writable directory")
}

// makeStateDir creates dir for the given account, whatever the umask, and checks that the account can reach it.
func makeStateDir(dir string, who account) error {
	if err := makeDirs(dir, who.dirMode()); err != nil {
		return unusable(err)
	}
	if err := who.canEnter(dir); err != nil {
		return fmt.Errorf("state directory: %w; set PROFILE_STATE_DIR to another directory", err)
	}
	return nil
}

// makeDirs is os.MkdirAll with a mode the umask does not narrow; existing directories keep theirs.
func makeDirs(dir string, mode os.FileMode) error {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := makeDirs(filepath.Dir(dir), mode); err != nil {
		return err
	}
	if err := os.Mkdir(dir, mode); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return os.Chmod(dir, mode)
}
