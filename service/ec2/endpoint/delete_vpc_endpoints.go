package endpoint

import (
	"context"
	"errors"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/networkinterface"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DeleteVpcEndpoints removes endpoints. What cannot be removed is told, and does not hold up the others. The interfaces go at
// once, so that what they were in can be removed; the endpoint itself goes when the network carries it no more.
func (e *Endpoints) DeleteVpcEndpoints(ctx context.Context, in *ec2.DeleteVpcEndpointsInput) (*ec2.DeleteVpcEndpointsOutput, error) {
	var out *ec2.DeleteVpcEndpointsOutput
	err := e.db.Update(ctx, func(tx *store.Tx) error {
		out = &ec2.DeleteVpcEndpointsOutput{Unsuccessful: []ec2.UnsuccessfulItem{}}
		list := make([]*record, 0, len(in.VpcEndpointIds))
		for _, id := range slices.Compact(slices.Sorted(slices.Values(in.VpcEndpointIds))) {
			r, err := find(ctx, tx, "ec2:DeleteVpcEndpoints", id)
			if failed, ok := errors.AsType[*api.Error](err); ok && failed.Reason != api.AccessDenied {
				out.Unsuccessful = append(out.Unsuccessful, unsuccessful(id, failed))
				continue
			} else if err != nil {
				return err
			}
			list = append(list, r)
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		for _, r := range list {
			err := remove(ctx, tx, r)
			if failed, ok := errors.AsType[*api.Error](err); ok {
				out.Unsuccessful = append(out.Unsuccessful, unsuccessful(r.ID, failed))
			} else if err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// unsuccessful says why an endpoint was not removed.
func unsuccessful(id string, err *api.Error) ec2.UnsuccessfulItem {
	return ec2.UnsuccessfulItem{ResourceId: &id, Error: &ec2.UnsuccessfulItemError{Code: &err.Code, Message: &err.Message}}
}

// remove removes an endpoint's interfaces and lets it go. A gateway endpoint stays while the private names of an interface
// endpoint are for those outside only, who would be the only ones left. source: userguide, "Private DNS for Amazon S3"
func remove(ctx context.Context, tx *store.Tx, r *record) error {
	if isGateway(r) {
		list, err := others(ctx, tx, r.VPC, r.ID)
		if err != nil {
			return err
		}
		for _, o := range list {
			if d := o.Data.DnsOptions; d != nil && *o.Data.ServiceName == *r.Data.ServiceName && api.Or(d.PrivateDnsOnlyForInboundResolverEndpoint, false) {
				// source: guess
				return invalid("%s cannot be deleted because %s has PrivateDnsOnlyForInboundResolverEndpoint set to true", r.ID, o.ID)
			}
		}
	}
	list, err := networkinterface.OfOwner(ctx, tx, r.VPC, r.ID)
	if err != nil {
		return err
	}
	for _, n := range list {
		if err := networkinterface.Remove(ctx, tx, n.ID); err != nil {
			return err
		}
	}
	r.Data.State = new(deleting)
	r.Data.SubnetIds, r.Data.NetworkInterfaceIds, r.Data.RouteTableIds = []string{}, []string{}, []string{}
	return resource.Endpoints.Put(ctx, tx, r)
}
