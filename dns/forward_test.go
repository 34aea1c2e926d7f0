package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// respond is another server, by UDP and TCP, that says for each query what a function gives: nothing, one answer, or several.
func respond(t testing.TB, say func(m *dns.Msg) []*dns.Msg) netip.AddrPort {
	t.Helper()
	return respondBy(t, func(_ string, m *dns.Msg) []*dns.Msg { return say(m) })
}

// respondBy is respond with a function that knows the network.
func respondBy(t testing.TB, say func(network string, m *dns.Msg) []*dns.Msg) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pc, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	handler := func(network string) dns.Handler {
		return dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
			for _, out := range say(network, m) {
				_ = w.WriteMsg(out)
			}
		})
	}
	var wg sync.WaitGroup
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: handler("udp")}, {Listener: l, Handler: handler("tcp")}} {
		ready := make(chan struct{})
		s.NotifyStartedFunc = func() { close(ready) }
		wg.Go(func() { _ = s.ActivateAndServe() })
		<-ready
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	return netip.MustParseAddrPort(l.Addr().String())
}

// reply is a good answer to a query.
func reply(m *dns.Msg, address string) *dns.Msg {
	out := new(dns.Msg).SetReply(m)
	out.Authoritative, out.AuthenticatedData = true, true
	out.Answer = []dns.RR{&dns.A{Hdr: header(m.Question[0].Name, dns.TypeA, 7), A: net.ParseIP(address)}}
	return out
}

// behind is a server whose VPC has one rule, for corp., with these targets, and where it answers. Its zone has an alias into corp.
func behind(t *testing.T, options Options, targets ...netip.AddrPort) (*Server, string) {
	t.Helper()
	if options.Dial == nil {
		options.Dial = dial
	}
	s := New(options)
	if err := s.Set(Config{Views: []View{{VPC: "v", Zones: []Zone{{Name: "a.", Records: []Record{
		{Name: "in.a.", Alias: "host.corp.", TTL: 9}, {Name: "here.a.", Addresses: addrs("10.0.0.1")},
	}}}, Rules: []Rule{{Name: "corp.", Targets: targets, From: addrs("127.0.0.1")}}}}}); err != nil {
		t.Fatal(err)
	}
	return s, serve(t, s, "v")
}

// dead is an address where nothing listens.
func dead(t *testing.T) netip.AddrPort {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pc.Close() }() // nothing was sent
	return netip.MustParseAddrPort(pc.LocalAddr().String())
}

// deaf is an address where somebody listens and never answers.
func deaf(t *testing.T) netip.AddrPort {
	t.Helper()
	return respond(t, func(*dns.Msg) []*dns.Msg { return nil })
}

