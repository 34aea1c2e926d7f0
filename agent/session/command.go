package session

import (
	"context"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// pieces is how much of a command's output is read at a time, in bytes.
const pieces = 64 << 10

// command runs a command without a terminal until it and whoever has its output have ended, or the session does.
//
// The official agent sends all output when the command has ended, unless it is to be separate; this one sends it as it comes. A
// client of ours has an input, and gets standard error and the exit code by themselves. source: agent
func (h *hold) command(ctx context.Context) (code int, err error) {
	words, err := split(h.plan.command.Commands)
	if err != nil {
		return 0, err
	}
	a, err := h.account(ctx, h.plan)
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(words[0], words[1:]...) //nolint:noctx // end ends it with its whole group
	a.dress(cmd)
	ownGroup(cmd)
	var ours, theirs files
	defer ours.close()
	defer theirs.close()
	pipe := func(in bool) *os.File { // the command's end of a pipe
		r, w, e := os.Pipe()
		if e != nil {
			err = e
			return nil
		}
		if in {
			r, w = w, r
		}
		ours, theirs = append(ours, r), append(theirs, w)
		return w
	}
	separate := h.extended || bool(h.plan.command.SeparateOutputStream)
	cmd.Stdout = pipe(false)
	cmd.Stderr = cmd.Stdout // in their order
	if separate {
		cmd.Stderr = pipe(false)
	}
	if h.extended {
		cmd.Stdin = pipe(true)
	}
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	theirs.close()
	p := watch(cmd)
	var showing sync.WaitGroup
	showing.Go(func() { h.copy(h.channel, ours[0], h.plan.command.StdOutSeparatorPrefix) })
	if separate {
		showing.Go(func() { h.copy(h.channel.Stderr(), ours[1], h.plan.command.StdErrSeparatorPrefix) })
	}
	h.parts.Go(func() {
		if h.extended {
			h.feed(ours[2])
		} else {
			h.signals(p)
		}
	})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-p.gone
		showing.Wait()
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		p.end()
		late := time.AfterFunc(farewell, ours.close) // somebody outside of the group may hold the pipes
		<-ended
		late.Stop()
	}
	return p.code(), nil
}

// files are files that are closed together.
type files []*os.File

// close closes them.
func (f *files) close() {
	for _, file := range *f {
		_ = file.Close() // pipes have nothing to lose, and may be closed twice
	}
}

// copy copies output to the client until its end. When the client takes no more it is read all the same, so that the command does not
// wait.
func (h *hold) copy(to io.Writer, from *os.File, prefix string) {
	if !h.extended {
		whole := &runes{to: to}
		defer func() { _ = whole.flush() }() // the client may be gone
		to = whole
		if h.plan.command.SeparateOutputStream {
			to = &prefixed{to: whole, prefix: prefix}
		}
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{to}, onlyReader{from}, make([]byte, pieces)); err != nil {
		h.Log.Debug("the client gets no more output", "error", err)
		_, _ = io.Copy(io.Discard, from) // its end is all that matters
	}
}

// onlyReader hides that a reader can do more.
type onlyReader struct{ io.Reader }

// feed gives a command its input.
func (h *hold) feed(to *os.File) {
	_, _ = io.Copy(struct{ io.Writer }{to}, h.channel) // a command need not read its input
	_ = to.Close()
	_, _ = io.Copy(io.Discard, h.channel) // for the client does not know
}

// signals sends a command the signals that a terminal would make of the client's keys. There is no other input. source: agent
func (h *hold) signals(p *program) {
	keys := make([]byte, pieces)
	for {
		n, err := h.channel.Read(keys)
		for _, key := range keys[:n] {
			switch key {
			case 0x03:
				p.interrupt()
			case 0x1c:
				p.quit()
			}
		}
		if err != nil {
			return
		}
	}
}
