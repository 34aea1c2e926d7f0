package dns

import (
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// dnsmasq runs the real one on a loopback port until the test ends.
func dnsmasq(t *testing.T, args ...string) string {
	t.Helper()
	program, err := exec.LookPath("dnsmasq")
	if err != nil {
		if os.Getenv("REQUIRE") == "1" {
			t.Fatal("dnsmasq is not installed, and REQUIRE=1")
		}
		t.Skip("SKIPPED: dnsmasq is not installed")
	}
	to := dead(t)
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, program, append([]string{"--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--no-resolv", "--no-hosts", "--log-facility=-",
		"--user=", "--bind-interfaces", "--listen-address=127.0.0.1", "--port=" + to.String()[strings.LastIndexByte(to.String(), ':')+1:]}, args...)...)
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	gone := make(chan struct{})
	wg.Go(func() { _ = cmd.Wait(); close(gone) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	for end := time.Now().Add(8 * time.Second); ; wait(ctx, 10*time.Millisecond) {
		if conn, err := net.Dial("tcp", to.String()); err == nil {
			_ = conn.Close()
			return to.String()
		}
		select {
		case <-gone:
			t.Fatalf("dnsmasq ended: %s", said.String())
		default:
		}
		if time.Now().After(end) {
			t.Fatal("dnsmasq does not listen")
		}
	}
}

// TestS30ConditionalForwarder has a DNS server of somebody's own before the VPC's resolver: with a forwarder for amazonaws.com the
// endpoint's private addresses come back, without it the public ones of the other server that it asks.
func TestS30ConditionalForwarder(t *testing.T) {
	s := New(Options{})
	if err := s.Set(world()); err != nil {
		t.Fatal(err)
	}
	private := strings.Replace(serve(t, s, "vpc-1"), ":", "#", 1)
	public := strings.Replace(serve(t, s, "vpc-2"), ":", "#", 1)
	with := dnsmasq(t, "--server="+public, "--server=/amazonaws.com/"+private)
	without := dnsmasq(t, "--server="+public)
	for _, network := range []string{"udp", "tcp"} {
		in := exchanged(t, network, with, question("ssm.us-east-1.amazonaws.com.", dns.TypeA))
		if have := values(in); len(have) != 3 || !strings.HasSuffix(have[1], " A 10.0.1.5") || !strings.HasSuffix(have[2], " A 10.0.2.5") {
			t.Errorf("%s: with a forwarder: %q", network, have)
		}
		in = exchanged(t, network, without, question("ssm.us-east-1.amazonaws.com.", dns.TypeA))
		if have := values(in); !slices.Equal(have, []string{"ssm.us-east-1.amazonaws.com. 60 IN A 198.51.100.1"}) {
			t.Errorf("%s: without a forwarder: %q", network, have)
		}
	}
}

// TestS44OutboundRule has a rule that forwards to a DNS server of somebody's own.
func TestS44OutboundRule(t *testing.T) {
	theirs := dnsmasq(t, "--address=/host.corp/10.1.1.1", "--local=/corp/")
	_, to := behind(t, Options{}, netip.MustParseAddrPort(theirs))
	for _, network := range []string{"udp", "tcp"} {
		in := exchanged(t, network, to, question("host.corp.", dns.TypeA))
		if have := values(in); !slices.Equal(have, []string{"host.corp. 0 IN A 10.1.1.1"}) {
			t.Errorf("%s: have %q", network, have)
		}
		if in = exchanged(t, network, to, question("other.corp.", dns.TypeA)); in.Rcode != dns.RcodeNameError {
			t.Errorf("%s: a name that is not there: %v", network, in)
		}
	}
}
