//go:build linux

package link_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/dataplane/link"
	"github.com/vennel/vennel/wire"
)

// kernel is a dataplane.Host whose sockets are on the loopback address.
type kernel struct {
	t   testing.TB
	set func(context.Context, *dataplane.Config) (dataplane.Status, error)

	mu      sync.Mutex
	sockets map[dataplane.Socket]io.Closer // guarded by mu
}

// newKernel makes one with the sockets of front and names.
func newKernel(t testing.TB) *kernel {
	k := &kernel{t: t, sockets: map[dataplane.Socket]io.Closer{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k.sockets[front], k.sockets[names] = l, p
	t.Cleanup(func() {
		_ = l.Close()
		_ = p.Close()
	})
	return k
}

// The sockets of a kernel.
var (
	front = dataplane.Socket{VPC: "vpc-1", Role: dataplane.Front, Network: "tcp", Address: netip.MustParseAddrPort("0.0.0.0:443")}
	names = dataplane.Socket{VPC: "vpc-1", Role: dataplane.DNS, Network: "udp", Address: netip.MustParseAddrPort("10.0.0.2:53")}
)

// at is where a socket really is.
func (k *kernel) at(s dataplane.Socket) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l, ok := k.sockets[s].(net.Listener); ok {
		return l.Addr().String()
	}
	return k.sockets[s].(net.PacketConn).LocalAddr().String()
}

// copied gives a socket as a host gives it: a copy of its own.
func copied[S, T any](k *kernel, s dataplane.Socket, of func(*os.File) (T, error)) (socket T, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.sockets[s].(S); !ok {
		return socket, fmt.Errorf("there is no socket %s %s", s.Network, s.Address)
	}
	f, err := k.sockets[s].(interface{ File() (*os.File, error) }).File()
	if err != nil {
		return socket, err
	}
	defer f.Close()
	return of(f)
}

// Set does what the test says.
func (k *kernel) Set(ctx context.Context, c *dataplane.Config) (dataplane.Status, error) {
	return k.set(ctx, c)
}

// Listener gives the front.
func (k *kernel) Listener(s dataplane.Socket) (net.Listener, error) {
	return copied[net.Listener](k, s, net.FileListener)
}

// Packets gives the names.
func (k *kernel) Packets(s dataplane.Socket) (net.PacketConn, error) {
	return copied[net.PacketConn](k, s, net.FilePacketConn)
}

// Dial dials.
func (k *kernel) Dial(ctx context.Context, c dataplane.Call) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, c.Network, c.To.String())
}

// Flows gives one, and then fails when the VPC is to.
func (k *kernel) Flows(ctx context.Context, got func([]dataplane.Flow, int)) error {
	got([]dataplane.Flow{{VPC: "vpc-1", Accepted: true}}, 3)
	got([]dataplane.Flow{{VPC: "vpc-2"}}, 0)
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(50 * time.Millisecond):
		return errors.New("the kernel has had enough")
	}
}

// Console says whose it is.
func (*kernel) Console(_ context.Context, id string) ([]byte, error) {
	if id == "" {
		return nil, errors.New("the console of nobody")
	}
	return []byte("the console of " + id + "\x00\xff"), nil
}

// quiet logs nothing.
var quiet = slog.New(slog.DiscardHandler)

// way is a kind of link, with a daemon at its other end that can be started and killed.
type way struct {
	host  dataplane.Host
	start func(k *kernel) (kill func())
}

// local is a daemon on this machine.
func local(t testing.TB) *way {
	path := filepath.Join(t.TempDir(), "host.sock")
	return &way{link.Local(path), func(k *kernel) func() {
		return running(k.t, func(ctx context.Context) error { return link.ServeLocal(ctx, path, k) })
	}}
}

// hub is a daemon elsewhere.
func hub(t testing.TB) *way {
	p := newPlane(t)
	return &way{p.hub, func(k *kernel) func() {
		config := p.client(p.ca, link.HostName+"h1")
		return running(k.t, func(ctx context.Context) error { return link.Dialled(ctx, p.address, config, quiet, link.ServeHost(k)) })
	}}
}

