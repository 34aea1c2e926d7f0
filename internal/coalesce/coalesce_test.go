package coalesce

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
)

// counted is a connection that counts what is asked of it.
type counted struct {
	net.Conn
	written [][]byte
	fails   error
}

// Write writes.
func (c *counted) Write(p []byte) (int, error) {
	if c.fails != nil {
		return 0, c.fails
	}
	c.written = append(c.written, bytes.Clone(p))
	return len(p), nil
}

// TestWrites go together while they are held, up to a batch.
func TestWrites(t *testing.T) {
	under := &counted{}
	c := New(under)
	write := func(n int) {
		t.Helper()
		if k, err := c.Write(make([]byte, n)); k != n || err != nil {
			t.Fatal(k, err)
		}
	}
	write(3)
	c.Hold()
	write(16 << 10)
	write(16 << 10)
	if len(under.written) != 1 {
		t.Error("what is held was written")
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	write(5)
	c.Hold()
	for range 9 {
		write(16 << 10)
	}
	var sizes []int
	for _, w := range under.written {
		sizes = append(sizes, len(w))
	}
	if want := []int{3, 32 << 10, 5, 128 << 10}; !slices.Equal(sizes, want) {
		t.Errorf("%v, not %v", sizes, want)
	}
}

// TestFailedWrite is told to all who write later: a part of a record may have gone.
func TestFailedWrite(t *testing.T) {
	failure := errors.New("broken")
	under := &counted{fails: failure}
	c := New(under)
	c.Hold()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if err := c.Flush(); !errors.Is(err, failure) {
		t.Error(err)
	}
	under.fails = nil
	if _, err := c.Write([]byte("y")); !errors.Is(err, failure) {
		t.Error(err)
	}
	if err := c.Flush(); !errors.Is(err, failure) || len(under.written) > 0 {
		t.Error(err, under.written)
	}
}

// TestCloseStuck closes a connection whose peer does not read, and one that has kept something.
func TestCloseStuck(t *testing.T) {
	here, there := net.Pipe()
	c := New(here)
	c.Hold()
	stuck := make(chan error, 1)
	go func() {
		_, err := c.Write(make([]byte, batch)) // which the pipe does not take
		stuck <- err
	}()
	if _, err := there.Read(make([]byte, 1)); err != nil { // the write has begun, and holds the lock
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := <-stuck; !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
	here, there = net.Pipe()
	c = New(here)
	c.Hold()
	if _, err := c.Write([]byte("kept")); err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(there) // to its end
		got <- string(b)
	}()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if text := <-got; text != "kept" {
		t.Errorf("%q came", text)
	}
}