// TestForward asks through a good server: what comes back, by which way, from which address.
func TestForward(t *testing.T) {
	var seen sync.Map
	ids := make(chan uint16, 100)
	upstream := respondBy(t, func(network string, m *dns.Msg) []*dns.Msg {
		seen.Store(network+" "+m.Question[0].Name+" "+dns.TypeToString[m.Question[0].Qtype]+fmt.Sprint(m.RecursionDesired, m.IsEdns0() != nil), true)
		ids <- m.Id
		switch strings.ToLower(m.Question[0].Name) {
		case "none.corp.":
			out := new(dns.Msg).SetRcode(m, dns.RcodeNameError)
			out.Ns = []dns.RR{authority("corp.")}
			return []*dns.Msg{out}
		case "long.corp.":
			out := reply(m, "10.9.9.9")
			if out.Truncated = network == "udp"; out.Truncated {
				out.Answer = nil
			}
			return []*dns.Msg{out}
		}
		out := reply(m, "10.9.9.9").SetEdns0(4096, true)
		out.Extra = append(out.Extra, &dns.A{Hdr: header("more.corp.", dns.TypeA, 1), A: net.IPv4(10, 9, 9, 8)})
		return []*dns.Msg{out}
	})
	var from atomic.Value
	_, to := behind(t, Options{Dial: func(ctx context.Context, vpc string, source netip.Addr, network string, to netip.AddrPort) (net.Conn, error) {
		from.Store(vpc + " " + source.String())
		return dial(ctx, vpc, source, network, to)
	}}, upstream)
	for _, network := range []string{"udp", "tcp"} {
		in := exchanged(t, network, to, question("HOST.corp.", dns.TypeA))
		if want := []string{"HOST.corp. 7 IN A 10.9.9.9"}; !slices.Equal(values(in), want) || in.Authoritative || in.AuthenticatedData || !in.RecursionAvailable || len(in.Extra) != 1 || in.IsEdns0() != nil {
			t.Errorf("%s: %v", network, in)
		}
		in = exchanged(t, network, to, question("in.A.", dns.TypeA, func(m *dns.Msg) { m.SetEdns0(1232, false) }))
		if want := []string{"host.corp. 7 IN A 10.9.9.9", "in.A. 9 IN CNAME host.corp."}; !slices.Equal(values(in), want) || in.IsEdns0() == nil || len(in.Extra) != 2 {
			t.Errorf("%s: through an alias: %v", network, in)
		}
		in = exchanged(t, network, to, question("none.corp.", dns.TypeMX))
		if in.Rcode != dns.RcodeNameError || len(in.Ns) != 1 {
			t.Errorf("%s: NXDOMAIN: %v", network, in)
		}
		in = exchanged(t, network, to, question("long.corp.", dns.TypeA))
		if len(in.Answer) != 1 || in.Truncated {
			t.Errorf("%s: a long answer: %v", network, in)
		}
	}
	if have := from.Load(); have != "v 127.0.0.1" {
		t.Errorf("asked from %v", have)
	}
	for _, want := range []string{"udp HOST.corp. Atrue false", "tcp HOST.corp. Atrue false", "udp host.corp. Atrue true", "udp none.corp. MXtrue false", "udp long.corp. Atrue false", "tcp long.corp. Atrue false"} {
		if _, ok := seen.Load(want); !ok {
			t.Errorf("the server did not see %q", want)
		}
	}
	close(ids)
	distinct, all := map[uint16]bool{}, 0
	for id := range ids {
		distinct[id], all = true, all+1
	}
	if len(distinct) < all-1 {
		t.Errorf("%d queries have %d ids", all, len(distinct))
	}
}

// TestForwardStrangers hears answers to other questions before the right one, and none but those.
func TestForwardStrangers(t *testing.T) {
	t.Parallel()
	wrong := func(m *dns.Msg) []*dns.Msg {
		change := func(f func(*dns.Msg)) *dns.Msg {
			out := reply(m, "10.6.6.6")
			f(out)
			return out
		}
		return []*dns.Msg{
			change(func(o *dns.Msg) { o.Id++ }),
			change(func(o *dns.Msg) { o.Question[0].Name = "x." + o.Question[0].Name }),
			change(func(o *dns.Msg) { o.Question[0].Qtype = dns.TypeAAAA }),
			change(func(o *dns.Msg) { o.Question[0].Qclass = dns.ClassCHAOS }),
			change(func(o *dns.Msg) { o.Question = nil }),
			change(func(o *dns.Msg) { o.Response = false }),
			change(func(o *dns.Msg) { o.Opcode = dns.OpcodeNotify }),
		}
	}
	late := respond(t, func(m *dns.Msg) []*dns.Msg { return append(wrong(m), reply(m, "10.9.9.9")) })
	_, to := behind(t, Options{}, late)
	if in := exchanged(t, "udp", to, question("host.corp.", dns.TypeA)); !slices.Equal(values(in), []string{"host.corp. 7 IN A 10.9.9.9"}) {
		t.Errorf("have %v", in)
	}
	never := respond(t, wrong)
	_, to = behind(t, Options{}, never)
	for _, network := range []string{"udp", "tcp"} {
		if in := exchanged(t, network, to, question("host.corp.", dns.TypeA)); in.Rcode != dns.RcodeServerFailure || len(in.Answer) > 0 {
			t.Errorf("%s: have %v", network, in)
		}
	}
}

