package disk

import (
	"context"
	"errors"
	"os"
	"time"
)

// ErrLocked says that another process, or another part of this one, holds the lock.
var ErrLocked = errors.New("locked")

// Lock is a lock that its process loses only by releasing it or by dying.
type Lock struct{ f *os.File }

// TryLock takes the lock of a file, which it makes if need be. The error is ErrLocked when someone
// else has it.
func TryLock(name string) (*Lock, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		_ = f.Close()
		return nil, err
	}
	return &Lock{f}, nil
}

// lockPause is the time between two tries of WaitLock.
const lockPause = 10 * time.Millisecond

// WaitLock takes the lock, waiting until ctx ends for whoever has it; the error is ErrLocked then.
func WaitLock(ctx context.Context, name string) (*Lock, error) {
	again := time.NewTicker(lockPause)
	defer again.Stop()
	for {
		l, err := TryLock(name)
		if !errors.Is(err, ErrLocked) {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, ErrLocked
		case <-again.C:
		}
	}
}

// Locked says whether someone has the lock. It takes the lock for a moment to find out.
func Locked(name string) bool {
	l, err := TryLock(name)
	if err != nil {
		return errors.Is(err, ErrLocked)
	}
	l.Release()
	return false
}

// Release gives the lock back. The file stays: to delete it would let two take the lock at once.
func (l *Lock) Release() {
	unlock(l.f)
	_ = l.f.Close()
}
