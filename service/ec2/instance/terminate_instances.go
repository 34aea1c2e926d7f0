package instance

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// TerminateInstances ends instances, with their disks.
func (s *Instances) TerminateInstances(ctx context.Context, in *ec2.TerminateInstancesInput) (*ec2.TerminateInstancesOutput, error) {
	list, err := s.change(ctx, "ec2:TerminateInstances", in.DryRun, in.InstanceIds, func(_ *store.Tx, _ int, r *record) error {
		attribute := ""
		switch {
		case is(r, ec2.InstanceStateNameShuttingDown, ec2.InstanceStateNameTerminated):
			return nil
		case r.Data.DisableTermination:
			attribute = "disableApiTermination"
		case r.Data.DisableStop:
			attribute = "disableApiStop"
		default:
			r.Data.State = state(ec2.InstanceStateNameShuttingDown)
			reason(ctx, r, "Client.UserInitiatedShutdown", "User initiated shutdown")
			return nil
		}
		// source: aws
		return resource.Errorf("OperationNotPermitted", "The instance '%s' may not be terminated. Modify its '%s' instance attribute and try again.", r.ID, attribute)
	})
	return &ec2.TerminateInstancesOutput{TerminatingInstances: list}, err
}
