//go:build linux

package link_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/dataplane/link"
	"github.com/vennel/vennel/internal/memnet"
	"github.com/vennel/vennel/wire"
)

// signed makes a certificate of the plane's authority.
func (p *plane) signed(change func(*x509.Certificate)) tls.Certificate {
	p.t.Helper()
	uri, err := url.Parse(link.HostName + "h1")
	if err != nil {
		p.t.Fatal(err)
	}
	ca := keyOf(p.t, p.folder)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "x"}, URIs: []*url.URL{uri}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Leaf, ca.Leaf.PublicKey, ca.PrivateKey)
	if err != nil {
		p.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: ca.PrivateKey}
}

// TestStrangers refuses whoever does not prove to be a host or a gateway, and goes on with those that do.
func TestStrangers(t *testing.T) {
	p := newPlane(t)
	k := newKernel(t)
	good := p.client(p.ca, link.HostName+"h1")
	w := &way{p.hub, func(k *kernel) func() {
		return running(t, func(ctx context.Context) error { return link.Dialled(ctx, p.address, good, quiet, link.ServeHost(k)) })
	}}
	w.begin(t, k)
	k.set = func(context.Context, *dataplane.Config) (dataplane.Status, error) { return dataplane.Status{}, nil }

	foreign, err := wire.OpenCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := p.ca.Leaf(name)
	if err != nil {
		t.Fatal(err)
	}
	unwilling := func() *tls.Config {
		c := p.client(foreign, link.HostName+"h1") // it shows it although it was not asked for one of its authority
		pair := c.Certificates[0]
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		return c
	}
	shown := func(pair tls.Certificate) *tls.Config {
		c := p.showing()
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		return c
	}
	for name, config := range map[string]*tls.Config{
		"no certificate":        p.showing(),
		"another authority":     unwilling(),
		"a server's":            shown(*leaf),
		"another kind":          p.client(p.ca, "vennel:operator/x"),
		"another scheme":        p.client(p.ca, "spiffe://vennel/host/h1"),
		"a second host":         p.client(p.ca, link.HostName+"h2"),
		"expired":               shown(p.signed(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })),
		"of the future":         shown(p.signed(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) })),
		"for servers":           shown(p.signed(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })),
		"a name that is no URI": shown(p.signed(func(c *x509.Certificate) { c.URIs, c.DNSNames = nil, []string{"vennel:host/h1"} })),
		"an old protocol": func() *tls.Config {
			c := good.Clone()
			c.MaxVersion, c.MinVersion = tls.VersionTLS12, tls.VersionTLS12
			return c
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := tls.Dial("tcp", p.address, config)
			if err != nil {
				return
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(15 * time.Second))
			session, err := yamux.Server(conn, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			if _, err := session.AcceptStream(); err == nil {
				t.Error("it is asked to do something")
			}
			if _, err := session.Ping(); err == nil {
				t.Error("it has a link")
			}
		})
	}
	for name, text := range map[string]string{
		"HTTP": "GET / HTTP/1.1\r\n\r\n", "nothing": "", "a PROXY header": string((&link.Header{Endpoint: "vpce-1"}).Append(nil)), "bytes": strings.Repeat("\x16\x03\x01\xff", 10_000),
	} {
		conn, err := net.Dial("tcp", p.address)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write([]byte(text))
		_ = conn.(*net.TCPConn).CloseWrite()
		_ = conn.SetReadDeadline(time.Now().Add(15 * time.Second))
		got, _ := io.ReadAll(conn)
		if len(got) > 100 {
			t.Errorf("%s is answered: %q", name, got)
		}
		_ = conn.Close()
	}
	if _, err := w.host.Set(t.Context(), &dataplane.Config{}); err != nil {
		t.Errorf("the good host: %v", err)
	}
	// The host that was started again is the same one.
	again := running(t, func(ctx context.Context) error { return link.Dialled(ctx, p.address, good, quiet, link.ServeHost(k)) })
	eventually(t, "the host", func() bool { _, err := w.host.Set(t.Context(), &dataplane.Config{}); return err == nil })
	again()
}