// running runs something until it is ended, and waits for that.
func running(t testing.TB, run func(context.Context) error) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	end = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Error("it does not end")
		}
	})
	t.Cleanup(end)
	return end
}

// plane is the side of a control plane to which links are dialled.
type plane struct {
	t       testing.TB
	hub     *link.Hub
	ca      *wire.CA
	folder  string // of the authority
	address string
	arrived chan arrival // through gateways
}

// arrival is a connection with the endpoint that it came through.
type arrival struct {
	conn     net.Conn
	endpoint string
}

// name is the one of the plane's certificate.
const name = "links.test"

// newPlane makes a plane that serves until the test ends.
func newPlane(t testing.TB) *plane {
	p := &plane{t: t, hub: link.NewHub(quiet), folder: t.TempDir(), arrived: make(chan arrival, 16)}
	var err error
	if p.ca, err = wire.OpenCA(p.folder); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.address = l.Addr().String()
	p.hub.Gateway = func(conn net.Conn, endpoint string) { p.arrived <- arrival{conn, endpoint} }
	running(t, func(ctx context.Context) error { return p.hub.Serve(ctx, l, p.ca.Demand(name)) })
	return p
}

// client is the configuration of whoever has a certificate for a name of an authority's.
func (p *plane) client(ca *wire.CA, uri string) *tls.Config {
	text, err := ca.Client(uri)
	if err != nil {
		p.t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.showing(pair)
}

// showing is the configuration of whoever shows certificates.
func (p *plane) showing(pairs ...tls.Certificate) *tls.Config {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(p.ca.PEM())
	return &tls.Config{Certificates: pairs, RootCAs: pool, ServerName: name, MinVersion: tls.VersionTLS13}
}

// both runs a test over each kind of link.
func both(t *testing.T, test func(t *testing.T, w *way)) {
	for name, of := range map[string]func(testing.TB) *way{"local": local, "hub": hub} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, of(t))
		})
	}
}

// eventually waits until something holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// begin starts a daemon and waits until it answers.
func (w *way) begin(t testing.TB, k *kernel) (kill func()) {
	t.Helper()
	set := k.set
	k.set = func(context.Context, *dataplane.Config) (dataplane.Status, error) { return dataplane.Status{}, nil }
	kill = w.start(k)
	eventually(t, "the daemon", func() bool {
		_, err := w.host.Set(t.Context(), &dataplane.Config{})
		return err == nil
	})
	k.set = set
	return kill
}

