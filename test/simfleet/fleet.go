package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// ramp is how many nodes register and connect at the same time at the start. Later each reconnects
// when its own clock says so, as nodes do.
const ramp = 32

// fleet is all simulated nodes.
type fleet struct {
	order   *order
	out     *printer
	trust   *x509.CertPool
	keys    *keyring
	used    atomic.Int64 // keys
	nodes   []*node
	shells  shells
	stats   stats
	offline gate
	running sync.WaitGroup
}

// newFleet starts a fleet.
func newFleet(ctx context.Context, o *order, out *printer) (*fleet, error) {
	f := &fleet{order: o, out: out, trust: x509.NewCertPool()}
	pem, err := os.ReadFile(o.CA)
	if err != nil {
		return nil, err
	}
	if !f.trust.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", o.CA)
	}
	for i := range o.Activations {
		for range o.Activations[i].Nodes {
			f.nodes = append(f.nodes, &node{fleet: f, number: len(f.nodes), activation: &o.Activations[i], fingerprint: fingerprint(len(f.nodes))})
		}
	}
	if f.keys, err = newKeyring(2*len(f.nodes) + 2); err != nil {
		return nil, err
	}
	f.stats.nodes = len(f.nodes)
	turns := make(chan struct{}, ramp)
	for _, n := range f.nodes {
		f.running.Go(func() { n.live(ctx, turns) })
	}
	f.running.Go(func() { f.progress(ctx) })
	return f, nil
}

// progress says once a second what has changed.
func (f *fleet) progress(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var last report
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			now := f.stats.report("progress", false)
			if now.Registered != last.Registered || now.Online != last.Online || now.Jobs != last.Jobs || now.Acked != last.Acked || now.Failed != last.Failed {
				f.out.print(now)
			}
			last = *now
		}
	}
}

// obey reports, takes all nodes off line or back on, lets their heartbeats begin, or opens and ends sessions.
func (f *fleet) obey(ctx context.Context, o *order) (any, error) {
	switch o.Do {
	case "fleet":
		return nil, nil
	case "report":
		return f.stats.report("report", true), nil
	case "offline":
		f.offline.shut()
		for _, n := range f.nodes {
			n.hangUp()
		}
		return nil, nil
	case "online":
		f.offline.open()
		return nil, nil
	case "beat":
		for _, n := range f.nodes {
			f.running.Go(func() { n.beat(ctx, time.Duration(o.Heartbeat*float64(time.Second))) })
		}
		return nil, nil
	case "converse":
		return f.converse(ctx, o)
	case "part":
		f.part()
		return nil, nil
	}
	return nil, fmt.Errorf("a fleet cannot %q", o.Do)
}

// wait returns when all nodes have ended.
func (f *fleet) wait() {
	f.part()
	f.running.Wait()
}

// sources is how many loopback addresses connections come from: one has too few ports for many nodes
// that connect again and again.
const sources = 16

// dialer gives a dialler to the server, whatever name is asked for, from the address of a number.
func dialer(address string, number int) func(ctx context.Context, network, name string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+number%sources))}}
		return d.DialContext(ctx, network, address)
	}
}

// tls is the configuration for one of AWS's names.
func (f *fleet) tls(name string) *tls.Config {
	return &tls.Config{RootCAs: f.trust, ServerName: name}
}

// name is the name of a service.
func (f *fleet) name(service string) string { return service + "." + f.order.Region + ".amazonaws.com" }

// gate is open until it is shut.
type gate struct {
	mu     sync.Mutex
	closed chan struct{} // nil while open, closed when it opens again; guarded by mu
}

// shut shuts the gate.
func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed == nil {
		g.closed = make(chan struct{})
	}
}

// open lets everybody through.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != nil {
		close(g.closed)
		g.closed = nil
	}
}

// pass waits until the gate is open.
func (g *gate) pass(ctx context.Context) error {
	g.mu.Lock()
	closed := g.closed
	g.mu.Unlock()
	if closed == nil {
		return nil
	}
	select {
	case <-closed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pause waits for a while.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// between is a random duration.
func between(least, most time.Duration) time.Duration {
	return least + rand.N(most-least+1)
}

// errEnded says that the simulation is over.
var errEnded = errors.New("the simulation has ended")
