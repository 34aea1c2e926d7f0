package instance

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// StopInstances stops instances; they keep their disks and private addresses. Force and SkipOsShutdown change nothing: a machine
// that does not end by itself is ended after a few seconds in any case.
func (s *Instances) StopInstances(ctx context.Context, in *ec2.StopInstancesInput) (*ec2.StopInstancesOutput, error) {
	list, err := s.change(ctx, "ec2:StopInstances", in.DryRun, in.InstanceIds, func(_ *store.Tx, _ int, r *record) error {
		switch {
		case api.Or(in.Hibernate, false):
			// source: aws
			return resource.Errorf("UnsupportedHibernationConfiguration", "The instance '%s' was not launched with hibernation enabled", r.ID)
		case is(r, ec2.InstanceStateNameStopping, ec2.InstanceStateNameStopped):
		case is(r, ec2.InstanceStateNameShuttingDown, ec2.InstanceStateNameTerminated):
			return resource.Errorf("IncorrectInstanceState", "This instance '%s' is not in a state from which it can be stopped.", r.ID) // source: aws
		case r.Data.DisableStop:
			// source: aws
			return resource.Errorf("OperationNotPermitted", "The instance '%s' may not be stopped. Modify its 'disableApiStop' instance attribute and try again.", r.ID)
		case is(r, ec2.InstanceStateNamePending) && r.Data.Boot == 1:
			// source: guess
			return resource.Errorf("IncorrectInstanceState", "Instance '%s' cannot be stopped as it has never reached the 'running' state", r.ID)
		default:
			r.Data.State = state(ec2.InstanceStateNameStopping)
			reason(ctx, r, "Client.UserInitiatedShutdown", "User initiated shutdown")
		}
		return nil
	})
	return &ec2.StopInstancesOutput{StoppingInstances: list}, err
}
