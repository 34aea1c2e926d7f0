//go:build unix

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vennel/vennel/api/ssm"
)

// The sizes of what is measured of idle sessions.
const (
	manySessions   = 2000
	sessionsOnNode = 100 // a fifth of what a node can have
	timedSessions  = 100 // which make the server load what it loads once, too
	sessionRamp    = 32  // that are opened at a time
	sessionReps    = 3
	idleWorkers    = 5
)

// sessionIdle is how long sessions are left alone. In this time a client is asked once whether it is there.
const sessionIdle = 30 * time.Second

// workerSettles is after what time a shell is idle.
const workerSettles = 10 * time.Second

// idleSessions measures what sessions cost in which nothing happens, on the server and on the node.
func (b *bench) idleSessions(t *testing.T) {
	t.Run("Server", b.idleServer)
	for _, kind := range []string{oursKind, officialKind} {
		t.Run("Node/"+kind, func(t *testing.T) { b.idleWorker(t, kind) })
	}
}

// idleServer measures the server's memory, with all peers in a process of their own.
func (b *bench) idleServer(t *testing.T) {
	f := b.newFleet(t)
	f.size = sizeOf(t, "VENNEL_BENCH_SESSIONS", manySessions)
	nodes := (f.size + timedSessions + sessionsOnNode - 1) / sessionsOnNode
	f.fleet = f.simulate(f.activate("sessions", nodes))
	f.online(f.fleet, nodes)
	f.converse(timedSessions/2, 1)
	var timed conversing
	u := spend(t, func() { timed = f.converse(timedSessions, 1) }, f.process(), f.fleet.process)
	f.add(t, row{
		what: "a session, from StartSession to the first output, p50 / p99", ours: fmt.Sprintf("%.1f / %.1f ms", timed.P50, timed.P99), foreign: u.foreign,
	})
	base := f.free()
	type sample struct{ ours, bare, took, begin, idle, busy, others float64 } // the last two: cores that others used
	samples, foreign := repeat(sessionReps, func() (s sample, others float64) {
		u := spend(t, func() { f.converse(timedSessions+f.size, sessionRamp) }, f.process(), f.fleet.process)
		s.took, s.begin, s.busy = u.took.Seconds(), u.cpu[0].Seconds(), u.foreign
		f.connected(nodes, timedSessions+f.size)
		before := f.fleet.report()
		u = spend(t, func() { time.Sleep(sessionIdle) }, f.process(), f.fleet.process)
		s.idle, s.others = u.cpu[0].Seconds()/u.took.Minutes(), u.foreign
		f.connected(nodes, timedSessions+f.size)
		if after := f.fleet.report(); after.Failed != before.Failed {
			t.Errorf("%d failures while nothing happened: %v", after.Failed-before.Failed, after.Errors)
		}
		s.ours, s.bare = float64(f.free()-base)/float64(f.size), 2*f.bare(2*f.size)
		t.Logf("an idle session %.1f KiB, two bare connections %.1f KiB, opened in %.1f s with %.1f s of CPU, idle %.2f s a minute",
			s.ours/1024, s.bare/1024, s.took, s.begin, s.idle)
		f.fleet.order(map[string]any{"do": "part"})
		f.connected(nodes, 0)
		return s, 0 // memory does not care what others do
	})
	of := func(f func(sample) float64) float64 { return median(samples, f) }
	ours, bare := of(func(s sample) float64 { return s.ours }), of(func(s sample) float64 { return s.bare })
	f.add(t, row{
		what: "memory of an idle session", ours: fmt.Sprintf("%.1f KiB", ours/1024), neighbours: fmt.Sprintf("%.1f KiB two bare TLS connections", bare/1024),
		ratio: fmt.Sprintf("%.2f×", ours/bare), target: "≤ 1.5×", met: ours <= 1.5*bare, foreign: foreign,
	})
	f.add(t, row{
		what:    fmt.Sprintf("%d sessions begin, %d at a time", f.size, sessionRamp),
		ours:    fmt.Sprintf("%.1f s, server CPU %.1f s", of(func(s sample) float64 { return s.took }), of(func(s sample) float64 { return s.begin })),
		foreign: of(func(s sample) float64 { return s.busy }),
	})
	f.add(t, row{
		what: fmt.Sprintf("%d idle sessions, a minute", f.size), ours: fmt.Sprintf("server CPU %.2f s", of(func(s sample) float64 { return s.idle })),
		foreign: of(func(s sample) float64 { return s.others }),
	})
}

