//go:build unix

package session

import (
	"context"
	"errors"
	"io"
	"os/exec"

	"github.com/vennel/vennel/datachannel"
)

// showAt is how much is shown at a time, in bytes.
const showAt = 32 << 10

// endOfInput is the key that ends a program's input.
const endOfInput = 4

// shell runs a program on a terminal until it ends, or the session does. source: agent
func (h *hold) shell(ctx context.Context, name string, args ...string) (code int, err error) {
	a, err := h.account(ctx, h.plan)
	if err != nil {
		return 0, err
	}
	t, err := openTerminal()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(name, args...) //nolint:noctx // end ends it, as a line that hangs up does
	if err := t.start(cmd, a); err != nil {
		t.close()
		return 0, err
	}
	p := watch(cmd)
	if profile := h.plan.inputs.ShellProfile.Linux; h.plan.kind == datachannel.StandardStream && profile != "" {
		if _, err := t.Write([]byte(profile + "\n")); err != nil {
			h.Log.Warn("the shell profile was not typed", "error", err)
		}
	}
	h.parts.Go(func() { h.resize(t) })
	h.parts.Go(func() { h.typed(ctx, t) })
	shown := make(chan struct{})
	h.parts.Go(func() {
		defer close(shown)
		h.show(t)
	})
	select {
	case <-p.gone:
		t.ended()
		select {
		case <-shown:
		case <-ctx.Done():
		}
		t.close()
		return p.code(), nil
	case <-ctx.Done():
		t.close()
		p.end()
		return p.code(), nil
	}
}

// resize gives the terminal the sizes of the client's.
func (h *hold) resize(t *terminal) {
	for {
		select {
		case size := <-h.channel.Sizes():
			if err := t.resize(size.Cols, size.Rows); err != nil {
				h.Log.Warn("the terminal could not be resized", "error", err)
			}
		case <-h.channel.Ended():
			return
		}
	}
}

// typed gives the terminal what the client types.
func (h *hold) typed(ctx context.Context, t *terminal) {
	_, err := io.Copy(t, onlyReader{h.channel})
	if err == nil && ctx.Err() == nil { // the client has nothing more to type
		_, _ = t.Write([]byte{endOfInput}) // the terminal may be closed
	}
	_, _ = io.Copy(io.Discard, h.channel) // for the client does not know
}

// show shows the client what the program does.
func (h *hold) show(t *terminal) {
	var out io.Writer = h.channel
	if !h.extended {
		whole := &runes{to: h.channel}
		defer func() { _ = whole.flush() }() // the client may be gone
		out = whole
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{out}, onlyReader{t}, make([]byte, showAt)); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		h.Log.Debug("the client sees no more", "error", err)
	}
}
