//go:build unix

package cmd

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
)

// localScript is the script run by a shell here, as an agent runs it.
type localScript struct {
	io.Reader
	io.Writer
	stderr io.Reader
	cmd    *exec.Cmd
	closed func() error
}

// Stderr is its standard error.
func (l *localScript) Stderr() io.Reader { return l.stderr }

// CloseWrite ends its input.
func (l *localScript) CloseWrite() error { return l.closed() }

// node is where scripts run: a home on this machine.
type cpNode struct {
	t        *testing.T
	home     string
	flags    Cp
	said     bytes.Buffer // by vennel, on standard error
	official bool         // with an agent of AWS's, which gives a command without a terminal no input
}

// newCpNode makes a node.
func newCpNode(t *testing.T) *cpNode {
	return &cpNode{t: t, home: t.TempDir(), flags: Cp{Recursive: true}}
}

// start runs a command as an agent would.
func (n *cpNode) start(command string, terminal bool) *localScript {
	n.t.Helper()
	c := exec.CommandContext(n.t.Context(), "sh", "-c", command)
	c.Env = append(os.Environ(), "HOME="+n.home)
	if terminal {
		file, err := pty.Start(c)
		if err != nil {
			n.t.Fatal(err)
		}
		n.t.Cleanup(func() { _ = file.Close(); _ = c.Wait() })
		return &localScript{Reader: file, Writer: file, stderr: strings.NewReader(""), cmd: c, closed: func() error { return nil }}
	}
	out, err := c.StdoutPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	stderr, err := c.StderrPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	l := &localScript{Reader: out, Writer: io.Discard, stderr: stderr, cmd: c, closed: func() error { return nil }}
	if !n.official {
		in, err := c.StdinPipe()
		if err != nil {
			n.t.Fatal(err)
		}
		l.Writer, l.closed = in, in.Close
	}
	if err := c.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = c.Wait() })
	return l
}

// run prepares a copy.
func (n *cpNode) run() *copying {
	n.said.Reset()
	notes := &notes{out: &n.said}
	return &copying{flags: &n.flags, notes: notes, meter: newMeter(notes), node: "mi-1", key: newKey()}
}

// put copies to the node, and gives the exit code.
func (n *cpNode) put(to string, sources ...string) int {
	n.t.Helper()
	r := n.run()
	tree := r.scan(sources)
	if len(tree) == 0 {
		return r.code
	}
	if err := r.put(n.start(r.putCommand(tree, len(sources), n.official, to), n.official), tree, n.official); err != nil {
		n.t.Errorf("%v\n%s", err, &n.said)
	}
	n.clean()
	return r.code
}

// get copies from the node, and gives the exit code.
func (n *cpNode) get(to string, sources ...string) int {
	n.t.Helper()
	r := n.run()
	target, err := newTarget(to, len(sources) > 1)
	if err != nil {
		n.t.Fatal(err)
	}
	if err := r.get(n.start(r.getCommand(sources), false), sources, target, !n.official); err != nil {
		n.t.Errorf("%v\n%s", err, &n.said)
	}
	n.clean()
	return r.code
}

// clean waits until nothing is left of a copy but what was copied.
func (n *cpNode) clean() {
	n.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		left := ""
		_ = filepath.WalkDir(n.home, func(path string, _ fs.DirEntry, _ error) error {
			if strings.Contains(path, ".vennel-cp-") {
				left = path
			}
			return nil
		})
		if left == "" {
			return
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("%s was left", left)
		}
	}
}

// odd are names that programs get wrong.
var odd = []string{
	"plain", "two words", "-rf", "--help", ".hidden", "..dots", "new\nline", "end\n", `quote'"quote`, `back\slash\n`, "$(reboot)", "`id`", "a;b&c|d", "*", "?", "[a]", "{{ command }}",
	"{{ssm:name}}", "tab\t", "ünïcödé", "\xff\xfe not UTF-8", "%s%n", "~", "colon:colon", "#", strings.Repeat("long", 60),
}