// TestForwardFailover asks through servers of which some fail in each way there is.
func TestForwardFailover(t *testing.T) {
	t.Parallel()
	good := respond(t, func(m *dns.Msg) []*dns.Msg { return []*dns.Msg{reply(m, "10.9.9.9")} })
	code := func(rcode int) netip.AddrPort {
		return respond(t, func(m *dns.Msg) []*dns.Msg { return []*dns.Msg{new(dns.Msg).SetRcode(m, rcode)} })
	}
	var lost atomic.Int64
	lossy := respond(t, func(m *dns.Msg) []*dns.Msg {
		if lost.Add(1) == 1 {
			return nil
		}
		return []*dns.Msg{reply(m, "10.9.9.9")}
	})
	failing, refusing := code(dns.RcodeServerFailure), code(dns.RcodeRefused)
	noTCP := func() netip.AddrPort { // says that its answer is too long, and does not give it
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
			out := new(dns.Msg).SetReply(m)
			out.Truncated = true
			_ = w.WriteMsg(out)
		})}
		ready := make(chan struct{})
		s.NotifyStartedFunc = func() { close(ready) }
		var wg sync.WaitGroup
		wg.Go(func() { _ = s.ActivateAndServe() })
		<-ready
		t.Cleanup(func() { _ = s.Shutdown(); wg.Wait() })
		return netip.MustParseAddrPort(pc.LocalAddr().String())
	}()
	for _, row := range []struct {
		name    string
		targets []netip.AddrPort
		rcode   int
	}{
		{"one dead", []netip.AddrPort{dead(t), good}, dns.RcodeSuccess},
		{"one deaf", []netip.AddrPort{deaf(t), good}, dns.RcodeSuccess},
		{"one fails", []netip.AddrPort{failing, good}, dns.RcodeSuccess},
		{"one refuses", []netip.AddrPort{refusing, good}, dns.RcodeSuccess},
		{"one without TCP", []netip.AddrPort{noTCP, good}, dns.RcodeSuccess},
		{"a packet is lost", []netip.AddrPort{lossy}, dns.RcodeSuccess},
		{"all dead", []netip.AddrPort{dead(t), dead(t)}, dns.RcodeServerFailure},
		{"all deaf", []netip.AddrPort{deaf(t), deaf(t)}, dns.RcodeServerFailure},
		{"no way to TCP", []netip.AddrPort{noTCP}, dns.RcodeServerFailure},
		{"all refuse", []netip.AddrPort{refusing, refusing}, dns.RcodeRefused},
		{"no address of that family", []netip.AddrPort{netip.MustParseAddrPort("[::1]:53")}, dns.RcodeServerFailure},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			_, to := behind(t, Options{}, row.targets...)
			start := time.Now()
			times := 1
			if row.rcode == dns.RcodeSuccess {
				times = 4 // the order is random
			}
			for range times {
				in := exchanged(t, "udp", to, question("host.corp.", dns.TypeA))
				if in.Rcode != row.rcode || (in.Rcode == dns.RcodeSuccess) != (len(in.Answer) == 1) {
					t.Errorf("have %v", in)
				}
				if spent := time.Since(start); spent > patience+2*time.Second {
					t.Errorf("it took %v", spent)
				}
				start = time.Now()
			}
		})
	}
}

