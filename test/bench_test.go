package test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// TestBench measures what docs/performance.md promises, each against a neighbour in the same run, and
// prints one table. It is no test: a missed target is said, not failed, because machines differ and
// are shared. VENNEL_BENCH=1 runs it; VENNEL_BENCH_OUT names a file for the table, VENNEL_BENCH_NODES
// the size of the fleet, VENNEL_BENCH_SESSIONS the number of idle sessions.
func TestBench(t *testing.T) {
	if os.Getenv("VENNEL_BENCH") != "1" {
		t.Skip("set VENNEL_BENCH=1, or run make bench")
	}
	b := &bench{t: t}
	t.Run("Requests", b.requests)
	t.Run("Fleet", b.fleet)
	t.Run("Gateway", b.gateway)
	t.Run("Sessions", b.sessions)
	t.Run("Idle", b.idleSessions)
	b.print()
}

// bench collects what is measured.
type bench struct {
	t    *testing.T
	rows []row
}

// row is one line of the table.
type row struct {
	what             string
	ours, neighbours string // with units; a neighbour may be missing
	ratio            string
	target           string
	met              bool
	foreign          float64 // cores that other processes used meanwhile
}

// add adds a line and says it at once, because the whole takes long. An empty target only informs.
func (b *bench) add(t *testing.T, r row) {
	t.Helper()
	b.rows = append(b.rows, r)
	t.Logf("%s: %s (%s) %s; others used %.2f cores", r.what, r.ours, r.neighbours, r.ratio, r.foreign)
}

// print prints the table, and writes it where VENNEL_BENCH_OUT says.
func (b *bench) print() {
	var text strings.Builder
	fmt.Fprintf(&text, "%s, %d cores; medians; the last column is what other processes used meanwhile, in cores\n", time.Now().Format(time.DateOnly), cores(b.t))
	table := tabwriter.NewWriter(&text, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "WHAT\tOURS\tNEIGHBOUR\tRATIO\tTARGET\t\tOTHERS")
	for _, r := range b.rows {
		verdict := ""
		if r.target != "" {
			verdict = map[bool]string{true: "met", false: "MISSED"}[r.met]
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%.2f\n", r.what, r.ours, r.neighbours, r.ratio, r.target, verdict, r.foreign)
	}
	if err := table.Flush(); err != nil {
		b.t.Error(err)
	}
	b.t.Log("\n" + text.String())
	if out := os.Getenv("VENNEL_BENCH_OUT"); out != "" {
		if err := os.WriteFile(out, []byte(text.String()), 0o644); err != nil {
			b.t.Error(err)
		}
	}
}

// process is one that is watched through /proc.
type process int

// tick is the unit of /proc's times. It is the kernel's USER_HZ, which is 100 on every Linux.
const tick = 10 * time.Millisecond

// cpu is how much processor time a process has used.
func (p process) cpu(t *testing.T) time.Duration {
	t.Helper()
	text, err := os.ReadFile(p.file("stat"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0 // it has ended
	} else if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	return time.Duration(number(t, fields[11])+number(t, fields[12])) * tick
}

// memory is a field of a process's status in bytes: VmRSS, VmHWM.
func (p process) memory(t *testing.T, field string) int64 {
	t.Helper()
	text, err := os.ReadFile(p.file("status"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return number(t, strings.Fields(value)[0]) << 10
		}
	}
	t.Fatalf("no %s in the status of a process", field)
	return 0
}

// resetPeak makes VmHWM begin anew.
func (p process) resetPeak(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(p.file("clear_refs"), []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
}

// file is a file of /proc about a process.
func (p process) file(name string) string { return filepath.Join("/proc", strconv.Itoa(int(p)), name) }

// number reads a whole number.
func number(t *testing.T, text string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// cores is how many processors there are.
func cores(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(text), "\ncpu")
}

// busy is how much processor time the whole machine has used.
func busy(t *testing.T) time.Duration {
	t.Helper()
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	var total int64
	for i, field := range strings.Fields(line)[1:9] {
		if i != 3 && i != 4 { // idle and waiting for the disk
			total += number(t, field)
		}
	}
	return time.Duration(total) * tick
}

// usage is what some processes and the rest of the machine used in a span.
type usage struct {
	took    time.Duration
	cpu     []time.Duration // of each process
	foreign float64         // cores that all others used
}

// spend runs f and says what it cost. The first of the processes are ours; this one is added for the
// account of the others.
func spend(t *testing.T, f func(), processes ...process) usage {
	t.Helper()
	all := append(slices.Clone(processes), process(os.Getpid()))
	before := make([]time.Duration, len(all))
	for i, p := range all {
		before[i] = p.cpu(t)
	}
	start, machine := time.Now(), busy(t)
	f()
	u := usage{took: time.Since(start)}
	rest := busy(t) - machine
	for i, p := range all {
		used := p.cpu(t) - before[i]
		rest -= used
		if i < len(processes) {
			u.cpu = append(u.cpu, used)
		}
	}
	u.foreign = max(0, rest.Seconds()/u.took.Seconds())
	return u
}

// calm is how many cores others may use in a repetition that counts.
const calm = 0.25

// repeat runs f until so many repetitions were calm, or three times as often at most; then the calmest
// count. f says how many cores others used meanwhile.
func repeat[T any](times int, f func() (T, float64)) (kept []T, foreign float64) {
	type sample struct {
		value   T
		foreign float64
	}
	var all []sample
	for quiet := 0; quiet < times && len(all) < 3*times; {
		value, others := f()
		all = append(all, sample{value, others})
		if others <= calm {
			quiet++
		}
	}
	slices.SortStableFunc(all, func(a, b sample) int { return int(1000 * (a.foreign - b.foreign)) })
	all = all[:times]
	for _, s := range all {
		kept = append(kept, s.value)
	}
	return kept, all[times/2].foreign
}

// median is the middle of what f gives of the samples.
func median[T any](samples []T, f func(T) float64) float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = f(s)
	}
	slices.Sort(values)
	if n := len(values); n%2 == 0 {
		return (values[n/2-1] + values[n/2]) / 2
	}
	return values[len(values)/2]
}
