package instance

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DisassociateIamInstanceProfile takes an instance profile from its instance. Credentials that the instance has fetched go on until
// they expire. source: userguide, "Detach an IAM role from an instance"
func (s *Instances) DisassociateIamInstanceProfile(
	ctx context.Context, in *ec2.DisassociateIamInstanceProfileInput,
) (*ec2.DisassociateIamInstanceProfileOutput, error) {
	out := new(ec2.DisassociateIamInstanceProfileOutput)
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		r, err := ofAssociation(ctx, tx, "ec2:DisassociateIamInstanceProfile", in.AssociationId)
		if err != nil {
			return err
		}
		gone := *r.Data.Association
		gone.State = new(ec2.IamInstanceProfileAssociationStateDisassociating) // source: aws
		out.IamInstanceProfileAssociation, r.Data.Association = &gone, nil
		return resource.Instances.Put(ctx, tx, r)
	})
	return out, err
}
