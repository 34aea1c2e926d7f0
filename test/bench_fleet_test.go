package test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/api/ssm"
)

// The sizes of the fleet.
const (
	warmNodes     = 16    // which make the server load what it loads once
	fewNodes      = 1000  // and the whole
	manyNodes     = 10000 // what docs/performance.md promises
	perActivation = 500   // half of AWS's limit
	fleetReps     = 5
	memoryReps    = 3
	stormReps     = 3
)

// idleTime is how long the fleet is left alone. In this time a node pings twice.
const idleTime = 2 * time.Minute

// fleetBench is a server with a simulated fleet.
type fleetBench struct {
	*bench
	t      *testing.T
	server *server
	admin  *target
	fleet  *simulation
	size   int
	binary string // of the simulation
}

// fleet measures what a large fleet costs: memory, a command, nothing at all, and a restart.
func (b *bench) fleet(t *testing.T) {
	f := b.newFleet(t)
	f.size = sizeOf(t, "VENNEL_BENCH_NODES", manyNodes)
	base := f.warm()
	f.fleet = f.simulate(f.activate("bench", f.size))
	f.register()
	f.memory(base)
	if f.size > fewNodes {
		f.command("few", fewNodes)
	}
	f.command("all", f.size)
	f.idle()
	f.storm()
	f.command("all", f.size) // nothing was lost
}

// newFleet starts a server for a fleet.
func (b *bench) newFleet(t *testing.T) *fleetBench {
	t.Helper()
	f := &fleetBench{bench: b, t: t, binary: filepath.Join(t.TempDir(), "simfleet")}
	if out, err := exec.Command("go", "build", "-o", f.binary, "./simfleet").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var err error
	if f.server, err = startServer(filepath.Join(t.TempDir(), "data"), "--metrics", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.server.stop(); err != nil {
			t.Error(err)
		}
		if text, err := os.ReadFile(f.server.data + ".log"); err == nil && len(text) > 0 {
			t.Logf("the server said:\n%s", text[max(0, len(text)-4000):])
		}
	})
	f.admin = &target{"vennel", strings.TrimPrefix(f.server.HTTP, "http://"), administrator(t, f.server), 0}
	f.makeRole()
	return f
}

// sizeOf is a size that the environment may change.
func sizeOf(t *testing.T, name string, size int) int {
	t.Helper()
	if text := os.Getenv(name); text != "" {
		return int(number(t, text))
	}
	return size
}

// process is the server's, which changes with a restart.
func (f *fleetBench) process() process { return process(f.server.cmd.Process.Pid) }

// call calls an operation as the administrator.
func (f *fleetBench) call(service, operation string, in, out any) {
	f.t.Helper()
	if err := f.admin.client(service).Call(f.t.Context(), operation, in, out); err != nil {
		f.t.Fatalf("%s: %v", operation, err)
	}
}

