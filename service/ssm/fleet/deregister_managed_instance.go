package fleet

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// DeregisterManagedInstance removes a hybrid node, with its tags and its mail, and ends its connection. The model has no instances of EC2
// here: they are nodes until they are terminated.
func (f *Fleet) DeregisterManagedInstance(ctx context.Context, in *ssm.DeregisterManagedInstanceInput) (*ssm.DeregisterManagedInstanceOutput, error) {
	call := api.CallFrom(ctx)
	err := f.db.Update(ctx, func(tx *store.Tx) error {
		tags, err := f.Tags(ctx, tx, call.Account, call.Region, in.InstanceId)
		if err != nil {
			return err
		}
		arn := ARN(call.Region, call.Account, in.InstanceId)
		if err := iam.Allow(ctx, "ssm:DeregisterManagedInstance", arn, iam.ResourceTags(tags)); err != nil {
			return err
		}
		if _, ok, err := Find(ctx, tx, call.Account, call.Region, in.InstanceId); err != nil {
			return err
		} else if !ok {
			return noInstance(in.InstanceId)
		}
		_, err = Forget(ctx, tx, in.InstanceId)
		return err
	})
	return &ssm.DeregisterManagedInstanceOutput{}, err
}
