package document

import (
	"strings"
	"unicode/utf8"

	"github.com/vennel/vennel/agent/plugin"
)

// The limits of what is reported of a step, in bytes, and the marks of what was cut. source: agent
const (
	mostStream   = 24000
	streamMark   = "--output truncated--"
	mostOutput   = 2500
	errorTitle   = "\n----------ERROR-------\n"
	outputMark   = "\n---Output truncated---"
	errorEndMark = "\n---Error truncated----"
)

// Output is what a step wrote, as it is reported.
type Output struct {
	Output         string // both streams together, shortened
	Stdout, Stderr string
}

// read reads what a step wrote.
func read(s *plugin.Step, code int) (out *Output, err error) {
	out = new(Output)
	if out.Stdout, err = s.Stdout.Head(mostStream); err != nil {
		return nil, err
	}
	if out.Stderr, err = s.Stderr.Head(mostStream); err != nil {
		return nil, err
	}
	stderr := out.Stderr
	if code == exitSuccess {
		stderr = "" // it says that the script has failed, which is not so
	}
	out.Output = combine(out.Stdout, stderr)
	return out, nil
}

// add appends the output of the next of several inputs.
func (o *Output) add(more *Output) {
	join := func(a, b string) string {
		if a != "" {
			a += "\n"
		}
		a += b
		return a[:min(len(a), mostStream)]
	}
	o.Stdout, o.Stderr = join(o.Stdout, more.Stdout), join(o.Stderr, more.Stderr)
}

// cut holds the streams to their limit.
func (o *Output) cut() {
	o.Stdout, o.Stderr = Cut(o.Stdout, mostStream), Cut(o.Stderr, mostStream)
}

// Cut shortens a text to fewer than most bytes, or to exactly as many with a mark at its end.
func Cut(text string, most int) string {
	if len(text) < most {
		return text
	}
	return prefix(text, most-len(streamMark)) + streamMark
}

// combine puts two streams together in the room of one short output.
func combine(stdout, stderr string) string {
	title := ""
	if stderr != "" {
		title = errorTitle
	}
	room := mostOutput - len(title)
	switch {
	case len(stdout)+len(stderr) < room:
		return stdout + title + stderr
	case len(stdout) > room/2 && len(stderr) > room/2:
		half := (room - len(outputMark) - len(errorEndMark)) / 2
		return prefix(stdout, half) + outputMark + title + prefix(stderr, half) + errorEndMark
	case len(stdout) <= room/2:
		return stdout + title + prefix(stderr, room-len(errorEndMark)-len(stdout)) + errorEndMark
	}
	return prefix(stdout, room-len(outputMark)-len(stderr)) + outputMark + title + stderr
}

// prefix is the beginning of a text, at most n bytes, not ending within a character.
func prefix(text string, n int) string {
	n = max(n, 0)
	if len(text) <= n {
		return text
	}
	for back := 0; back < utf8.UTFMax && n-back > 0; back++ {
		if utf8.RuneStart(text[n-back]) {
			return text[:n-back]
		}
	}
	return strings.Clone(text[:n]) // no text at all: there are no characters to respect
}
