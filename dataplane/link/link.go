// Package link carries a [dataplane.Host] to another process: a control plane that may do nothing in the kernel speaks through
// it to the daemon that may. On one machine they are joined by a unix socket, and the daemon hands over the sockets that it has
// opened, so that no byte of a connection passes through it. From another machine the daemon dials the control plane with a
// certificate, and connections come through that one connection, each with a PROXY header (version 2) that says where it came
// from and where it was going. Gateways, which carry an endpoint into a network that is not ours, come the same way.
//
// A call is a connection or stream of its own: a frame with the request, a frame with the answer, and for some more after it. It
// ends when either side closes it, and what it has brought about with it: a Set that nobody waits for is given up, and the
// listeners and packet sockets that a daemon has given end with the daemon, so that they are asked for again when it is back.
package link

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/vennel/vennel/dataplane"
)

// mostFrame is the longest frame: the Config of a large network has a few megabytes.
const mostFrame = 64 << 20

// The bounds of calls.
const (
	askTime  = time.Minute      // for a request to come in whole
	openTime = 20 * time.Second // for a socket to be opened or a connection made
)

// request is what a control plane asks of a daemon.
type request struct {
	Op       op
	Config   *dataplane.Config `json:",omitempty"`
	Socket   *dataplane.Socket `json:",omitempty"`
	Listener uint64            `json:",omitempty"` // the number of the listener for which connections are to be brought
	Call     *dataplane.Call   `json:",omitempty"`
	ID       string            `json:",omitempty"` // of a machine
}

// op is a method of Host.
type op string

// The methods.
const (
	opSet     op = "set"
	opListen  op = "listen"
	opPackets op = "packets"
	opDial    op = "dial"
	opFlows   op = "flows"
	opConsole op = "console"
)

// answer is what a daemon says.
type answer struct {
	Error  string            `json:",omitempty"`
	Status *dataplane.Status `json:",omitempty"`
	Flows  []dataplane.Flow  `json:",omitempty"`
	Lost   int               `json:",omitempty"`
	Bytes  []byte            `json:",omitempty"`
}

// writeFrame writes a value.
func writeFrame(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(text) > mostFrame {
		return fmt.Errorf("a message of %d bytes is too long", len(text))
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(text)), uint32(len(text))), text...))
	return err
}

// readFrame reads a value, and no byte after it. Memory grows with what comes, whatever was announced.
func readFrame(r io.Reader, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > mostFrame {
		return fmt.Errorf("a message of %d bytes is too long", n)
	}
	text, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err == nil && len(text) < int(n) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

// client is the control plane's side of calls.
type client struct {
	// open opens the connection of a call.
	open func(context.Context) (net.Conn, error)
}

// begin opens a call, sends a request and reads the first answer, unless ctx ends before. Then the call is the caller's to close.
func (c *client) begin(ctx context.Context, rq request) (conn net.Conn, first answer, err error) {
	conn, err = c.open(ctx)
	if err != nil {
		return nil, first, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	if err = writeFrame(conn, rq); err == nil {
		err = readFrame(conn, &first)
	}
	if err == nil && first.Error != "" {
		err = errors.New(first.Error)
	}
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		return nil, first, errors.Join(err, conn.Close())
	}
	return conn, first, nil
}

// hold asks for a socket, which stays the caller's until the call is closed.
func (c *client) hold(rq request) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), openTime) //nolint:forbidigo // the interface has none
	defer cancel()
	conn, _, err := c.begin(ctx, rq)
	return conn, err
}

// Set asks the daemon to make a Config true.
func (c *client) Set(ctx context.Context, config *dataplane.Config) (dataplane.Status, error) {
	conn, first, err := c.begin(ctx, request{Op: opSet, Config: config})
	if err != nil {
		return dataplane.Status{}, err
	}
	if first.Status == nil {
		first.Status = new(dataplane.Status)
	}
	return *first.Status, conn.Close()
}

// Console asks the daemon for a machine's console.
func (c *client) Console(ctx context.Context, id string) ([]byte, error) {
	conn, first, err := c.begin(ctx, request{Op: opConsole, ID: id})
	if err != nil {
		return nil, err
	}
	return first.Bytes, conn.Close()
}

// Flows reads flows until ctx ends.
func (c *client) Flows(ctx context.Context, got func([]dataplane.Flow, int)) error {
	conn, _, err := c.begin(ctx, request{Op: opFlows})
	if err != nil {
		return unless(ctx, err)
	}
	defer func() { _ = conn.Close() }() // which ends it on the other side
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	for {
		var a answer
		if err := readFrame(conn, &a); err != nil {
			return unless(ctx, err)
		}
		if a.Error != "" {
			return errors.New(a.Error)
		}
		got(a.Flows, a.Lost)
	}
}

