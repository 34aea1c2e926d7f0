package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// dial is a Dial that pays no heed to VPCs and, on loopback, none to the source.
func dial(ctx context.Context, _ string, _ netip.Addr, network string, to netip.AddrPort) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, to.String())
}

// serve runs a server's two sockets for a VPC on one loopback port until the test ends, and says that they end as they should.
func serve(t testing.TB, s *Server, vpc string) (address string) {
	t.Helper()
	var l net.Listener
	var pc net.PacketConn
	for range 20 { // a port that is free for one network may be taken in the other
		var err error
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if pc, err = net.ListenPacket("udp", l.Addr().String()); err == nil {
			break
		}
		_ = l.Close()
	}
	if pc == nil {
		t.Fatal("no port is free")
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Listen(ctx, vpc, l); err != nil {
			t.Errorf("Listen: %v", err)
		}
	})
	wg.Go(func() {
		if err := s.Packets(ctx, vpc, pc); err != nil {
			t.Errorf("Packets: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return l.Addr().String()
}

// started is a server of the tests' world, and where it answers for a VPC.
func started(t testing.TB, vpc string) (*Server, string) { //nolint:unparam // it says whose answers a test is about
	t.Helper()
	s := New(Options{Dial: dial})
	if err := s.Set(world()); err != nil {
		t.Fatal(err)
	}
	return s, serve(t, s, vpc)
}

// exchanged asks and gives the answer.
func exchanged(t testing.TB, network, to string, m *dns.Msg) *dns.Msg {
	t.Helper()
	c := dns.Client{Net: network, Timeout: 10 * time.Second, UDPSize: 4096}
	in, _, err := c.Exchange(m, to)
	if err != nil {
		t.Fatalf("%s %v: %v", network, m.Question, err)
	}
	return in
}

// question makes a query.
func question(name string, qtype uint16, change ...func(*dns.Msg)) *dns.Msg {
	m := new(dns.Msg).SetQuestion(name, qtype)
	for _, c := range change {
		c(m)
	}
	return m
}

// values writes the answer section down.
func values(in *dns.Msg) (out []string) {
	for _, r := range in.Answer {
		out = append(out, strings.ReplaceAll(r.String(), "\t", " "))
	}
	slices.Sort(out)
	return out
}

// TestAnswers asks over real sockets and looks at whole messages.
func TestAnswers(t *testing.T) {
	_, to := started(t, "vpc-1")
	for _, network := range []string{"udp", "tcp"} {
		in := exchanged(t, network, to, question("SSM.us-East-1.amazonaws.COM.", dns.TypeA))
		if in.Rcode != dns.RcodeSuccess || in.Authoritative || !in.RecursionAvailable || !in.RecursionDesired || in.Truncated || in.AuthenticatedData || len(in.Ns)+len(in.Extra) > 0 {
			t.Errorf("%s: the header is %v", network, in)
		}
		if in.Question[0].Name != "SSM.us-East-1.amazonaws.COM." {
			t.Errorf("%s: the question became %q", network, in.Question[0].Name)
		}
		want := []string{
			"SSM.us-East-1.amazonaws.COM. 60 IN CNAME vpce-1-abc.ssm.us-east-1.vpce.amazonaws.com.",
			"vpce-1-abc.ssm.us-east-1.vpce.amazonaws.com. 60 IN A 10.0.1.5",
			"vpce-1-abc.ssm.us-east-1.vpce.amazonaws.com. 60 IN A 10.0.2.5",
		}
		if have := values(in); !slices.Equal(have, want) || in.Answer[0].Header().Rrtype != dns.TypeCNAME {
			t.Errorf("%s: have %q", network, have)
		}
		for name, zone := range map[string]string{"nothing.example.com.": "example.com.", "nothing.example.": ".", "www.accounting.example.com.": "accounting.example.com."} {
			in = exchanged(t, network, to, question(name, dns.TypeA))
			soa, ok := append(in.Ns, nil)[0].(*dns.SOA)
			if in.Rcode != dns.RcodeNameError || len(in.Answer) > 0 || !ok || soa.Hdr.Name != zone || soa.Hdr.Ttl != 60 || soa.Minttl != 60 {
				t.Errorf("%s: %s gives %v", network, name, in)
			}
		}
		in = exchanged(t, network, to, question("www.example.com.", dns.TypeAAAA))
		if in.Rcode != dns.RcodeSuccess || len(in.Answer) > 0 || len(in.Ns) != 1 || in.Ns[0].Header().Name != "example.com." {
			t.Errorf("%s: AAAA of a name with A gives %v", network, in)
		}
		if in = exchanged(t, network, to, question("example.com.", dns.TypeSOA)); len(in.Answer) != 1 || len(in.Ns) > 0 {
			t.Errorf("%s: SOA gives %v", network, in)
		}
		if in = exchanged(t, network, to, question("ring.example.com.", dns.TypeA)); in.Rcode != dns.RcodeServerFailure || len(in.Answer) > 0 {
			t.Errorf("%s: a circle gives %v", network, in)
		}
		if in = exchanged(t, network, to, question("any.wild.example.com.", dns.TypeANY)); !slices.Equal(values(in), []string{"any.wild.example.com. 30 IN A 10.0.0.82"}) {
			t.Errorf("%s: ANY gives %v", network, in)
		}
	}
	first := map[string]bool{}
	for range 100 { // both orders but for one run in 2^99
		in := exchanged(t, "udp", to, question("vpce-1-abc.ssm.us-east-1.vpce.amazonaws.com.", dns.TypeA))
		first[in.Answer[0].String()] = true
	}
	if len(first) != 2 {
		t.Errorf("the first address is always one of %v", first)
	}
}

// TestRefusals asks what no resolver answers, or what nobody may ask.
func TestRefusals(t *testing.T) {
	_, to := started(t, "vpc-1")
	for _, row := range []struct {
		name   string
		m      *dns.Msg
		rcode  int
		source string
	}{
		{"no recursion", question("www.example.com.", dns.TypeA, func(m *dns.Msg) { m.RecursionDesired = false }), dns.RcodeRefused, "userguide: recursive queries only"},
		{"chaos", question("version.bind.", dns.TypeTXT, func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }), dns.RcodeRefused, "guess"},
		{"any class", question("www.example.com.", dns.TypeA, func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassANY }), dns.RcodeRefused, "guess"},
		{"transfer", question("example.com.", dns.TypeAXFR), dns.RcodeRefused, "guess"},
		{"notify", question("example.com.", dns.TypeSOA, func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }), dns.RcodeNotImplemented, "rfc 1035"},
		{"update", question("example.com.", dns.TypeSOA, func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }), dns.RcodeNotImplemented, "rfc 2136"},
		{"no question", question("", dns.TypeA, func(m *dns.Msg) { m.Question = nil }), dns.RcodeFormatError, "rfc 9619"},
		{"two questions", question("www.example.com.", dns.TypeA, func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }), dns.RcodeFormatError, "rfc 9619"},
		{"an answer in a query", question("www.example.com.", dns.TypeA, func(m *dns.Msg) { m.Answer = []dns.RR{authority("a.")} }), dns.RcodeFormatError, "guess"},
		{"type 0", question("www.example.com.", dns.TypeNone), dns.RcodeFormatError, "guess"},
		{"two OPT", question("www.example.com.", dns.TypeA, func(m *dns.Msg) { m.SetEdns0(1232, false).SetEdns0(1232, false) }), dns.RcodeFormatError, "rfc 6891"},
		{"EDNS 1", question("www.example.com.", dns.TypeA, func(m *dns.Msg) { m.SetEdns0(1232, false).IsEdns0().SetVersion(1) }), dns.RcodeBadVers, "rfc 6891"},
		{"EDNS 0", question("www.example.com.", dns.TypeA, func(m *dns.Msg) { m.SetEdns0(1232, true) }), dns.RcodeSuccess, "rfc 6891"},
	} {
		for _, network := range []string{"udp", "tcp"} {
			in := exchanged(t, network, to, row.m)
			if in.Rcode != row.rcode || (row.rcode != dns.RcodeSuccess && len(in.Answer) > 0) || in.Opcode != row.m.Opcode || in.RecursionDesired != row.m.RecursionDesired {
				t.Errorf("%s by %s (%s): have %v", row.name, network, row.source, in)
			}
			if opt, asked := in.IsEdns0(), row.m.IsEdns0(); (opt != nil) != (asked != nil) || opt != nil && (opt.Do() || opt.UDPSize() != maxPacket) {
				t.Errorf("%s by %s: OPT is %v", row.name, network, opt)
			}
		}
	}
}

