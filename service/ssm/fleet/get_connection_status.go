package fleet

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// GetConnectionStatus says whether a node holds its control channel, so that a session could begin.
func (f *Fleet) GetConnectionStatus(ctx context.Context, in *ssm.GetConnectionStatusInput) (*ssm.GetConnectionStatusOutput, error) {
	call := api.CallFrom(ctx)
	status := ssm.ConnectionStatusNotconnected
	err := f.db.View(ctx, func(tx *store.Tx) error {
		tags, err := f.Tags(ctx, tx, call.Account, call.Region, in.Target)
		if err != nil {
			return err
		}
		if err := iam.Allow(ctx, "ssm:GetConnectionStatus", ARN(call.Region, call.Account, in.Target), iam.ResourceTags(tags)); err != nil {
			return err
		}
		_, ok, err := Find(ctx, tx, call.Account, call.Region, in.Target)
		if ok && f.Connected(in.Target) {
			status = ssm.ConnectionStatusConnected
		}
		return err
	})
	return &ssm.GetConnectionStatusOutput{Target: &in.Target, Status: &status}, err
}
