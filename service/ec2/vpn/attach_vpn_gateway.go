package vpn

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// AttachVpnGateway attaches a virtual private gateway to a VPC, which has no other.
func (v *VPNs) AttachVpnGateway(ctx context.Context, in *ec2.AttachVpnGatewayInput) (*ec2.AttachVpnGatewayOutput, error) {
	const action = "ec2:AttachVpnGateway"
	out := new(ec2.AttachVpnGatewayOutput)
	err := v.db.Update(ctx, func(tx *store.Tx) error {
		g, err := resource.VpnGateways.FindFor(ctx, tx, action, in.VpnGatewayId)
		if err != nil {
			return err
		}
		vpc, err := resource.VPCs.FindFor(ctx, tx, action, in.VpcId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		if g.VPC != "" && g.VPC != vpc.ID {
			// source: userguide, "Error codes for the Amazon EC2 API"
			return resource.Errorf("VpnGatewayAttachmentLimitExceeded", "The maximum number of virtual private gateway attachments has been reached.")
		}
		others, err := resource.VpnGateways.Of(ctx, tx, vpc.ID)
		if err != nil {
			return err
		}
		for _, other := range others {
			if other.ID != g.ID {
				// source: userguide, "Error codes for the Amazon EC2 API"
				return resource.Errorf("InvalidVpcState", "The VPC '%s' already has a virtual private gateway attached to it: %s", vpc.ID, other.ID)
			}
		}
		g.VPC = vpc.ID
		out.VpcAttachment = new(attachment(g))
		return resource.VpnGateways.Put(ctx, tx, g)
	})
	return out, err
}