// conversing is what a fleet says of new sessions, in milliseconds.
type conversing struct {
	Count int
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
}

// converse opens sessions until there are so many.
func (f *fleetBench) converse(count, atOnce int) (c conversing) {
	f.t.Helper()
	f.fleet.ask(map[string]any{
		"do": "converse", "count": count, "at_once": atOnce, "access_key": f.admin.keys.AccessKeyID, "secret_key": f.admin.keys.SecretAccessKey,
	}, &c)
	if c.Count != count {
		f.t.Fatalf("%d sessions instead of %d", c.Count, count)
	}
	return c
}

// connected waits until so many sessions are connected and have all of their data channels, and there is no other.
func (f *fleetBench) connected(nodes, sessions int) {
	f.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		streams, err := strconv.ParseFloat(f.metric("vennel_open_streams"), 64)
		if err != nil {
			f.t.Fatal(err)
		}
		count := 0
		if int(streams) == nodes+2*sessions {
			if count = f.countSessions(); count == sessions {
				return
			}
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("%d sessions are connected with %v streams, want %d and %d: %v", count, streams, sessions, nodes+2*sessions, f.fleet.report().Errors)
		}
	}
}

// countSessions is how many sessions are connected. Any other that is not over is wrong.
func (f *fleetBench) countSessions() (n int) {
	f.t.Helper()
	in := &ssm.DescribeSessionsInput{State: ssm.SessionStateActive, MaxResults: new(int64(200))}
	for {
		out := new(ssm.DescribeSessionsOutput)
		f.call("ssm", "DescribeSessions", in, out)
		for _, s := range out.Sessions {
			if *s.Status == ssm.SessionStatusConnected {
				n++
			}
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return n
		}
	}
}

// idleWorker measures the processes that hold idle shells on a node. Memory that processes share is counted in equal parts.
func (b *bench) idleWorker(t *testing.T, kind string) {
	if why := lacks("agent", kind); why != "" {
		t.Skip("not measured: " + why)
	}
	s := stationAt(t, kind, true)
	o := s.operator(t, oursKind)
	o.straight = true
	for range idleWorkers {
		onTerminal(t, o.shell()).expect(prompt)
	}
	time.Sleep(workerSettles)
	word := map[string]string{oursKind: "--session=", officialKind: "ssm-session-worker"}[kind]
	workers := processesWith(t, s.folder, word)
	if len(workers) != idleWorkers {
		t.Fatalf("%d processes hold %d sessions", len(workers), idleWorkers)
	}
	var shared, private float64
	for _, p := range workers {
		shared += float64(p.rollup(t, "Pss")) / idleWorkers
		private += float64(p.rollup(t, "Private_Clean")+p.rollup(t, "Private_Dirty")) / idleWorkers
	}
	b.add(t, row{
		what: "memory of an idle shell's process on the node, " + map[string]string{oursKind: "our agent", officialKind: "SSM Agent"}[kind],
		ours: fmt.Sprintf("%.1f MiB, of its own %.1f MiB", shared/(1<<20), private/(1<<20)),
	})
}

// processesWith are the processes with a word in their command line that belong to a station: its folder is in there, or in their environment.
func processesWith(t *testing.T, folder, word string) (list []process) {
	t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range entries {
		line, _ := os.ReadFile(name) // of one that has ended there is none
		around, _ := os.ReadFile(filepath.Join(filepath.Dir(name), "environ"))
		if strings.Contains(string(line), word) && strings.Contains(string(line)+string(around), folder) {
			list = append(list, process(number(t, filepath.Base(filepath.Dir(name)))))
		}
	}
	return list
}

// rollup is a field of the sum of a process's mappings, in bytes: Pss, Private_Clean, Private_Dirty.
func (p process) rollup(t *testing.T, field string) int64 {
	t.Helper()
	text, err := os.ReadFile(p.file("smaps_rollup"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return number(t, strings.Fields(value)[0]) << 10
		}
	}
	t.Fatalf("no %s in the mappings of a process", field)
	return 0
}
