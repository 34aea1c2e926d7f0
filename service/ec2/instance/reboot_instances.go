package instance

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// RebootInstances boots running instances again.
func (s *Instances) RebootInstances(ctx context.Context, in *ec2.RebootInstancesInput) (*ec2.RebootInstancesOutput, error) {
	_, err := s.change(ctx, "ec2:RebootInstances", in.DryRun, in.InstanceIds, func(_ *store.Tx, _ int, r *record) error {
		if !is(r, ec2.InstanceStateNameRunning) {
			return resource.Errorf("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be rebooted.", r.ID) // source: guess
		}
		r.Data.Boot++
		return nil
	})
	return &ec2.RebootInstancesOutput{}, err
}
