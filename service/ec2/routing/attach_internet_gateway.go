package routing

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// AttachInternetGateway attaches an internet gateway to a VPC.
func (o *Routing) AttachInternetGateway(ctx context.Context, in *ec2.AttachInternetGatewayInput) (*ec2.AttachInternetGatewayOutput, error) {
	const action = "ec2:AttachInternetGateway"
	err := o.db.Update(ctx, func(tx *store.Tx) error {
		g, vpc, err := gatewayAndVPC(ctx, tx, action, in.InternetGatewayId, in.VpcId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		if g.VPC != "" {
			return resource.Errorf("Resource.AlreadyAssociated", "resource %s is already attached to network %s", g.ID, g.VPC) // source: aws
		}
		others, err := resource.InternetGateways.Of(ctx, tx, vpc.ID)
		if err != nil {
			return err
		}
		if len(others) > 0 {
			return resource.Errorf("InvalidParameterValue", "Network %s already has an internet gateway attached", vpc.ID) // source: aws
		}
		g.VPC = vpc.ID
		return resource.InternetGateways.Put(ctx, tx, g)
	})
	return new(ec2.AttachInternetGatewayOutput), err
}

// gatewayAndVPC finds the two that an action is about.
func gatewayAndVPC(ctx context.Context, tx *store.Tx, action, gatewayID, vpcID string) (*gateway, *resource.Record[resource.VPC], error) {
	g, err := resource.InternetGateways.FindFor(ctx, tx, action, gatewayID)
	if err != nil {
		return nil, nil, err
	}
	vpc, err := resource.VPCs.FindFor(ctx, tx, action, vpcID)
	return g, vpc, err
}
