package cmd

import (
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// sizeEvery is how often the size of a console is looked at, which does not tell of changes.
const sizeEvery = 500 * time.Millisecond

// watchSize calls changed whenever the size of the terminal may have changed, until stop is called.
func watchSize(changed func()) (stop func()) {
	done, tick := make(chan struct{}), time.NewTicker(sizeEvery)
	go func() { // until stop
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				changed()
			}
		}
	}()
	return func() { tick.Stop(); close(done) }
}

// suspend does nothing: there are no jobs.
func suspend() {}

// colours makes a console understand the sequences of other terminals.
func colours(f *os.File) (restore func()) {
	handle, mode := windows.Handle(f.Fd()), uint32(0)
	if windows.GetConsoleMode(handle, &mode) != nil {
		return func() {}
	}
	_ = windows.SetConsoleMode(handle, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) // an old console shows them as text
	return func() { _ = windows.SetConsoleMode(handle, mode) }                          // there is nothing else to try
}
