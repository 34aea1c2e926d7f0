package test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/cmd"
)

// TestDocuments does what the README and the documents say, in a home of its own: every line of a
// console block that begins with "$ " is run, in order and in one shell, and what stands below it is
// what it must print, but for ids, times and addresses.
func TestDocuments(t *testing.T) {
	t.Parallel()
	need(t, "aws", "make", "bash")
	documents, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range append([]string{"../README.md"}, documents...) {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		if commands := commandsOf(string(text)); len(commands) > 0 {
			t.Run(strings.TrimSuffix(filepath.Base(document), ".md"), func(t *testing.T) {
				if carries.Match(text) {
					privileged(t, "nft", "curl")
				}
				follow(t, document, commands)
			})
		}
	}
}

// carries finds the documents that want a private network.
var carries = regexp.MustCompile(`(?m)^\$ (make lab|vennel host)`)

// documented is a command in a document.
type documented struct {
	line   int
	text   string
	output string // "" if the document shows none
}

// commandsOf finds the commands of a document. A command goes on after a backslash and to the end of
// a here-document.
func commandsOf(text string) (list []documented) {
	inside, end := false, "" // end is what ends a here-document
	more := false
	for n, line := range strings.Split(text, "\n") {
		command, begins := strings.CutPrefix(line, "$ ")
		switch {
		case strings.HasPrefix(line, "```"):
			inside, end, more = line == "```console", "", false
			continue
		case !inside:
			continue
		case end == "" && !more && begins:
			list = append(list, documented{line: n + 1, text: command})
			if _, word, ok := strings.Cut(command, "<<"); ok {
				end = strings.Trim(word, "'")
			}
		case end != "" || more:
			list[len(list)-1].text += "\n" + line
			if line == end {
				end = ""
			}
		case len(list) > 0:
			list[len(list)-1].output += line + "\n"
			continue
		}
		more = end == "" && strings.HasSuffix(line, `\`)
	}
	return list
}

// What a document cannot know: ids, keys, times, sizes, addresses and the reader's home.
var unknowable = []struct {
	what *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`\b([a-z]+)-[0-9a-f]{17}`), "$1-ID"},
	{regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`), "UUID"},
	{regexp.MustCompile(`A[KSRIG][IDPR]A[A-Z2-7]{16}`), "KEY"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?`), "TIME"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "ADDRESS"},
	{regexp.MustCompile(`\(\d+ bytes\)`), "(N bytes)"},
	{regexp.MustCompile(`/\S*/\.local/share`), "~/.local/share"},
}

// plain hides what a document cannot know, and blanks at the end of lines.
func plain(text string) string {
	for _, u := range unknowable {
		text = u.what.ReplaceAllString(text, u.as)
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for n := range lines {
		lines[n] = strings.TrimRight(lines[n], " \r")
	}
	return strings.Join(lines, "\n")
}

// stays are the commands that do not return: a reader has them in a terminal of their own.
var stays = regexp.MustCompile(`^(make lab|(\./)?vennel (serve|lab$|lab --|host|gateway|agent run)\b)`)

// wordless are those of them that do not say when they are ready.
var wordless = regexp.MustCompile(`vennel (agent|host|gateway)`)

// looks are the commands that a reader would try again after a moment.
var looks = regexp.MustCompile(`^(aws \w+ (describe|list|get|lookup|filter)-|vennel flow)`)

// reader follows a document.
type reader struct {
	t        *testing.T
	env      []string
	folder   string
	in       io.Writer
	out      *bufio.Reader
	replaced *strings.Replacer // the addresses in the document by those of the server
	started  []*exec.Cmd
	gateway  string        // an address that is free
	ended    chan struct{} // gets an element for each of started that has ended
}

// follow runs the commands of a document. Those of the README are run in the checkout, as it says.
func follow(t *testing.T, document string, commands []documented) {
	home := t.TempDir()
	r := &reader{t: t, folder: t.TempDir(), gateway: freeAddress(t), ended: make(chan struct{}, 16)}
	r.replace("127.0.0.1:4567", "127.0.0.1:0")
	if filepath.Base(document) == "README.md" {
		var err error
		if r.folder, err = filepath.Abs(".."); err != nil {
			t.Fatal(err)
		}
	}
	cache, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	caches := strings.Fields(string(cache))
	r.env = append(os.Environ(), "HOME="+home, "XDG_DATA_HOME="+home+"/.local/share", "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"), "AWS_PAGER=",
		"AWS_EC2_METADATA_DISABLED=true", "VENNEL_HTTP=127.0.0.1:0", "VENNEL_HTTPS=127.0.0.1:0", "GOCACHE="+caches[0], "GOMODCACHE="+caches[1])
	shell := exec.Command("bash", "--norc")
	shell.Env, shell.Dir = r.env, r.folder
	in, err := shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.in, r.out = in, bufio.NewReader(out)
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = in.Close()
		_ = shell.Wait() // how it ended is how its last command did
		r.tidy()
	}()
	for _, c := range commands {
		t.Logf("%s:%d: %s", document, c.line, c.text)
		if stays.MatchString(c.text) {
			r.start(c.text)
			continue
		}
		r.follow(c)
	}
}

// replace has other addresses than those in the document.
func (r *reader) replace(addresses ...string) {
	r.replaced = strings.NewReplacer(append(addresses, "127.0.0.1:8443", r.gateway)...)
}

// freeAddress is one where nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// follow runs one command and looks at what it prints.
func (r *reader) follow(c documented) {
	r.t.Helper()
	fails := strings.Contains(c.output, "An error occurred")
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		out, code := r.run(c.text)
		difference := ""
		if c.output != "" {
			difference = cmp.Diff(plain(c.output), plain(out))
		}
		if difference == "" && (code != 0) == fails {
			return
		}
		if !looks.MatchString(c.text) || time.Now().After(deadline) {
			r.t.Fatalf("line %d ended with %d\n%s\nnot as it says (-), but (+):\n%s", c.line, code, out, difference)
		}
	}
}

// marker ends the output of a command.
const marker = "\x1e"

// run runs a command in the shell.
func (r *reader) run(text string) (out string, code int) {
	r.t.Helper()
	if _, err := fmt.Fprintf(r.in, "{ %s\n} </dev/null 2>&1; printf '\\036%%d\\n' $?\n", r.replaced.Replace(text)); err != nil {
		r.t.Fatal(err)
	}
	out, err := r.out.ReadString(marker[0])
	if err == nil {
		_, err = fmt.Fscanf(r.out, "%d\n", &code)
	}
	if err != nil {
		r.t.Fatalf("the shell has ended: %v\n%s", err, out)
	}
	return strings.TrimSuffix(out, marker), code
}

// start starts a command that stays, in the shell's folder. A server says when it is ready.
func (r *reader) start(text string) {
	r.t.Helper()
	log, err := os.Create(filepath.Join(r.t.TempDir(), "log"))
	if err != nil {
		r.t.Fatal(err)
	}
	where, _ := r.run("pwd")
	c := exec.Command("bash", "-c", "exec "+r.replaced.Replace(text))
	c.Env, c.Dir, c.Stderr = r.env, strings.TrimSpace(where), log
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal tells them all to stop
	out, err := c.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.started = append(r.started, c)
	lines := bufio.NewScanner(out)
	if !wordless.MatchString(text) {
		var ready cmd.Ready
		for lines.Scan() && !ready.Ready {
			_ = json.Unmarshal(lines.Bytes(), &ready) // make echoes what it does first
			if ready.Ready {
				break
			}
		}
		if !ready.Ready {
			said, _ := os.ReadFile(log.Name())
			r.t.Fatalf("%s: it is not ready\n%s", text, said)
		}
		r.replace("http://127.0.0.1:4566", ready.HTTP, "https://127.0.0.1:4443", ready.HTTPS, "127.0.0.1:4567", ready.Links)
	}
	go func() {
		_, _ = io.Copy(io.Discard, out)
		_ = c.Wait() // it is told to end
		r.ended <- struct{}{}
	}()
}

// tidy stops what stays.
func (r *reader) tidy() {
	for _, c := range slices.Backward(r.started) { // nodes before their server
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGTERM) // it may have ended
		select {
		case <-r.ended:
		case <-time.After(10 * time.Second):
			r.t.Errorf("%s did not stop", c.Args)
			_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		}
	}
}
