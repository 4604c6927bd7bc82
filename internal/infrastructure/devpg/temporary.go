package devpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const temporaryPrefix = "lingo-profile-pg-"

// temporaryHome makes the home of an ephemeral server. The order lock, then marker, is what removeAbandoned
// relies on.
func temporaryHome(who account) (*home, error) {
	removeAbandoned()
	dir, err := os.MkdirTemp("", temporaryPrefix)
	if err != nil {
		return nil, err
	}
	lock, err := tryLock(filepath.Join(dir, lockName))
	if err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	if err := os.WriteFile(filepath.Join(dir, markerName), []byte(markerText), 0o600); err != nil {
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
		return nil, errors.Join(fmt.Errorf("temporary directory: %w; set TMPDIR to another directory", err), removeLocked(dir), lock.Close())
	}
	return h, nil
}

// remove deletes a temporary home whose server has ended and whose lock we have left. It takes the lock again,
// so that this and removeAbandoned of another process do not delete at once.
func (h *home) remove(ctx context.Context) error {
	lock, err := waitLock(ctx, filepath.Join(h.dir, lockName), tryExistingLock)
	if errors.Is(err, os.ErrNotExist) {
		return nil // somebody was faster
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", h.dir, err)
	}
	return errors.Join(removeLocked(h.dir), lock.Close())
}

// removeAbandoned deletes what ephemeral servers of killed processes left: directories of this user, with our
// marker, whose lock nobody holds. It is best effort; the next one tries again.
func removeAbandoned() {
	entries, err := os.ReadDir(os.TempDir())
	if err != nil {
		return
	}
	for _, entry := range entries {
		dir := filepath.Join(os.TempDir(), entry.Name())
		if !strings.HasPrefix(entry.Name(), temporaryPrefix) || !isOurs(dir) {
			continue
		}
		if lock, err := tryExistingLock(filepath.Join(dir, lockName)); err == nil {
			_ = errors.Join(removeLocked(dir), lock.Close())
		}
	}
}

// isOurs tells whether dir is a marked directory of this user.
func isOurs(dir string) bool {
	info, err := os.Lstat(dir)
	return err == nil && info.IsDir() && int(info.Sys().(*syscall.Stat_t).Uid) == os.Geteuid() && checkMarker(dir) == nil
}

// removeLocked deletes a marked directory, marker and lock last: when this is killed half way, the next one
// recognises what is left.
func removeLocked(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil // it went before the lock was ours
	}
	if err != nil {
		return err
	}
	var names []string
	for _, entry := range entries {
		if entry.Name() != markerName && entry.Name() != lockName {
			names = append(names, entry.Name())
		}
	}
	if err := removeClaimed(dir, names...); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}
