package plugin

import (
	"errors"
	"io"
	"os"
)

// mostStream bounds the file of a stream. Only its beginning is ever reported; the rest is for
// whoever looks on the node.
const mostStream = 8 << 20

// Stream keeps what a step writes, in a file that survives the step and grows over its reboots. A
// chatty script costs neither memory nor, beyond a bound, disk, and is never made to wait for it.
type Stream struct {
	f     *os.File
	size  int64
	cause error // the first error of the file
}

// OpenStream opens a stream at its end.
func OpenStream(name string) (*Stream, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Stream{f: f, size: info.Size()}, nil
}

// Write takes all bytes and keeps those for which there is room. It never fails: a full disk must
// not stop a script half way.
func (s *Stream) Write(p []byte) (int, error) {
	keep := p[:max(0, min(int64(len(p)), mostStream-s.size))]
	if len(keep) > 0 && s.cause == nil {
		n, err := s.f.Write(keep)
		s.size += int64(n)
		s.cause = err
	}
	return len(p), nil
}

// Head reads at most n bytes from the beginning.
func (s *Stream) Head(n int) (string, error) {
	b, err := io.ReadAll(io.NewSectionReader(s.f, 0, int64(n)))
	return string(b), err
}

// Reset forgets what was written.
func (s *Stream) Reset() error {
	s.size = 0
	return s.f.Truncate(0)
}

// Close closes the file and says what went wrong with it, if anything.
func (s *Stream) Close() error { return errors.Join(s.cause, s.f.Close()) }
