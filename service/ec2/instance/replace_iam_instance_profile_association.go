package instance

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// ReplaceIamInstanceProfileAssociation gives an instance another instance profile. It is a new association.
func (s *Instances) ReplaceIamInstanceProfileAssociation(
	ctx context.Context, in *ec2.ReplaceIamInstanceProfileAssociationInput,
) (*ec2.ReplaceIamInstanceProfileAssociationOutput, error) {
	id := newAssociationID()
	out := new(ec2.ReplaceIamInstanceProfileAssociationOutput)
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		p, missing := wantProfile(ctx, tx, &in.IamInstanceProfile)
		r, err := ofAssociation(ctx, tx, "ec2:ReplaceIamInstanceProfileAssociation", in.AssociationId, newProfile(p))
		if err != nil {
			return err
		}
		if missing != nil {
			return missing
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
