package peering

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// ModifyVpcPeeringConnectionOptions says whether a VPC's public names are answered with private addresses to the other VPC. Each
// side can be changed by its owner, in its Region. source: userguide, "Enable DNS resolution for a VPC peering connection"
func (p *Peerings) ModifyVpcPeeringConnectionOptions(ctx context.Context, in *ec2.ModifyVpcPeeringConnectionOptionsInput) (*ec2.ModifyVpcPeeringConnectionOptionsOutput, error) {
	out := new(ec2.ModifyVpcPeeringConnectionOptionsOutput)
	err := p.db.Update(ctx, func(tx *store.Tx) error {
		r, err := find(ctx, tx, "ec2:ModifyVpcPeeringConnectionOptions", in.VpcPeeringConnectionId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		if r.Data.State(api.CallFrom(ctx).Time) != active {
			// source: aws
			return resource.Errorf("OperationNotPermitted", "Peering %s is not active. Peering options can be added only to active peerings.", r.ID)
		}
		if in.AccepterPeeringConnectionOptions == nil && in.RequesterPeeringConnectionOptions == nil {
			return resource.Errorf("MissingParameter", "At least one of accepterPeeringConnectionOptions and requesterPeeringConnectionOptions must be specified") // source: guess
		}
		if out.AccepterPeeringConnectionOptions, err = change(ctx, tx, r, r.Data.AccepterVpcInfo, in.AccepterPeeringConnectionOptions); err != nil {
			return err
		}
		if out.RequesterPeeringConnectionOptions, err = change(ctx, tx, r, r.Data.RequesterVpcInfo, in.RequesterPeeringConnectionOptions); err != nil {
			return err
		}
		return resource.Peerings.Put(ctx, tx, r)
	})
	return out, err
}

// change changes the options of a side, if that is asked for, and gives what they are then.
func change(ctx context.Context, tx *store.Tx, r *record, side *info, to *ec2.PeeringConnectionOptionsRequest) (*ec2.PeeringConnectionOptions, error) {
	if to == nil {
		return nil, nil //nolint:nilnil // nothing is asked for
	}
	call := api.CallFrom(ctx)
	switch {
	case !isSide(call, side):
		return nil, resource.Errorf("OperationNotPermitted", "User %s cannot modify the options of VPC %s in peering %s", call.Account, *side.VpcId, r.ID) // source: guess
	case api.Or(to.AllowEgressFromLocalClassicLinkToRemoteVpc, false), api.Or(to.AllowEgressFromLocalVpcToRemoteClassicLink, false):
		return nil, resource.Unsupported("ClassicLink")
	}
	v, err := resource.VPCs.Get(ctx, tx, *side.VpcId)
	if err != nil {
		return nil, err
	}
	allow := api.Or(to.AllowDnsResolutionFromRemoteVpc, api.Or(side.PeeringOptions.AllowDnsResolutionFromRemoteVpc, false))
	if allow && (v == nil || !v.Data.DNSHostnames || !v.Data.DNSSupport) {
		// source: userguide, "Error codes for the Amazon EC2 API"
		return nil, resource.Errorf("InvalidVpcPeeringConnectionState.DnsHostnamesDisabled",
			"To enable DNS hostname resolution for the VPC peering connection, DNS hostname support must be enabled for the VPCs.")
	}
	side.PeeringOptions.AllowDnsResolutionFromRemoteVpc = &allow
	return &ec2.PeeringConnectionOptions{
		AllowDnsResolutionFromRemoteVpc: &allow, AllowEgressFromLocalClassicLinkToRemoteVpc: new(false), AllowEgressFromLocalVpcToRemoteClassicLink: new(false),
	}, nil
}
