package cmd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/wire"
)

// view shows a lab on a terminal: what has been done, and then a part that is drawn again and again.
// Elsewhere it says nothing.
type view struct {
	out      io.Writer
	terminal bool
	width    func() int
	drawn    int // lines of the live part on the screen
}

// newView gives the view of a stream.
func newView(out io.Writer) *view {
	v := &view{out: out, width: func() int { return 80 }}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		v.terminal = true
		v.width = func() int {
			if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 20 {
				return w
			}
			return 80
		}
	}
	return v
}

// say prints text.
func (v *view) say(format string, args ...any) {
	if v.terminal {
		fmt.Fprintf(v.out, format, args...)
	}
}

// step says that something begins; the returned function, that it is done, and how long it took.
func (v *view) step(format string, args ...any) (done func()) {
	start := time.Now()
	v.say(format+" …", args...)
	return func() { v.say(" %s (%s)\n", green("done"), time.Since(start).Round(10*time.Millisecond)) }
}

// Colours. They are only written to a terminal.
func green(s string) string { return "\x1b[32m" + s + "\x1b[0m" }

// red marks what is wrong.
func red(s string) string { return "\x1b[31m" + s + "\x1b[0m" }

// bold marks a heading.
func bold(s string) string { return "\x1b[1m" + s + "\x1b[0m" }

// refresh is how often the live part is drawn.
const refresh = time.Second

// liveRows is how many rows each table of the live part has.
const liveRows = 8

// live draws the nodes and the latest commands until ctx ends.
func (v *view) live(ctx context.Context, client *wire.Client, draw func(context.Context, *wire.Client) (string, error)) error {
	tick := time.NewTicker(refresh)
	defer tick.Stop()
	for {
		text, err := draw(ctx, client)
		if ctx.Err() != nil {
			fmt.Fprintln(v.out)
			return nil
		} else if err != nil {
			return err
		}
		v.draw(text)
		select {
		case <-ctx.Done():
			fmt.Fprintln(v.out, "\nStopping.")
			return nil
		case <-tick.C:
		}
	}
}

// draw puts text in the place of what was drawn before.
func (v *view) draw(text string) {
	var b bytes.Buffer
	if v.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", v.drawn)
	}
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for _, line := range lines {
		b.WriteString("\x1b[2K" + clip(line, v.width()-1) + "\n")
	}
	b.WriteString("\x1b[J")
	v.drawn = len(lines)
	_, _ = v.out.Write(b.Bytes()) // a terminal that is gone needs no picture
}

// clip cuts a line to a width; colours take no room.
func clip(line string, width int) string {
	var b strings.Builder
	n, escape := 0, false
	for _, r := range line {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
		case n >= width:
			continue
		default:
			n++
		}
		b.WriteRune(r)
	}
	return b.String()
}

// picture is the live part as text.
func picture(ctx context.Context, client *wire.Client) (string, error) {
	nodes := new(ssm.DescribeInstanceInformationOutput)
	if err := client.Call(ctx, "DescribeInstanceInformation", &ssm.DescribeInstanceInformationInput{}, nodes); err != nil {
		return "", err
	}
	commands := new(ssm.ListCommandsOutput)
	if err := client.Call(ctx, "ListCommands", &ssm.ListCommandsInput{MaxResults: new(int64(liveRows))}, commands); err != nil {
		return "", err
	}
	var b bytes.Buffer
	table := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "NODE\tNAME\tPLATFORM\tAGENT\tSTATUS")
	for i, n := range nodes.InstanceInformationList {
		if i == liveRows {
			break
		}
		platform := strings.TrimSpace(api.Or(n.PlatformName, "") + " " + api.Or(n.PlatformVersion, ""))
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", *n.InstanceId, api.Or(n.ComputerName, ""), platform, api.Or(n.AgentVersion, ""), *n.PingStatus)
	}
	fmt.Fprintln(table, "\t\t\t\t")
	fmt.Fprintln(table, "COMMAND\tDOCUMENT\tSENT\tTARGETS\tSTATUS")
	for _, c := range commands.Commands {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d/%d\t%s\n", *c.CommandId, *c.DocumentName, c.RequestedDateTime.Local().Format(time.TimeOnly),
			*c.CompletedCount, *c.TargetCount, *c.StatusDetails)
	}
	if err := table.Flush(); err != nil {
		return "", err
	}
	return paint(b.String()), nil
}

// paint colours headings and statuses, after the columns have been aligned.
func paint(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		line = strings.TrimRight(line, " ")
		switch at := strings.LastIndexByte(line, ' ') + 1; {
		case strings.HasPrefix(line, "NODE ") || strings.HasPrefix(line, "COMMAND ") || strings.HasPrefix(line, "ENDPOINT "):
			line = bold(line)
		case strings.HasSuffix(line, " Online") || strings.HasSuffix(line, " Success") || strings.HasSuffix(line, " available"):
			line = line[:at] + green(line[at:])
		case strings.HasSuffix(line, " ConnectionLost") || strings.HasSuffix(line, " Failed") || strings.HasSuffix(line, " failed") || strings.HasSuffix(line, "TimedOut"):
			line = line[:at] + red(line[at:])
		}
		lines[i] = line
	}
	return strings.Join(lines, "\n")
}