// TestSet sets Configs: small and very large ones, one at a time, and none that nobody waits for.
func TestSet(t *testing.T) {
	both(t, func(t *testing.T, w *way) {
		if _, err := w.host.Set(t.Context(), &dataplane.Config{}); err == nil {
			t.Fatal("a daemon that is not there has set something")
		}
		k := newKernel(t)
		w.begin(t, k)
		large := &dataplane.Config{VPCs: []dataplane.VPC{{ID: "vpc-1", CIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}}}}
		for i := range 40_000 {
			large.VPCs[0].Interfaces = append(large.VPCs[0].Interfaces, dataplane.Interface{
				ID: fmt.Sprintf("eni-%017x", i), Subnet: "subnet-0123456789abcdef0", Kind: dataplane.Guest, MAC: "06:00:00:00:00:01",
				Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})}, Groups: []string{"sg-1", "sg-2"},
			})
		}
		began := time.Unix(1700000000, 0).UTC()
		want := dataplane.Status{Failures: map[string]string{"eni-1": "no room"}, Machines: map[string]dataplane.MachineStatus{"i-1": {Running: true, Boot: 2, Since: began}}}
		k.set = func(_ context.Context, c *dataplane.Config) (dataplane.Status, error) {
			if !reflect.DeepEqual(c, large) {
				return dataplane.Status{}, errors.New("this is another Config")
			}
			return want, nil
		}
		if got, err := w.host.Set(t.Context(), large); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v", got, err)
		}
		if _, err := w.host.Set(t.Context(), &dataplane.Config{}); err == nil || err.Error() != "this is another Config" {
			t.Errorf("the host's error is %v", err)
		}

		// One that takes long keeps those after it waiting; whoever does not wait any more is not served.
		type call struct {
			ctx    context.Context
			config *dataplane.Config
		}
		calls := make(chan call)
		k.set = func(ctx context.Context, c *dataplane.Config) (dataplane.Status, error) {
			select {
			case calls <- call{ctx, c}:
			case <-ctx.Done():
			}
			<-ctx.Done()
			return dataplane.Status{}, ctx.Err()
		}
		config := func(id string) *dataplane.Config { return &dataplane.Config{VPCs: []dataplane.VPC{{ID: id}}} }
		var waiting sync.WaitGroup
		set := func(id string) (leave func()) {
			ctx, cancel := context.WithCancel(t.Context())
			waiting.Go(func() {
				if _, err := w.host.Set(ctx, config(id)); !errors.Is(err, context.Canceled) {
					t.Errorf("%s: %v", id, err)
				}
			})
			return cancel
		}
		leaveFirst := set("first")
		first := <-calls
		leaveSecond := set("second")
		select {
		case c := <-calls:
			t.Fatalf("%s is set beside another", c.config.VPCs[0].ID)
		case <-time.After(100 * time.Millisecond):
		}
		leaveSecond()
		leaveThird := set("third")
		leaveFirst()
		select {
		case <-first.ctx.Done():
		case <-time.After(10 * time.Second):
			t.Fatal("the host has not heard that nobody waits")
		}
		c := <-calls
		if c.config.VPCs[0].ID == "second" { // the news that nobody waits for it was on its way
			<-c.ctx.Done()
			c = <-calls
		}
		if c.config.VPCs[0].ID != "third" {
			t.Errorf("%s is set, for which nobody waits", c.config.VPCs[0].ID)
		}
		leaveThird()
		waiting.Wait()
	})
}

// TestSockets uses the sockets of a host: many connections at once, packets and calls.
func TestSockets(t *testing.T) {
	both(t, func(t *testing.T, w *way) {
		k := newKernel(t)
		if _, err := w.host.Listener(front); err == nil {
			t.Error("there is a socket of nobody's")
		}
		w.begin(t, k)
		if _, err := w.host.Listener(names); err == nil || !strings.Contains(err.Error(), "there is no socket udp 10.0.0.2:53") {
			t.Errorf("a socket of the wrong kind: %v", err)
		}
		if _, err := w.host.Packets(front); err == nil {
			t.Error("a socket of the wrong kind")
		}
		l, err := w.host.Listener(front)
		if err != nil {
			t.Fatal(err)
		}
		var served sync.WaitGroup
		served.Go(func() { echo(t, l, &served) })
		var clients sync.WaitGroup
		text := bytes.Repeat([]byte("0123456789abcdef"), 1000)
		for range 200 {
			clients.Go(func() {
				conn, err := net.Dial("tcp", k.at(front))
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
				go func() { // it ends with the connection
					_, _ = conn.Write(text)
					_ = conn.(*net.TCPConn).CloseWrite()
				}()
				got, err := io.ReadAll(conn)
				if want := append([]byte(conn.LocalAddr().String()+" "), text...); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%d bytes (%.30q), want %d: %v", len(got), got, len(want), err)
				}
			})
		}
		clients.Wait()
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if _, err := l.Accept(); err == nil {
			t.Error("accepted on a closed listener")
		}
		served.Wait()

		// The socket is the host's still: whoever connects waits until it is asked for again, once the daemon has heard of the end.
		var conn net.Conn
		eventually(t, "a connection that nobody accepts", func() bool {
			if conn, err = net.Dial("tcp", k.at(front)); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			_, err := conn.Read(make([]byte, 1))
			return errors.Is(err, os.ErrDeadlineExceeded)
		})
		if l, err = w.host.Listener(front); err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if accepted, err := l.Accept(); err != nil || accepted.RemoteAddr().String() != conn.LocalAddr().String() || link.Mark(accepted) != 0 {
			t.Errorf("%v, %v", accepted, err)
		}

		packets(t, w, k)
		calls(t, w)
		flows(t, w)
		if text, err := w.host.Console(t.Context(), "i-1"); err != nil || string(text) != "the console of i-1\x00\xff" {
			t.Errorf("%q, %v", text, err)
		}
		if text, err := w.host.Console(t.Context(), ""); err == nil || err.Error() != "the console of nobody" {
			t.Errorf("%q, %v", text, err)
		}
	})
}

