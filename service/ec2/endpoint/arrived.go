package endpoint

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// way is how the endpoints of a VPC are reached.
type way struct {
	all        map[string]*iam.Endpoint // by id
	interfaces map[netip.Addr]*iam.Endpoint
	gateways   []gateway
}

// gateway is a gateway endpoint: from which route tables it is reached, by their numbers, and for which addresses.
type gateway struct {
	endpoint *iam.Endpoint
	tables   []int
	prefixes []netip.Prefix
}

// mostSeen bounds the endpoints that are kept made.
const mostSeen = 1 << 11

// Arrived says through which endpoint a connection of a VPC has come: the one with an interface of the local address, or a
// gateway endpoint to which the route table of a number leads for it. ok is false when there is none: then nobody answers at
// that address. The endpoint has its policy of this moment. It costs little while nothing changes, so it may be asked anew
// for every request: a policy that changes then holds at once, and an endpoint that is deleted does not answer any more.
func (e *Endpoints) Arrived(ctx context.Context, vpc string, local netip.Addr, table int) (_ api.Endpoint, ok bool, err error) {
	w, err := e.wayOf(ctx, vpc)
	if err != nil {
		return nil, false, err
	}
	local = local.Unmap()
	if found := w.interfaces[local]; found != nil {
		return found, true, nil
	}
	for _, g := range w.gateways {
		if slices.Contains(g.tables, table) && slices.ContainsFunc(g.prefixes, func(p netip.Prefix) bool { return p.Contains(local) }) {
			return g.endpoint, true, nil
		}
	}
	return nil, false, nil
}

// wayOf gives the way of a VPC, read anew when something in EC2 has changed.
func (e *Endpoints) wayOf(ctx context.Context, vpc string) (*way, error) {
	seq := e.db.Seq(resource.Topic)
	e.mu.Lock()
	if e.seq != seq {
		e.seq = seq
		clear(e.ways)
	}
	w := e.ways[vpc]
	e.mu.Unlock()
	if w != nil {
		return w, nil
	}
	err := e.db.View(ctx, func(tx *store.Tx) (err error) {
		w, err = e.readWay(ctx, tx, vpc)
		return err
	})
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.seq == seq {
		e.ways[vpc] = w
	}
	return w, nil
}

// readWay reads the way of a VPC.
func (e *Endpoints) readWay(ctx context.Context, tx *store.Tx, vpc string) (*way, error) {
	list, err := others(ctx, tx, vpc, "")
	if err != nil {
		return nil, err
	}
	interfaces, err := resource.NetworkInterfaces.Of(ctx, tx, vpc)
	if err != nil {
		return nil, err
	}
	tables, err := resource.RouteTables.Of(ctx, tx, vpc)
	if err != nil {
		return nil, err
	}
	w := &way{all: map[string]*iam.Endpoint{}, interfaces: map[netip.Addr]*iam.Endpoint{}}
	for _, r := range list {
		s, err := findService(r.Region, *r.Data.ServiceName)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.ID, err)
		}
		found, err := e.made(iam.EndpointSpec{
			ID: r.ID, VPC: r.VPC, Account: r.Account, Region: r.Region, Service: s.name, Gateway: isGateway(r), Policy: *r.Data.PolicyDocument,
		})
		if err != nil {
			return nil, err
		}
		w.all[r.ID] = found
		if !isGateway(r) {
			continue
		}
		g := gateway{endpoint: found}
		for _, t := range tables {
			if slices.Contains(r.Data.RouteTableIds, t.ID) {
				g.tables = append(g.tables, t.Data.Number)
			}
		}
		for _, l := range resource.AWSPrefixLists(r.Region) {
			if l.Name == *r.Data.ServiceName {
				g.prefixes = l.CIDRs
			}
		}
		w.gateways = append(w.gateways, g)
	}
	for _, n := range interfaces {
		if found := w.all[n.Data.Owner]; found != nil && n.Data.Holder == dataplane.Endpoint {
			w.interfaces[resource.Addr(n.Data.PrivateIpAddress)] = found
		}
	}
	return w, nil
}

// made gives an endpoint, whose policy is parsed when it has changed.
func (e *Endpoints) made(spec iam.EndpointSpec) (*iam.Endpoint, error) {
	e.mu.Lock()
	old, ok := e.seen[spec]
	e.mu.Unlock()
	if ok {
		return old, nil
	}
	found, err := iam.NewEndpoint(&spec)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.seen) >= mostSeen {
		clear(e.seen)
	}
	e.seen[spec] = found
	return found, nil
}

// Arrival is where in a VPC a connection has arrived, or which endpoint the gateway carries that has brought it.
type Arrival struct {
	VPC     string
	Local   netip.Addr // the address that it was made to
	Table   int        // the number of the route table that led to it, where it was meant for a gateway endpoint
	Carried string     // instead: the endpoint's id
}

// arrivalKey is the context key of a connection's arrival.
type arrivalKey struct{}

// WithArrival gives the context of a connection that has arrived in a VPC; http.Server.ConnContext is where it belongs.
func WithArrival(ctx context.Context, a Arrival) context.Context {
	return context.WithValue(ctx, arrivalKey{}, a)
}

// Via is wire.Config's: the endpoint through which the connection of a context has come, nil for one that has not arrived in
// a VPC, and an error where nobody answers any more.
func (e *Endpoints) Via(ctx context.Context) (api.Endpoint, error) {
	a, ok := ctx.Value(arrivalKey{}).(Arrival)
	if !ok {
		return nil, nil //nolint:nilnil // no endpoint is an answer
	}
	return e.At(ctx, a)
}

// At is the endpoint of an arrival, or an error where nobody answers.
func (e *Endpoints) At(ctx context.Context, a Arrival) (api.Endpoint, error) {
	find := func() (api.Endpoint, bool, error) { return e.Arrived(ctx, a.VPC, a.Local, a.Table) }
	if a.Carried != "" {
		find = func() (api.Endpoint, bool, error) { return e.carried(ctx, a.Carried) }
	}
	found, ok, err := find()
	if err == nil && !ok {
		err = fmt.Errorf("there is no endpoint %s at %s in %s", a.Carried, a.Local, a.VPC)
	}
	return found, err
}
