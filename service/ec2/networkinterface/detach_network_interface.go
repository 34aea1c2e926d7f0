package networkinterface

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DetachNetworkInterface takes an interface from its instance, but not the first.
func (n *NetworkInterfaces) DetachNetworkInterface(ctx context.Context, in *ec2.DetachNetworkInterfaceInput) (*ec2.DetachNetworkInterfaceOutput, error) {
	const action = "ec2:DetachNetworkInterface"
	err := n.db.Update(ctx, func(tx *store.Tx) error {
		list, err := resource.NetworkInterfaces.List(ctx, tx)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(list, func(r *record) bool {
			return r.Data.Attachment != nil && api.Or(r.Data.Attachment.AttachmentId, "") == in.AttachmentId
		})
		if at < 0 {
			call := api.CallFrom(ctx)
			if err := resource.NetworkInterfaces.Allow(ctx, action, &record{ID: "*", Account: call.Account, Region: call.Region}); err != nil {
				return err
			}
			return missing(in.AttachmentId)
		}
		r := list[at]
		if err := resource.NetworkInterfaces.Allow(ctx, action, r, about(r)...); err != nil {
			return err
		}
		a := r.Data.Attachment
		if a.InstanceId != nil {
			if _, err := resource.Instances.FindFor(ctx, tx, action, *a.InstanceId); err != nil {
				return err
			}
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		switch {
		case a.InstanceId == nil:
			return resource.Errorf("OperationNotPermitted", "You are not allowed to manage 'ela-attach' attachments.") // source: aws
		case *a.DeviceIndex == 0:
			return resource.Errorf("OperationNotPermitted", "The network interface at device index 0 cannot be detached.") // source: aws
		}
		return detach(ctx, tx, r)
	})
	return &ec2.DetachNetworkInterfaceOutput{}, err
}
