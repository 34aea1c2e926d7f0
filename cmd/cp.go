package cmd

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// Cp copies files to a node or from one.
type Cp struct {
	SessionFlags
	Recursive bool     `short:"r" help:"Copy folders with all that is in them; links in them stay links."`
	Preserve  bool     `short:"p" help:"Keep the permissions and times of files."`
	Paths     []string `arg:"" name:"source… destination" help:"Files and folders; those on a node are NODE:PATH, where PATH is relative to the home of the session's user."`
}

// Help says what the exit codes are.
func (*Cp) Help() string {
	return `A file gets its name when it is complete. Exit codes: 0 when everything was copied, 1 when something was not, 255 when there was no session ` +
		`or it ended before its time, 130 after Ctrl-C, 2 when the command line is wrong.`
}

// conversation is with a program that runs on a node.
type conversation interface {
	io.ReadWriter
	Stderr() io.Reader
	CloseWrite() error
}

// script is what runs there: cp.sh, in sh.
//
//go:embed cp.sh
var script string

// copying is one run of the script.
type copying struct {
	flags *Cp
	notes *notes
	meter *meter
	node  string
	key   string // begins the lines that the script says
	code  int    // exitFailure when something could not be copied
}

// remote splits NODE:PATH. A letter before the colon is a drive of Windows.
func remote(operand string) (node, file string, ok bool) {
	node, file, ok = strings.Cut(operand, ":")
	if !ok || node == "" || strings.ContainsAny(node, `/\`) || runtime.GOOS == "windows" && len(node) == 1 {
		return "", operand, false
	}
	return node, file, true
}

// Run copies.
func (c *Cp) Run(ctx context.Context, s Streams) error {
	if len(c.Paths) < 2 {
		return &ExitError{exitUsage, errors.New("a source and a destination are needed")}
	}
	sources, last := c.Paths[:len(c.Paths)-1], c.Paths[len(c.Paths)-1]
	node, to, up := remote(last)
	names := make([]string, len(sources))
	for i, source := range sources {
		from, name, there := remote(source)
		switch {
		case there == up:
			return &ExitError{exitUsage, errors.New("either the sources or the destination are on a node: NODE:PATH")}
		case !up && node != "" && node != from:
			return &ExitError{exitUsage, errors.New("all sources must be on one node")}
		case !up:
			node = from
		}
		names[i] = name
	}
	ctx, stop := hangup(ctx)
	defer stop()
	n := newNotes(s, c.Quiet)
	run := &copying{flags: c, notes: n, meter: newMeter(n), node: node, key: newKey()}
	var err error
	if up {
		err = run.upload(ctx, names, to)
	} else {
		err = run.download(ctx, names, last)
	}
	run.meter.end()
	switch {
	case ctx.Err() != nil:
		return &ExitError{Code: exitInterrupted}
	case err != nil:
		return failed(err)
	case run.code != exitOK:
		return &ExitError{Code: run.code}
	}
	return nil
}

// newKey makes a word that nothing else says.
func newKey() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}

// bad says that something could not be copied; the rest goes on.
func (r *copying) bad(format string, args ...any) {
	r.notes.warn(format, args...)
	r.code = exitFailure
}

// scriptCommand is the command that runs the script.
func scriptCommand(args ...string) string {
	var b strings.Builder
	b.WriteString("sh -c '" + strings.ReplaceAll(script, "'", `'\''`) + "' vennel-cp")
	for _, arg := range args {
		b.WriteString(" '" + arg + "'") // scriptText leaves nothing in it that a shell knows between quotes
	}
	return b.String()
}

// scriptText is a text as the script's printf %b reads it. Nothing in it means anything to a shell, a document or JSON.
func scriptText(text string) string {
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._/-+=@,~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, `\0%03o`, c)
	}
	return b.String()
}

// upload copies to the node.
func (r *copying) upload(ctx context.Context, sources []string, to string) error {
	tree := r.scan(sources)
	if len(tree) == 0 {
		return nil
	}
	a, err := r.flags.open()
	if err != nil {
		return err
	}
	held, err := r.flags.start(ctx, a, r.notes, r.node, commandDocument,
		map[string][]string{"command": {r.putCommand(tree, len(sources), false, to)}, "separateOutputStream": {"true"}})
	terminal := err == nil && !held.Extended
	if terminal {
		held.leave(ctx) // its agent gives a command without a terminal no input; the script has ended without having done anything
		held, err = r.flags.start(ctx, a, r.notes, r.node, terminalDocument,
			map[string][]string{"command": {r.putCommand(tree, len(sources), true, to)}})
	}
	if err != nil {
		return err
	}
	defer held.leave(ctx)
	unblock := context.AfterFunc(ctx, func() { _ = held.Close() }) // who reads and writes it learns of that
	defer unblock()
	return r.ended(ctx, held, r.put(held, tree, terminal))
}

// putCommand is the command that takes an archive, in a terminal or not.
func (r *copying) putCommand(tree []*entry, sources int, terminal bool, to string) string {
	how, size, many := "m", "", "" // tar's m gives files the time of now
	if r.flags.Preserve {
		how = ""
	}
	if terminal {
		size = strconv.FormatInt(archiveSize(tree), 10)
	}
	if sources > 1 || tree[0].inner {
		many = "many"
	}
	return scriptCommand(r.key, "put", how, size, many, scriptText(to))
}

// getCommand is the command that sends archives.
func (r *copying) getCommand(sources []string) string {
	args := []string{r.key, "get", ""}
	if r.flags.Recursive {
		args[2] = "folders"
	}
	for _, source := range sources {
		args = append(args, scriptText(source))
	}
	return scriptCommand(args...)
}

// download copies from the node.
func (r *copying) download(ctx context.Context, sources []string, to string) error {
	target, err := newTarget(to, len(sources) > 1)
	if err != nil {
		r.bad("%v", err)
		return nil
	}
	a, err := r.flags.open()
	if err != nil {
		return err
	}
	held, err := r.flags.start(ctx, a, r.notes, r.node, commandDocument,
		map[string][]string{"command": {r.getCommand(sources)}, "separateOutputStream": {"true"}})
	if err != nil {
		return err
	}
	defer held.leave(ctx)
	unblock := context.AfterFunc(ctx, func() { _ = held.Close() }) // as above
	defer unblock()
	return r.ended(ctx, held, r.get(held, sources, target, held.Extended))
}

// errCut is a script that ended before it had said so.
var errCut = errors.New("the session ended before the copy was complete")

// ended says why a session was over before the copy.
func (r *copying) ended(ctx context.Context, held *holding, err error) error {
	if !errors.Is(err, errCut) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, goodbye)
	defer cancel()
	if exit, waited := held.Wait(ctx); waited == nil && exit.Reason != "" {
		return fmt.Errorf("%w: %s", err, exit.Reason)
	}
	return err
}

// mostLine is the longest line that a script may say.
const mostLine = 64 << 10

// hear passes on what a program complains about, line by line. The lines that the script says to the client go to said, if it is not nil.
func (r *copying) hear(from io.Reader, said func(words []string)) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, mostLine)
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), "\r")
		if rest, ok := strings.CutPrefix(line, r.key+" "); ok && said != nil {
			said(strings.Fields(rest))
		} else if line != "" {
			r.notes.warn("%s: %s", r.node, strings.ReplaceAll(line, "/.vennel-cp-"+r.key+"/new/", "/"))
		}
	}
	_, _ = io.Copy(io.Discard, from) // what is no text is not shown
}

// put runs the script's other side. In a terminal the archive has the length that was announced, and is compared with what has arrived.
func (r *copying) put(p conversation, tree []*entry, terminal bool) error {
	complaints := make(chan struct{})
	go func() { defer close(complaints); r.hear(p.Stderr(), nil) }()
	heard := make(chan []string, 16) // more than a script says
	go func() {
		defer close(heard)
		r.hear(p, func(words []string) {
			select {
			case heard <- words:
			default:
			}
		})
	}()
	if !terminal {
		if _, err := io.WriteString(p, "go\n"); err != nil {
			return err
		}
	}
	var sum string
	for words := range heard {
		switch {
		case len(words) == 2 && words[0] == "ready":
			mask, err := strconv.ParseUint(words[1], 8, 12)
			if err != nil {
				return fmt.Errorf("the node's umask is %q", words[1])
			}
			r.meter.begin(cmp.Or(path.Base(filepath.ToSlash(tree[0].path)), "."), archiveSize(tree))
			sum, err = r.writeArchive(p, tree, int64(mask))
			if err == nil && !terminal {
				err = p.CloseWrite()
			}
			if changed, ok := errors.AsType[*changedError](err); ok {
				r.bad("%v", changed) // nothing has got its name, for the script has no whole archive
				return nil
			}
		case len(words) == 2 && words[0] == "sum":
			if words[1] == "-" {
				r.notes.say("%s has no sha256sum: only the size of what has arrived was compared", r.node)
			} else if words[1] != sum {
				return fmt.Errorf("what has arrived on %s is not what was sent, and was thrown away", r.node)
			}
			if _, err := io.WriteString(p, "place\n"); err != nil {
				return err
			}
		case len(words) == 2 && words[0] == "end":
			r.meter.end()
			if words[1] != "0" {
				r.code = exitFailure
			}
			<-complaints
			return nil
		default:
			return fmt.Errorf("the node said %q", words)
		}
	}
	<-complaints
	return errCut
}

// get runs the script's other side: what it sends becomes files.
func (r *copying) get(p conversation, sources []string, to *target, extended bool) error {
	complaints := make(chan struct{})
	go func() { defer close(complaints); r.hear(p.Stderr(), nil) }()
	in := bufio.NewReaderSize(p, 256<<10)
	if extended {
		if _, err := io.WriteString(p, "go\n"); err != nil {
			return err
		}
	} else {
		in = bufio.NewReaderSize(unbase64(p), 256<<10)
	}
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			<-complaints
			return errCut
		}
		rest, ok := strings.CutPrefix(string(line), r.key+" ")
		kind, argument, _ := strings.Cut(strings.TrimSpace(rest), " ")
		number, err := strconv.Atoi(argument)
		if !ok || err != nil {
			return fmt.Errorf("the node sent %q", clean(string(line[:min(len(line), 80)])))
		}
		switch {
		case kind == "end":
			r.meter.end()
			if number != 0 {
				r.code = exitFailure
			}
			<-complaints
			return nil
		case kind == "next":
			if number != 0 {
				r.code = exitFailure // tar has said what
			}
		case (kind == "file" || kind == "folder" && r.flags.Recursive) && number >= 0 && number < len(sources):
			if next, err := in.Peek(len(r.key)); err == nil && string(next) == r.key {
				continue // tar has not begun
			}
			if err := r.readArchive(in, sources[number], kind == "folder", to); err != nil {
				return err
			}
		default:
			return fmt.Errorf("the node said %q", clean(rest))
		}
	}
}
