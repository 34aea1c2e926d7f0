package test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/dataplane/link"
	"github.com/vennel/vennel/wire"
)

// hostile is a small network with somebody in it who means ill.
type hostile struct {
	*estate
	vpc             *vpc
	mallory, victim *guest
	group           string // of the endpoint
}

// TestHostileNetwork does in a network what nobody should, and sees that nothing gets past and nobody else is disturbed.
func TestHostileNetwork(t *testing.T) {
	privileged(t)
	e := newEstate(t, "--links", "127.0.0.1:0")
	e.role(t, "Node", nodeActions...)
	v := e.in("us-east-1").newVPC(t, "10.0.0.0/16")
	v.subnet(t, "nodes", "10.0.1.0/24", "a")
	h := &hostile{estate: e, vpc: v, group: v.group(t, "endpoints", port("tcp", 443, v.cidr), port("tcp", 80, v.cidr))}
	v.endpoint(t, "ssm", "nodes", "10.0.1.10", h.group)
	h.mallory = v.launch(t, bareImage, "nodes", "10.0.1.66", "Node", v.group(t, "mallory"))
	h.victim = v.launch(t, bareImage, "nodes", "10.0.1.50", "Node", v.group(t, "victim", port("udp", 7000, v.cidr), port("tcp", 7000, v.cidr)))
	running(t, h.mallory, h.victim)
	h.mallory.borrow(t)
	h.victim.borrow(t)
	for _, r := range []struct {
		name string
		test func(*testing.T, *hostile)
	}{
		{"SpoofedSource", spoofed},
		{"OwnFirewallFlushed", flushed},
		{"ProxyHeaderIntoEndpoint", forged},
		{"ProxyHeaderFromStranger", stranger},
		{"WrongCertificate", wrongCertificate},
		{"AnotherUsersSocket", anotherUser},
		{"Flood", flood},
	} {
		t.Run(r.name, func(t *testing.T) { r.test(t, h) })
	}
	h.victim.lists(t, reached)
}

