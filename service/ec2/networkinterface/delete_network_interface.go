package networkinterface

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DeleteNetworkInterface removes an interface that nobody holds.
func (n *NetworkInterfaces) DeleteNetworkInterface(ctx context.Context, in *ec2.DeleteNetworkInterfaceInput) (*ec2.DeleteNetworkInterfaceOutput, error) {
	err := n.db.Update(ctx, func(tx *store.Tx) error {
		r, err := findFor(ctx, tx, "ec2:DeleteNetworkInterface", in.NetworkInterfaceId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		if r.Data.Attachment != nil {
			return invalid("Network interface '%s' is currently in use.", r.ID) // source: aws
		}
		return Remove(ctx, tx, r.ID)
	})
	return &ec2.DeleteNetworkInterfaceOutput{}, err
}
