package setting

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/setting/internal/rows"
	"github.com/vennel/vennel/store"
)

// ResetServiceSetting gives a setting its default again.
func (s *Settings) ResetServiceSetting(ctx context.Context, in *ssm.ResetServiceSettingInput) (*ssm.ResetServiceSettingOutput, error) {
	call := api.CallFrom(ctx)
	id, arn, own := name(call, in.SettingId)
	if err := iam.Allow(ctx, "ssm:ResetServiceSetting", arn); err != nil {
		return nil, err
	}
	kind, err := s.find(id, own)
	if err != nil {
		return nil, err
	}
	out := new(ssm.ResetServiceSettingOutput)
	err = s.db.Update(ctx, func(tx *store.Tx) (err error) {
		if err = rows.New(tx).DeleteSetting(ctx, rows.DeleteSettingParams{Account: call.Account, Region: call.Region, ID: id}); err != nil {
			return err
		}
		out.ServiceSetting, err = describe(ctx, tx, kind, id, arn)
		return err
	})
	return out, err
}