// counted is how many packets a counter of a guest's own has seen.
func (g *guest) counted(t testing.TB, name string) int {
	t.Helper()
	words := strings.Fields(g.must(t, "nft list counter ip watch "+name))
	for i, word := range words {
		if word == "packets" && i+1 < len(words) {
			n, err := strconv.Atoi(words[i+1])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no counter in %v", words)
	return 0
}

// spoofed: packets with an address that is not the sender's are not delivered: another's, one that nobody has, a router's, a public one.
func spoofed(t *testing.T, h *hostile) {
	addresses := []string{"10.0.1.99", "10.0.1.10", "10.0.1.1", "10.0.77.7", "198.18.0.10"}
	set := strings.Join(addresses, ", ")
	h.victim.must(t, "nft 'add table ip watch; add counter ip watch spoofed; add counter ip watch own; add chain ip watch in { type filter hook input priority 0; }; "+
		"add rule ip watch in ip saddr { "+set+" } udp dport 7000 counter name spoofed; add rule ip watch in ip saddr 10.0.1.66 udp dport 7000 counter name own'")
	const most = 200
	send := func(from string) {
		p := *h.mallory.place
		p.address = netip.MustParseAddr(from)
		c, err := p.dial("udp", "10.0.1.50:7000", silence)
		if err != nil {
			t.Fatalf("%s: %v", from, err)
		}
		defer func() { _ = c.Close() }() // whatever comes of it
		for range most {
			_, _ = c.Write([]byte("?")) // refusals of earlier packets come as errors
		}
	}
	for _, a := range addresses {
		h.mallory.must(t, "ip address add "+a+"/32 dev eth0")
		send(a)
		h.mallory.must(t, "ip address delete "+a+"/32 dev eth0")
	}
	send("10.0.1.66")
	await(t, "the packets with the right address", func() (string, bool) { n := h.victim.counted(t, "own"); return fmt.Sprint(n), n > most/2 })
	if n := h.victim.counted(t, "spoofed"); n != 0 {
		t.Errorf("of %d packets with a wrong address %d were delivered", most*len(addresses), n)
	}
	h.victim.must(t, "nft delete table ip watch")
}

// flushed: what a guest does to its own packet filter changes nothing of its security groups.
func flushed(t *testing.T, h *hostile) {
	h.victim.listen(t, 7001)
	h.mallory.listen(t, 7000)
	h.mallory.must(t, "nft flush ruleset; nft 'add table inet mine; add chain inet mine in { type filter hook input priority 0; policy accept; }; add chain inet mine out { type filter hook output priority 0; policy accept; }'")
	h.mallory.must(t, "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 2>/dev/null || true")
	h.mallory.reaches(t, "10.0.1.50:7001", silent) // the victim's group has 7000 only
	h.victim.reaches(t, "10.0.1.66:7000", silent)  // mallory's lets nothing in
	h.victim.lists(t, reached)
	h.mallory.must(t, "nft flush ruleset")
}

// proxyHeader is one that says that a connection came from elsewhere, through an endpoint.
func proxyHeader() []byte {
	h := link.Header{From: netip.MustParseAddrPort("6.6.6.6:666"), To: netip.MustParseAddrPort("10.0.1.10:443"), Endpoint: "vpce-00000000000000666"}
	return h.Append(nil)
}

// forged: a PROXY header from a guest is no part of any protocol here, and what HTTP headers say of the sender is not believed.
func forged(t *testing.T, h *hostile) {
	for name, header := range map[string][]byte{"version 2": proxyHeader(), "version 1": []byte("PROXY TCP4 6.6.6.6 10.0.1.10 666 443\r\n")} {
		c, err := h.mallory.dial("tcp", "10.0.1.10:443", patience/6)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(patience / 6))
		if _, err := c.Write(header); err != nil {
			t.Fatal(err)
		}
		config := h.trust.Clone()
		config.ServerName = h.mallory.host("ssm")
		if err := tls.Client(c, config).Handshake(); err == nil {
			t.Errorf("TLS goes on after a header of %s", name)
		}
		_ = c.Close()
		if c, err = h.mallory.dial("tcp", "10.0.1.10:80", patience/6); err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(patience / 6))
		_, _ = fmt.Fprintf(c, "%sGET / HTTP/1.1\r\nHost: ssm.us-east-1.amazonaws.com\r\n\r\n", header)
		answer, _ := io.ReadAll(io.LimitReader(c, 1<<16))
		if len(answer) > 0 && !bytes.HasPrefix(answer, []byte("HTTP/1.1 400 ")) {
			t.Errorf("after a header of %s: %s", name, answer)
		}
		_ = c.Close()
	}
	client := h.mallory.client("ssm", h.mallory.host("ssm"), patience/6)
	sign := client.Sign
	client.Sign = func(ctx context.Context, r *http.Request, body []byte) error {
		for _, name := range []string{"X-Forwarded-For", "X-Real-Ip", "Forwarded", "X-Vpce-Id", "X-Amz-Source-Vpce"} {
			r.Header.Set(name, "6.6.6.6")
		}
		return sign(ctx, r, body)
	}
	if err := client.Call(t.Context(), "ListCommands", &ssm.ListCommandsInput{}, new(ssm.ListCommandsOutput)); err != nil {
		t.Fatal(err)
	}
	await(t, "the call in the audit trail", func() (string, bool) { n := len(h.audited(t, "ListCommands")); return "", n > 0 })
	for _, r := range h.audited(t, "ListCommands") {
		if r.SourceIPAddress != "10.0.1.66" || r.VPCEndpointID != h.vpc.endpoints["ssm"] {
			t.Errorf("it came from %s through %s", r.SourceIPAddress, r.VPCEndpointID)
		}
	}
}

// stranger: at the addresses of the control plane nobody is believed who sends a PROXY header.
func stranger(t *testing.T, h *hostile) {
	for _, to := range []string{strings.TrimPrefix(h.serve.HTTP, "http://"), strings.TrimPrefix(h.serve.HTTPS, "https://"), h.serve.Links} {
		c, err := net.DialTimeout("tcp", to, patience/6)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(patience / 2))
		_, _ = fmt.Fprintf(c, "%sGET / HTTP/1.1\r\nHost: x\r\n\r\n", proxyHeader())
		answer, err := io.ReadAll(io.LimitReader(c, 1<<16))
		if bytes.Contains(answer, []byte(" 200 ")) || os.IsTimeout(err) {
			t.Errorf("%s: %q, %v", to, answer, err)
		}
		_ = c.Close()
	}
}

