package network

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/service/ec2/instance"
	"github.com/vennel/vennel/service/ec2/plan"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// outcome is what becomes of a record.
type outcome int

// The outcomes.
const (
	stays outcome = iota
	changes
	goes // the record is deleted
)

// settle turns states to what the host has made of the plan. Most of the time there is nothing to turn, and nothing is written.
func (n *Network) settle(ctx context.Context, s *plan.State, cfg *dataplane.Config, status dataplane.Status) error {
	why := failures(s, status)
	steps := []func(tx *store.Tx) error{}
	add := func(step func(*store.Tx) error) {
		if step != nil {
			steps = append(steps, step)
		}
	}
	add(turn(ctx, resource.VPCs, s.VPCs, func(id string, v *resource.VPC) outcome { return patient(&v.State, why[id]) }))
	add(turn(ctx, resource.Subnets, s.Subnets, func(id string, v *resource.Subnet) outcome { return patient(&v.State, why[id]) }))
	add(turn(ctx, resource.NetworkInterfaces, s.Interfaces, func(id string, v *resource.NetworkInterface) outcome {
		if api.Or(v.Status, "") != "pending" || why[id] != "" {
			return stays
		}
		v.Status = new(ec2.NetworkInterfaceStatusAvailable)
		if v.Attachment != nil {
			v.Status = new(ec2.NetworkInterfaceStatusInUse)
		}
		return changes
	}))
	add(turn(ctx, resource.Endpoints, s.Endpoints, func(id string, v *resource.Endpoint) outcome {
		out := state(&v.State, why[id])
		if api.Or(v.State, "") == failed {
			v.FailureReason, v.LastError = new(why[id]), &ec2.LastError{Code: new("InternalError"), Message: new(why[id])}
		}
		return out
	}))
	add(turn(ctx, resource.NatGateways, s.NatGateways, func(id string, v *resource.NatGateway) outcome {
		out := state(&v.State, why[id])
		if api.Or(v.State, "") == failed {
			v.FailureCode, v.FailureMessage = new("InternalError"), new(why[id])
		}
		for i := range v.NatGatewayAddresses {
			if a := &v.NatGatewayAddresses[i]; api.Or(a.Status, "") == ec2.NatGatewayAddressStatusAssociating && why[id] == "" {
				v.NatGatewayAddresses = slices.Clone(v.NatGatewayAddresses) // a copy that is only looked at must not change the plan's
				v.NatGatewayAddresses[i].Status, out = new(ec2.NatGatewayAddressStatusSucceeded), changes
			}
		}
		return out
	}))
	add(turn(ctx, resource.Peerings, s.Peerings, func(id string, v *resource.Peering) outcome {
		if why[id] != "" || v.Status == nil || api.Or(v.Status.Code, "") != ec2.VpcPeeringConnectionStateReasonCodeProvisioning {
			return stays
		}
		v.Status = &ec2.VpcPeeringConnectionStateReason{Code: new(ec2.VpcPeeringConnectionStateReasonCodeActive), Message: new("Active")}
		return changes
	}))
	now := time.Now()
	carried := map[string]bool{}
	for _, t := range cfg.Tunnels {
		carried[t.ID] = why[t.ID] == ""
	}
	add(turn(ctx, resource.VpnConnections, s.VpnConnections, func(id string, v *resource.VpnConnection) outcome {
		out := state(&v.State, "") // it has no failed state: its telemetry says that it is down
		if v.Carry(carried[id], now) && out == stays {
			out = changes
		}
		return out
	}))
	add(turn(ctx, resource.ResolverEndpoints, s.Resolvers, func(id string, v *resource.ResolverEndpoint) outcome {
		status, text := "OPERATIONAL", "This Resolver Endpoint is operational."
		if why[id] != "" {
			status, text = "ACTION_NEEDED", why[id]
		}
		switch {
		case api.Or(v.Status, "") == "DELETING":
			return goes
		case api.Or(v.Status, "") == status && api.Or(v.StatusMessage, "") == text:
			return stays
		}
		v.Status, v.StatusMessage = &status, &text
		return changes
	}))
	add(turn(ctx, resource.ResolverLinks, s.ResolverLinks, func(_ string, v *resource.ResolverLink) outcome {
		switch api.Or(v.Status, "") {
		case "CREATING":
			v.Status, v.StatusMessage = new("COMPLETE"), new("")
			return changes
		case "DELETING":
			return goes
		}
		return stays
	}))
	add(instance.Settle(ctx, s.Instances, status, now.UnixMilli(), n.Ended))
	var errs []error
	for _, step := range steps { // each for itself: a kind that cannot be turned does not hold up the others
		errs = append(errs, n.DB.Update(ctx, step))
	}
	return errors.Join(errs...)
}

// failed is the state of what could not be carried.
const failed = "failed"

// state turns a state that is pending or deleting.
func state(s **string, why string) outcome {
	switch api.Or(*s, "") {
	case "pending":
		*s = new("available")
		if why != "" {
			*s = new(failed)
		}
		return changes
	case "deleting":
		return goes
	}
	return stays
}

// patient is state for what AWS has no failed state for: it stays pending until it is carried.
func patient(s **string, why string) outcome {
	if why != "" && api.Or(*s, "") == "pending" {
		return stays
	}
	return state(s, why)
}

// turn finds the records of a kind that are to be turned, and gives the step that does it; nil when there are none. Of a record that
// somebody has changed meanwhile, the host has not heard yet: the next turn sees to it.
func turn[T any](ctx context.Context, k *resource.Kind[T], list []*resource.Record[T], change func(id string, data *T) outcome) func(*store.Tx) error {
	var due []*resource.Record[T]
	for _, r := range list {
		data := r.Data // a copy: the plan's is not to change
		if change(r.ID, &data) != stays {
			due = append(due, r)
		}
	}
	if len(due) == 0 {
		return nil
	}
	return func(tx *store.Tx) error {
		for _, planned := range due {
			r, err := k.Get(ctx, tx, planned.ID)
			if err != nil {
				return err
			}
			if r == nil || !reflect.DeepEqual(r.Data, planned.Data) {
				continue
			}
			switch change(r.ID, &r.Data) {
			case changes:
				err = k.Put(ctx, tx, r)
			case goes:
				err = k.Delete(ctx, tx, r)
			case stays:
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// failures are the host's reasons by id. What was made for something else, such as an endpoint's interface, makes that fail.
func failures(s *plan.State, status dataplane.Status) map[string]string {
	why := map[string]string{}
	maps.Copy(why, status.Failures)
	for _, n := range s.Interfaces {
		if text := status.Failures[n.ID]; text != "" && n.Data.Owner != "" {
			why[n.Data.Owner] = strings.TrimSpace(n.ID + ": " + text)
		}
	}
	return why
}
