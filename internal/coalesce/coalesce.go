// Package coalesce puts a connection under TLS whose records go to the kernel together. TLS cuts a message into records of 16 KiB,
// and writes and reads each of them by itself.
package coalesce

import (
	"net"
	"sync"
)

// The sizes of what is written and read at once.
const (
	batch     = 64 << 10
	leastFull = 1 << 10 // bytes of a read that was full, after which there is more to be expected
)

// batches are buffers of connections.
var batches = sync.Pool{New: func() any {
	b := make([]byte, 0, 2*batch)
	return &b
}}

// Conn is a connection below TLS. The records of one message go to the kernel together, and so do small messages that are sent
// in a row; and what has come is fetched from it together. A connection that is idle has no buffers.
type Conn struct {
	net.Conn

	in   *[]byte // of the goroutine that reads
	at   int     // within in
	busy bool    // there is more to be expected

	mu   sync.Mutex // guards the rest
	held bool
	out  *[]byte
	err  error // of a write; a part of a record may be gone
}

// New puts a Conn on a connection.
func New(conn net.Conn) *Conn { return &Conn{Conn: conn} }

// Hold keeps what is written until Flush, or until there is enough of it.
func (c *Conn) Hold() {
	c.mu.Lock()
	c.held = true
	c.mu.Unlock()
}

// Write keeps what is written, or writes it.
func (c *Conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	if !c.held {
		return c.Conn.Write(p)
	}
	if c.out == nil {
		c.out = batches.Get().(*[]byte)
	}
	*c.out = append(*c.out, p...)
	if len(*c.out) < batch {
		return len(p), nil
	}
	return len(p), c.write()
}

// write writes what was kept. The caller has the lock.
func (c *Conn) write() error {
	if c.out == nil {
		return c.err
	}
	_, c.err = c.Conn.Write(*c.out)
	*c.out = (*c.out)[:0]
	batches.Put(c.out)
	c.out = nil
	return c.err
}

// Flush writes what was kept, and from now on all at once.
func (c *Conn) Flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = false
	return c.write()
}

// Read reads what has been fetched, or fetches more. There is no buffer while nothing is to be expected: not before as much has come
// as was asked for.
func (c *Conn) Read(p []byte) (int, error) {
	if c.in == nil && !c.busy {
		n, err := c.Conn.Read(p)
		c.busy = n == len(p) && n >= leastFull
		return n, err
	}
	if c.in == nil {
		c.in = batches.Get().(*[]byte)
		n, err := c.Conn.Read((*c.in)[:cap(*c.in)])
		c.busy = n == cap(*c.in)
		*c.in, c.at = (*c.in)[:n], 0
		if err != nil {
			c.free()
			return 0, err
		}
	}
	n := copy(p, (*c.in)[c.at:])
	if c.at += n; c.at == len(*c.in) {
		c.free()
	}
	return n, nil
}

// free gives the buffer of reads back.
func (c *Conn) free() {
	*c.in = (*c.in)[:0]
	batches.Put(c.in)
	c.in = nil
}

// Listener puts a Conn on each connection of another listener.
type Listener struct{ net.Listener }

// Accept waits for a connection.
func (l Listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return New(conn), nil
}

// Under gives the connection that a Conn was put on, or the connection itself.
func Under(conn net.Conn) net.Conn {
	if c, ok := conn.(*Conn); ok {
		return c.Conn
	}
	return conn
}
