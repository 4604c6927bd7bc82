package devpg

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// errLocked says that another process, or another Start of this one, holds the lock.
var errLocked = errors.New("locked")

// tryLock takes the exclusive lock of the file at path, or returns errLocked at once. The lock ends when the
// returned file and every copy of it that a child process inherited are closed.
func tryLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errLocked
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// waitLock is tryLock that waits its turn until ctx ends.
func waitLock(ctx context.Context, path string) (lock *os.File, err error) {
	waited := poll(ctx, 20*time.Millisecond, func() (bool, error) {
		lock, err = tryLock(path)
		return !errors.Is(err, errLocked), nil
	})
	return lock, errors.Join(err, waited)
}