// unless passes over the errors of what was told to end.
func unless(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// daemon answers calls.
type daemon struct {
	host dataplane.Host
	turn chan struct{} // is held by the one Set that is being done
}

// newDaemon makes one.
func newDaemon(host dataplane.Host) *daemon { return &daemon{host, make(chan struct{}, 1)} }

// serve answers a call and closes it. Those that are about a socket are hand's.
func (d *daemon) serve(ctx context.Context, conn net.Conn, hand func(context.Context, net.Conn, *request) error) {
	defer func() { _ = conn.Close() }() // the call is over
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	var rq request
	if conn.SetReadDeadline(time.Now().Add(askTime)) != nil || readFrame(conn, &rq) != nil || conn.SetReadDeadline(time.Time{}) != nil {
		return // nobody is there, or nobody who knows how to ask
	}
	var err error
	switch {
	case rq.Op == opSet && rq.Config != nil:
		err = d.set(ctx, conn, rq.Config)
	case rq.Op == opConsole:
		err = d.console(ctx, conn, rq.ID)
	case rq.Op == opFlows:
		err = d.flows(ctx, conn)
	case (rq.Op == opListen || rq.Op == opPackets) && rq.Socket != nil, rq.Op == opDial && rq.Call != nil:
		err = hand(ctx, conn, &rq)
	default:
		err = fmt.Errorf("there is no request %q like this", rq.Op)
	}
	if err != nil {
		_ = writeFrame(conn, answer{Error: err.Error()}) // whoever has gone does not miss it
	}
}

// set makes a Config true, one at a time. What nobody waits for any more is not begun, and what is under way is given up.
func (d *daemon) set(ctx context.Context, conn net.Conn, config *dataplane.Config) error {
	ctx, done := whileOpen(ctx, conn)
	defer done()
	select {
	case d.turn <- struct{}{}:
	case <-ctx.Done():
		return nil
	}
	defer func() { <-d.turn }()
	status, err := d.host.Set(ctx, config)
	if err != nil {
		return writeFrame(conn, answer{Error: err.Error()})
	}
	return writeFrame(conn, answer{Status: &status})
}

// console gives a machine's console.
func (d *daemon) console(ctx context.Context, conn net.Conn, id string) error {
	text, err := d.host.Console(ctx, id)
	if err != nil {
		return err
	}
	return writeFrame(conn, answer{Bytes: text})
}

// flows gives flows until the other side has enough.
func (d *daemon) flows(ctx context.Context, conn net.Conn) error {
	if err := writeFrame(conn, answer{}); err != nil {
		return err
	}
	ctx, done := whileOpen(ctx, conn)
	defer done()
	err := d.host.Flows(ctx, func(flows []dataplane.Flow, lost int) {
		if writeFrame(conn, answer{Flows: flows, Lost: lost}) != nil {
			_ = conn.Close() // which ends ctx
		}
	})
	if err != nil && ctx.Err() == nil {
		return writeFrame(conn, answer{Error: err.Error()})
	}
	return nil
}

// whileOpen gives a context that ends when the other side closes a call, on which it says nothing more. done closes this side.
func whileOpen(ctx context.Context, conn net.Conn) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancel(ctx)
	gone := make(chan struct{})
	go func() { // done waits for it
		defer close(gone)
		_, _ = io.Copy(io.Discard, conn)
		cancel()
	}()
	return ctx, func() {
		_ = conn.Close()
		<-gone
	}
}

// lease ends something when a call is closed, by either side. Its Close waits until that is done.
type lease struct {
	conn net.Conn
	gone chan struct{}
}

// newLease watches over a call.
func newLease(conn net.Conn, end func()) *lease {
	l := &lease{conn, make(chan struct{})}
	go func() { // Close waits for it
		defer close(l.gone)
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
		end()
	}()
	return l
}

// Close closes the call.
func (l *lease) Close() error {
	err := l.conn.Close()
	<-l.gone
	return err
}

// The wait for what is short for a moment.
const shortage = 50 * time.Millisecond

// accepting takes the connections of a listener, one by one, until ctx ends, and closes it. What is short for a moment, such as
// descriptors, is waited for.
func accepting(ctx context.Context, l net.Listener, take func(net.Conn)) error {
	defer func() { _ = l.Close() }() // nobody accepts any more
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	for {
		conn, err := l.Accept()
		if err == nil {
			take(conn)
			continue
		}
		if ctx.Err() != nil || !passing(err) {
			return unless(ctx, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(shortage):
		}
	}
}

// passing reports whether a listener may work again after an error.
func passing(err error) bool {
	number, ok := errors.AsType[syscall.Errno](err)
	return ok && (number == syscall.ECONNABORTED || number == syscall.EMFILE || number == syscall.ENFILE || number == syscall.ENOBUFS || number == syscall.ENOMEM)
}