// TestTruncation gives what fits, and all by TCP.
func TestTruncation(t *testing.T) {
	var many []netip.Addr
	for i := range 200 {
		many = append(many, netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}))
	}
	s := New(Options{})
	if err := s.Set(Config{Views: []View{{VPC: "v", Zones: []Zone{{Name: "a.", Records: []Record{{Name: "many.a.", Addresses: many}}}}}}}); err != nil {
		t.Fatal(err)
	}
	to := serve(t, s, "v")
	for said, fits := range map[uint16]int{0: 512, 100: 512, 512: 512, 1000: 1000, 1232: 1232, 65535: 1232} {
		in := exchanged(t, "udp", to, question("many.a.", dns.TypeA, func(m *dns.Msg) {
			if said > 0 {
				m.SetEdns0(said, false)
			}
		}))
		in.Compress = true
		if full := fits - in.Len(); !in.Truncated || len(in.Answer) == 0 || full < 0 || full > 16 {
			t.Errorf("who takes %d gets %d bytes, truncated %v", said, in.Len(), in.Truncated)
		}
	}
	if in := exchanged(t, "tcp", to, question("many.a.", dns.TypeA)); in.Truncated || len(in.Answer) != 200 {
		t.Errorf("by TCP: %d answers, truncated %v", len(in.Answer), in.Truncated)
	}
}

