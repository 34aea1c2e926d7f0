package instance

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
)

// TerminateInstances ends instances, with their disks.
func (s *Instances) TerminateInstances(ctx context.Context, in *ec2.TerminateInstancesInput) (*ec2.TerminateInstancesOutput, error) {
	list, err := s.change(ctx, "ec2:TerminateInstances", in.DryRun, in.InstanceIds, func(r *record) error {
		switch {
		case is(r, ec2.InstanceStateNameShuttingDown, ec2.InstanceStateNameTerminated):
		case r.Data.DisableTermination:
			return resource.Errorf("OperationNotPermitted", "The instance '%s' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.", r.ID) // source: aws
		default:
			r.Data.State = state(ec2.InstanceStateNameShuttingDown)
			reason(ctx, r, "Client.UserInitiatedShutdown", "User initiated shutdown")
		}
		return nil
	})
	return &ec2.TerminateInstancesOutput{TerminatingInstances: list}, err
}
