// Package network carries the network: whenever what EC2 keeps has changed, it plans anew, sets the host and the resolvers to
// the plan, opens and closes the sockets on which services, resolvers and metadata are answered in the VPCs, and turns the
// states of what the host now carries from pending to available, or to failed with the host's reason.
//
// Without a host nothing is carried, and what was made stays pending.
//
// It uses resource, plan and instance.
package network

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/dns"
	"github.com/vennel/vennel/service/ec2/plan"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// Config is what a Network is made of.
type Config struct {
	DB   *store.DB
	Host dataplane.Host // nil for none
	Plan plan.Options
	// Front serves the services on a socket, Metadata the metadata of a VPC's instances, until ctx ends.
	Front, Metadata func(ctx context.Context, s dataplane.Socket, l net.Listener) error
	// Ended is called, within the transaction, for each instance that is terminated.
	Ended func(ctx context.Context, tx *store.Tx, id string) error
	// Flows keeps records of flow logs; nil for nobody.
	Flows func(ctx context.Context, flows []dataplane.Flow, lost int) error
	Log   *slog.Logger
}

// Network carries the network.
type Network struct {
	Config
	names *dns.Server
	wake  *store.Subscription
	nudge chan struct{} // something else has changed

	mu      sync.Mutex
	hosts   []dataplane.Machine // of the sites, beside the plan's; guarded by mu
	current *dataplane.Config   // set last; guarded by mu
	status  dataplane.Status    // what came of it; guarded by mu
}

// New makes a Network; Run carries it.
func New(cfg Config) *Network {
	n := &Network{Config: cfg, wake: cfg.DB.Subscribe(resource.Topic), nudge: make(chan struct{}, 1)}
	n.names = dns.New(dns.Options{Log: cfg.Log, Dial: n.dial})
	return n
}

// Current is what the host was set to last, and what came of it. The Config is not to be changed; nil before the first time.
func (n *Network) Current() (*dataplane.Config, dataplane.Status) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.current, n.status
}

// Holder is the machine that has an address in a VPC, as the host was set to last; "" for none.
func (n *Network) Holder(vpc string, address netip.Addr) string {
	cfg, _ := n.Current()
	if cfg == nil {
		return ""
	}
	for i := range cfg.VPCs {
		if cfg.VPCs[i].ID != vpc {
			continue
		}
		for _, e := range cfg.VPCs[i].Interfaces {
			if slices.Contains(e.Addresses, address) {
				return e.Machine
			}
		}
	}
	return ""
}

// SetHosts makes these the machines of the sites.
func (n *Network) SetHosts(hosts []dataplane.Machine) {
	n.mu.Lock()
	n.hosts = hosts
	n.mu.Unlock()
	select {
	case n.nudge <- struct{}{}:
	default:
	}
}

// options are those of the next plan.
func (n *Network) options() *plan.Options {
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.Plan
	o.Hosts = append(slices.Clone(o.Hosts), n.hosts...)
	return &o
}

// Names are the resolvers.
func (n *Network) Names() *dns.Server { return n.names }

// The waits between turns: machines end by themselves, and a host that failed may be well again.
const (
	lookAgain = 2 * time.Second
	turnLimit = time.Minute
)

// Run carries the network until ctx ends. A host that fails is tried again; each new reason is logged once.
func (n *Network) Run(ctx context.Context) error {
	if n.Host == nil {
		<-ctx.Done()
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	s := &sockets{n: n, open: map[dataplane.Socket]*answering{}}
	defer s.closeAll()
	if n.Flows != nil {
		g.Go(func() error { return n.keepFlows(ctx) })
	}
	g.Go(func() error {
		said := ""
		for ctx.Err() == nil {
			err := n.turn(ctx, s)
			if text := reason(err); text != said && ctx.Err() == nil {
				if said = text; text == "" {
					n.Log.Info("the network is carried again")
				} else {
					n.Log.Warn("the network is not carried", "error", text)
				}
			}
			n.await(ctx)
		}
		return nil
	})
	return g.Wait()
}

// reason is an error's text; "" for none.
func reason(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// await waits until something has changed, or for a while.
func (n *Network) await(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookAgain)
	defer cancel()
	woken := make(chan struct{})
	go func() {
		defer close(woken)
		_, _ = n.wake.Next(ctx) // whichever it was, the rows are read anew
	}()
	select {
	case <-woken:
	case <-n.nudge:
		cancel()
		<-woken
	}
}

// turn brings the host to what is kept.
func (n *Network) turn(ctx context.Context, s *sockets) error {
	ctx, cancel := context.WithTimeout(ctx, turnLimit)
	defer cancel()
	var state *plan.State
	err := n.DB.View(ctx, func(tx *store.Tx) (err error) {
		state, err = plan.Read(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	options := n.options()
	cfg := state.Network(options)
	status, err := n.Host.Set(ctx, cfg)
	if err != nil {
		return err
	}
	named := n.names.Set(state.Names(options))
	n.mu.Lock()
	before := n.status.Failures
	n.current, n.status = cfg, status
	n.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(status.Failures)) {
		if why := status.Failures[id]; before[id] != why {
			n.Log.Warn("the host cannot carry something", "id", id, "why", why)
		}
	}
	return errors.Join(named, s.set(ctx, cfg, status.Sockets), n.settle(ctx, state, cfg, status))
}

// dial asks another server from an outbound Resolver endpoint.
func (n *Network) dial(ctx context.Context, vpc string, from netip.Addr, protocol string, to netip.AddrPort) (net.Conn, error) {
	return n.Host.Dial(ctx, dataplane.Call{VPC: vpc, From: from, Network: protocol, To: to})
}

// keepFlows keeps the records of flow logs. A reader that failed begins again.
func (n *Network) keepFlows(ctx context.Context) error {
	for ctx.Err() == nil {
		err := n.Host.Flows(ctx, func(flows []dataplane.Flow, lost int) {
			if err := n.Flows(ctx, flows, lost); err != nil && ctx.Err() == nil {
				n.Log.Warn("keeping flow records", "error", err)
			}
		})
		if err != nil && ctx.Err() == nil {
			n.Log.Warn("reading flow records", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(lookAgain):
		}
	}
	return nil
}
