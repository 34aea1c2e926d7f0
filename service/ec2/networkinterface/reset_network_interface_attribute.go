package networkinterface

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// ResetNetworkInterfaceAttribute turns the source and destination check on again, the only attribute that can be reset.
func (n *NetworkInterfaces) ResetNetworkInterfaceAttribute(ctx context.Context, in *ec2.ResetNetworkInterfaceAttributeInput) (*ec2.ResetNetworkInterfaceAttributeOutput, error) {
	err := n.db.Update(ctx, func(tx *store.Tx) error {
		r, err := findFor(ctx, tx, "ec2:ResetNetworkInterfaceAttribute", in.NetworkInterfaceId, iam.Key("ec2:attribute", "SourceDestCheck"))
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		if err := owned(r); err != nil {
			return err
		}
		if in.SourceDestCheck == nil {
			return resource.Errorf("InvalidParameterCombination", "No attributes specified.") // source: aws
		}
		r.Data.SourceDestCheck = new(true)
		return resource.NetworkInterfaces.Put(ctx, tx, r)
	})
	return &ec2.ResetNetworkInterfaceAttributeOutput{}, err
}
