//go:build unix

package test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// The sizes of what is measured of sessions.
const (
	bulkBytes    = 256 << 20
	slowBytes    = 8 << 20 // with delays
	crawlBytes   = 3 << 20 // of the official peers, who send less than a megabyte in a second
	echoes       = 400
	slowEchoes   = 20
	promptRounds = 5
)

// sessions measures what sessions carry, beside OpenSSH on the same machine.
func (b *bench) sessions(t *testing.T) {
	need(t, "ssh", "sshd")
	s := stationAt(t, oursKind, true)
	d := newSSHD(t)
	direct, road := d.port, newPath(t, fmt.Sprintf("127.0.0.1:%d", d.port))
	for _, delay := range []time.Duration{0, 50 * time.Millisecond, 200 * time.Millisecond} {
		t.Run(fmt.Sprint("RTT", delay), func(t *testing.T) {
			o := s.operator(t, oursKind)
			s.near.delay.Store(int64(delay / 2))
			road.delay.Store(int64(delay / 2))
			defer s.near.delay.Store(0)
			if o.straight, d.port = delay == 0, direct; delay > 0 {
				d.port = road.Addr().(*net.TCPAddr).Port
			}
			b.ports(t, o, d, delay)
			b.shells(t, o, d, delay)
		})
	}
	b.officialPeers(t, s)
}

// ports measures a forwarded port and that of ssh -L.
func (b *bench) ports(t *testing.T, o *operator, d *sshd, delay time.Duration) {
	ours := o.forward("", o.quay.port)
	defer ours.end()
	theirs := d.forward(t, o.quay.port)
	n, times, count := int64(bulkBytes), 3, echoes
	if delay > 0 {
		n, times, count = slowBytes*int64(1+100*time.Millisecond/delay), 3, slowEchoes
	}
	for _, name := range []string{"download", "upload"} {
		how := pull
		if name == "upload" {
			how = push
		}
		pairs, foreign := repeat(times, func() (pair, float64) {
			var p pair
			u := spend(t, func() {
				p.ours = rate(t, how, ours.local, n)
				p.theirs = rate(t, how, theirs, n)
			}, b.party(o)...)
			return p, u.foreign
		})
		p := medianPair(pairs)
		b.add(t, row{
			what: fmt.Sprintf("port forwarding, %s, %v round trip", name, delay), ours: fmt.Sprintf("%.0f MB/s", p.ours), neighbours: fmt.Sprintf("ssh -L %.0f MB/s", p.theirs),
			ratio: fmt.Sprintf("%.2fx", p.ours/p.theirs), target: ">= 1.2x", met: p.ours >= 1.2*p.theirs, foreign: foreign,
		})
	}
	for _, load := range []bool{false, true} {
		var p50, p99 pair
		for at, local := range map[*float64]string{&p50.ours: ours.local, &p50.theirs: theirs} {
			stop := func() {}
			if load {
				stop = underLoad(t, local)
			}
			times := echo(t, local, count)
			stop()
			*at = middle(times, 0.5)
			if at == &p50.ours {
				p99.ours = middle(times, 0.99)
			} else {
				p99.theirs = middle(times, 0.99)
			}
		}
		what := map[bool]string{false: "idle", true: "while a download runs"}[load]
		r := row{
			what: fmt.Sprintf("forwarded echo, %s, %v round trip: p50", what, delay), ours: fmt.Sprintf("%.2f ms", p50.ours), neighbours: fmt.Sprintf("ssh %.2f ms", p50.theirs),
			ratio: fmt.Sprintf("%.2fx", p50.ours/p50.theirs),
		}
		if !load {
			r.target, r.met = "<= 1.2x", p50.ours <= 1.2*p50.theirs
		}
		b.add(t, r)
		if !load && delay == 0 {
			floor := middle(echo(t, copiers(t, o.quay.port, 3), count), 0.5)
			b.add(t, row{
				what: "echo through three processes that only copy: p50", ours: fmt.Sprintf("%.2f ms", floor), neighbours: fmt.Sprintf("ssh %.2f ms", p50.theirs),
				ratio: fmt.Sprintf("%.2fx", floor/p50.theirs),
			})
		}
		b.add(t, row{
			what: fmt.Sprintf("forwarded echo, %s, %v round trip: p99", what, delay), ours: fmt.Sprintf("%.2f ms", p99.ours), neighbours: fmt.Sprintf("ssh %.2f ms", p99.theirs),
			ratio: fmt.Sprintf("%.2fx", p99.ours/p99.theirs),
		})
	}
}

