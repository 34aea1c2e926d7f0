package machine

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/vennel/vennel/dataplane"
)

// What is said on the control socket is a sequence of frames: a kind, a length of four bytes, the bytes. The first is a request.
const (
	kindMessage = 'm' // JSON
	kindStdin   = '0' // without bytes: it has ended
	kindStdout  = '1'
	kindStderr  = '2'
	kindResize  = 'w' // a size
	kindExit    = 'x' // a reply

	maxMessage = 2 << 20
	maxData    = 32 << 10
)

// request is what is wanted of a first process: one of these.
type request struct {
	Release   bool               `json:",omitempty"`
	Configure *dataplane.Machine `json:",omitempty"`
	Exec      *command           `json:",omitempty"`
}

// reply is the answer, and the end of what a command says.
type reply struct {
	Error string `json:",omitempty"` // why it was not done
	Exit  int    `json:",omitempty"` // of a command
}

// command is a process that is to be started.
type command struct {
	Argv []string
	Env  []string `json:",omitempty"`
	Dir  string   `json:",omitempty"`
	User string   `json:",omitempty"`
	TTY  bool     `json:",omitempty"`
	Size Size     `json:",omitzero"`
}

// Size is that of a terminal's window, in characters.
type Size struct {
	Rows, Columns uint16
}

// writeFrame writes a frame at once.
func writeFrame(w io.Writer, kind byte, data []byte) error {
	frame := make([]byte, 5, 5+len(data))
	frame[0] = kind
	binary.BigEndian.PutUint32(frame[1:], uint32(len(data)))
	_, err := w.Write(append(frame, data...))
	return err
}

// readFrame reads a frame. One that is longer than its kind may be is an error before it takes memory.
func readFrame(r io.Reader) (kind byte, data []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	size, most := binary.BigEndian.Uint32(head[1:]), uint32(maxData)
	switch head[0] {
	case kindMessage, kindExit:
		most = maxMessage
	case kindStdin, kindStdout, kindStderr, kindResize:
	default:
		return 0, nil, fmt.Errorf("a frame of kind %q", head[0])
	}
	if size > most {
		return 0, nil, fmt.Errorf("a frame of %d bytes", size)
	}
	data = make([]byte, size)
	_, err = io.ReadFull(r, data)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return head[0], data, err
}

// writeMessage writes a value as a frame.
func writeMessage(w io.Writer, value any) error { return writeJSONFrame(w, kindMessage, value) }

// writeJSONFrame writes a value as a frame of a kind.
func writeJSONFrame(w io.Writer, kind byte, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if len(text) > maxMessage {
		return fmt.Errorf("a message of %d bytes", len(text))
	}
	return writeFrame(w, kind, text)
}

// readMessage reads such a value.
func readMessage(r io.Reader, value any) error {
	kind, text, err := readFrame(r)
	if err != nil {
		return err
	}
	if kind != kindMessage {
		return fmt.Errorf("a frame of kind %q where a message was to come", kind)
	}
	return json.Unmarshal(text, value)
}

// readReply reads the answer to a request that starts nothing.
func readReply(r io.Reader) error {
	kind, text, err := readFrame(r)
	if err != nil {
		return fmt.Errorf("its first process does not answer: %w", err)
	}
	if kind != kindExit {
		return fmt.Errorf("its first process answers with %q", kind)
	}
	var answer reply
	if err := json.Unmarshal(text, &answer); err != nil {
		return fmt.Errorf("its first process does not answer: %w", err)
	}
	if answer.Error != "" {
		return errors.New(printable(answer.Error))
	}
	return nil
}

// printable makes of what a machine says a line that can be shown.
func printable(s string) string {
	clean := []rune(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s[:min(len(s), 4096)]))
	return string(clean[:min(len(clean), 256)])
}

// shut closes what has nothing to lose.
func shut(c io.Closer) { _ = c.Close() }

// shutFD is shut for a descriptor.
func shutFD(fd int) { _ = unix.Close(fd) }

// dial connects to a machine's first process.
func dial(dir, id string) (net.Conn, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	folder, err := os.Open(filepath.Join(dir, id))
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrNotRunning, id)
	}
	defer shut(folder)
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Net: "unix", Name: fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), controlName)})
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOENT) {
		return nil, fmt.Errorf("%w: %s", ErrNotRunning, id)
	}
	return conn, err
}

// call asks a machine's first process for something that takes no time.
func call(dir, id string, r request) error {
	conn, err := dial(dir, id)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(brief)); err != nil {
		return err
	}
	if err := writeMessage(conn, r); err != nil {
		return err
	}
	return readReply(conn)
}

// frames writes frames to a connection, from several goroutines.
type frames struct {
	mu sync.Mutex // one frame at a time
	w  io.Writer
}

// write writes a frame.
func (f *frames) write(kind byte, data []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return writeFrame(f.w, kind, data)
}
