//go:build !windows

package cmd

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

// watchSize calls changed whenever the size of the terminal may have changed, until stop is called.
func watchSize(changed func()) (stop func()) {
	changes, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(changes, syscall.SIGWINCH)
	go func() { // until stop
		for {
			select {
			case <-done:
				return
			case <-changes:
				changed()
			}
		}
	}()
	return func() { signal.Stop(changes); close(done) }
}

// resumed is how long a program that was stopped may take to learn that it goes on. One that no shell could continue is not stopped at all,
// and goes on after it.
const resumed = time.Second

// suspend stops this program until its shell continues it.
func suspend() {
	goes := make(chan os.Signal, 1)
	signal.Notify(goes, syscall.SIGCONT)
	defer signal.Stop(goes)
	if syscall.Kill(0, syscall.SIGTSTP) == nil { // the whole job, as the terminal's own key does
		select {
		case <-goes:
		case <-time.After(resumed):
		}
	}
}

// colours makes a terminal understand the sequences of the others, which all do.
func colours(*os.File) (restore func()) { return func() {} }
