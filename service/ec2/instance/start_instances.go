package instance

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/networkinterface"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/ec2/routing"
	"github.com/vennel/vennel/store"
)

// StartInstances boots stopped instances.
func (s *Instances) StartInstances(ctx context.Context, in *ec2.StartInstancesInput) (*ec2.StartInstancesOutput, error) {
	public := make([]routing.PublicIDs, len(in.InstanceIds))
	for i := range public {
		public[i] = routing.NewPublicIDs()
	}
	list, err := s.change(ctx, "ec2:StartInstances", in.DryRun, in.InstanceIds, func(tx *store.Tx, at int, r *record) error {
		switch {
		case is(r, ec2.InstanceStateNameRunning, ec2.InstanceStateNamePending):
			return nil
		case !is(r, ec2.InstanceStateNameStopped):
			return resource.Errorf("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be started.", r.ID) // source: aws
		}
		r.Data.State, r.Data.StateTransitionReason = state(ec2.InstanceStateNamePending), new("")
		r.Data.StateReason = &ec2.StateReason{Code: new("pending"), Message: new("pending")}
		r.Data.LaunchTime = new(api.CallFrom(ctx).Time)
		r.Data.Boot++
		if _, err := s.image(api.Or(r.Data.ImageId, "")); err != nil || !r.Data.Public {
			return err
		}
		list, err := networkinterface.OfInstance(ctx, tx, r.VPC, r.ID)
		if err != nil || len(list) != 1 {
			return err // source: userguide, "Public IPv4 addresses": with a second interface it gets none
		}
		return routing.AssignPublic(ctx, tx, list[0], public[at])
	})
	return &ec2.StartInstancesOutput{StartingInstances: list}, err
}
