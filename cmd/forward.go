package cmd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vennel/vennel/datachannel"
)

// Forward carries connections to a port of this machine to a port of a node, or of a host that the node reaches.
type Forward struct {
	SessionFlags
	Local  string   `placeholder:"PORT" help:"The port here (default: any that is free); - carries standard input and output, as ssh's ProxyCommand."`
	Bind   string   `default:"127.0.0.1" placeholder:"ADDR" help:"The address here."`
	Output string   `enum:"text,json" default:"text" help:"text or json: what is said on standard output when a port listens."`
	Node   string   `arg:"" help:"The node: mi-…, or i-…."`
	Ports  []string `arg:"" name:"[host:]port[:local]" help:"What to forward: a port of the node, or of a host as the node sees it; several have a session each."`
}

// Help says what the exit codes are, and how ssh uses it.
func (*Forward) Help() string {
	return `Runs until Ctrl-C, and ends the session then. With --local - it is a ProxyCommand: ` +
		`ssh -o ProxyCommand='vennel forward %h %p --local -' USER@NODE. ` +
		`Exit codes: 0 after Ctrl-C, and with --local - when the connection has ended; 255 when there was no session or it ended before its time; ` +
		`2 when the command line is wrong.`
}

// forwarding is one port to forward.
type forwarding struct {
	host  string // "" for the node itself
	port  int
	local string // "" for a free one; "-" for standard input and output
}

// parseForwarding reads [host:]port[:local]. Of two parts that are numbers the second is the local port. An IPv6 address stands in
// brackets.
func parseForwarding(text string) (f forwarding, err error) {
	wrong := func() (forwarding, error) {
		return f, fmt.Errorf("%q is not [host:]port[:local]", text)
	}
	rest := text
	if inside, ok := strings.CutPrefix(text, "["); ok {
		if f.host, rest, ok = strings.Cut(inside, "]:"); !ok || f.host == "" {
			return wrong()
		}
	}
	parts := strings.Split(rest, ":")
	if _, err := strconv.Atoi(parts[0]); err != nil && f.host == "" {
		if f.host, parts = parts[0], parts[1:]; f.host == "" {
			return wrong()
		}
	} else if len(parts) == 3 && f.host == "" { // a host whose name is a number
		f.host, parts = parts[0], parts[1:]
	}
	if len(parts) < 1 || len(parts) > 2 {
		return wrong()
	}
	if f.port, err = strconv.Atoi(parts[0]); err != nil || f.port < 1 || f.port > 65535 {
		return wrong()
	}
	if len(parts) == 2 {
		if f.local = parts[1]; !isLocal(f.local) {
			return wrong()
		}
	}
	return f, nil
}

// isLocal says whether a text is a local port, or - for standard input and output.
func isLocal(text string) bool {
	n, err := strconv.Atoi(text)
	return text == "-" || err == nil && n >= 0 && n <= 65535
}

// forwardings reads all of them.
func (c *Forward) forwardings() (all []forwarding, err error) {
	for _, text := range c.Ports {
		f, err := parseForwarding(text)
		if err != nil {
			return nil, err
		}
		if c.Local != "" {
			if f.local != "" || len(c.Ports) > 1 {
				return nil, errors.New("--local is for one port, which names no local one itself")
			}
			if f.local = c.Local; !isLocal(f.local) {
				return nil, fmt.Errorf("--local must be a port or -, not %q", c.Local)
			}
		}
		if f.local == "-" && len(c.Ports) > 1 {
			return nil, errors.New("standard input and output carry one connection")
		}
		all = append(all, f)
	}
	return all, nil
}

// document is the session document of a port, and its parameters.
func (f *forwarding) document() (name string, values map[string][]string) {
	values = map[string][]string{"portNumber": {strconv.Itoa(f.port)}}
	switch {
	case f.host != "":
		values["host"] = []string{f.host}
		return hostDocument, values
	case f.local == "-":
		return sshDocument, values
	default:
		return portDocument, values
	}
}

// Run forwards until it is told to stop or a session ends.
func (c *Forward) Run(ctx context.Context, s Streams) error {
	all, err := c.forwardings()
	if err != nil {
		return &ExitError{exitUsage, err}
	}
	a, err := c.open()
	if err != nil {
		return failed(err)
	}
	ctx, stop := hangup(ctx)
	defer stop()
	n := newNotes(s, c.Quiet)
	if all[0].local == "-" {
		return failed(c.carry(ctx, a, n, &all[0], s))
	}
	group, ctx := errgroup.WithContext(ctx)
	var said sync.Mutex
	for i := range all {
		group.Go(func() error {
			return c.forward(ctx, a, n, &all[i], func(text string) { said.Lock(); defer said.Unlock(); fmt.Fprintln(s.Out, text) })
		})
	}
	return failed(group.Wait())
}

// forward forwards one port.
func (c *Forward) forward(ctx context.Context, a *account, n *notes, f *forwarding, say func(string)) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", net.JoinHostPort(c.Bind, cmp.Or(f.local, "0")))
	if err != nil {
		return err
	}
	defer listener.Close()
	document, values := f.document()
	held, err := c.start(ctx, a, n, c.Node, document, values)
	if err != nil {
		return err
	}
	if held.Kind != datachannel.Port {
		held.leave(ctx)
		return fmt.Errorf("%s does not forward a port", document)
	}
	say(c.listening(listener.Addr(), f, held.ID))
	over := make(chan error, 1)
	go func() {
		ended, err := held.Wait(ctx)
		if err == nil {
			err = errors.New(cmp.Or(ended.Reason, "the node has ended it"))
		}
		over <- fmt.Errorf("session %s has ended: %w", held.ID, err)
	}()
	carried, cancel := context.WithCancel(ctx)
	defer cancel()
	var connections sync.WaitGroup
	defer connections.Wait()
	go func() {
		for {
			local, err := listener.Accept()
			if err != nil {
				return // it is closed
			}
			connections.Go(func() {
				held.connect(carried, local.(*net.TCPConn), func(err error) { n.warn("%s: %v", f.goal(c.Node), err) })
			})
		}
	}()
	select {
	case <-ctx.Done():
		_ = listener.Close()
		cancel()
		held.leave(ctx)
		return nil
	case err := <-over:
		_ = listener.Close()
		cancel()
		return err
	}
}