// echo says to each connection where it has come from, and then what it says.
func echo(t *testing.T, l net.Listener, served *sync.WaitGroup) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		served.Go(func() {
			defer conn.Close()
			_, err := fmt.Fprintf(conn, "%s ", conn.RemoteAddr())
			if err == nil {
				_, _ = io.Copy(conn, conn) // the client says whether all has come
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// packets tries packets both ways.
func packets(t *testing.T, w *way, k *kernel) {
	t.Helper()
	p, err := w.host.Packets(names)
	if err != nil {
		t.Fatal(err)
	}
	out, err := net.Dial("udp", k.at(names))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	_ = out.SetDeadline(time.Now().Add(20 * time.Second))
	b := make([]byte, 70_000)
	for _, size := range []int{0, 1, 512, 60_000} {
		want := bytes.Repeat([]byte{byte(size)}, size)
		if _, err := out.Write(want); err != nil {
			t.Fatal(err)
		}
		n, from, err := p.ReadFrom(b)
		if err != nil || from.String() != out.LocalAddr().String() || !bytes.Equal(b[:n], want) {
			t.Fatalf("%d bytes from %v, want %d: %v", n, from, size, err)
		}
		if _, err := p.WriteTo(append([]byte("re "), want...), from); err != nil {
			t.Fatal(err)
		}
		if n, err = out.Read(b); err != nil || !bytes.Equal(b[:n], append([]byte("re "), want...)) {
			t.Fatalf("%d bytes came back: %v", n, err)
		}
	}
	read := make(chan error, 1)
	go func() { _, _, err := p.ReadFrom(b); read <- err }()
	if err := p.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if err := <-read; err == nil {
		t.Error("read from a closed socket")
	}
}

// calls has the host make connections.
func calls(t *testing.T, w *way) {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	to := netip.MustParseAddrPort(server.LocalAddr().String())
	conn, err := w.host.Dial(t.Context(), dataplane.Call{VPC: "vpc-1", Network: "udp", To: to})
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	b := make([]byte, 100)
	for _, text := range []string{"who", "are", "you"} {
		if _, err := conn.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		n, from, err := server.ReadFrom(b)
		if err != nil || string(b[:n]) != text {
			t.Fatalf("%q, %v", b[:n], err)
		}
		if _, err := server.WriteTo([]byte("not "+text), from); err != nil {
			t.Fatal(err)
		}
		if n, err = conn.Read(b); err != nil || string(b[:n]) != "not "+text {
			t.Fatalf("%q, %v", b[:n], err)
		}
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stream := netip.MustParseAddrPort(l.Addr().String())
	if conn, err = w.host.Dial(t.Context(), dataplane.Call{VPC: "vpc-1", Network: "tcp", To: stream}); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := accepted.Read(b); err != nil || string(b[:n]) != "hello" {
		t.Errorf("%q, %v", b[:n], err)
	}
	_ = accepted.Close()
	if _, err := conn.Read(b); err == nil {
		t.Error("nobody ends")
	}
	_ = conn.Close()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if conn, err := w.host.Dial(t.Context(), dataplane.Call{Network: "tcp", To: netip.MustParseAddrPort("127.0.0.1:1")}); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v, %v from nobody", conn, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.host.Dial(ended, dataplane.Call{Network: "tcp", To: stream}); !errors.Is(err, context.Canceled) {
		t.Errorf("a call that has been given up: %v", err)
	}
}

// flows reads flows, to the host's error and to the reader's end.
func flows(t *testing.T, w *way) {
	t.Helper()
	var got []dataplane.Flow
	lost := 0
	err := w.host.Flows(t.Context(), func(f []dataplane.Flow, n int) {
		got, lost = append(got, f...), lost+n
	})
	if err == nil || err.Error() != "the kernel has had enough" || len(got) != 2 || lost != 3 || !got[0].Accepted || got[1].VPC != "vpc-2" {
		t.Errorf("%+v, %d lost, %v", got, lost, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := w.host.Flows(ctx, func([]dataplane.Flow, int) { cancel() }); err != nil {
		t.Error(err)
	}
}

// TestDaemonEnds kills the daemon in the middle of everything. Whoever waits is told, and the next daemon is asked anew.
func TestDaemonEnds(t *testing.T) {
	both(t, func(t *testing.T, w *way) {
		k := newKernel(t)
		for range 3 {
			kill := w.begin(t, k)
			l, err := w.host.Listener(front)
			if err != nil {
				t.Fatal(err)
			}
			p, err := w.host.Packets(names)
			if err != nil {
				t.Fatal(err)
			}
			began := make(chan struct{})
			k.set = func(ctx context.Context, _ *dataplane.Config) (dataplane.Status, error) {
				close(began)
				<-ctx.Done()
				return dataplane.Status{}, ctx.Err()
			}
			ended := make(chan error, 3)
			go func() { _, err := w.host.Set(t.Context(), &dataplane.Config{}); ended <- err }()
			go func() { _, err := l.Accept(); ended <- err }()
			go func() { _, _, err := p.ReadFrom(make([]byte, 1)); ended <- err }()
			<-began
			kill()
			for range 3 {
				select {
				case err := <-ended:
					if err == nil {
						t.Error("something came from a daemon that is gone")
					}
				case <-time.After(10 * time.Second):
					t.Fatal("somebody waits for a daemon that is gone")
				}
			}
			_ = l.Close()
			_ = p.Close()
			if _, err := w.host.Listener(front); err == nil {
				t.Error("a daemon that is gone gives sockets")
			}
		}
	})
}

// TestTwoListeners opens a socket twice, and closes one of them.
func TestTwoListeners(t *testing.T) {
	both(t, func(t *testing.T, w *way) {
		k := newKernel(t)
		w.begin(t, k)
		first, err := w.host.Listener(front)
		if err != nil {
			t.Fatal(err)
		}
		second, err := w.host.Listener(front)
		if err != nil {
			t.Fatal(err)
		}
		_ = first.Close()
		var served sync.WaitGroup
		served.Go(func() { echo(t, second, &served) })
		got := 0
		eventually(t, "connections for the second listener", func() bool { // those that the first one was about to get have ended with it
			conn, err := net.Dial("tcp", k.at(front))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			if _, err := conn.Read(make([]byte, 1)); err == nil {
				got++
			}
			return got == 5
		})
		_ = second.Close()
		served.Wait()
	})
}

// TestSecondServer refuses a daemon where another one listens, and takes the place of one that was killed.
func TestSecondServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "host.sock")
	k := newKernel(t)
	kill := running(t, func(ctx context.Context) error { return link.ServeLocal(ctx, path, k) })
	eventually(t, "the socket", func() bool { _, err := os.Stat(path); return err == nil })
	if err := link.ServeLocal(t.Context(), path, k); err == nil || !strings.Contains(err.Error(), "another host listens") {
		t.Errorf("%v", err)
	}
	kill()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false) // as when it is killed
	_ = l.Close()
	k.set = func(context.Context, *dataplane.Config) (dataplane.Status, error) { return dataplane.Status{}, nil }
	running(t, func(ctx context.Context) error { return link.ServeLocal(ctx, path, k) })
	eventually(t, "the daemon", func() bool {
		_, err := link.Local(path).Set(t.Context(), &dataplane.Config{})
		return err == nil
	})
}

// keyOf reads the key and the certificate of an authority.
func keyOf(t testing.TB, folder string) tls.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(folder, "ca.pem"), filepath.Join(folder, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}