// write writes a file.
func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// oddTree makes a folder of odd names, with a folder of each and a link.
func oddTree(t *testing.T, folder string) {
	t.Helper()
	for _, name := range odd {
		write(t, filepath.Join(folder, name), "text of "+name)
		write(t, filepath.Join(folder, "folders", name, name), "inner text of "+name)
	}
	write(t, filepath.Join(folder, "empty"), "")
	if err := os.Mkdir(filepath.Join(folder, "nothing in it"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../plain", filepath.Join(folder, "folders", "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(folder, "dangling")); err != nil {
		t.Fatal(err)
	}
}

// look lists what is in a folder, with content.
func look(t *testing.T, folder string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(folder, path)
		switch {
		case d.IsDir():
			all[name] = "folder"
		case d.Type()&fs.ModeSymlink != 0:
			to, _ := os.Readlink(path)
			all[name] = "-> " + to
		default:
			text, err := os.ReadFile(path)
			if all[name] = string(text); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// both runs a test with each kind of agent.
func both(t *testing.T, test func(t *testing.T, n *cpNode)) {
	for _, official := range []bool{false, true} {
		t.Run(map[bool]string{false: "ours", true: "official"}[official], func(t *testing.T) {
			n := newCpNode(t)
			n.official = official
			test(t, n)
		})
	}
}

// TestCpTree copies a folder of odd names there and back.
func TestCpTree(t *testing.T) {
	both(t, func(t *testing.T, n *cpNode) {
		here := t.TempDir()
		oddTree(t, filepath.Join(here, "tree"))
		want := look(t, filepath.Join(here, "tree"))
		if code := n.put("", filepath.Join(here, "tree")); code != 0 {
			t.Errorf("%d\n%s", code, &n.said)
		}
		if diff := cmp.Diff(want, look(t, filepath.Join(n.home, "tree"))); diff != "" {
			t.Error(diff)
		}
		if code := n.get(filepath.Join(here, "back"), "tree"); code != 0 {
			t.Errorf("%d\n%s", code, &n.said)
		}
		if diff := cmp.Diff(want, look(t, filepath.Join(here, "back"))); diff != "" {
			t.Error(diff)
		}
		if code := n.put("new name", filepath.Join(here, "tree")+"/."); code != 1 || !strings.Contains(n.said.String(), "new name: No such file or directory") {
			t.Errorf("%d %s", code, &n.said)
		}
		if code := n.put("~/new name", filepath.Join(here, "tree")); code != 0 {
			t.Errorf("%d\n%s", code, &n.said)
		}
		if diff := cmp.Diff(want, look(t, filepath.Join(n.home, "new name"))); diff != "" {
			t.Error(diff)
		}
		if n.said.Len() > 0 {
			t.Errorf("%s", &n.said)
		}
	})
}

// TestCpOddNames copies each odd name by itself, as a source and as a destination.
func TestCpOddNames(t *testing.T) {
	n := newCpNode(t)
	for _, name := range odd {
		here := t.TempDir()
		write(t, filepath.Join(here, name), "a")
		if code := n.put("./"+name, filepath.Join(here, name)); code != 0 {
			t.Errorf("%q: %d %s", name, code, &n.said)
		}
		if err := os.Remove(filepath.Join(here, name)); err != nil {
			t.Fatal(err)
		}
		if code := n.get(here, "./"+name); code != 0 {
			t.Errorf("%q: %d %s", name, code, &n.said)
		}
		if have := look(t, here); have[name] != "a" {
			t.Errorf("%q: %q", name, have)
		}
		if err := os.Remove(filepath.Join(n.home, name)); err != nil {
			t.Error(err)
		}
	}
}

// TestCpBytes copies every byte, and a length that fills no record.
func TestCpBytes(t *testing.T) {
	both(t, func(t *testing.T, n *cpNode) {
		here := t.TempDir()
		data := make([]byte, 5<<20+12345)
		_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
		data = append(data, "\xef\xbf\xbd\x03\x1c\x04\x11\x13\r\n\x00\xff\xfe"...) // what terminals and AWS's agent change
		write(t, filepath.Join(here, "data"), string(data))
		if code := n.put("data", filepath.Join(here, "data")); code != 0 {
			t.Errorf("%d %s", code, &n.said)
		}
		if code := n.get(filepath.Join(here, "back"), "data"); code != 0 {
			t.Errorf("%d %s", code, &n.said)
		}
		for _, file := range []string{filepath.Join(n.home, "data"), filepath.Join(here, "back")} {
			if have, err := os.ReadFile(file); err != nil || !bytes.Equal(have, data) {
				t.Errorf("%s is not what was sent: %d bytes, %v", file, len(have), err)
			}
		}
	})
}

// TestCpErrors says exactly what is wrong, and copies the rest.
func TestCpErrors(t *testing.T) {
	both(t, func(t *testing.T, n *cpNode) {
		here := t.TempDir()
		write(t, filepath.Join(here, "a"), "a")
		write(t, filepath.Join(here, "folder", "b"), "b")
		write(t, filepath.Join(n.home, "file"), "old")
		write(t, filepath.Join(n.home, "dir", "a", "x"), "x")
		write(t, filepath.Join(n.home, "dir", "folder"), "is a file")
		if err := os.Symlink("file", filepath.Join(n.home, "link")); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			to   string
			from []string
			says []string
		}{
			{"there", []string{"missing"}, []string{"vennel: missing: No such file or directory"}},
			{"no/such/place", []string{"a"}, []string{"vennel: mi-1: no/such/place: No such file or directory"}},
			{"no/", []string{"a"}, []string{"Not a directory"}},
			{"file/x", []string{"a"}, []string{"vennel: mi-1: file/x: No such file or directory"}},
			{"file", []string{"a", "folder"}, []string{"vennel: mi-1: file: Not a directory"}},
			{"file", []string{"folder"}, []string{"vennel: mi-1: file: Not a directory"}},
			{"dir", []string{"a"}, []string{"vennel: mi-1: dir/a: Is a directory"}},
			{"dir", []string{"folder"}, []string{"vennel: mi-1: dir/folder: Not a directory"}},
			{"/dev/null", []string{"a"}, []string{"vennel: mi-1: /dev/null: not a regular file"}},
		} {
			var from []string
			for _, name := range c.from {
				from = append(from, filepath.Join(here, name))
			}
			code := n.put(c.to, from...)
			said := strings.ReplaceAll(n.said.String(), here+"/", "")
			if code != 1 || !containsAll(said, c.says) || strings.Contains(said, ".vennel-cp") {
				t.Errorf("put %s %s: %d %s", c.from, c.to, code, said)
			}
		}
		if have := look(t, n.home)["file"]; have != "old" {
			t.Errorf("a file was replaced by %q", have)
		}
		for _, c := range []struct {
			from []string
			says []string
			want map[string]string
		}{
			{[]string{"missing", "file"}, []string{"vennel: mi-1: missing: No such file or directory"}, map[string]string{".": "folder", "file": "old"}},
			{[]string{"/dev/null"}, []string{"vennel: mi-1: /dev/null: not a regular file"}, map[string]string{".": "folder"}},
			{[]string{"link"}, nil, map[string]string{".": "folder", "link": "old"}},
		} {
			to := t.TempDir()
			code := n.get(to, c.from...)
			if code != min(1, len(c.says)) || !containsAll(n.said.String(), c.says) {
				t.Errorf("get %s: %d %s", c.from, code, &n.said)
			}
			if diff := cmp.Diff(c.want, look(t, to)); diff != "" {
				t.Errorf("get %s: %s", c.from, diff)
			}
		}
		n.flags.Recursive = false
		if code := n.get(t.TempDir(), "dir"); code != 1 || !strings.Contains(n.said.String(), "dir: Is a directory, which is copied with -r only") {
			t.Errorf("%d %s", code, &n.said)
		}
		if code := n.put("", here); code != 1 || !strings.Contains(n.said.String(), "Is a directory, which is copied with -r only") {
			t.Errorf("%d %s", code, &n.said)
		}
	})
}

// containsAll says whether a text contains all of others.
func containsAll(text string, all []string) bool {
	return !slices.ContainsFunc(all, func(part string) bool { return !strings.Contains(text, part) })
}

// TestCpMerge puts a folder into one that is there, whose other files stay.
func TestCpMerge(t *testing.T) {
	both(t, func(t *testing.T, n *cpNode) {
		here := t.TempDir()
		for _, name := range []string{"d/new", "d/both", "d/sub/new"} {
			write(t, filepath.Join(here, name), "new")
		}
		for _, name := range []string{"d/old", "d/both", "d/sub/old"} {
			write(t, filepath.Join(n.home, name), "old")
			write(t, filepath.Join(here, "back", name), "old")
		}
		want := map[string]string{".": "folder", "new": "new", "both": "new", "old": "old", "sub": "folder", "sub/new": "new", "sub/old": "old"}
		if code := n.put("", filepath.Join(here, "d")); code != 0 {
			t.Errorf("%d %s", code, &n.said)
		}
		if diff := cmp.Diff(want, look(t, filepath.Join(n.home, "d"))); diff != "" {
			t.Error(diff)
		}
		if code := n.get(filepath.Join(here, "back"), "d"); code != 0 {
			t.Errorf("%d %s", code, &n.said)
		}
		if diff := cmp.Diff(want, look(t, filepath.Join(here, "back", "d"))); diff != "" {
			t.Error(diff)
		}
	})
}

// TestCpPreserve keeps permissions and times with -p; without it the umask of where they go rules.
func TestCpPreserve(t *testing.T) {
	both(t, func(t *testing.T, n *cpNode) {
		here, when := t.TempDir(), time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
		modes := map[string]fs.FileMode{"script": 0o755, "secret": 0o600, "open": 0o666, "readonly": 0o444}
		for name, mode := range modes {
			write(t, filepath.Join(here, name), name)
			if err := os.Chmod(filepath.Join(here, name), mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(filepath.Join(here, name), when, when); err != nil {
				t.Fatal(err)
			}
		}
		for _, preserve := range []bool{true, false} {
			n.flags.Preserve = preserve
			for name, mode := range modes {
				back := filepath.Join(t.TempDir(), "back")
				if code := n.put(name, filepath.Join(here, name)); code != 0 {
					t.Errorf("%d %s", code, &n.said)
				}
				if code := n.get(back, name); code != 0 {
					t.Errorf("%d %s", code, &n.said)
				}
				want := mode
				if !preserve {
					want &^= 0o022 // which the shell that runs tests has
				}
				for _, file := range []string{filepath.Join(n.home, name), back} {
					info, err := os.Stat(file)
					if err != nil || info.Mode() != want || info.ModTime().Equal(when) != preserve {
						t.Errorf("-p %v: %s: %v", preserve, file, info)
					}
				}
			}
		}
	})
}

// TestCpCut leaves nothing under the final name when the archive ends too early.
func TestCpCut(t *testing.T) {
	both(t, func(t *testing.T, n *cpNode) {
		here := t.TempDir()
		write(t, filepath.Join(here, "a"), strings.Repeat("a", 1<<20))
		write(t, filepath.Join(n.home, "a"), "old")
		r := n.run()
		tree := r.scan([]string{filepath.Join(here, "a")})
		command := r.putCommand(tree, 1, n.official, "a")
		tree[1].header.Size += 1 << 20 // it becomes shorter
		l := n.start(command, n.official)
		if err := r.put(l, tree, n.official); err != nil || r.code != 1 || !strings.Contains(n.said.String(), "it became shorter") {
			t.Errorf("%v %d %s", err, r.code, &n.said)
		}
		if n.official {
			_ = syscall.Kill(-l.cmd.Process.Pid, syscall.SIGHUP) // as when a terminal is closed
		} else {
			_ = l.CloseWrite()
		}
		n.clean()
		if have := look(t, n.home); !cmp.Equal(have, map[string]string{".": "folder", "a": "old"}) {
			t.Errorf("%.100v", have)
		}
	})
}

// TestCpHostile has a node that sends what was not asked for: nothing of it gets out of the destination.
func TestCpHostile(t *testing.T) {
	outside := t.TempDir()
	write(t, filepath.Join(outside, "secret"), "old")
	archive := func(headers ...*tar.Header) string {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range headers {
			h.Mode, h.Size = 0o644, 3
			if h.Typeflag != tar.TypeReg {
				h.Size = 0
			}
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			if h.Size > 0 {
				_, _ = w.Write([]byte("new"))
			}
		}
		_ = w.Close()
		return b.String()
	}
	for name, c := range map[string]struct {
		sent string
		want map[string]string
	}{
		"above":     {archive(&tar.Header{Typeflag: tar.TypeReg, Name: "../../x"}), map[string]string{".": "folder", "src": "folder", "src/x": "new"}},
		"absolute":  {archive(&tar.Header{Typeflag: tar.TypeReg, Name: outside + "/secret"}), nil},
		"link":      {archive(&tar.Header{Typeflag: tar.TypeSymlink, Name: "l", Linkname: outside}, &tar.Header{Typeflag: tar.TypeReg, Name: "l/secret"}), nil},
		"hard link": {archive(&tar.Header{Typeflag: tar.TypeLink, Name: "l", Linkname: outside + "/secret"}), map[string]string{".": "folder", "src": "folder"}},
		"device":    {archive(&tar.Header{Typeflag: tar.TypeChar, Name: "null"}), map[string]string{".": "folder", "src": "folder"}},
	} {
		t.Run(name, func(t *testing.T) {
			n, to := newCpNode(t), t.TempDir()
			r := n.run()
			target, err := newTarget(to, false)
			if err != nil {
				t.Fatal(err)
			}
			l := &localScript{
				Reader: strings.NewReader(r.key + " folder 0\n" + c.sent + strings.Repeat("\x00", 4096) + r.key + " next 0\n" + r.key + " end 0\n"),
				Writer: io.Discard, stderr: strings.NewReader(""),
			}
			err = r.get(l, []string{"src"}, target, true)
			if err != nil {
				t.Error(err)
			}
			if have := look(t, outside); have["secret"] != "old" || len(have) != 2 {
				t.Errorf("outside there is %q", have)
			}
			if have := look(t, to); c.want != nil && !cmp.Equal(have, c.want) {
				t.Errorf("%q", have)
			}
			if c.want == nil && r.code == 0 && name == "link" {
				t.Error("nothing was said")
			}
		})
	}
	for name, h := range map[string]*tar.Header{
		"a folder": {Typeflag: tar.TypeDir, Name: "x/"}, "a link": {Typeflag: tar.TypeSymlink, Name: "x", Linkname: outside + "/secret"},
		"a hard link": {Typeflag: tar.TypeLink, Name: "x", Linkname: "other"}, "a device": {Typeflag: tar.TypeChar, Name: "x"},
	} {
		for _, to := range []string{t.TempDir(), filepath.Join(t.TempDir(), "x"), os.DevNull} {
			folder := filepath.Dir(to)
			if filepath.Base(to) != "x" {
				folder = to
			}
			if to != os.DevNull {
				write(t, filepath.Join(folder, "other"), "old")
			}
			n := newCpNode(t)
			r := n.run()
			target, err := newTarget(to, false)
			if err != nil {
				t.Fatal(err)
			}
			l := &localScript{
				Reader: strings.NewReader(r.key + " file 0\n" + archive(h) + r.key + " next 0\n" + r.key + " end 0\n"), Writer: io.Discard, stderr: strings.NewReader(""),
			}
			if err := r.get(l, []string{"x"}, target, true); err != nil {
				t.Errorf("%s to %s: %v", name, to, err)
			}
			if r.code != exitFailure || !strings.Contains(n.said.String(), "not a regular file") {
				t.Errorf("%s to %s: %d %s", name, to, r.code, &n.said)
			}
			if to == os.DevNull {
				continue
			}
			if have := look(t, folder); len(have) != 2 {
				t.Errorf("%s to %s leaves %q", name, to, have)
			}
		}
	}
	for name, sent := range map[string]string{
		"silence": "", "chatter": "hello\n", "a number": "KEY file 7\n", "a word": "KEY reboot 0\n", "a huge line": strings.Repeat("x", 1<<20), "a folder not asked for": "KEY folder 0\nKEY next 0\nKEY end 0\n", "half an archive": "KEY file 0\n" + archive(&tar.Header{Typeflag: tar.TypeReg, Name: "x"})[:514],
	} {
		n, to := newCpNode(t), t.TempDir()
		n.flags.Recursive = name != "a folder not asked for"
		r := n.run()
		l := &localScript{Reader: strings.NewReader(strings.ReplaceAll(sent, "KEY", r.key)), Writer: io.Discard, stderr: strings.NewReader("")}
		if err := r.get(l, []string{"src"}, &target{path: to, folder: true}, true); err == nil {
			t.Errorf("%s is taken for a copy", name)
		}
		if have := look(t, to); len(have) != 1 {
			t.Errorf("%s leaves %q", name, have)
		}
	}
}

// TestCpWrongSum throws away what has arrived and is not what was sent.
func TestCpWrongSum(t *testing.T) {
	n, here := newCpNode(t), t.TempDir()
	n.official = true
	write(t, filepath.Join(here, "a"), "abc")
	r := n.run()
	tree := r.scan([]string{filepath.Join(here, "a")})
	l := n.start(r.putCommand(tree, 1, true, "a"), true)
	l.Writer = &flipping{l.Writer}
	err := r.put(l, tree, true)
	if err == nil || !strings.Contains(err.Error(), "is not what was sent") {
		t.Errorf("%v %s", err, &n.said)
	}
	if _, err := io.WriteString(l, "the session is over\n"); err != nil { // a terminal that is closed ends its wait, too
		t.Fatal(err)
	}
	n.clean()
	if have := look(t, n.home); len(have) != 1 {
		t.Errorf("%q", have)
	}
}

// flipping changes a file's content on its way.
type flipping struct{ io.Writer }

// Write writes.
func (f *flipping) Write(b []byte) (int, error) {
	return f.Writer.Write(bytes.Replace(b, []byte("abc"), []byte("abd"), 1))
}

// TestArchiveSize knows the size before anything is written, and gives the hash of it.
func TestArchiveSize(t *testing.T) {
	n, here := newCpNode(t), t.TempDir()
	oddTree(t, filepath.Join(here, "tree"))
	for i := range 30 {
		write(t, filepath.Join(here, fmt.Sprint(i)), strings.Repeat("x", i*307))
		r := n.run()
		tree := r.scan([]string{filepath.Join(here, fmt.Sprint(i)), filepath.Join(here, "tree")})
		var b bytes.Buffer
		sum, err := r.writeArchive(&b, tree, 0o022)
		if size := archiveSize(tree); err != nil || int64(b.Len()) != size || size%tarRecord != 0 {
			t.Errorf("%d: %d bytes, not %d: %v", i, b.Len(), size, err)
		}
		if hash := sha256.Sum256(b.Bytes()); hex.EncodeToString(hash[:]) != sum {
			t.Error("the hash is of something else")
		}
	}
}

// TestScriptText has every byte arrive, and none that a shell, a document or JSON knows.
func TestScriptText(t *testing.T) {
	for c := 1; c < 256; c++ {
		text := "a" + string([]byte{byte(c)}) + "7"
		said := scriptText(text)
		if strings.ContainsFunc(said, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`'"$`+"`{};&|<>*?!#()", r) }) {
			t.Errorf("%q is said as %q", text, said)
		}
	}
	all := make([]byte, 0, 255)
	for c := 1; c < 256; c++ {
		all = append(all, byte(c))
	}
	out, err := exec.Command("sh", "-c", "printf '%b' '"+scriptText(string(all))+"'").Output()
	if err != nil || !bytes.Equal(out, all) {
		t.Errorf("%q %v", out, err)
	}
}

// TestRemote tells a node's path from one here, as scp does.
func TestRemote(t *testing.T) {
	for text, want := range map[string][3]string{
		"mi-1:/etc/hosts": {"mi-1", "/etc/hosts", "true"}, "mi-1:": {"mi-1", "", "true"}, "mi-1:a:b": {"mi-1", "a:b", "true"}, "file": {"", "file", "false"},
		"./a:b": {"", "./a:b", "false"}, "/a:b": {"", "/a:b", "false"}, ":x": {"", ":x", "false"},
	} {
		node, file, ok := remote(text)
		if have := [3]string{node, file, fmt.Sprint(ok)}; have != want {
			t.Errorf("%s: %v", text, have)
		}
	}
}

// TestUnbase64 reads what base64 writes, in lines.
func TestUnbase64(t *testing.T) {
	out, err := exec.Command("sh", "-c", "head -c 1000 /dev/zero | base64").Output()
	if err != nil {
		t.Fatal(err)
	}
	have, err := io.ReadAll(bufio.NewReader(unbase64(bytes.NewReader(out))))
	if err != nil || !bytes.Equal(have, make([]byte, 1000)) {
		t.Errorf("%d bytes %v", len(have), err)
	}
}