// goal names where connections go.
func (f *forwarding) goal(node string) string {
	if f.host == "" {
		return fmt.Sprintf("%s port %d", node, f.port)
	}
	return fmt.Sprintf("%s port %d through %s", f.host, f.port, node)
}

// listening says that a port listens.
func (c *Forward) listening(at net.Addr, f *forwarding, session string) string {
	if c.Output == "text" {
		return fmt.Sprintf("Forwarding %s to %s", at, f.goal(c.Node))
	}
	text, _ := json.Marshal(struct { //nolint:errchkjson // strings and numbers are always JSON
		Listening string `json:"listening"`
		Node      string `json:"node"`
		Host      string `json:"host,omitempty"`
		Port      int    `json:"port"`
		Session   string `json:"session"`
	}{at.String(), c.Node, f.host, f.port, session})
	return string(text)
}

// connect carries one connection. One that the node cannot make is reset here, once refused has been told why. So is one that breaks before
// the node's side has ended, be it with its session: nobody here is to take a part for all.
func (s *holding) connect(ctx context.Context, local *net.TCPConn, refused func(error)) {
	var whole atomic.Bool // all that the node's side has sent is here
	cut := func() {
		if !whole.Load() {
			_ = local.SetLinger(0) // Close resets it; it may be closed
		}
		_ = local.Close() // it has ended, or is reset
	}
	defer cut()
	remote, err := s.OpenPort(ctx)
	if err != nil {
		if ctx.Err() == nil {
			refused(err)
		}
		return
	}
	defer remote.Close()
	unblock := context.AfterFunc(ctx, func() { cut(); remote.Close() })
	defer unblock()
	sent, err := s.join(remote, local, local)
	if why, ok := errors.AsType[*datachannel.PortRefused](err); ok {
		refused(why) // a connection that breaks later is its users' to mend
	}
	if err == nil && local.CloseWrite() == nil {
		whole.Store(true)
		if s.Extended {
			<-sent // the other direction may go on
		}
	}
}

// join copies both ways until the node's side has ended. sent is closed when the other has.
func (s *holding) join(remote datachannel.PortConn, in io.Reader, out io.Writer) (sent <-chan struct{}, err error) {
	var heard io.Reader = remote
	over := func() { _ = remote.CloseWrite() } // it may have broken, which reading tells
	if !s.Extended {
		quiet := &patient{Conn: remote}
		heard, over = quiet, quiet.endInSilence
	}
	done := make(chan struct{})
	go func() { // until the input ends, or cannot be sent
		defer close(done)
		if _, err := io.Copy(remote, in); err != nil {
			remote.Close()
		} else {
			over()
		}
	}()
	_, err = io.Copy(out, heard)
	return done, err
}

// quietEnd is how long a node may be silent whose agent cannot be told that the input has ended.
const quietEnd = 10 * time.Second

// patient is a connection that cannot be closed in one direction. It is closed in both when there is nothing more to hear.
type patient struct {
	net.Conn
	silence atomic.Pointer[time.Timer]
}

// endInSilence closes the connection once nothing has been heard for a while.
func (p *patient) endInSilence() {
	p.silence.Store(time.AfterFunc(quietEnd, func() { p.Close() }))
}

// Read reads, which ends a silence. The end of a connection that was closed in silence is its end.
func (p *patient) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if silence := p.silence.Load(); silence != nil && !silence.Reset(quietEnd) && err != nil {
		err = io.EOF
	}
	return n, err
}

// over is the error of a session that has ended before its time.
func (s *holding) over(ctx context.Context) error {
	_ = s.Close() // what was not read never is, so there is nothing to wait for
	ended, err := s.Wait(ctx)
	if err == nil {
		err = errors.New(cmp.Or(ended.Reason, "the node has ended it"))
	}
	return fmt.Errorf("session %s has ended: %w", s.ID, err)
}

// carry joins standard input and output and one connection.
func (c *Forward) carry(ctx context.Context, a *account, n *notes, f *forwarding, s Streams) error {
	document, values := f.document()
	held, err := c.start(ctx, a, n, c.Node, document, values)
	if err != nil {
		return err
	}
	defer held.leave(ctx)
	if held.Kind != datachannel.Port {
		return fmt.Errorf("%s does not forward a port", document)
	}
	return held.carry(ctx, f.goal(c.Node), s)
}

// carry joins standard input and output and a connection to where goal says.
func (s *holding) carry(ctx context.Context, goal string, streams Streams) error {
	remote, err := s.OpenPort(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", goal, err)
	}
	unblock := context.AfterFunc(ctx, func() { remote.Close() })
	defer unblock()
	_, err = s.join(remote, streams.In, streams.Out)
	switch {
	case err == nil || ctx.Err() != nil:
		return nil
	case errors.Is(err, syscall.EPIPE):
		return readerGone(err)
	}
	select {
	case <-s.Done(): // the connection broke with it
		return s.over(ctx)
	default:
		return fmt.Errorf("%s: %w", goal, err)
	}
}