// TestSilence wants no answer before the first Set, in a VPC that has no view, to answers, to fragments and to what is too long; and one after it.
func TestSilence(t *testing.T) {
	s := New(Options{})
	to := serve(t, s, "vpc-2")
	if a := s.Lookup("vpc-2", "www.example.com", "A"); a.From != Silent {
		t.Errorf("before Set: %v", a)
	}
	udp, err := net.Dial("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	good := question("www.example.com.", dns.TypeA)
	ask := func(packet []byte) {
		t.Helper()
		if _, err := udp.Write(packet); err != nil {
			t.Fatal(err)
		}
	}
	packed := func(m *dns.Msg) []byte {
		packet, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return packet
	}
	tcp := func(packet []byte) error {
		conn, err := net.Dial("tcp", to)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(8 * time.Second)); err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write(frame(packet)) // it may be cut off while it writes
		_, err = readFrame(conn, dns.MaxMsgSize)
		return err
	}
	// An answer takes less than a millisecond; one that is later than this was not given for the packets before.
	silent := func(what string) {
		t.Helper()
		if err := udp.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		if n, err := udp.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: an answer of %d bytes, %v", what, n, err)
		}
	}
	ask(packed(good))
	silent("before Set")
	if err := tcp(packed(good)); !errors.Is(err, io.EOF) {
		t.Errorf("before Set, by TCP: %v", err)
	}
	other := world()
	other.Views = other.Views[:1]
	if err := s.Set(other); err != nil {
		t.Fatal(err)
	}
	ask(packed(good))
	silent("without a view")
	if err := s.Set(world()); err != nil {
		t.Fatal(err)
	}
	if in := exchanged(t, "udp", to, good); len(in.Answer) != 1 {
		t.Errorf("after Set: %v", in)
	}
	answer := question("www.example.com.", dns.TypeA)
	answer.Response = true
	ask(packed(answer))
	ask(packed(good)[:11])
	ask(nil)
	ask(append(packed(good), make([]byte, maxPacket)...))
	silent("what is no query")
	if err := tcp(make([]byte, maxPacket+1)); err == nil {
		t.Error("a frame that is too long was answered")
	}
	wrong := world()
	wrong.Views[0].Zones = append(wrong.Views[0].Zones, Zone{Name: "a b."})
	if err := s.Set(wrong); err == nil {
		t.Error("nobody was told of a name that cannot be")
	}
	if in := exchanged(t, "udp", to, good); len(in.Answer) != 1 {
		t.Errorf("beside a name that cannot be: %v", in)
	}
}

