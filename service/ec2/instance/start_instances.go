package instance

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
)

// StartInstances boots stopped instances.
func (s *Instances) StartInstances(ctx context.Context, in *ec2.StartInstancesInput) (*ec2.StartInstancesOutput, error) {
	list, err := s.change(ctx, "ec2:StartInstances", in.DryRun, in.InstanceIds, func(r *record) error {
		switch {
		case is(r, ec2.InstanceStateNameStopped):
			r.Data.State, r.Data.StateReason, r.Data.StateTransitionReason = state(ec2.InstanceStateNamePending), nil, new("")
			r.Data.LaunchTime = new(api.CallFrom(ctx).Time)
			r.Data.Boot++
		case is(r, ec2.InstanceStateNameRunning, ec2.InstanceStateNamePending):
		default:
			return wrongState(r, "started")
		}
		return nil
	})
	return &ec2.StartInstancesOutput{StartingInstances: list}, err
}
