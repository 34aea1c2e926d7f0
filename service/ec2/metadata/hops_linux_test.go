package metadata_test

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/vennel/vennel/service/ec2/metadata"
)

// inNamespaces is set inside the namespaces of a test.
const inNamespaces = "VENNEL_TEST_IN_NAMESPACES"

// wiring joins an instance to the service, and a container to the instance, which hides it behind its own address.
const wiring = `
set -e
mkdir -p /run/netns
mount -t tmpfs tmpfs /run/netns
ip netns add instance
ip netns add container
ip link set lo up
ip link add host0 type veth peer name eth0 netns instance
ip address add 169.254.169.254/32 dev host0
ip link set host0 up
ip route add 10.0.0.7/32 dev host0
i="ip netns exec instance"
c="ip netns exec container"
$i ip link set eth0 up
$i ip address add 10.0.0.7/32 dev eth0
$i ip route add 169.254.169.254/32 dev eth0 src 10.0.0.7
$i ip link add docker0 type veth peer name eth0 netns container
$i ip link set docker0 up
$i ip address add 172.17.0.1/16 dev docker0
$i sysctl -qw net.ipv4.ip_forward=1
$i nft -f - <<END
table ip nat { chain post { type nat hook postrouting priority 100; oifname "eth0" masquerade; }; }
END
$c ip link set eth0 up
$c ip address add 172.17.0.2/16 dev eth0
$c ip route add default via 172.17.0.1
`

// TestHopLimitOnTheWire has a container behind an instance: with a hop limit of 1 a token does not reach it, though it may ask; with 2 it does.
// source: userguide, "Use the Instance Metadata Service to access instance metadata"
func TestHopLimitOnTheWire(t *testing.T) {
	if os.Getenv(inNamespaces) == "" {
		for _, need := range []string{"unshare", "ip", "nft", "curl", "sysctl"} {
			if _, err := exec.LookPath(need); err != nil || os.Geteuid() != 0 {
				if os.Getenv("REQUIRE") == "1" {
					t.Fatalf("%s or root is missing", need)
				}
				t.Skipf("SKIPPED: %s or root is missing", need)
			}
		}
		c := exec.CommandContext(t.Context(), "unshare", "--net", "--mount", "--", os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
		c.Env = append(os.Environ(), inNamespaces+"=1")
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if out, err := exec.CommandContext(t.Context(), "bash", "-c", wiring).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	w := newWorld()
	s, err := signer()
	if err != nil {
		t.Fatal(err)
	}
	service := metadata.New(metadata.Config{Instances: w, Issuer: w, Signer: s, TokenKey: make([]byte, 32), Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	l, err := net.Listen("tcp", "169.254.169.254:80")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- service.Serve(ctx, "vpc-1", l) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	curl := func(from string, args ...string) string {
		out, _ := exec.CommandContext(t.Context(), "ip", append([]string{"netns", "exec", from, "curl", "-s", "-m", "2"}, args...)...).Output()
		return string(out)
	}
	const base = "http://169.254.169.254/latest/"
	for _, c := range []struct {
		limit           int
		from            string
		token, versionI bool
	}{
		{1, "instance", true, true}, {1, "container", false, true}, {2, "container", true, true}, {2, "instance", true, true},
	} {
		w.change(func() {
			n := one
			n.Options.HopLimit = c.limit
			w.list[netip.MustParseAddr("10.0.0.7")] = n
		})
		token := curl(c.from, "-X", "PUT", "-H", lifeHeader+": 60", base+"api/token")
		if (len(token) == 56) != c.token {
			t.Errorf("with a limit of %d the %s got the token %q", c.limit, c.from, token)
		}
		if got := curl(c.from, base+"meta-data/instance-id"); (got == one.ID) != c.versionI {
			t.Errorf("with a limit of %d the %s got %q by version 1", c.limit, c.from, got)
		}
		if c.token {
			if got := curl(c.from, "-H", tokenHeader+": "+strings.TrimSpace(token), base+"meta-data/instance-id"); got != one.ID {
				t.Errorf("with a limit of %d the %s got %q by version 2", c.limit, c.from, got)
			}
		}
	}
}