// TestConnections holds one address to its share, and finds room again when somebody leaves.
func TestConnections(t *testing.T) {
	_, to := started(t, "vpc-1")
	ask := func(conn net.Conn) error {
		c := dns.Conn{Conn: conn}
		if err := conn.SetDeadline(time.Now().Add(8 * time.Second)); err != nil {
			return err
		}
		for range 2 { // a connection is for more than one query
			if err := c.WriteMsg(question("www.example.com.", dns.TypeA)); err != nil {
				return err
			}
			if _, err := c.ReadMsg(); err != nil {
				return err
			}
		}
		return nil
	}
	open := func() net.Conn {
		conn, err := net.Dial("tcp", to)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	var held []net.Conn
	for range maxConnsOf {
		held = append(held, open())
		if err := ask(held[len(held)-1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := ask(open()); err == nil {
		t.Error("one address may hold more connections than its share")
	}
	_ = held[0].Close()
	for end := time.Now().Add(8 * time.Second); ; {
		err := ask(open())
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("no room came back: %v", err)
		}
	}
	if err := ask(held[1]); err != nil {
		t.Errorf("a held connection: %v", err)
	}
}

// TestIdle cuts off who says nothing, who says a query byte by byte, and who does not take the answers.
func TestIdle(t *testing.T) {
	packet, err := question("www.example.com.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	for name, say := range map[string]func(conn net.Conn){
		"nothing": func(net.Conn) {},
		"byte by byte": func(conn net.Conn) {
			for _, b := range frame(packet) {
				if _, err := conn.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		},
		"deaf": func(conn net.Conn) { _, _ = conn.Write(frame(packet)) },
	} {
		synctest.Test(t, func(t *testing.T) {
			s := New(Options{})
			if err := s.Set(world()); err != nil {
				t.Fatal(err)
			}
			here, there := net.Pipe()
			var wg sync.WaitGroup
			wg.Go(func() { say(there) })
			start := time.Now()
			s.converse(t.Context(), "vpc-1", here)
			if spent := time.Since(start); spent != idle {
				t.Errorf("%s: cut off after %v", name, spent)
			}
			wg.Wait()
		})
	}
}

// TestSetWhileAsked swaps two Configs under load: every answer is wholly of one of them. Look for races with
//
//	CGO_ENABLED=1 DNS_STRESS=30s go test -race -run TestSetWhileAsked ./dns
func TestSetWhileAsked(t *testing.T) {
	length := 500 * time.Millisecond
	if v := os.Getenv("DNS_STRESS"); v != "" {
		var err error
		if length, err = time.ParseDuration(v); err != nil {
			t.Fatal(err)
		}
	}
	upstream := respond(t, func(m *dns.Msg) []*dns.Msg {
		return []*dns.Msg{new(dns.Msg).SetRcode(m, dns.RcodeNameError)}
	})
	config := func(n int) Config {
		var records []Record
		for i := range 50 {
			records = append(records, Record{Name: fmt.Sprintf("h%d.a.", i), Addresses: addrs(fmt.Sprintf("10.%d.0.1", n), fmt.Sprintf("10.%d.0.2", n))})
		}
		rules := []Rule{{Name: "f.", Targets: []netip.AddrPort{upstream}}, {Name: "g.", Targets: []netip.AddrPort{upstream}}}
		return Config{Views: []View{{VPC: "v", Zones: []Zone{{Name: "a.", Records: records}}, Rules: rules[:1+n]}}}
	}
	s := New(Options{Dial: dial})
	if err := s.Set(config(0)); err != nil {
		t.Fatal(err)
	}
	to := serve(t, s, "v")
	end := time.Now().Add(length)
	var wg sync.WaitGroup
	var asked, set atomic.Int64
	wg.Go(func() {
		for n := 1; time.Now().Before(end); n = 1 - n {
			if err := s.Set(config(n)); err != nil {
				t.Error(err)
			}
			set.Add(1)
		}
	})
	for range 4 {
		wg.Go(func() {
			c := dns.Client{Timeout: 10 * time.Second}
			conn, err := c.Dial(to)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			for i := 0; time.Now().Before(end); i++ {
				if i%100 == 0 {
					in, _, err := c.ExchangeWithConn(question("x.f.", dns.TypeA), conn)
					if err != nil || in.Rcode != dns.RcodeNameError {
						t.Errorf("forwarded: %v %v", in, err)
						return
					}
				}
				in, _, err := c.ExchangeWithConn(question(fmt.Sprintf("h%d.a.", rand.IntN(50)), dns.TypeA), conn)
				if err != nil || len(in.Answer) != 2 || in.Answer[0].(*dns.A).A[1] != in.Answer[1].(*dns.A).A[1] {
					t.Errorf("%v %v", in, err)
					return
				}
				asked.Add(1)
			}
		})
	}
	wg.Wait()
	t.Logf("%d queries, %d times Set", asked.Load(), set.Load())
	if asked.Load() == 0 || set.Load() == 0 {
		t.Error("nothing happened")
	}
}

// FuzzMessage gives the server any bytes. Answers get none; what gets one has a header, and an answer of the size that it takes, which
// is no longer than its query calls for when it is not understood.
func FuzzMessage(f *testing.F) {
	s := New(Options{})
	if err := s.Set(world()); err != nil {
		f.Fatal(err)
	}
	for _, m := range []*dns.Msg{
		question("www.example.com.", dns.TypeA), question("ring.example.com.", dns.TypeANY), question(".", dns.TypeSOA),
		question("home.example.com.", dns.TypeAAAA, func(m *dns.Msg) { m.SetEdns0(4096, true) }),
		question("x.wild.example.com.", dns.TypeA, func(m *dns.Msg) { m.SetTsig("k.", dns.HmacSHA256, 300, 0) }),
		question("*.wild.example.com.", dns.TypeA, func(m *dns.Msg) { m.SetEdns0(1, false).IsEdns0().SetVersion(9) }),
		new(dns.Msg).SetReply(question("www.example.com.", dns.TypeA)), new(dns.Msg).SetUpdate("example.com."),
	} {
		packet, err := m.Pack()
		if err != nil {
			continue // a TSIG without its MAC
		}
		f.Add(packet, false)
		f.Add(packet[:len(packet)-1], true)
	}
	f.Add([]byte("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"), false) // a name that is its own end
	f.Fuzz(func(t *testing.T, packet []byte, tcp bool) {
		q := s.understand("vpc-1", packet, tcp)
		if q == nil {
			if len(packet) >= headerSize && packet[2]&isResponse == 0 {
				t.Error("a query got no answer")
			}
			return
		}
		if len(packet) < headerSize || packet[2]&isResponse != 0 {
			t.Fatal("something else than a query got an answer")
		}
		if r := q.finding.place.rule; r != nil {
			if len(r.Targets) == 0 || q.finding.name == "" {
				t.Errorf("nobody can be asked for %q", q.finding.name)
			}
			q.refuse(dns.RcodeServerFailure)
		}
		out := q.pack(make([]byte, maxPacket))
		var m dns.Msg
		if err := m.Unpack(out); err != nil {
			t.Fatalf("the answer cannot be read: %v", err)
		}
		if !m.Response || m.Id != binary.BigEndian.Uint16(packet) || len(out) > q.size || len(m.Question) == 0 && len(out) > headerSize+11 {
			t.Errorf("the answer has %d bytes: %v", len(out), &m)
		}
	})
}

// FuzzAnswer gives any bytes as what a rule's server has said.
func FuzzAnswer(f *testing.F) {
	s := New(Options{})
	if err := s.Set(world()); err != nil {
		f.Fatal(err)
	}
	asked := question("home.example.com.", dns.TypeA, func(m *dns.Msg) { m.Id = 7; m.SetEdns0(1232, false) })
	packet, err := asked.Pack()
	if err != nil {
		f.Fatal(err)
	}
	out := question("www.corp.example.com.", dns.TypeA, func(m *dns.Msg) { m.Id = 9 })
	in := new(dns.Msg).SetReply(out)
	for range 3 {
		if said, err := in.Pack(); err == nil {
			f.Add(said)
		}
		in.Answer = append(in.Answer, &dns.TXT{Hdr: header("www.corp.example.com.", dns.TypeTXT, 1), Txt: []string{strings.Repeat("x", 255)}})
		in.SetEdns0(512, true)
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		in, err := recognize(said, out)
		if err != nil {
			return
		}
		q := s.understand("vpc-1", packet, false)
		q.tell(in)
		reply := q.pack(make([]byte, maxPacket))
		if len(reply) > q.size || binary.BigEndian.Uint16(reply) != 7 {
			t.Errorf("the answer has %d bytes", len(reply))
		}
		if err := new(dns.Msg).Unpack(reply); err != nil {
			t.Errorf("the answer cannot be read: %v", err)
		}
	})
}

// BenchmarkPackets asks a server and a bare handler of the library the same, turn about, and tells how many queries a second each
// answers and their ratio, which is to be 0.8 at least.
func BenchmarkPackets(b *testing.B) {
	_, ours := started(b, "vpc-1")
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	bare := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		m.SetReply(m)
		m.Answer = []dns.RR{&dns.A{Hdr: header(m.Question[0].Name, dns.TypeA, 60), A: net.IPv4(10, 0, 0, 80)}}
		_ = w.WriteMsg(m)
	})}
	var wg sync.WaitGroup
	wg.Go(func() { _ = bare.ActivateAndServe() })
	defer wg.Wait()
	defer func() { _ = bare.Shutdown() }()
	theirs := pc.LocalAddr().String()
	packet, err := question("www.example.com.", dns.TypeA).Pack()
	if err != nil {
		b.Fatal(err)
	}
	const each = 2000
	var spent [2]time.Duration
	rounds := 0
	for b.Loop() {
		for i, to := range []string{ours, theirs} {
			start := time.Now()
			flood(b, to, packet, each)
			spent[i] += time.Since(start)
		}
		rounds++
	}
	total := float64(rounds * each)
	b.ReportMetric(total/spent[0].Seconds(), "queries/s")
	b.ReportMetric(total/spent[1].Seconds(), "bare/s")
	b.ReportMetric(spent[1].Seconds()/spent[0].Seconds(), "ratio")
}

