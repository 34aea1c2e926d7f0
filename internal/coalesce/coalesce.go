// Package coalesce puts a connection under TLS whose records go to the kernel together. TLS cuts a message into records of 16 KiB,
// and writes each of them by itself.
package coalesce

import (
	"net"
	"sync"
	"time"
)

// How much is written at once, and up to where a connection makes do with a small buffer.
const (
	batch = 128 << 10
	small = 2 << 10
)

// batches are buffers of connections.
var batches = sync.Pool{New: func() any {
	b := make([]byte, 0, batch+batch/2) // the last record may be beyond it
	return &b
}}

// Conn is a connection below TLS. The records of one message go to the kernel together, and so do small messages that are sent
// in a row. A connection that is idle has no buffer.
type Conn struct {
	net.Conn

	mu   sync.Mutex // guards the rest
	held bool
	few  []byte  // what was kept, while it is little
	out  *[]byte // when it is not
	err  error   // of a write; a part of a record may be gone
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
	if c.out == nil && len(c.few)+len(p) <= small {
		c.few = append(c.few, p...)
		return len(p), nil
	}
	if c.out == nil {
		c.out = batches.Get().(*[]byte)
		*c.out = append(*c.out, c.few...)
		c.few = nil
	}
	*c.out = append(*c.out, p...)
	if len(*c.out) < batch {
		return len(p), nil
	}
	return len(p), c.write()
}

// write writes what was kept. The caller has the lock.
func (c *Conn) write() error {
	if len(c.few) > 0 {
		_, c.err = c.Conn.Write(c.few)
		c.few = nil
	}
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

// lastWrite is how long Close may take for what was kept.
const lastWrite = time.Second

// Close writes what was kept, if that is possible, and closes the connection. It does not wait for a write that is stuck: closing ends that.
func (c *Conn) Close() error {
	if c.mu.TryLock() {
		if len(c.few) > 0 || c.out != nil {
			_ = c.SetWriteDeadline(time.Now().Add(lastWrite)) // one that is gone fails
			_ = c.write()                                     // nobody is left to be told
		}
		c.mu.Unlock()
	}
	return c.Conn.Close()
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
