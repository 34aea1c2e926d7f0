package routing

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DeleteInternetGateway removes an internet gateway that is attached to nothing.
func (o *Routing) DeleteInternetGateway(ctx context.Context, in *ec2.DeleteInternetGatewayInput) (*ec2.DeleteInternetGatewayOutput, error) {
	err := o.db.Update(ctx, func(tx *store.Tx) error {
		g, err := resource.InternetGateways.FindFor(ctx, tx, "ec2:DeleteInternetGateway", in.InternetGatewayId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		if g.VPC != "" {
			return resource.Errorf("DependencyViolation", "The internetGateway '%s' has dependencies and cannot be deleted.", g.ID) // source: aws
		}
		return resource.InternetGateways.Delete(ctx, tx, g)
	})
	return new(ec2.DeleteInternetGatewayOutput), err
}