// TestForwardBounds fills a VPC's share with queries for a deaf server: the next forwarded ones get silence, and all else its answer; then
// there is room again.
func TestForwardBounds(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	open, most := 0, 0
	let := make(chan struct{})
	target := netip.MustParseAddrPort("192.0.2.1:53")
	s, to := behind(t, Options{Dial: func(ctx context.Context, _ string, _ netip.Addr, _ string, _ netip.AddrPort) (net.Conn, error) {
		mu.Lock()
		open++
		most = max(most, open)
		mu.Unlock()
		defer func() {
			mu.Lock()
			open--
			mu.Unlock()
		}()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-let:
			return nil, syscall.ECONNREFUSED
		}
	}}, target)
	conn, err := net.Dial("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	packet, err := question("host.corp.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	asking := func(l lane) int {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.lanes[l] == nil {
			return 0
		}
		return s.lanes[l].asking
	}
	dialled := func() int {
		mu.Lock()
		defer mu.Unlock()
		return most
	}
	for end := time.Now().Add(8 * time.Second); asking(lane{vpc: "v"}) < maxAsking || dialled() < maxAskingOf; {
		if _, err := conn.Write(packet); err != nil || time.Now().After(end) {
			t.Fatalf("%d are under way, %d with the server: %v", asking(lane{vpc: "v"}), dialled(), err)
		}
	}
	for range 100 {
		if _, err := conn.Write(packet); err != nil {
			t.Fatal(err)
		}
	}
	// By TCP, for the flood may have filled what the kernel keeps of a UDP socket.
	if in := exchanged(t, "tcp", to, question("here.a.", dns.TypeA)); len(in.Answer) != 1 {
		t.Errorf("a private name: %v", in)
	}
	if n := asking(lane{vpc: "v"}); n > maxAsking {
		t.Errorf("%d queries are with other servers", n)
	}
	close(let)
	for end := time.Now().Add(patience + 4*time.Second); asking(lane{vpc: "v"}) > 0; {
		if time.Now().After(end) {
			t.Fatal("there is no room again")
		}
		wait(t.Context(), 10*time.Millisecond)
	}
	if n := dialled(); n != maxAskingOf {
		t.Errorf("the server had %d queries at once", n)
	}
	if err := s.Set(Config{}); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lanes) != 0 {
		t.Errorf("%d lanes are left", len(s.lanes))
	}
}

// TestForwardCircle has a rule that leads back to its own VPC: who asks gets a failure or silence, and others their answers.
func TestForwardCircle(t *testing.T) {
	t.Parallel()
	s := New(Options{Dial: dial})
	to := serve(t, s, "v")
	own := netip.MustParseAddrPort(to)
	if err := s.Set(Config{Views: []View{{VPC: "v", Zones: []Zone{{Name: "a.", Records: []Record{{Name: "here.a.", Addresses: addrs("10.0.0.1")}}}},
		Rules: []Rule{{Name: "corp.", Targets: []netip.AddrPort{own, own}}}}}}); err != nil {
		t.Fatal(err)
	}
	for _, network := range []string{"udp", "tcp"} {
		start := time.Now()
		c := dns.Client{Net: network, Timeout: 20 * time.Second}
		in, _, err := c.Exchange(question("host.corp.", dns.TypeA), to)
		if spent := time.Since(start); err != nil || in.Rcode != dns.RcodeServerFailure || spent > patience+2*time.Second {
			t.Errorf("%s: %v %v after %v", network, in, err, spent)
		}
		if in := exchanged(t, "udp", to, question("here.a.", dns.TypeA)); len(in.Answer) != 1 {
			t.Errorf("%s: a private name: %v", network, in)
		}
	}
}

// TestForwardEnds stops while queries are with other servers.
func TestForwardEnds(t *testing.T) {
	s := New(Options{Dial: dial})
	if err := s.Set(Config{Views: []View{{VPC: "v", Rules: []Rule{{Name: "corp.", Targets: []netip.AddrPort{deaf(t)}}}}}}); err != nil {
		t.Fatal(err)
	}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Packets(ctx, "v", pc) }()
	conn, err := net.Dial("udp", pc.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	packet, err := question("host.corp.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(packet); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(8 * time.Second); ; {
		s.mu.Lock()
		n := len(s.lanes)
		s.mu.Unlock()
		if n == 2 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the query was not forwarded")
		}
		wait(t.Context(), time.Millisecond)
	}
	start := time.Now()
	cancel()
	if err := <-ended; err != nil || time.Since(start) > maxTry/2 {
		t.Errorf("it ended %v after %v", err, time.Since(start))
	}
	if _, err := pc.WriteTo(packet, pc.LocalAddr()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the socket is open: %v", err)
	}
}
