package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"

	"github.com/vennel/vennel/datachannel"
)

// SSH is a shell on a node, or a command.
type SSH struct {
	SessionFlags
	Terminal   bool     `short:"t" help:"Give the command a terminal."`
	NoInput    bool     `short:"n" help:"Read nothing from standard input."`
	Escape     string   `short:"e" default:"~" placeholder:"KEY" help:"The escape key of a terminal, or none. It counts at the start of a line: ~. ends the session, ~? says what else there is."`
	Document   string   `placeholder:"NAME" help:"A session document (default: the account's preferences for a shell, AWS-StartNonInteractiveCommand for a command, AWS-StartInteractiveCommand with -t)."`
	Parameters []string `sep:"none" placeholder:"NAME=VALUE" help:"A parameter of the document; repeatable, or all of them as JSON."`
	Node       string   `arg:"" help:"The node: mi-…, or i-…."`
	Command    []string `arg:"" optional:"" passthrough:"" help:"The command and its arguments, after --; a shell without one. They are joined by spaces and given to sh, as by ssh."`
}

// Help says what the exit codes are.
func (*SSH) Help() string {
	return `Exit codes: that of the shell or command, as far as the node's agent tells it (Vennel's always, AWS's for commands without a terminal, else 0); ` +
		`255 when there was no session or it ended before its time; 130 after Ctrl-C without a terminal; 2 when the command line is wrong.`
}

// Run holds the session and exits with the status of what ran in it.
func (c *SSH) Run(ctx context.Context, s Streams) error {
	keys, err := newEscapes(c.Escape)
	if err != nil {
		return &ExitError{exitUsage, err}
	}
	document, values, err := c.document()
	if err != nil {
		return err
	}
	a, err := c.open()
	if err != nil {
		return failed(err)
	}
	ctx, stop := hangup(ctx)
	defer stop()
	n := newNotes(s, c.Quiet)
	held, err := c.start(ctx, a, n, c.Node, document, values)
	if err != nil {
		return failed(err)
	}
	in := s.In
	if c.NoInput {
		in = strings.NewReader("")
	}
	switch held.Kind {
	case datachannel.Port:
		held.leave(ctx)
		return failed(fmt.Errorf("%s forwards a port; see vennel forward --help", document))
	case datachannel.NonInteractiveCommands:
		return held.command(ctx, in, s)
	default:
		return held.shell(ctx, in, s, keys)
	}
}

// document is the document of the session, and its parameters.
func (c *SSH) document() (name string, values map[string][]string, err error) {
	if values, err = parameters(c.Parameters); err != nil {
		return "", nil, err
	}
	command := c.Command
	if len(command) > 0 && command[0] == "--" {
		command = command[1:]
	}
	switch text := strings.Join(command, " "); {
	case len(command) == 0:
		return c.Document, values, nil
	case c.Document != "":
		values["command"] = []string{text}
		return c.Document, values, nil
	case c.Terminal:
		values["command"] = []string{text}
		return terminalDocument, values, nil
	default:
		return commandDocument, commandValues(values, text), nil
	}
}

// commandValues are the parameters of a command without a terminal. Agents split it into words without a shell, so it names one.
func commandValues(values map[string][]string, command string) map[string][]string {
	values["command"] = []string{"sh -c '" + strings.ReplaceAll(command, "'", `'\''`) + "'"}
	values["separateOutputStream"] = []string{"true"}
	return values
}

// command carries the streams of a command without a terminal.
func (s *holding) command(ctx context.Context, in io.Reader, streams Streams) error {
	go s.feed(in) // it ends with the input, or with the program
	written := make(chan error, 2)
	go func() { _, err := io.Copy(streams.Out, s); written <- err }()
	go func() { _, err := io.Copy(streams.Err, s.Stderr()); written <- err }()
	for range cap(written) {
		select {
		case <-ctx.Done():
			s.leave(ctx)
			return &ExitError{Code: exitInterrupted}
		case err := <-written:
			if err != nil {
				s.leave(ctx)
				return failed(readerGone(err))
			}
		}
	}
	return s.exit(ctx, false)
}

// feed gives a command its input. An agent of AWS's has none for a command without a terminal, which is said when there is input.
func (s *holding) feed(in io.Reader) {
	if !s.Extended {
		var first [1]byte
		if n, _ := in.Read(first[:]); n > 0 && !isTerminal(in) {
			s.notes.warn("standard input is not forwarded: the node's agent gives a command without a terminal no input; Vennel's does, and with -t any does")
		}
		return
	}
	if _, err := io.Copy(s, in); err == nil {
		_ = s.CloseWrite() // a session that is over needs no end of its input
	}
}

// exit gives the status of what ran in the session, once it is over, and says why it ended. To somebody at a terminal it says so anyway.
func (s *holding) exit(ctx context.Context, terminal bool) error {
	ended, err := s.Wait(ctx)
	if err != nil {
		s.leave(ctx)
		return &ExitError{Code: exitInterrupted}
	}
	_ = s.Close() // the node's agent, which waits for the last to be heard, need not
	switch {
	case ended.Reason != "":
		s.notes.warn("session %s has ended: %s", s.ID, ended.Reason)
	case terminal:
		s.notes.say("session %s has ended", s.ID)
	}
	if !ended.Known && ended.Reason != "" {
		return &ExitError{Code: exitSession}
	}
	return status(ended.Code)
}

