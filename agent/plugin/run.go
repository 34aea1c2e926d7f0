package plugin

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// lastWords is the time in which what a killed process wrote must have been read.
const lastWords = 2 * time.Second

// stopError says that a process was killed, and for which cause.
type stopError struct{ cause error }

// Error names the cause.
func (e *stopError) Error() string { return "stopped: " + e.cause.Error() }

// status is the status of a step that was stopped for the cause.
func (e *stopError) status() Status {
	switch {
	case errors.Is(e.cause, ErrCancelled):
		return Cancelled
	case errors.Is(e.cause, ErrShutdown):
		return Failed
	}
	return TimedOut
}

// run runs a command until it and whoever inherited its output have ended, as the official agent
// does: a script in the background goes on writing to the step. When the context ends first, the
// whole process group is killed and the error is a *stopError.
func run(ctx context.Context, cmd *exec.Cmd, stdout, stderr io.Writer) error {
	var copying sync.WaitGroup
	var pipes []*os.File // reader, writer, reader, writer
	closeEvery := func(first int) {
		for i := first; i < len(pipes); i += 2 {
			_ = pipes[i].Close() // a pipe has nothing to lose
		}
	}
	defer closeEvery(0)
	for _, to := range []io.Writer{stdout, stderr} {
		r, w, err := os.Pipe()
		if err != nil {
			closeEvery(1)
			return err
		}
		pipes = append(pipes, r, w)
		copying.Go(func() { _, _ = io.Copy(to, r) }) // it ends with the pipe
	}
	cmd.Stdout, cmd.Stderr = pipes[1], pipes[3]
	ownGroup(cmd)
	err := cmd.Start()
	closeEvery(1)
	if err != nil {
		copying.Wait()
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err = cmd.Wait()
		copying.Wait()
	}()
	select {
	case <-ended:
		return err
	case <-ctx.Done():
	}
	select {
	case <-ended: // at the same moment
		return err
	default:
	}
	killGroup(cmd)
	select {
	case <-ended:
	case <-time.After(lastWords):
		closeEvery(0) // somebody outside of the group still holds the pipe
		<-ended
	}
	return &stopError{context.Cause(ctx)}
}
