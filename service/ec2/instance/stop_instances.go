package instance

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
)

// StopInstances stops instances; they keep their disks and addresses.
func (s *Instances) StopInstances(ctx context.Context, in *ec2.StopInstancesInput) (*ec2.StopInstancesOutput, error) {
	if api.Or(in.Hibernate, false) {
		return nil, resource.Errorf("UnsupportedHibernationConfiguration", "The instance was not launched with hibernation") // source: guess
	}
	list, err := s.change(ctx, "ec2:StopInstances", in.DryRun, in.InstanceIds, func(r *record) error {
		switch {
		case r.Data.DisableStop:
			return resource.Errorf("OperationNotPermitted", "The instance '%s' may not be stopped. Modify its 'disableApiStop' instance attribute and try again.", r.ID) // source: aws
		case is(r, ec2.InstanceStateNameRunning, ec2.InstanceStateNamePending):
			r.Data.State = state(ec2.InstanceStateNameStopping)
			reason(ctx, r, "Client.UserInitiatedShutdown", "User initiated shutdown")
		case is(r, ec2.InstanceStateNameStopping, ec2.InstanceStateNameStopped):
		default:
			return wrongState(r, "stopped")
		}
		return nil
	})
	return &ec2.StopInstancesOutput{StoppingInstances: list}, err
}