// copiers gives a way to a port through processes that copy bytes and do nothing else: what any client, server and agent cost at the least.
func copiers(t *testing.T, port, many int) string {
	local := fmt.Sprintf("127.0.0.1:%d", port)
	for range many {
		c := exec.Command(os.Args[0], "-test.run=^TestCopier$")
		c.Env = append(os.Environ(), "VENNEL_TEST_PROGRAM="+program, "VENNEL_TEST_COPY_TO="+local)
		out, err := c.StdoutPipe()
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = c.Process.Kill() // it has no other end
			_ = c.Wait()
		})
		if _, err := fmt.Fscanln(out, &local); err != nil {
			t.Fatal(err)
		}
	}
	return local
}

// TestCopier is the process of copiers.
func TestCopier(t *testing.T) {
	to := os.Getenv("VENNEL_TEST_COPY_TO")
	if to == "" {
		t.Skip("it is a part of the benchmark of sessions")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(l.Addr())
	for {
		from, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		there, err := net.Dial("tcp", to)
		if err != nil {
			t.Fatal(err)
		}
		carry := func(to, from net.Conn) {
			_, _ = io.Copy(struct{ io.Writer }{to}, struct{ io.Reader }{from}) // no short cut within the kernel
			_ = to.Close()
		}
		go carry(there, from)
		go carry(from, there)
	}
}

// shells measures the time to a prompt, a keystroke's echo and the time to the end, beside ssh -t.
func (b *bench) shells(t *testing.T, o *operator, d *sshd, delay time.Duration) {
	type shell struct{ prompt, echo, exit float64 }
	measure := func(c *exec.Cmd) shell {
		begin := time.Now()
		x := onTerminal(t, c)
		x.expect(prompt)
		s := shell{prompt: ms(time.Since(begin))}
		x.say("cat\n")
		x.expect("cat")
		var times []float64
		for n := range 40 {
			key := string(rune('a' + n%26))
			begin := time.Now()
			x.say(key)
			x.expect(key)
			times = append(times, ms(time.Since(begin)))
		}
		s.echo = middle(times, 0.5)
		x.say("\x03")
		x.expect(prompt)
		begin = time.Now()
		x.say("exit\n")
		x.exit(sessionPatience)
		s.exit = ms(time.Since(begin))
		return s
	}
	login := append([]string{"-tt"}, append(d.options(), d.user+"@127.0.0.1", "exec sh")...)
	var ours, theirs []shell
	for range promptRounds {
		ours = append(ours, measure(o.shell()))
		c := o.run("ssh", login...)
		theirs = append(theirs, measure(c))
	}
	for _, m := range []struct {
		what string
		of   func(shell) float64
	}{
		{"time to the prompt", func(s shell) float64 { return s.prompt }},
		{"keystroke's echo", func(s shell) float64 { return s.echo }},
		{"time to the end", func(s shell) float64 { return s.exit }},
	} {
		we, they := median(ours, m.of), median(theirs, m.of)
		b.add(t, row{
			what: fmt.Sprintf("shell, %s, %v round trip", m.what, delay), ours: fmt.Sprintf("%.1f ms", we), neighbours: fmt.Sprintf("ssh %.1f ms", they), ratio: fmt.Sprintf("%.2fx", we/they),
		})
	}
}

// officialPeers measures what the stock plugin and the official agent carry with ours, and with each other.
func (b *bench) officialPeers(t *testing.T, s *station) {
	if why := lacks("client", officialKind); why != "" {
		t.Log("not measured: " + why)
		return
	}
	through := func(o *operator, n int64) (down, up float64) {
		f := o.forward("", o.quay.port)
		defer f.end()
		return rate(t, pull, f.local, n), rate(t, push, f.local, crawlBytes)
	}
	plugin := s.operator(t, officialKind)
	plugin.straight = true
	down, up := through(plugin, bulkBytes)
	b.add(t, row{
		what: "port forwarding, official plugin and our agent, download", ours: fmt.Sprintf("%.0f MB/s", down), target: ">= 100 MB/s", met: down >= 100,
	})
	b.add(t, row{what: "port forwarding, official plugin and our agent, upload", ours: fmt.Sprintf("%.2f MB/s", up)})
	if why := lacks("agent", officialKind); why != "" {
		t.Log("not measured: " + why)
		return
	}
	official := stationAt(t, officialKind, true)
	official.straight = true
	down, up = through(official.operator(t, officialKind), crawlBytes)
	b.add(t, row{what: "port forwarding, the official pair, download", ours: fmt.Sprintf("%.2f MB/s", down)})
	b.add(t, row{what: "port forwarding, the official pair, upload", ours: fmt.Sprintf("%.2f MB/s", up)})
	f := official.operator(t, oursKind).forward("", official.quay.port)
	defer f.end()
	b.add(t, row{what: "port forwarding, our client and the official agent, upload", ours: fmt.Sprintf("%.0f MB/s", rate(t, push, f.local, bulkBytes))})
	b.add(t, row{what: "port forwarding, our client and the official agent, download", ours: fmt.Sprintf("%.2f MB/s", rate(t, pull, f.local, crawlBytes))})
}

// party is the processes that take part on our side.
func (b *bench) party(o *operator) []process {
	list := []process{process(o.cmd.Process.Pid)}
	out, _ := exec.Command("pgrep", "-f", "vennel (agent|forward|ssh)").Output() // none is none
	for word := range strings.FieldsSeq(string(out)) {
		list = append(list, process(number(b.t, word)))
	}
	return list
}

// pair is one measure of ours and the neighbour's.
type pair struct{ ours, theirs float64 }

// medianPair is the medians of both.
func medianPair(pairs []pair) pair {
	return pair{median(pairs, func(p pair) float64 { return p.ours }), median(pairs, func(p pair) float64 { return p.theirs })}
}

// rate is how many MB/s a transfer makes.
func rate(t *testing.T, how func(string, int64) error, local string, n int64) float64 {
	t.Helper()
	begin := time.Now()
	if err := how(local, n); err != nil {
		t.Fatal(err)
	}
	return float64(n) / 1e6 / time.Since(begin).Seconds()
}

// pull takes bytes that cost nothing to make or to look at through a forwarded port.
func pull(local string, n int64) error {
	c, err := net.Dial("tcp", local)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // all was read
	if _, err := fmt.Fprintf(c, "zeros %d\n", n); err != nil {
		return err
	}
	got, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c}, make([]byte, 256<<10))
	if err == nil && got != n {
		err = fmt.Errorf("%d of %d bytes came", got, n)
	}
	return err
}

