// Package link carries a [dataplane.Host] to another process: a control plane that may do nothing in the kernel speaks through
// it to the daemon that may. On one machine they are joined by a unix socket, and the daemon hands over the sockets that it has
// opened, so that no byte of a connection passes through it. From another machine the daemon dials the control plane with a
// certificate, and connections come through that one connection, each with a PROXY header (version 2) that says where it came
// from and where it was going. Gateways, which carry an endpoint into a network that is not ours, come the same way.
//
// A call is a stream of its own: a frame with the request, frames with the answers, and for some the bytes after them.
package link

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/vennel/vennel/dataplane"
)

// mostFrame is the longest frame: the Config of a large network has a few megabytes.
const mostFrame = 64 << 20

// request is what a control plane asks of a daemon.
type request struct {
	Op     op
	Config *dataplane.Config `json:",omitempty"`
	Socket *dataplane.Socket `json:",omitempty"`
	Call   *dataplane.Call   `json:",omitempty"`
	ID     string            `json:",omitempty"` // of a machine
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

// readFrame reads a value, of as many bytes as may be expected of the other side. It reads no byte after it.
func readFrame(r io.Reader, most uint32, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > most {
		return fmt.Errorf("a message of %d bytes is too long", n)
	}
	text, err := io.ReadAll(io.LimitReader(r, int64(n))) // grows with what comes, whatever was announced
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
	// open opens the stream of a call.
	open func(context.Context) (net.Conn, error)
}

// begin opens a stream, sends a request and reads the first answer. The stream ends with ctx.
func (c *client) begin(ctx context.Context, rq request) (conn net.Conn, first answer, release func(), err error) {
	conn, err = c.open(ctx)
	if err != nil {
		return nil, first, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	release = func() { stop() }
	if err = writeFrame(conn, rq); err == nil {
		err = readFrame(conn, mostFrame, &first)
	}
	if err == nil && first.Error != "" {
		err = errors.New(first.Error)
	}
	if err != nil {
		stop()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, first, nil, errors.Join(err, conn.Close())
	}
	return conn, first, release, nil
}

// Set asks the daemon to make a Config true.
func (c *client) Set(ctx context.Context, config *dataplane.Config) (dataplane.Status, error) {
	conn, first, release, err := c.begin(ctx, request{Op: opSet, Config: config})
	if err != nil {
		return dataplane.Status{}, err
	}
	release()
	if first.Status == nil {
		first.Status = new(dataplane.Status)
	}
	return *first.Status, conn.Close()
}

// Console asks the daemon for a machine's console.
func (c *client) Console(ctx context.Context, id string) ([]byte, error) {
	conn, first, release, err := c.begin(ctx, request{Op: opConsole, ID: id})
	if err != nil {
		return nil, err
	}
	release()
	return first.Bytes, conn.Close()
}

// Flows reads flows until ctx ends.
func (c *client) Flows(ctx context.Context, got func([]dataplane.Flow, int)) error {
	conn, _, release, err := c.begin(ctx, request{Op: opFlows})
	if err != nil {
		return unless(ctx, err)
	}
	defer release()
	for {
		var a answer
		if err := readFrame(conn, mostFrame, &a); err != nil {
			return unless(ctx, errors.Join(err, conn.Close()))
		}
		if a.Error != "" {
			return errors.Join(errors.New(a.Error), conn.Close())
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

// serve answers a call that has been opened on the daemon's side, but for those that hand over a socket, which hand does.
func serve(ctx context.Context, conn net.Conn, host dataplane.Host, hand func(context.Context, net.Conn, *request) error) error {
	defer func() { _ = conn.Close() }() // the call is over
	var rq request
	if err := readFrame(conn, mostFrame, &rq); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	switch {
	case rq.Op == opSet && rq.Config != nil:
		status, err := host.Set(ctx, rq.Config)
		return writeFrame(conn, answer{Error: says(err), Status: &status})
	case rq.Op == opConsole:
		text, err := host.Console(ctx, rq.ID)
		return writeFrame(conn, answer{Error: says(err), Bytes: text})
	case rq.Op == opFlows:
		if err := writeFrame(conn, answer{}); err != nil {
			return err
		}
		go func() { // it ends when the other side closes the stream, or this one does
			_, _ = io.Copy(io.Discard, conn)
			cancel()
		}()
		return host.Flows(ctx, func(flows []dataplane.Flow, lost int) {
			if writeFrame(conn, answer{Flows: flows, Lost: lost}) != nil {
				cancel()
			}
		})
	case rq.Op == opListen && rq.Socket != nil, rq.Op == opPackets && rq.Socket != nil, rq.Op == opDial && rq.Call != nil:
		if err := hand(ctx, conn, &rq); err != nil {
			return writeFrame(conn, answer{Error: says(err)})
		}
		return nil
	}
	return writeFrame(conn, answer{Error: fmt.Sprintf("there is no request %q like this", rq.Op)})
}

// says is an error's text; "" for none.
func says(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
