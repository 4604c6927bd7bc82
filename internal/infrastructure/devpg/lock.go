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

// tryLock takes the exclusive lock of the file at path, which it creates, or returns errLocked at once. The
// lock ends when the returned file and every copy of it that a child process inherited are closed.
func tryLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	return lockNow(f)
}

// tryExistingLock is tryLock for a file that must be there.
func tryExistingLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return lockNow(f)
}

func lockNow(f *os.File) (*os.File, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errLocked
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// waitLock calls try, one of the two above, until it has its turn or ctx ends.
func waitLock(ctx context.Context, path string, try func(string) (*os.File, error)) (lock *os.File, err error) {
	waited := poll(ctx, 20*time.Millisecond, func() (bool, error) {
		lock, err = try(path)
		return !errors.Is(err, errLocked), nil
	})
	return lock, errors.Join(err, waited)
}
