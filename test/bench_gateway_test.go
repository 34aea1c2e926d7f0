package test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/yamux"
	"golang.org/x/sync/errgroup"

	"github.com/vennel/vennel/dataplane/link"
	"github.com/vennel/vennel/wire"
)

// What a connection of the gateway's bench asks for with its first byte.
const (
	askBulk = 'b' // bytes for as long as it is open
	askEcho = 'e' // every byte back
)

// benchSpan is how long one measurement takes.
const benchSpan = 500 * time.Millisecond

// answerBench serves a connection of the bench.
func answerBench(conn net.Conn) {
	defer conn.Close()
	b := make([]byte, 32<<10)
	if _, err := io.ReadFull(conn, b[:1]); err != nil {
		return
	}
	if b[0] == askEcho {
		_, _ = io.CopyBuffer(struct{ io.Writer }{conn}, struct{ io.Reader }{conn}, b[:1])
		return
	}
	for {
		if _, err := conn.Write(b); err != nil {
			return
		}
	}
}

// gateway measures the way through a gateway against connections to the same server without one, all in this process.
func (b *bench) gateway(t *testing.T) {
	direct, through := gatewayBench(t)
	type sample struct{ bulk, rate, quiet, busy float64 }
	measure := func(address string) (s sample, foreign float64) {
		u := spend(t, func() {
			s.bulk = bulkOf(t, address, benchSpan, nil)
			s.rate = rateOf(t, address, benchSpan)
			s.quiet = echoOf(t, address)
			bulkOf(t, address, benchSpan, func() { s.busy = echoOf(t, address) })
		})
		return s, u.foreign
	}
	ours, foreign := repeat(1, func() (sample, float64) { return measure(through) })
	theirs, _ := repeat(1, func() (sample, float64) { return measure(direct) })
	line := func(what, unit string, of func(sample) float64) {
		o, d := median(ours, of), median(theirs, of)
		b.add(t, row{what: "gateway: " + what, ours: fmt.Sprintf("%.4g %s", o, unit), neighbours: fmt.Sprintf("direct %.4g %s", d, unit),
			ratio: fmt.Sprintf("%.2f", o/d), foreign: foreign})
	}
	line("bulk, 4 connections", "MB/s", func(s sample) float64 { return s.bulk })
	line("connections, 16 at once", "/s", func(s sample) float64 { return s.rate })
	line("echo p50", "µs", func(s sample) float64 { return s.quiet })
	line("echo p50 while bulk runs", "µs", func(s sample) float64 { return s.busy })
}

// gatewayBench starts the server, and the gateway to it; it gives the addresses of both.
func gatewayBench(t *testing.T) (direct, through string) {
	log := slog.New(slog.DiscardHandler)
	ca, err := wire.OpenCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	text, err := ca.Client(link.GatewayName + "vpce-0123456789abcdef0")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.PEM())
	config := &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, ServerName: "links.bench", MinVersion: tls.VersionTLS13}
	var listeners [3]net.Listener
	for i := range listeners {
		if listeners[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	g, ctx := errgroup.WithContext(ctx)
	hub, gateway := link.NewHub(log), link.NewGateway()
	linked := make(chan struct{})
	hub.Gateway = func(conn net.Conn, _ string) { go answerBench(conn) } // it ends with the link
	g.Go(func() error { return hub.Serve(ctx, listeners[0], ca.Demand("links.bench")) })
	g.Go(func() error { return gateway.Accept(ctx, listeners[1]) })
	g.Go(func() error {
		return link.Dialled(ctx, listeners[0].Addr().String(), config, log, func(ctx context.Context, s *yamux.Session) error {
			close(linked)
			return gateway.Serve(ctx, s)
		})
	})
	context.AfterFunc(ctx, func() { _ = listeners[2].Close() })
	g.Go(func() error {
		for {
			conn, err := listeners[2].Accept()
			if err != nil {
				return nil //nolint:nilerr // the bench is over
			}
			go answerBench(conn) // it ends with its client
		}
	})
	t.Cleanup(func() {
		cancel()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
	})
	<-linked
	for { // until the gateway uses its link
		conn, err := net.Dial("tcp", listeners[1].Addr().String())
		if err == nil {
			_, err = conn.Write([]byte{askEcho, 'x'})
			if err == nil {
				_, err = io.ReadFull(conn, make([]byte, 1))
			}
			_ = conn.Close()
		}
		if err == nil {
			return listeners[2].Addr().String(), listeners[1].Addr().String()
		}
	}
}

// askBench opens a connection.
func askBench(t *testing.T, address string, what byte) net.Conn {
	conn, err := net.Dial("tcp", address)
	if err == nil {
		_, err = conn.Write([]byte{what})
	}
	if err != nil {
		t.Error(err)
	}
	return conn
}

// bulkOf is how many megabytes a second come over four connections; meanwhile something else is done.
func bulkOf(t *testing.T, address string, span time.Duration, meanwhile func()) float64 {
	var total atomic.Int64
	var readers sync.WaitGroup
	var conns []net.Conn
	for range 4 {
		conn := askBench(t, address, askBulk)
		conns = append(conns, conn)
		readers.Go(func() {
			b := make([]byte, 64<<10)
			for {
				n, err := conn.Read(b)
				if total.Add(int64(n)); err != nil {
					return
				}
			}
		})
	}
	began := time.Now()
	if meanwhile != nil {
		meanwhile()
	} else {
		time.Sleep(span) // that is the measurement
	}
	rate := float64(total.Load()) / 1e6 / time.Since(began).Seconds()
	for _, conn := range conns {
		_ = conn.Close()
	}
	readers.Wait()
	return rate
}

// rateOf is how many connections a second are made, used for one byte, and closed.
func rateOf(t *testing.T, address string, span time.Duration) float64 {
	var total atomic.Int64
	var callers sync.WaitGroup
	began := time.Now()
	for range 16 {
		callers.Go(func() {
			b := make([]byte, 1)
			for time.Since(began) < span {
				conn := askBench(t, address, askEcho)
				_, err := conn.Write(b)
				if err == nil {
					_, err = io.ReadFull(conn, b)
				}
				_ = conn.Close()
				if err != nil {
					t.Error(err)
					return
				}
				total.Add(1)
			}
		})
	}
	callers.Wait()
	return float64(total.Load()) / time.Since(began).Seconds()
}

// echoOf is how many microseconds a byte takes there and back, at the median.
func echoOf(t *testing.T, address string) float64 {
	conn := askBench(t, address, askEcho)
	defer conn.Close()
	b := make([]byte, 1)
	times := make([]float64, 2000)
	for i := range times {
		began := time.Now()
		if _, err := conn.Write(b); err != nil {
			t.Error(err)
			return 0
		}
		if _, err := io.ReadFull(conn, b); err != nil {
			t.Error(err)
			return 0
		}
		times[i] = float64(time.Since(began).Nanoseconds()) / 1000
	}
	return median(times, func(v float64) float64 { return v })
}
