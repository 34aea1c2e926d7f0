package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// ExecConfig says what Exec runs, and with what around it.
type ExecConfig struct {
	Argv   []string
	Env    []string // beside the user's own
	Dir    string   // "" for the user's home
	User   string   // name or number, "" for root
	TTY    bool     // a terminal: what it says comes on Stdout alone
	Size   Size     // of the terminal at first
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Resize <-chan Size
}

// Exec runs a command in a machine that runs or waits for Release, and gives its exit status: 128 and more for signals. dir is
// a Launcher's; this need not be its process. When the context ends, the command is hung up on. A Stdin whose Read does not
// return is left behind in a goroutine that ends with that Read.
func Exec(ctx context.Context, dir, id string, c ExecConfig) (int, error) {
	conn, err := dial(dir, id)
	if err != nil {
		return 0, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := writeMessage(conn, request{Exec: &command{Argv: c.Argv, Env: c.Env, Dir: c.Dir, User: c.User, TTY: c.TTY, Size: c.Size}}); err != nil {
		conn.Close()
		return 0, errors.Join(err, ctx.Err())
	}
	out := &frames{w: conn}
	done := make(chan struct{})
	var work sync.WaitGroup
	defer func() {
		close(done)
		conn.Close()
		work.Wait()
	}()
	work.Go(func() {
		for {
			select {
			case <-done:
				return
			case size, ok := <-c.Resize:
				if !ok || out.write(kindResize, size.frame()) != nil {
					return
				}
			}
		}
	})
	go feed(c.Stdin, out) // see above
	for {
		kind, data, err := readFrame(conn)
		if err != nil {
			if ctx.Err() != nil {
				return 0, ctx.Err()
			}
			return 0, fmt.Errorf("the machine has hung up: %w", err)
		}
		switch kind {
		case kindStdout:
			err = give(c.Stdout, data)
		case kindStderr:
			err = give(c.Stderr, data)
		case kindExit:
			var answer reply
			if err := json.Unmarshal(data, &answer); err != nil {
				return 0, err
			}
			if answer.Error != "" {
				return 0, errors.New(printable(answer.Error))
			}
			return answer.Exit, nil
		default:
			err = fmt.Errorf("the machine says %q", kind)
		}
		if err != nil {
			return 0, err
		}
	}
}

// give writes to a writer that may be none.
func give(w io.Writer, data []byte) error {
	if w == nil {
		return nil
	}
	_, err := w.Write(data)
	return err
}

// feed sends what is read, and its end.
func feed(r io.Reader, out *frames) {
	buffer := make([]byte, maxData)
	for r != nil {
		n, err := r.Read(buffer)
		if n > 0 && out.write(kindStdin, buffer[:n]) != nil {
			return
		}
		if err != nil {
			break
		}
	}
	_ = out.write(kindStdin, nil) // who has hung up needs no end
}
