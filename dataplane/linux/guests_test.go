package linux_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vennel/vennel/dataplane/linux/netns"
	"github.com/vennel/vennel/dataplane/linux/netns/netnstest"
)

// forward makes a guest forward packets, as a middlebox does.
func forward(l *lab, id string) {
	l.t.Helper()
	err := netns.Do(l.netns(id), func() error {
		if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
			return err
		}
		return os.WriteFile("/proc/sys/net/ipv4/conf/all/send_redirects", []byte("0"), 0)
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

// in does something in a namespace.
func (l *lab) in(id string, do func() error) {
	l.t.Helper()
	if err := netns.Do(l.netns(id), do); err != nil {
		l.t.Fatalf("%s: %v", id, err)
	}
}

// run runs a program in a namespace.
func (l *lab) run(id string, argv ...string) string {
	l.t.Helper()
	return netnstest.Run(l.t, l.netns(id), argv...)
}

// line is a connection that says something and hears it again.
type line struct {
	net.Conn
	r *bufio.Reader
}

// call opens a line and reads the greeting.
func (l *lab) call(from, to string) *line {
	l.t.Helper()
	c, err := l.dial(from, "tcp", to, patience)
	if err != nil {
		l.t.Fatalf("from %s to %s: %v", from, to, err)
	}
	n := &line{c, bufio.NewReader(c)}
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := n.r.ReadString('\n'); err != nil {
		l.t.Fatalf("from %s to %s: no greeting: %v", from, to, err)
	}
	return n
}

// says tries whether the line carries anything within a time.
func (n *line) says(wait time.Duration) error {
	_ = n.SetDeadline(time.Now().Add(wait))
	word := strconv.FormatInt(time.Now().UnixNano(), 36)
	if _, err := fmt.Fprintln(n, word); err != nil {
		return err
	}
	for {
		got, err := n.r.ReadString('\n')
		if err != nil {
			return err
		}
		if strings.TrimSpace(got) == word { // what was said while the line was cut comes first
			return nil
		}
	}
}

// alive fails the test unless a line carries.
func (l *lab) alive(what string, n *line) {
	l.t.Helper()
	if err := n.says(patience); err != nil {
		l.t.Errorf("%s: %v", what, err)
	}
}

// raw sends one UDP packet with a source address of one's choice, out of a guest's first interface.
func (l *lab) raw(from, source, to string) {
	l.t.Helper()
	l.in(from, func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		raw := os.NewFile(uintptr(fd), "raw")
		l.keep(raw)
		dst := netip.MustParseAddrPort(to)
		body := []byte("spoofed " + source)
		p := make([]byte, 28, 28+len(body))
		p[0], p[8], p[9] = 0x45, 64, unix.IPPROTO_UDP
		binary.BigEndian.PutUint16(p[2:], uint16(28+len(body)))
		copy(p[12:16], ip(source).AsSlice())
		copy(p[16:20], dst.Addr().AsSlice())
		binary.BigEndian.PutUint16(p[20:], 40000)
		binary.BigEndian.PutUint16(p[22:], dst.Port())
		binary.BigEndian.PutUint16(p[24:], uint16(8+len(body)))
		return unix.Sendto(fd, append(p, body...), 0, &unix.SockaddrInet4{Addr: dst.Addr().As4()})
	})
}

// counter counts the UDP packets that a guest receives on a port, by their text.
type counter struct {
	mu   sync.Mutex
	seen map[string]int
}

// count starts counting what comes to port 7100.
func (l *lab) count(id string) *counter {
	l.t.Helper()
	c := &counter{seen: map[string]int{}}
	l.in(id, func() error {
		s, err := net.ListenPacket("udp4", "0.0.0.0:7100")
		if err != nil {
			return err
		}
		l.keep(s)
		l.wait.Go(func() {
			b := make([]byte, 2048)
			for {
				n, _, err := s.ReadFrom(b)
				if err != nil {
					return
				}
				c.mu.Lock()
				c.seen[string(b[:n])]++
				c.mu.Unlock()
			}
		})
		return nil
	})
	return c
}

// of is how many packets with a text have come.
func (c *counter) of(text string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[text]
}

// eventually waits for something to become true.
func (l *lab) eventually(what string, ok func() bool) {
	l.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Fatalf("not in time: %s", what)
		}
	}
}

// ping says whether an address answers to an echo of ICMP that i-a1 sends.
func (l *lab) ping(to string, wait time.Duration) bool {
	l.t.Helper()
	answered := false
	l.in("i-a1", func() error {
		c, err := net.ListenPacket("ip4:icmp", "0.0.0.0")
		if err != nil {
			return err
		}
		l.keep(c)
		echo := []byte{8, 0, 0, 0, 0x12, 0x34, 0, 1}
		binary.BigEndian.PutUint16(echo[2:], ^uint16(0x0800+0x1234+1))
		if _, err := c.WriteTo(echo, &net.IPAddr{IP: ip(to).AsSlice()}); err != nil {
			return err
		}
		_ = c.SetReadDeadline(time.Now().Add(wait))
		b := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return nil
			}
			if n >= 8 && b[0] == 0 && from.String() == to {
				answered = true
				return nil
			}
		}
	})
	return answered
}

// leaks says how many packets to an address of the internet have come there from a guest's private address.
func (l *lab) leaks(from, to string) int {
	l.t.Helper()
	read := func() int {
		fields := strings.Fields(l.run("internet", "nft", "list chain ip leaks in"))
		i := slices.Index(fields, "packets")
		n, err := strconv.Atoi(fields[i+1])
		if err != nil {
			l.t.Fatal(err)
		}
		return n
	}
	l.run("internet", "nft", "table ip leaks { chain in { type filter hook prerouting priority -300; ip saddr 10.0.0.0/8 counter; }; }")
	defer l.run("internet", "nft", "delete table ip leaks")
	l.probe(from, "tcp", to+":443", silence)
	return read()
}
