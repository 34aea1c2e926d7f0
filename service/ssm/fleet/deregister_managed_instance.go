package fleet

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/fleet/internal/rows"
	"github.com/vennel/vennel/service/ssm/tag"
	"github.com/vennel/vennel/store"
)

// DeregisterManagedInstance removes a node, with its tags and its mail, and ends its connection.
func (f *Fleet) DeregisterManagedInstance(ctx context.Context, in *ssm.DeregisterManagedInstanceInput) (*ssm.DeregisterManagedInstanceOutput, error) {
	call := api.CallFrom(ctx)
	err := f.db.Update(ctx, func(tx *store.Tx) error {
		tags, err := Tags(ctx, tx, call.Account, call.Region, in.InstanceId)
		if err != nil {
			return err
		}
		arn := ARN(call.Region, call.Account, in.InstanceId)
		if err := iam.Allow(ctx, "ssm:DeregisterManagedInstance", arn, iam.ResourceTags(tags)); err != nil {
			return err
		}
		q := rows.New(tx)
		n, err := q.DeleteNode(ctx, rows.DeleteNodeParams{ID: in.InstanceId, Account: call.Account, Region: call.Region})
		if err != nil {
			return err
		}
		if n == 0 {
			return noInstance(in.InstanceId)
		}
		if err := q.DeletePresence(ctx, in.InstanceId); err != nil {
			return err
		}
		if err := q.DeleteMailbox(ctx, in.InstanceId); err != nil {
			return err
		}
		return tag.Drop(ctx, tx, tag.Target{Account: call.Account, Region: call.Region, Kind: KindNode, ID: in.InstanceId})
	})
	if err == nil {
		f.presence.forget(in.InstanceId)
		f.hangUp(in.InstanceId, "the managed node has been deregistered")
	}
	return &ssm.DeregisterManagedInstanceOutput{}, err
}
