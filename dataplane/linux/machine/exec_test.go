package machine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/vennel/vennel/dataplane"
)

func TestExec(t *testing.T) {
	l := newLauncher(t)
	up(t, l, dataplane.Machine{ID: "i-1", Name: "one"})
	run := func(c ExecConfig) (string, string, int, error) {
		var stdout, stderr bytes.Buffer
		c.Stdout, c.Stderr = &stdout, &stderr
		exit, err := Exec(t.Context(), l.Dir, "i-1", c)
		return stdout.String(), stderr.String(), exit, err
	}
	for _, c := range []struct {
		what           string
		config         ExecConfig
		stdout, stderr string
		exit           int
		err            string
	}{
		{"streams", ExecConfig{Argv: []string{"sh", "-c", "cat; echo oops >&2; exit 7"}, Stdin: strings.NewReader("in")}, "in", "oops\n", 7, ""},
		{"a signal", ExecConfig{Argv: []string{"sh", "-c", "kill -9 $$"}}, "", "", 137, ""},
		{"a user", ExecConfig{Argv: []string{"sh", "-c", "id -u; id -G; echo $HOME $USER; pwd"}, User: "daemon"}, "1\n1\n/usr/sbin daemon\n/usr/sbin\n", "", 0, ""},
		{"a number", ExecConfig{Argv: []string{"id", "-un"}, User: "1"}, "daemon\n", "", 0, ""},
		{"nobody", ExecConfig{Argv: []string{"id"}, User: "joe"}, "", "", 0, "user: unknown user joe"},
		{"a folder", ExecConfig{Argv: []string{"pwd"}, Dir: "/usr/bin"}, "/usr/bin\n", "", 0, ""},
		{"root's folder", ExecConfig{Argv: []string{"pwd"}}, "/root\n", "", 0, ""},
		{"no such folder", ExecConfig{Argv: []string{"pwd"}, Dir: "/nowhere"}, "", "", 0, "pwd: no such file or directory"},
		{"environment", ExecConfig{Argv: []string{"sh", "-c", "echo $A $HOME"}, Env: []string{"A=b", "HOME=/x"}}, "b /x\n", "", 0, ""},
		{"only that", ExecConfig{Argv: []string{"sh", "-c", "env | cut -d= -f1 | sort | xargs"}}, "AWS_CA_BUNDLE HOME LANG LOGNAME PATH PWD SHELL SSL_CERT_FILE USER\n", "", 0, ""},
		{"no command", ExecConfig{}, "", "", 0, "there is no command"},
		{"no such command", ExecConfig{Argv: []string{"nonesuch"}}, "", "", 0, "nonesuch: command not found"},
		{"no such file", ExecConfig{Argv: []string{"/nonesuch"}}, "", "", 0, "/nonesuch: no such file or directory"},
		{"a child that stays", ExecConfig{Argv: []string{"sh", "-c", "sleep 100 & echo done"}}, "done\n", "", 0, ""},
		{"streams that block", ExecConfig{Argv: []string{"sh", "-c", "cat /proc/$$/fdinfo/0 /proc/$$/fdinfo/1 /proc/$$/fdinfo/2 | grep flags | xargs"}}, "flags: 00 flags: 01 flags: 01\n", "", 0, ""},
		{"a child that reads nothing", ExecConfig{Argv: []string{"sh", "-c", "sleep 100 & echo done"}, Stdin: strings.NewReader(strings.Repeat("x", 1<<20))}, "done\n", "", 0, ""},
		{"no descriptors but three, and that of the folder", ExecConfig{Argv: []string{"ls", "/proc/self/fd"}}, "0\n1\n2\n3\n", "", 0, ""},
	} {
		stdout, stderr, exit, err := run(c.config)
		said := ""
		if err != nil {
			said = err.Error()
		}
		if stdout != c.stdout || stderr != c.stderr || exit != c.exit || said != c.err {
			t.Errorf("%s: %q %q %d %q, not %q %q %d %q", c.what, stdout, stderr, exit, said, c.stdout, c.stderr, c.exit, c.err)
		}
	}
	if _, err := Exec(t.Context(), l.Dir, "i-2", ExecConfig{Argv: []string{"true"}}); !errors.Is(err, ErrNotRunning) {
		t.Errorf("in a machine that is not there: %v", err)
	}
}