// flood asks n times from two sockets, with some queries under way at once.
func flood(b *testing.B, to string, packet []byte, n int) {
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			conn, err := net.Dial("udp", to)
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			buf := make([]byte, maxPacket)
			if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				b.Error(err)
			}
			for sent, got := 0, 0; got < n/2; got++ {
				for ; sent < n/2 && sent-got < 32; sent++ {
					if _, err := conn.Write(packet); err != nil {
						b.Error(err)
						return
					}
				}
				if _, err := conn.Read(buf); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkCompile makes a Config of 500 endpoints' and instances' names in 50 VPCs ready.
func BenchmarkCompile(b *testing.B) {
	var c Config
	for v := range 50 {
		view := View{VPC: fmt.Sprintf("vpc-%d", v)}
		for i := range 10 {
			name := fmt.Sprintf("service%d.us-east-1.amazonaws.com.", i)
			view.Zones = append(view.Zones, Zone{Name: name, Records: []Record{{Name: name, Addresses: addrs("10.0.0.1", "10.0.1.1"), TTL: 60}}})
		}
		hosts := Zone{Name: "ec2.internal."}
		for i := range 10 {
			hosts.Records = append(hosts.Records, Record{Name: fmt.Sprintf("ip-10-0-0-%d.ec2.internal.", i), Addresses: addrs("10.0.0.1"), TTL: 60})
		}
		view.Zones = append(view.Zones, hosts)
		c.Views = append(c.Views, view)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(c); err != nil {
			b.Fatal(err)
		}
	}
}
