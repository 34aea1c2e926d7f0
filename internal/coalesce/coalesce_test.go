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
	in      bytes.Buffer
	written [][]byte
	largest int // room for a read
	fails   error
}

// Read reads.
func (c *counted) Read(p []byte) (int, error) {
	c.largest = max(c.largest, len(p))
	return c.in.Read(p)
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
	for range 5 {
		write(16 << 10)
	}
	var sizes []int
	for _, w := range under.written {
		sizes = append(sizes, len(w))
	}
	if want := []int{3, 32 << 10, 5, 64 << 10}; !slices.Equal(sizes, want) {
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

// TestReads gives what came in its order, has no buffer for little, and takes much at once.
func TestReads(t *testing.T) {
	want := make([]byte, 300<<10)
	for i := range want {
		want[i] = byte(i * i >> 3)
	}
	under := &counted{}
	under.in.Write(want)
	c := New(under)
	got, err := io.ReadAll(io.LimitReader(struct{ io.Reader }{c}, int64(len(want))))
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if under.largest < batch {
		t.Errorf("at most %d bytes were fetched at once", under.largest)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	under.largest = 0
	under.in.WriteString("little")
	_, _ = c.Read(make([]byte, 512)) // whatever it does with the last of much
	under.in.WriteString("little")
	if n, err := c.Read(make([]byte, 512)); n != 6 || err != nil || c.in != nil {
		t.Errorf("%d bytes, %v, with a buffer: %v", n, err, c.in != nil)
	}
}