// TestExecBulk sends more than any buffer holds, both ways, several times at once.
func TestExecBulk(t *testing.T) {
	l := newLauncher(t)
	up(t, l, dataplane.Machine{ID: "i-1", Name: "one"})
	var work sync.WaitGroup
	for i := range 12 {
		work.Go(func() {
			data := make([]byte, 1<<20)
			source := rand.NewChaCha8([32]byte{byte(i)})
			if _, err := source.Read(data); err != nil {
				t.Error(err)
			}
			sum := sha256.New()
			exit, err := Exec(t.Context(), l.Dir, "i-1", ExecConfig{Argv: []string{"sh", "-c", fmt.Sprintf("cat; exit %d", i)}, Stdin: bytes.NewReader(data), Stdout: sum})
			if err != nil || exit != i || !bytes.Equal(sum.Sum(nil), sum256(data)) {
				t.Errorf("%d: exit %d, %v", i, exit, err)
			}
		})
	}
	work.Wait()
}

// sum256 is a hash.
func sum256(data []byte) []byte {
	sum := sha256.Sum256(data)
	return sum[:]
}

// TestExecHangup ends commands whose caller has gone.
func TestExecHangup(t *testing.T) {
	l := newLauncher(t)
	up(t, l, dataplane.Machine{ID: "i-1", Name: "one"})
	for _, c := range []ExecConfig{{}, {TTY: true}, {Stdin: zeros{}}} {
		ctx, cancel := context.WithCancel(t.Context())
		r, w := io.Pipe()
		done := make(chan error, 1)
		c.Argv, c.Stdout = []string{"sh", "-c", "echo here; sleep 1000"}, w
		go func() {
			_, err := Exec(ctx, l.Dir, "i-1", c)
			done <- err
		}()
		if _, err := r.Read(make([]byte, 16)); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%+v: %v", c, err)
		}
		eventually(t, "the command is gone", func() bool {
			_, exit := sh(t, l, "i-1", "pgrep -x sleep")
			return exit == 1
		})
	}
}

// zeros never end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// talk is a terminal that a test reads and writes.
type talk struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (k *talk) Write(b []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.text.Write(b)
}

// has says whether something was said.
func (k *talk) has(what string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return strings.Contains(k.text.String(), what)
}

func TestExecTerminal(t *testing.T) {
	l := newLauncher(t)
	up(t, l, dataplane.Machine{ID: "i-1", Name: "one"})
	in, keys := io.Pipe()
	screen, resize, done := &talk{}, make(chan Size), make(chan int, 1)
	go func() {
		exit, err := Exec(t.Context(), l.Dir, "i-1", ExecConfig{
			Argv: []string{"sh"}, TTY: true, Size: Size{24, 80}, Stdin: in, Stdout: screen, Resize: resize, Env: []string{"TERM=xterm", "PS1=# "}, User: "root",
		})
		if err != nil {
			t.Error(err)
		}
		done <- exit
	}()
	defer func() {
		if t.Failed() {
			t.Logf("%q", screen.text.String())
		}
	}()
	for _, step := range []struct {
		do   func()
		keys string
		said string
	}{
		{nil, "tty; stty size\n", "/dev/pts/0\r\n24 80\r\n"},
		{func() { resize <- Size{50, 132} }, "until stty size | grep 132; do sleep 0.1; done\n", "50 132\r\n"},
		{nil, "sh -c 'echo g\"\"o; exec sleep 1000'\n", "go\r\n"},
		{nil, "\x03", "^C"},
		{nil, "echo af''ter $TERM\n", "after xterm\r\n"},
	} {
		if step.do != nil {
			step.do()
		}
		if _, err := io.WriteString(keys, step.keys); err != nil {
			t.Fatal(err)
		}
		eventually(t, fmt.Sprintf("%q after %q", step.said, step.keys), func() bool { return screen.has(step.said) })
	}
	if _, err := io.WriteString(keys, "exit 3\n"); err != nil {
		t.Fatal(err)
	}
	if exit := <-done; exit != 3 {
		t.Errorf("exit %d", exit)
	}
}