// wrongCertificate: a link is for who has a certificate of the control plane's own authority, and for what that says.
func wrongCertificate(t *testing.T, h *hostile) {
	certificate := func(data, kind, name string) *tls.Config {
		file := filepath.Join(t.TempDir(), "certificate")
		if out, err := exec.CommandContext(t.Context(), program, "certificate", kind, name, file, "--data", data).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		pair, err := tls.LoadX509KeyPair(file, file)
		if err != nil {
			t.Fatal(err)
		}
		config := h.trust.Clone()
		config.Certificates, config.ServerName = []tls.Certificate{pair}, "links.vennel.internal"
		return config
	}
	other := filepath.Join(t.TempDir(), "data")
	if err := os.MkdirAll(other, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := wire.OpenCA(other); err != nil {
		t.Fatal(err)
	}
	none := h.trust.Clone()
	none.ServerName = "links.vennel.internal"
	// A handshake of TLS 1.3 ends for the client before the server has judged: the first read tells.
	try := func(config *tls.Config) error {
		c, err := tls.DialWithDialer(&net.Dialer{Timeout: patience / 6}, "tcp", h.serve.Links, config)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }() // it has been read
		_ = c.SetDeadline(time.Now().Add(2 * time.Second))
		_, err = c.Read(make([]byte, 1))
		return err
	}
	served := func(err error) bool { var late net.Error; return errors.As(err, &late) && late.Timeout() } // it waits for us to say something
	if err := try(certificate(h.serve.data, "gateway", h.vpc.endpoints["ssm"])); !served(err) {
		t.Errorf("with a right certificate: %v", err)
	}
	for name, config := range map[string]*tls.Config{
		"without a certificate": none, "of another authority": certificate(other, "host", "evil"), "of another authority, as a gateway": certificate(other, "gateway", h.vpc.endpoints["ssm"]),
	} {
		if err := try(config); err == nil || served(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The certificate of the authority that the daemon would be told is another's: it does not talk to such a control plane.
	mistaken := certificate(h.serve.data, "host", "good")
	mistaken.RootCAs = x509.NewCertPool()
	if err := try(mistaken); err == nil || served(err) {
		t.Errorf("a control plane of another authority: %v", err)
	}
	h.victim.lists(t, reached)
}

// anotherUser: the daemon's socket is its user's.
func anotherUser(t *testing.T, h *hostile) {
	need(t, "setpriv", "curl")
	c := exec.CommandContext(t.Context(), "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "curl", "-sS", "--max-time", "5", "--unix-socket", h.socket(), "http://host/")
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 { // it could not connect
		t.Errorf("%v: %s", err, out)
	}
}

// flood: while one guest floods the resolver and the metadata service, others are answered as always.
func flood(t *testing.T, h *hostile) {
	ctx, stop := context.WithTimeout(t.Context(), 4*time.Second)
	defer stop()
	var floods sync.WaitGroup
	asked, dialled := 0, 0
	floods.Go(func() {
		c, err := h.mallory.dial("udp", "10.0.0.2:53", silence)
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }() // a flood's
		question := []byte("\x66\x66\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03ssm\x09us-east-1\x09amazonaws\x03com\x00\x00\x01\x00\x01")
		for ctx.Err() == nil {
			_, _ = c.Write(question)
			asked++
		}
	})
	floods.Go(func() {
		var open []net.Conn
		for ctx.Err() == nil {
			dialled++
			c, err := h.mallory.dial("tcp", "169.254.169.254:80", 10*time.Millisecond)
			if err != nil {
				continue
			}
			_, _ = io.WriteString(c, "GET /latest/ HTTP/1.1\r\n") // and never the rest
			open = append(open, c)
		}
		for _, c := range open {
			_ = c.Close()
		}
	})
	slowest, rounds := time.Duration(0), 0
	for ctx.Err() == nil {
		began := time.Now()
		if list, err := h.victim.resolve(h.victim.host("ssm"), patience/6); err != nil || len(list) != 1 {
			t.Errorf("during the flood the name has %v, %v", list, err)
		}
		h.victim.borrow(t)
		slowest, rounds = max(slowest, time.Since(began)), rounds+1
	}
	floods.Wait()
	t.Logf("while there were %d questions and %d connections, %d rounds took %s at most", asked, dialled, rounds, slowest.Round(time.Millisecond))
	if asked < 1024 || dialled < 100 || rounds < 3 {
		t.Error("this was no flood")
	}
	if slowest > 3*time.Second {
		t.Errorf("another guest has waited %s", slowest)
	}
	h.mallory.lists(t, reached) // who has flooded is not locked out for long
	act(t, h.vpc.area, "ec2", "DescribeVpcs", &ec2.DescribeVpcsInput{})
}