// TestSlow ends whoever takes too long to say who he is, and lets nobody in meanwhile.
func TestSlow(t *testing.T) {
	ca, err := wire.OpenCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		hub, l := link.NewHub(quiet), memnet.Listen()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- hub.Serve(ctx, l, ca.Demand(name)) }()
		hello := "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
		ended := make(chan time.Duration, 100)
		for range 50 {
			conn, err := l.Dial(ctx, "", "")
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			go func() {
				for _, c := range []byte(hello + strings.Repeat("x", 500)) { // a byte a second
					if _, err := conn.Write([]byte{c}); err != nil {
						break
					}
					time.Sleep(time.Second)
				}
				ended <- time.Since(began)
			}()
		}
		for range 50 {
			if took := <-ended; took > 12*time.Second {
				t.Errorf("one was heard for %v", took)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestGateway brings connections to a control plane: with the endpoint of the certificate, whatever their headers say.
func TestGateway(t *testing.T) {
	const endpoint = "vpce-0123456789abcdef0"
	p := newPlane(t)
	config := p.client(p.ca, link.GatewayName+endpoint)
	g := link.NewGateway()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	running(t, func(ctx context.Context) error { return g.Accept(ctx, l) })
	if conn, err := net.Dial("tcp", l.Addr().String()); err == nil { // without a link it is refused at once
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
			t.Errorf("without a link: %v", err)
		}
		_ = conn.Close()
	}
	end := running(t, func(ctx context.Context) error { return link.Dialled(ctx, p.address, config, quiet, g.Serve) })
	var conn net.Conn
	var got arrival
	eventually(t, "a connection through the gateway", func() bool {
		if conn, err = net.Dial("tcp", l.Addr().String()); err != nil {
			return false // it was refused before Dial had seen that it was accepted
		}
		select {
		case got = <-p.arrived:
			return true
		case <-time.After(100 * time.Millisecond):
			_ = conn.Close()
			return false
		}
	})
	if got.endpoint != endpoint || got.conn.RemoteAddr().String() != conn.LocalAddr().String() || got.conn.LocalAddr().String() != l.Addr().String() {
		t.Errorf("%s, from %v to %v", got.endpoint, got.conn.RemoteAddr(), got.conn.LocalAddr())
	}
	// The gateway ends, and its connections with it.
	end()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("after the gateway's end: %v", err)
	}
	if _, err := got.conn.Read(make([]byte, 1)); err == nil {
		t.Error("the control plane has not heard of the gateway's end")
	}

	// One who lies about its endpoint, or begins with something else than a header.
	secure, err := tls.Dial("tcp", p.address, config)
	if err != nil {
		t.Fatal(err)
	}
	defer secure.Close()
	session, err := yamux.Server(secure, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	at := netip.MustParseAddrPort("192.0.2.1:1")
	send := func(b []byte) net.Conn {
		s, err := session.Open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write(append([]byte{byte(len(b) >> 8), byte(len(b))}, b...)); err != nil {
			t.Fatal(err)
		}
		return s
	}
	send((&link.Header{From: at, To: at, Endpoint: "vpce-0ffffffffffffffff", Listener: []byte("\x00\x00\x00\x00\x00\x00\x00\x01")}).Append(nil))
	if got := <-p.arrived; got.endpoint != endpoint || got.conn.RemoteAddr().String() != at.String() {
		t.Errorf("it lies, and is believed: %+v", got)
	}
	bad := send([]byte("GET / HTTP/1.1\r\n\r\n"))
	_ = bad.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := bad.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("no header is needed: %d, %v", n, err)
	}
	if _, err := p.hub.Set(t.Context(), &dataplane.Config{}); err == nil {
		t.Error("a gateway is a host")
	}
}

// asUser is set in the child that is somebody else.
const asUser = "VENNEL_TEST_AS_USER"

// TestSecondUser refuses somebody else on the unix socket, even where the files' modes let him through.
func TestSecondUser(t *testing.T) {
	if path := os.Getenv(asUser); path != "" {
		_, err := link.Local(path).Set(t.Context(), &dataplane.Config{}) // root as daemon is as good; so what it says counts
		fmt.Printf("set: %v\n", err)
		conn, err := net.Dial("unix", path)
		if err == nil {
			_, _ = conn.Write([]byte("\x00\x00\x00\x10{\"Op\":\"flows\"}   "))
			var n int
			n, err = conn.Read(make([]byte, 1))
			fmt.Printf("raw: %d %v\n", n, err)
		}
		return
	}
	if os.Geteuid() != 0 {
		if os.Getenv("REQUIRE") == "1" {
			t.Fatal("another user needs root")
		}
		t.Skip("SKIPPED: another user needs root")
	}
	folder, err := os.MkdirTemp("", "link")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "host.sock")
	k := newKernel(t)
	called := false
	k.set = func(context.Context, *dataplane.Config) (dataplane.Status, error) {
		called = true
		return dataplane.Status{}, nil
	}
	running(t, func(ctx context.Context) error { return link.ServeLocal(ctx, path, k) })
	eventually(t, "the socket", func() bool { info, err := os.Stat(path); return err == nil && info.Mode().Perm() == 0o600 })
	for name, mode := range map[string]os.FileMode{folder: 0o755, path: 0o666} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestSecondUser$")
	c.Env = append(os.Environ(), asUser+"="+path)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := c.CombinedOutput()
	if err != nil || called || !strings.Contains(string(out), "raw: 0") || !strings.Contains(string(out), "set: ") || strings.Contains(string(out), "set: <nil>") {
		t.Errorf("%v, called: %v\n%s", err, called, out)
	}
}
