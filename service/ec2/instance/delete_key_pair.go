package instance

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// DeleteKeyPair removes a key pair; instances that have been launched with it keep it. One that is not there is no error. source:
// aws
func (s *Instances) DeleteKeyPair(ctx context.Context, in *ec2.DeleteKeyPairInput) (*ec2.DeleteKeyPairOutput, error) {
	out := &ec2.DeleteKeyPairOutput{Return: new(true)}
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		r, name, err := keyOf(ctx, tx, in)
		if err != nil {
			return err
		}
		call, about := api.CallFrom(ctx), []iam.About{iam.Key("ec2:keypairname", name)}
		if r != nil {
			about = keyKeys(r)
		}
		if err := iam.Allow(ctx, "ec2:DeleteKeyPair", api.ARN("ec2", call.Region, call.Account, "key-pair/"+name), about...); err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil || r == nil {
			return err
		}
		out.KeyPairId = &r.ID
		return resource.KeyPairs.Delete(ctx, tx, r)
	})
	return out, err
}

// keyOf finds the key pair that a request names; nil when there is none.
func keyOf(ctx context.Context, tx *store.Tx, in *ec2.DeleteKeyPairInput) (r *keyPair, name string, err error) {
	switch {
	case in.KeyName != nil:
		r, err = findKey(ctx, tx, *in.KeyName)
		return r, *in.KeyName, err
	case in.KeyPairId == nil:
		return nil, "", missingParameter("KeyName")
	}
	if err := resource.KeyPairs.Check(*in.KeyPairId); err != nil {
		return nil, "", err
	}
	list, err := resource.KeyPairs.List(ctx, tx)
	for _, k := range list {
		if k.ID == *in.KeyPairId {
			return k, *k.Data.KeyName, err
		}
	}
	return nil, "*", err
}
