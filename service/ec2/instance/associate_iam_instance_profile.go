package instance

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// AssociateIamInstanceProfile gives an instance an instance profile. It must have none.
func (s *Instances) AssociateIamInstanceProfile(ctx context.Context, in *ec2.AssociateIamInstanceProfileInput) (*ec2.AssociateIamInstanceProfileOutput, error) {
	id := newAssociationID()
	out := new(ec2.AssociateIamInstanceProfileOutput)
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		p, missing := wantProfile(ctx, tx, &in.IamInstanceProfile)
		r, err := findFor(ctx, tx, "ec2:AssociateIamInstanceProfile", in.InstanceId, newProfile(p))
		switch {
		case err != nil:
			return err
		case missing != nil:
			return missing
		case !is(r, ec2.InstanceStateNameRunning, ec2.InstanceStateNamePending, ec2.InstanceStateNameStopped, ec2.InstanceStateNameStopping):
			return resource.Errorf("IncorrectInstanceState", "The instance '%s' is not in the 'running' or 'stopped' states.", r.ID) // source: guess
		case r.Data.Association != nil:
			return resource.Errorf("IncorrectState", "There is an existing association for instance %s", r.ID) // source: aws
		}
		if err := pass(ctx, p); err != nil {
			return err
		}
		associate(ctx, r, p, id)
		out.IamInstanceProfileAssociation = r.Data.Association
		return resource.Instances.Put(ctx, tx, r)
	})
	return out, err
}
