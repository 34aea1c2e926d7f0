package instance

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
)

// RebootInstances boots running instances again.
func (s *Instances) RebootInstances(ctx context.Context, in *ec2.RebootInstancesInput) (*ec2.RebootInstancesOutput, error) {
	_, err := s.change(ctx, "ec2:RebootInstances", in.DryRun, in.InstanceIds, func(r *record) error {
		if !is(r, ec2.InstanceStateNameRunning, ec2.InstanceStateNamePending) {
			return wrongState(r, "rebooted")
		}
		r.Data.Boot++
		return nil
	})
	return &ec2.RebootInstancesOutput{}, err
}
