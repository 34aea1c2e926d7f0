package networkinterface

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// mostInterfaces is how many interfaces an instance may have. source: userguide, "Maximum number of network interfaces", for
// the largest types that a host can carry
const mostInterfaces = 15

// AttachNetworkInterface gives an interface to an instance of its zone and VPC.
func (n *NetworkInterfaces) AttachNetworkInterface(ctx context.Context, in *ec2.AttachNetworkInterfaceInput) (*ec2.AttachNetworkInterfaceOutput, error) {
	const action = "ec2:AttachNetworkInterface"
	id := NewAttachment(false)
	err := n.db.Update(ctx, func(tx *store.Tx) error {
		r, err := findFor(ctx, tx, action, in.NetworkInterfaceId)
		if err != nil {
			return err
		}
		instance, err := resource.Instances.FindFor(ctx, tx, action, in.InstanceId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		if err := owned(r); err != nil {
			return err
		}
		if err := fits(ctx, tx, r, instance, in); err != nil {
			return err
		}
		attach(r, id, instance.ID, int(in.DeviceIndex), false, api.CallFrom(ctx).Time)
		return resource.NetworkInterfaces.Put(ctx, tx, r)
	})
	return &ec2.AttachNetworkInterfaceOutput{AttachmentId: &id, NetworkCardIndex: new(int64(0))}, err
}

// fits refuses an instance that an interface cannot be given to.
func fits(ctx context.Context, tx *store.Tx, r *record, instance *resource.Record[resource.Instance], in *ec2.AttachNetworkInterfaceInput) error {
	d := &instance.Data
	state := ""
	if d.State != nil {
		state = api.Or(d.State.Name, "")
	}
	zone := ""
	if d.Placement != nil {
		zone = api.Or(d.Placement.AvailabilityZone, "")
	}
	switch {
	case r.Data.Attachment != nil:
		return resource.Errorf("InvalidNetworkInterface.InUse", "Interface: [%s] in use.", r.ID) // source: aws
	case state != ec2.InstanceStateNameRunning && state != ec2.InstanceStateNameStopped:
		return resource.Errorf("IncorrectState", "Instance '%s' is not 'running' or 'stopped'.", instance.ID) // source: guess
	case zone != api.Or(r.Data.AvailabilityZone, ""):
		// source: aws
		return resource.Errorf("InvalidParameterCombination", "You may not attach a network interface to an instance if they are not in the same availability zone")
	case instance.VPC != r.VPC:
		return invalid("Network interface '%s' and instance '%s' belong to different networks.", r.ID, instance.ID) // source: guess
	case in.DeviceIndex < 0 || in.DeviceIndex >= mostInterfaces, api.Or(in.NetworkCardIndex, 0) != 0:
		return invalid("Invalid value '%d' for deviceIndex", in.DeviceIndex) // source: guess
	}
	others, err := where(ctx, tx, r.VPC, func(other *record) bool { return holds(other, instance.ID) })
	if err != nil {
		return err
	}
	if slices.ContainsFunc(others, func(other *record) bool { return *other.Data.Attachment.DeviceIndex == in.DeviceIndex }) {
		return invalid("Instance '%s' already has an interface attached at device index '%d'.", instance.ID, in.DeviceIndex) // source: aws
	}
	return nil
}