// TestHostile bothers a first process and a Launcher with what neither of them expects.
func TestHostile(t *testing.T) {
	l := newLauncher(t)
	up(t, l, dataplane.Machine{ID: "i-1", Name: "one", Init: []string{"sh", "-c", "yes this is a very long line of text that means nothing | head -c 30000000; echo the end; exec sleep 1000"}})
	garbage := [][]byte{
		nil, []byte("GET / HTTP/1.1\r\n\r\n"), {'m', 0xff, 0xff, 0xff, 0xff}, {'m', 0, 0, 0, 2, '{', '}'}, {'m', 0, 0, 0, 2, '[', ']'}, {'x', 0, 0, 0, 0},
		[]byte("m\x00\x00\x00\x10{\"Exec\":{\"Argv\":"), append([]byte("m\x00\x00\x00\x1c"), `{"Exec":{"Argv":["cat",""]}}`...),
		append([]byte("m\x00\x00\x00\x1a"), "{\"Exec\":{\"Argv\":[\"sleep\"]}}w\x00\x00\x00\x01a0\x00\x00\x00\x00m"...),
	}
	var held []net.Conn
	for range 20 {
		for _, g := range garbage {
			conn, err := dial(l.Dir, "i-1")
			if err != nil {
				break // the backlog is full
			}
			defer conn.Close()
			if _, err := conn.Write(g); err != nil {
				t.Fatal(err)
			}
			if len(held) < maxConns/2 {
				held = append(held, conn)
			} else {
				conn.Close()
			}
		}
	}
	want(t, l, "i-1", "echo still here", "still here")
	eventually(t, "the console is read", func() bool {
		text, err := os.ReadFile(Console(l.Dir, "i-1"))
		return err == nil && bytes.HasSuffix(text, []byte("the end\n"))
	})
	if info, err := os.Stat(Console(l.Dir, "i-1")); err != nil || info.Size() > maxConsole {
		t.Errorf("the console has grown: %v, %v", info, err)
	}
	for _, script := range []string{"head -c 1000000 /dev/urandom >/run/initctl", "echo reboot >/run/initctl", "echo reboot -1 >/run/initctl", "echo >/run/initctl"} {
		sh(t, l, "i-1", script)
	}
	want(t, l, "i-1", "echo still here", "still here")

	// A first process that its machine's root has made its own says what it likes.
	folder := t.TempDir()
	if err := os.Mkdir(folder+"/i-9", 0o700); err != nil {
		t.Fatal(err)
	}
	control, err := listen(folder + "/i-9")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.FileListener(control)
	if err != nil {
		t.Fatal(err)
	}
	shut(control)
	defer listener.Close()
	for _, answer := range append(garbage, []byte("x\x00\x00\x00\x02[]"), []byte("1\xff\xff\xff\xff"), []byte("1\x00\x00\x00\x01a")) {
		var work sync.WaitGroup
		work.Go(func() {
			for range 2 {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Write(answer)
				conn.Close()
			}
		})
		if exit, err := Exec(t.Context(), folder, "i-9", ExecConfig{Argv: []string{"true"}}); err == nil && exit == 0 && !bytes.HasPrefix(answer, []byte("x")) {
			t.Errorf("%q makes Exec succeed", answer)
		}
		if err := call(folder, "i-9", request{Release: true}); err == nil {
			t.Errorf("%q makes Release succeed", answer)
		}
		work.Wait()
	}
}

// FuzzFrame reads what anybody may send.
func FuzzFrame(f *testing.F) {
	for _, seed := range []string{"m\x00\x00\x00\x02{}", "1\x00\x00\x00\x01a", "w\x00\x00\x00\x04\x00\x18\x00\x50", "x\xff\xff\xff\xff", ""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		for {
			kind, body, err := readFrame(r)
			if err != nil {
				return
			}
			var again bytes.Buffer
			if err := writeFrame(&again, kind, body); err != nil {
				t.Fatal(err)
			}
			if k, b, err := readFrame(&again); err != nil || k != kind || !bytes.Equal(b, body) {
				t.Fatalf("%q %q %v is not %q %q", k, b, err, kind, body)
			}
			parseSize(body)
			parseInitctl(body)
		}
	})
}

// TestConsole keeps the end of what is written.
func TestConsole(t *testing.T) {
	f, err := os.OpenFile(t.TempDir()+"/console", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer shut(f)
	c, err := newConsole(f)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100_000 {
		if _, err := fmt.Fprintf(c, "line %06d of many\n", i); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(f.Name())
	if err != nil || len(text) > maxConsole || len(text) < maxConsole/2 {
		t.Fatalf("%d bytes, %v", len(text), err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for i, line := range lines {
		if line != fmt.Sprintf("line %06d of many", 100_000-len(lines)+i) {
			t.Fatalf("line %d of %d is %q", i, len(lines), line)
		}
	}
	if n, err := c.Write(make([]byte, 3*maxConsole)); n != 3*maxConsole || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if info, err := f.Stat(); err != nil || info.Size() > maxConsole {
		t.Errorf("%v, %v", info, err)
	}
}