// push gives such bytes, and returns when all have arrived.
func push(local string, n int64) error {
	c, err := net.Dial("tcp", local)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // all has arrived
	if _, err := fmt.Fprintf(c, "sink %d\n", n); err != nil {
		return err
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{c}, io.LimitReader(zeros{}, n), make([]byte, 256<<10)); err != nil {
		return err
	}
	_, err = io.ReadFull(c, make([]byte, 1))
	return err
}

// echo measures round trips of a byte through a forwarded port, in milliseconds.
func echo(t *testing.T, local string, times int) (list []float64) {
	t.Helper()
	c, err := net.Dial("tcp", local)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }() // all has come back
	if _, err := io.WriteString(c, "echo\n"); err != nil {
		t.Fatal(err)
	}
	one := make([]byte, 1)
	for n := range times + 5 {
		begin := time.Now()
		if _, err := c.Write([]byte{byte(n)}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, one); err != nil || one[0] != byte(n) {
			t.Fatalf("%d came back as %d: %v", byte(n), one[0], err)
		}
		if n >= 5 { // the first open the connection
			list = append(list, ms(time.Since(begin)))
		}
	}
	return list
}

// underLoad keeps a download running through a forwarded port until it is stopped.
func underLoad(t *testing.T, local string) (stop func()) {
	t.Helper()
	c, err := net.Dial("tcp", local)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "zeros 1000000000000\n"); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _, _ = io.Copy(io.Discard, c) }() // until it is closed
	time.Sleep(300 * time.Millisecond)                               // the download is to be at its speed
	return func() { _ = c.Close(); <-done }
}

// forward starts ssh -L to a port, and gives the local address.
func (d *sshd) forward(t testing.TB, port int) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	local := l.Addr().String()
	_ = l.Close() // ssh takes it
	args := append(d.options(), "-N", "-o", "ExitOnForwardFailure=yes", "-L", fmt.Sprintf("%s:127.0.0.1:%d", local, port), d.user+"@127.0.0.1")
	c := exec.Command("ssh", args...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill() // it has no other end
		_ = c.Wait()
	})
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		probe, err := net.Dial("tcp", local)
		if err == nil {
			_ = probe.Close()
			return local
		}
		if time.Since(begin) > sessionPatience {
			t.Fatalf("ssh does not listen: %v", err)
		}
	}
}

// middle is a quantile of a list.
func middle(list []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[int(q*float64(len(sorted)-1))]
}

// ms is a duration in milliseconds.
func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
