package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/vennel/vennel/wire"
)

// listener is the baseline for memory: a server that does nothing but TLS. The handshake runs in one
// goroutine and Read in a fresh one, so that the stack of the handshake does not stay: less than this
// no Go program that keeps a goroutine for each connection can need.
type listener struct {
	socket    net.Listener
	folder    string
	accepting sync.WaitGroup
}

// listening is the listener's report.
type listening struct {
	Event   string `json:"event"`
	Address string `json:"address"`
	CA      string `json:"ca"`
}

// newListener starts a listener.
func newListener(ctx context.Context, o *order) (*listener, error) {
	ca, err := wire.OpenCA(o.Folder)
	if err != nil {
		return nil, err
	}
	leaf, err := ca.Leaf(bareName)
	if err != nil {
		return nil, err
	}
	socket, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &listener{socket: socket, folder: o.Folder}
	context.AfterFunc(ctx, func() { _ = socket.Close() })
	config := &tls.Config{Certificates: []tls.Certificate{*leaf}, MinVersion: tls.VersionTLS12}
	l.accepting.Go(func() {
		for {
			raw, err := socket.Accept()
			if err != nil {
				return
			}
			go greet(ctx, tls.Server(raw, config)) // connections end with the process: to keep track of them would cost what is measured
		}
	})
	return l, nil
}

// bareName is the name of the listener.
const bareName = "localhost"

// greet shakes hands and leaves the connection to a fresh goroutine.
func greet(ctx context.Context, conn *tls.Conn) {
	if conn.HandshakeContext(ctx) != nil {
		_ = conn.Close()
		return
	}
	go echo(conn)
}

// echo sends back what comes.
func echo(conn *tls.Conn) {
	defer conn.Close()
	var b [1]byte
	for {
		if _, err := conn.Read(b[:]); err != nil {
			return
		}
		if _, err := conn.Write(b[:]); err != nil {
			return
		}
	}
}

// obey says where it listens, or gives unused memory back.
func (l *listener) obey(_ context.Context, o *order) (any, error) {
	if o.Do == "free" {
		debug.FreeOSMemory()
	}
	return listening{"listening", l.socket.Addr().String(), filepath.Join(l.folder, "ca.pem")}, nil
}

// wait returns when no more connections are taken.
func (l *listener) wait() { l.accepting.Wait() }

// holder is the listener's client: it opens connections and holds them.
type holder struct {
	config *tls.Config
	conns  []*tls.Conn
}

// held is the holder's report.
type held struct {
	Event string `json:"event"`
	Count int    `json:"count"`
}

// newHolder makes a holder without connections.
func newHolder(o *order) (*holder, error) {
	pem, err := os.ReadFile(o.CA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", o.CA)
	}
	return &holder{config: &tls.Config{RootCAs: pool, ServerName: bareName}}, nil
}

// obey opens connections until there are as many as ordered. Each has echoed once.
func (h *holder) obey(ctx context.Context, o *order) (any, error) {
	var g errgroup.Group
	g.SetLimit(ramp)
	more := make([]*tls.Conn, max(0, o.Count-len(h.conns)))
	for i := range more {
		g.Go(func() error {
			raw, err := dialer(o.Address, i)(ctx, "tcp", "")
			if err != nil {
				return err
			}
			conn := tls.Client(raw, h.config)
			more[i] = conn
			if _, err := conn.Write([]byte{1}); err != nil {
				return err
			}
			_, err = conn.Read(make([]byte, 1))
			return err
		})
	}
	err := g.Wait()
	h.conns = append(h.conns, more...)
	return held{"held", len(h.conns)}, err
}

// wait ends the connections.
func (h *holder) wait() {
	for _, conn := range h.conns {
		_ = conn.Close()
	}
}
