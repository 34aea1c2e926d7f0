package machine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/vennel/vennel/dataplane"
)

// maxConsole is how much a console remembers; what is older goes, half of it at a time.
const maxConsole = 1 << 20

// Console is the path of what a machine has written to its console, this boot and before; it stays small.
func Console(dir, id string) string { return filepath.Join(dir, id, consoleName) }

// Console gives the last of what a machine has written to its console, this boot and before; nothing when it is not there.
func (l *Launcher) Console(id string) ([]byte, error) {
	l.mu.Lock()
	g := l.guests[id]
	l.mu.Unlock()
	if g == nil {
		return nil, nil
	}
	f, err := os.Open(filepath.Join(g.folder, consoleName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer shut(f)
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.NewSectionReader(f, max(0, info.Size()-dataplane.MostConsole), dataplane.MostConsole))
}

// console is that file, in the first process.
type console struct {
	mu    sync.Mutex // guards size and the order of what is written
	file  *os.File
	size  int64
	since time.Time
}

// newConsole goes on where the last boot ended.
func newConsole(f *os.File) (*console, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return &console{file: f, size: info.Size(), since: time.Now()}, nil
}

// Write appends, and forgets the older half when there is too much.
func (c *console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	whole := len(b)
	b = b[max(0, len(b)-maxConsole/2):]
	if c.size+int64(len(b)) > maxConsole {
		kept := make([]byte, maxConsole/2)
		n, err := c.file.ReadAt(kept, max(0, c.size-int64(len(kept))))
		if n == 0 && err != nil {
			return 0, err
		}
		kept = kept[:n]
		kept = kept[bytes.IndexByte(kept, '\n')+1:]
		if _, err := c.file.WriteAt(kept, 0); err != nil {
			return 0, err
		}
		if err := c.file.Truncate(int64(len(kept))); err != nil {
			return 0, err
		}
		c.size = int64(len(kept))
	}
	n, err := c.file.WriteAt(b, c.size)
	c.size += int64(n)
	if err != nil {
		return n, err
	}
	return whole, nil
}

// say writes a line as a kernel would.
func (c *console) say(format string, args ...any) {
	fmt.Fprintf(c, "[%12.6f] %s\n", time.Since(c.since).Seconds(), fmt.Sprintf(format, args...))
}
