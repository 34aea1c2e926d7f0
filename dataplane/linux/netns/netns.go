// Package netns runs functions and programs in network namespaces. A thread that has been in one comes back or ends, and
// the first thread of the process never goes: what the kernel says of the process it says of that one.
package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// here is the network namespace of the thread that asks. That of the process would be the first thread's.
const here = "/proc/thread-self/ns/net"

// errGone is the result of a function that ended its goroutine, as a failing test does.
var errGone = errors.New("a function left its network namespace without returning")

// Current opens the network namespace of the process.
func Current() (*os.File, error) { return os.Open(here) }

// Open opens the network namespace that is mounted on a file. A file that is none does not exist: a crash between making
// the file and mounting on it leaves one.
func Open(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	var at unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &at); err != nil || at.Type != unix.NSFS_MAGIC {
		return nil, errors.Join(fmt.Errorf("%s is not a namespace: %w", path, fs.ErrNotExist), err, f.Close())
	}
	return f, nil
}

// New makes a network namespace that lives as long as the file or something in it.
func New() (*os.File, error) {
	var made *os.File
	err := away(func() error { return unix.Unshare(unix.CLONE_NEWNET) }, func() (err error) {
		made, err = os.Open(here)
		return err
	})
	return made, err
}

// Do calls a function in a network namespace, on a goroutine and thread of its own. Sockets that it makes belong to the
// namespace for good and need no Do later. Goroutines that it starts are outside, so it resolves no names, uses no HTTP
// client, and starts nothing.
func Do(ns *os.File, f func() error) error {
	return away(func() error { return unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET) }, f)
}

// Run runs a program in a network namespace until it ends.
func Run(ns *os.File, cmd *exec.Cmd) error {
	if err := Do(ns, cmd.Start); err != nil {
		return err
	}
	return cmd.Wait()
}

// away calls a function on a thread that goes to another network namespace for it.
func away(leave, f func() error) error {
	done := make(chan error, 1)
	go func() { // waited for below
		var err error
		defer func() { done <- err }()
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			err = away(leave, f) // on another thread, for this one is taken
			runtime.UnlockOSThread()
			return
		}
		var home *os.File
		if home, err = os.Open(here); err != nil {
			runtime.UnlockOSThread()
			return
		}
		defer func() {
			if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
				err = errors.Join(err, fmt.Errorf("coming back from a network namespace: %w", back))
			} else {
				runtime.UnlockOSThread()
			} // a thread that stays locked ends with its goroutine
			err = errors.Join(err, home.Close())
		}()
		if err = leave(); err != nil {
			err = fmt.Errorf("entering a network namespace: %w", err)
			return
		}
		err = errGone // as long as it has not returned
		err = f()
	}()
	return <-done
}