// status is the exit status of what ran on the node as this program's own.
func status(code int) error {
	if code == 0 {
		return nil
	}
	return &ExitError{Code: code & 0xff}
}

// shell joins the terminal and a shell, or a command that has a terminal. Without a terminal here, what comes in is typed there.
func (s *holding) shell(ctx context.Context, in io.Reader, streams Streams, keys *escapes) error {
	t, err := s.takeTerminal(in, streams.Out)
	if err != nil {
		s.leave(ctx)
		return failed(err)
	}
	defer t.restore()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	typed := newTypeahead()
	defer typed.end()
	go s.typing(in, t, keys, typed, cancel) // until the input ends; it cannot be told to stop
	go s.sendTyped(typed, t.raw)
	printed := make(chan error, 1)
	go func() {
		_, err := io.Copy(streams.Out, s)
		printed <- err
	}()
	select {
	case <-ctx.Done():
		s.leave(ctx)
		t.restore()
		if errors.Is(context.Cause(ctx), errEscaped) {
			s.notes.say("session %s has been ended", s.ID)
		}
		return &ExitError{Code: exitSession}
	case err = <-printed:
	}
	t.restore()
	if err != nil {
		s.leave(ctx)
		return failed(readerGone(err))
	}
	return s.exit(ctx, t.raw)
}

// errEscaped is the cause of the end when the escape key asked for it.
var errEscaped = errors.New("the escape key has ended the session")

// terminal is the terminal that a shell is shown on.
type terminal struct {
	notes *notes
	in    int
	raw   bool
	undo  []func()
	once  sync.Once

	mu    sync.Mutex
	saved *term.State // while it is raw; guarded by mu
	over  bool        // it was given back for good; guarded by mu
}

// errRestored is the error of taking a terminal that was given back.
var errRestored = errors.New("the terminal was given back")

// takeTerminal puts the terminal in raw mode, if there is one, and tells the node its size, now and whenever it changes.
func (s *holding) takeTerminal(in io.Reader, out io.Writer) (*terminal, error) {
	t := &terminal{notes: s.notes}
	sized, ok := out.(*os.File)
	if ok && isTerminal(sized) {
		resize := func() {
			if columns, rows, err := term.GetSize(int(sized.Fd())); err == nil {
				_ = s.Resize(columns, rows) // a session that is over has no size
			}
		}
		resize()
		t.undo = append(t.undo, watchSize(resize), colours(sized))
	} else if err := s.Resize(80, 24); err != nil {
		return nil, err
	}
	if isTerminal(in) {
		t.in, t.raw = int(in.(*os.File).Fd()), true
		if err := t.makeRaw(); err != nil {
			t.restore()
			return nil, err
		}
	}
	return t, nil
}

// makeRaw has the terminal pass on every key. A session may end while the program is suspended: what was given back then stays so.
func (t *terminal) makeRaw() (err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return errRestored
	}
	if t.saved, err = term.MakeRaw(t.in); err == nil {
		t.notes.setRaw(true)
	}
	return err
}

// makeCooked gives the terminal back the mode that it had.
func (t *terminal) makeCooked() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.saved != nil {
		_ = term.Restore(t.in, t.saved) // there is nothing else to try
		t.saved = nil
		t.notes.setRaw(false)
	}
}

// restore gives the terminal back.
func (t *terminal) restore() {
	t.once.Do(func() {
		for _, undo := range t.undo {
			undo()
		}
		t.mu.Lock()
		t.over = true
		t.mu.Unlock()
		t.makeCooked()
	})
}

// typing takes what is typed, and does what the escape key asks for.
func (s *holding) typing(in io.Reader, t *terminal, keys *escapes, typed *typeahead, end context.CancelCauseFunc) {
	defer typed.end()
	if !t.raw {
		keys = &escapes{}
	}
	buffer := make([]byte, 32<<10)
	for {
		n, err := in.Read(buffer)
		for rest := buffer[:n]; len(rest) > 0; {
			var send []byte
			var do deed
			send, do, rest = keys.next(rest)
			typed.add(send)
			switch do {
			case deedEnd:
				end(errEscaped)
				return
			case deedHelp:
				s.notes.line(keys.help())
			case deedSuspend:
				t.makeCooked()
				suspend()
				if t.makeRaw() != nil {
					end(errEscaped)
					return
				}
			case deedNone:
			}
		}
		if err != nil {
			return
		}
	}
}

// mostKeys is how much of what was typed is sent at once.
const mostKeys = 64 << 10

// endOfInput is the character that ends the input of a program on a terminal.
const endOfInput = 0x04

// sendTyped sends what was typed, and the end of an input that is no terminal.
func (s *holding) sendTyped(typed *typeahead, raw bool) {
	for {
		b := typed.take(mostKeys)
		if len(b) == 0 {
			break
		}
		if _, err := s.Write(b); err != nil {
			return // the session is over, and says why
		}
	}
	switch {
	case raw: // the terminal is gone, and this program with it
	case s.Extended:
		_ = s.CloseWrite() // as above
	default:
		_, _ = s.Write([]byte{endOfInput}) // as above
	}
}