// makeRole makes the nodes' role.
func (f *fleetBench) makeRole() {
	f.t.Helper()
	trust := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"ssm.amazonaws.com"},"Action":"sts:AssumeRole"}}`
	f.call("iam", "CreateRole", &iam.CreateRoleInput{RoleName: "BenchNode", AssumeRolePolicyDocument: trust}, &iam.CreateRoleOutput{})
	f.call("iam", "AttachRolePolicy", &iam.AttachRolePolicyInput{
		RoleName: "BenchNode", PolicyArn: "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore",
	}, &iam.AttachRolePolicyOutput{})
}

// activate makes activations for so many nodes. The first fewNodes also have the tag few. Each takes
// twice as many registrations as there are nodes: one that was not answered is made again.
func (f *fleetBench) activate(name string, nodes int) (list []activation) {
	f.t.Helper()
	for first := 0; first < nodes; first += perActivation {
		tags := []ssm.Tag{{Key: "all", Value: name}}
		if first < fewNodes {
			tags = append(tags, ssm.Tag{Key: "few", Value: name})
		}
		n := min(nodes-first, perActivation)
		out := new(ssm.CreateActivationOutput)
		f.call("ssm", "CreateActivation", &ssm.CreateActivationInput{IamRole: "BenchNode", RegistrationLimit: new(int64(2 * n)), Tags: tags}, out)
		list = append(list, activation{ID: *out.ActivationId, Code: *out.ActivationCode, Nodes: n})
	}
	return list
}

// activation is what the simulation registers nodes with.
type activation struct {
	ID    string `json:"id"`
	Code  string `json:"code"`
	Nodes int    `json:"nodes"`
}

// simulation is a running simfleet.
type simulation struct {
	t       *testing.T
	cmd     *exec.Cmd
	in      io.WriteCloser
	lines   chan []byte // all but progress
	process process

	mu   sync.Mutex
	last progress // guarded by mu
}

// progress is what a fleet says of itself.
type progress struct {
	Event                                  string
	Registered, Online, Jobs, Acked, Beats int
	Connects, Failed, Replies              int
	Commands                               map[string]struct{ Nodes, Deliveries int }
	Errors                                 map[string]int
	AckP50                                 float64 `json:"ack_p50_ms"`
	AckP99                                 float64 `json:"ack_p99_ms"`
	AckMost                                float64 `json:"ack_most_ms"`
	AckLate                                int     `json:"ack_late"`
}

// start runs simfleet with a first order.
func (f *fleetBench) start(order map[string]any) *simulation {
	f.t.Helper()
	s := &simulation{t: f.t, cmd: exec.Command(f.binary), lines: make(chan []byte, 16)}
	s.cmd.Stderr = os.Stderr
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		f.t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	s.process = process(s.cmd.Process.Pid)
	go s.listen(out)
	f.t.Cleanup(s.stop)
	s.order(order)
	return s
}

// listen takes in what it says, until it ends.
func (s *simulation) listen(out io.Reader) {
	defer close(s.lines)
	scanner := bufio.NewScanner(out)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		line := bytes.Clone(scanner.Bytes())
		var p progress
		if json.Unmarshal(line, &p) == nil && p.Event == "progress" {
			s.mu.Lock()
			s.last = p
			s.mu.Unlock()
			continue
		}
		s.lines <- line
	}
}

// order tells it to do something.
func (s *simulation) order(order map[string]any) {
	s.t.Helper()
	line, err := json.Marshal(order)
	if err == nil {
		_, err = s.in.Write(append(line, '\n'))
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// ask tells it to do something and reads the answer.
func (s *simulation) ask(order map[string]any, answer any) {
	s.t.Helper()
	s.order(order)
	line, ok := <-s.lines
	if !ok {
		s.t.Fatal("the simulation has ended")
	}
	if err := json.Unmarshal(line, answer); err != nil {
		s.t.Fatal(err)
	}
}

// report asks a fleet for everything.
func (s *simulation) report() (p progress) {
	s.t.Helper()
	s.ask(map[string]any{"do": "report"}, &p)
	return p
}

// stop ends it, once.
func (s *simulation) stop() {
	if s.in.Close() != nil {
		return
	}
	for range s.lines { // until it has ended
	}
	_ = s.cmd.Wait()
}

// simulate starts nodes.
func (f *fleetBench) simulate(activations []activation) *simulation {
	f.t.Helper()
	return f.start(map[string]any{
		"do": "fleet", "address": strings.TrimPrefix(f.server.HTTPS, "https://"), "ca": f.server.CA, "region": benchRegion, "activations": activations,
	})
}

// online waits until so many nodes are on line, and says how many attempts failed.
func (f *fleetBench) online(s *simulation, nodes int) {
	f.t.Helper()
	for deadline := time.Now().Add(15 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		p := s.report()
		if p.Online == nodes && f.reachable() == nodes {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("%d of %d nodes are on line after 15 minutes: %v", p.Online, nodes, p.Errors)
		}
	}
}

// reachable is how many nodes hold a line, as the server has it.
func (f *fleetBench) reachable() int {
	f.t.Helper()
	n, err := strconv.ParseFloat(f.metric("vennel_nodes_reachable"), 64)
	if err != nil {
		f.t.Fatal(err)
	}
	return int(n)
}

// metric reads a metric without labels.
func (f *fleetBench) metric(name string) string {
	f.t.Helper()
	r, err := http.Get(f.server.Metrics + "/metrics")
	if err != nil {
		f.t.Fatal(err)
	}
	defer r.Body.Close()
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return value
		}
	}
	f.t.Fatalf("no metric %s", name)
	return ""
}

// free makes the server give back the memory that it does not use, and says what is left.
func (f *fleetBench) free() int64 {
	f.t.Helper()
	r, err := http.Post(f.server.Metrics+"/debug/free", "", nil)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := errors.Join(r.Body.Close()); err != nil || r.StatusCode != http.StatusOK {
		f.t.Fatal(r.Status, err)
	}
	return f.process().memory(f.t, "VmRSS")
}

// warm has a few nodes do everything once, and gives the server's memory with them.
func (f *fleetBench) warm() int64 {
	f.t.Helper()
	s := f.simulate(f.activate("warm", warmNodes))
	f.online(s, warmNodes)
	f.send("tag:all", "warm", warmNodes)
	base := f.free()
	f.t.Cleanup(s.stop) // they stay, so that the difference is that of the others
	f.t.Logf("with %d nodes the server has %d MiB", warmNodes, base>>20)
	s.stop()
	return base
}

// register brings the fleet on line for the first time.
func (f *fleetBench) register() {
	f.t.Helper()
	u := spend(f.t, func() { f.online(f.fleet, f.size) }, f.process(), f.fleet.process)
	f.add(f.t, row{
		what: fmt.Sprintf("%d nodes register and connect", f.size), ours: fmt.Sprintf("%.1f s, server CPU %.1f s", u.took.Seconds(), u.cpu[0].Seconds()),
		neighbours: fmt.Sprintf("simulation CPU %.1f s", u.cpu[1].Seconds()), foreign: u.foreign,
	})
}

// memory compares the memory of an idle node with that of a bare TLS connection.
func (f *fleetBench) memory(base int64) {
	f.t.Helper()
	type pair struct{ ours, bare float64 }
	pairs, foreign := repeat(memoryReps, func() (p pair, others float64) {
		p = pair{float64(f.free()-base) / float64(f.size), f.bare(f.size)}
		f.t.Logf("an idle node %.1f KiB, a bare connection %.1f KiB", p.ours/1024, p.bare/1024)
		f.fleet.order(map[string]any{"do": "offline"})
		f.fleet.order(map[string]any{"do": "online"})
		f.online(f.fleet, f.size)
		return p, 0 // memory does not care what others do
	})
	ours, bare := median(pairs, func(p pair) float64 { return p.ours }), median(pairs, func(p pair) float64 { return p.bare })
	f.add(f.t, row{
		what: "memory of an idle node", ours: fmt.Sprintf("%.1f KiB", ours/1024), neighbours: fmt.Sprintf("%.1f KiB a bare TLS connection", bare/1024),
		ratio: fmt.Sprintf("%.2f×", ours/bare), target: "≤ 1.5×", met: ours <= 1.5*bare, foreign: foreign,
	})
}

// bare measures a bare TLS connection, one of so many.
func (f *fleetBench) bare(count int) float64 {
	f.t.Helper()
	var where struct{ Address, CA string }
	server := f.start(map[string]any{"do": "listen", "folder": f.t.TempDir()})
	defer server.stop()
	if err := json.Unmarshal(<-server.lines, &where); err != nil {
		f.t.Fatal(err)
	}
	hold := map[string]any{"do": "hold", "address": where.Address, "ca": where.CA, "count": warmNodes}
	client := f.start(hold)
	defer client.stop()
	<-client.lines
	free := func() int64 {
		server.ask(map[string]any{"do": "free"}, &where)
		return server.process.memory(f.t, "VmRSS")
	}
	base := free()
	hold["count"] = warmNodes + count
	var held struct{ Count int }
	if client.ask(hold, &held); held.Count != warmNodes+count {
		f.t.Fatalf("%d connections instead of %d", held.Count, warmNodes+count)
	}
	return float64(free()-base) / float64(count)
}

// sent is how a command went.
type sent struct {
	id     string
	took   time.Duration // until all results are stored
	answer time.Duration // of SendCommand itself
}

// send sends a command to nodes by a tag and waits until all results are stored.
func (f *fleetBench) send(key, value string, nodes int) (s sent) {
	f.t.Helper()
	start := time.Now()
	out := new(ssm.SendCommandOutput)
	f.call("ssm", "SendCommand", &ssm.SendCommandInput{
		DocumentName: "AWS-RunShellScript", Parameters: map[string][]string{"commands": {"echo hello"}},
		Targets: []ssm.Target{{Key: &key, Values: []string{value}}}, MaxConcurrency: new("100%"), MaxErrors: new("0"),
	}, out)
	s.id, s.answer = *out.Command.CommandId, time.Since(start)
	for deadline := start.Add(10 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		list := new(ssm.ListCommandsOutput)
		f.call("ssm", "ListCommands", &ssm.ListCommandsInput{CommandId: &s.id}, list)
		c := list.Commands[0]
		if status := *c.Status; status == ssm.CommandStatusSuccess {
			s.took = time.Since(start)
			if int(*c.CompletedCount) != nodes || int(*c.TargetCount) != nodes {
				f.t.Fatalf("the command ended on %d of %d nodes, not %d", *c.CompletedCount, *c.TargetCount, nodes)
			}
			return s
		} else if status != ssm.CommandStatusPending && status != ssm.CommandStatusInProgress || time.Now().After(deadline) {
			f.t.Fatalf("the command is %s: %d of %d nodes", *c.StatusDetails, *c.CompletedCount, *c.TargetCount)
		}
	}
}

// command measures a command to the nodes with a tag, which each must have run once.
func (f *fleetBench) command(tag string, nodes int) {
	f.t.Helper()
	type sample struct {
		sent
		server, simulation float64 // CPU seconds
		peak               float64 // MiB
		p50, p99           float64 // milliseconds
		late               float64
	}
	samples, foreign := repeat(fleetReps, func() (s sample, others float64) {
		f.fleet.report()
		f.free()
		f.process().resetPeak(f.t)
		u := spend(f.t, func() { s.sent = f.send("tag:"+tag, "bench", nodes) }, f.process(), f.fleet.process)
		s.server, s.simulation, s.peak = u.cpu[0].Seconds(), u.cpu[1].Seconds(), float64(f.process().memory(f.t, "VmHWM"))/(1<<20)
		p := f.fleet.report()
		for deadline := time.Now().Add(patience); p.Acked != p.Replies && time.Now().Before(deadline); p = f.fleet.report() {
			time.Sleep(10 * time.Millisecond) // the last acknowledgements are on their way
		}
		if p.Acked != p.Replies {
			f.t.Errorf("%d replies, but %d acknowledgements", p.Replies, p.Acked)
		}
		if c := p.Commands[s.id]; c.Nodes != nodes || c.Deliveries != nodes {
			f.t.Errorf("the command was delivered %d times to %d nodes, want once to each of %d", c.Deliveries, c.Nodes, nodes)
		}
		s.p50, s.p99, s.late = p.AckP50, p.AckP99, float64(p.AckLate)
		f.t.Logf("%d nodes: %.2f s, SendCommand %v, CPU server %.2f s, simulation %.2f s, peak %.0f MiB, acknowledgements %.0f / %.0f / %.0f ms, %d late, others %.2f",
			nodes, s.took.Seconds(), s.answer.Round(time.Millisecond), s.server, s.simulation, s.peak, p.AckP50, p.AckP99, p.AckMost, p.AckLate, u.foreign)
		return s, u.foreign
	})
	of := func(f func(sample) float64) float64 { return median(samples, f) }
	took := of(func(s sample) float64 { return s.took.Seconds() })
	r := row{
		what: fmt.Sprintf("a command to %d nodes, results stored", nodes), ours: fmt.Sprintf("%.2f s", took),
		neighbours: fmt.Sprintf("SendCommand alone %.0f ms", of(func(s sample) float64 { return float64(s.answer.Milliseconds()) })), foreign: foreign,
	}
	if nodes == manyNodes {
		r.target, r.met = "≤ 5 s", took <= 5
	}
	f.add(f.t, r)
	f.add(f.t, row{
		what: "  CPU of the server", ours: fmt.Sprintf("%.2f s, %.0f µs a node", of(func(s sample) float64 { return s.server }), of(func(s sample) float64 { return s.server / float64(nodes) * 1e6 })),
		neighbours: fmt.Sprintf("simulation %.2f s", of(func(s sample) float64 { return s.simulation })), foreign: foreign,
	})
	f.add(f.t, row{what: "  peak memory of the server", ours: fmt.Sprintf("%.0f MiB", of(func(s sample) float64 { return s.peak })), foreign: foreign})
	f.add(f.t, row{
		what: "  acknowledgement of a reply, p50 / p99", ours: fmt.Sprintf("%.0f / %.0f ms", of(func(s sample) float64 { return s.p50 }), of(func(s sample) float64 { return s.p99 })),
		neighbours: "an agent waits 1 s", ratio: fmt.Sprintf("%.0f late", of(func(s sample) float64 { return s.late })), foreign: foreign,
	})
}

// idle measures a fleet that does nothing but live.
func (f *fleetBench) idle() {
	f.t.Helper()
	f.fleet.order(map[string]any{"do": "beat", "heartbeat": 300})
	before := f.fleet.report()
	u := spend(f.t, func() { time.Sleep(idleTime) }, f.process(), f.fleet.process)
	after := f.fleet.report()
	if after.Online != f.size || after.Failed != before.Failed {
		f.t.Errorf("%d of %d nodes are on line, %d attempts failed: %v", after.Online, f.size, after.Failed-before.Failed, after.Errors)
	}
	f.add(f.t, row{
		what: fmt.Sprintf("%d nodes on line, a minute", f.size), ours: fmt.Sprintf("server CPU %.2f s", u.cpu[0].Seconds()/u.took.Minutes()),
		neighbours: fmt.Sprintf("simulation CPU %.2f s", u.cpu[1].Seconds()/u.took.Minutes()),
		ratio:      fmt.Sprintf("%.1f heartbeats/s", float64(after.Beats-before.Beats)/u.took.Seconds()), foreign: u.foreign,
	})
}

// storm measures how a fleet comes back after a restart of the server.
func (f *fleetBench) storm() {
	f.t.Helper()
	type sample struct{ back, server float64 }
	samples, foreign := repeat(stormReps, func() (s sample, others float64) {
		before := f.fleet.report()
		stopped := time.Now()
		if err := f.server.stop(); err != nil {
			f.t.Fatal(err)
		}
		down := time.Since(stopped)
		if err := f.server.restart(); err != nil {
			f.t.Fatal(err)
		}
		ready := time.Now()
		u := spend(f.t, func() { f.online(f.fleet, f.size) }, f.process(), f.fleet.process)
		s.back, s.server = time.Since(ready).Seconds(), f.process().cpu(f.t).Seconds()
		after := f.fleet.report()
		f.t.Logf("stopped in %.1f s; all back after %.1f s, CPU server %.1f s, simulation %.1f s, %d connects, %d failed: %v",
			down.Seconds(), s.back, s.server, u.cpu[1].Seconds(), after.Connects-before.Connects, after.Failed-before.Failed, after.Errors)
		return s, u.foreign
	})
	f.add(f.t, row{
		what: "all nodes back after a restart", ours: fmt.Sprintf("%.1f s", median(samples, func(s sample) float64 { return s.back })),
		neighbours: fmt.Sprintf("server CPU %.1f s", median(samples, func(s sample) float64 { return s.server })), foreign: foreign,
	})
}
