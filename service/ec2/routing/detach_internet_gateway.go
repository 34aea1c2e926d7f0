package routing

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DetachInternetGateway takes an internet gateway from a VPC in which nobody has a public address.
func (o *Routing) DetachInternetGateway(ctx context.Context, in *ec2.DetachInternetGatewayInput) (*ec2.DetachInternetGatewayOutput, error) {
	const action = "ec2:DetachInternetGateway"
	err := o.db.Update(ctx, func(tx *store.Tx) error {
		g, vpc, err := gatewayAndVPC(ctx, tx, action, in.InternetGatewayId, in.VpcId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		if g.VPC != vpc.ID {
			return resource.Errorf("Gateway.NotAttached", "resource %s is not attached to network %s", g.ID, vpc.ID) // source: aws
		}
		mapped, err := resource.Addresses.Of(ctx, tx, vpc.ID)
		if err != nil {
			return err
		}
		if len(mapped) > 0 {
			// source: aws
			return resource.Errorf("DependencyViolation", "Network %s has some mapped public address(es). Please unmap those public address(es) before detaching the gateway.", vpc.ID)
		}
		g.VPC = ""
		return resource.InternetGateways.Put(ctx, tx, g)
	})
	return new(ec2.DetachInternetGatewayOutput), err
}
