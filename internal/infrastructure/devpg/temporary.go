package devpg

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

const temporaryPattern = "lingo-profile-pg-"

// temporaryHome makes the home of an ephemeral server. The order lock, then marker, is what removeAbandoned
// relies on.
func temporaryHome(who account) (*home, error) {
	removeAbandoned()
	dir, err := os.MkdirTemp("", temporaryPattern)
	if err != nil {
		return nil, err
	}
	lock, err := tryLock(filepath.Join(dir, lockName))
	if err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	if err := os.WriteFile(filepath.Join(dir, markerName), []byte(markerText), 0o644); err != nil {
		return nil, errors.Join(err, lock.Close(), os.RemoveAll(dir))
	}
	h, err := newHome(dir, lock)
	if err == nil {
		err = os.Chmod(dir, who.dirMode())
	}
	if err == nil {
		err = who.canEnter(dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("temporary directory: %w; set TMPDIR to another directory", err), lock.Close(), removeClaimed(dir))
	}
	return h, nil
}

// removeAbandoned deletes what ephemeral servers of killed processes left: directories of this user, with our
// marker, whose lock nobody holds. It is best effort; the next one tries again.
func removeAbandoned() {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), temporaryPattern+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || int(info.Sys().(*syscall.Stat_t).Uid) != os.Geteuid() || checkMarker(dir) != nil {
			continue
		}
		if lock, err := tryLock(filepath.Join(dir, lockName)); err == nil {
			_ = errors.Join(removeClaimed(dir), lock.Close())
		}
	}
}
