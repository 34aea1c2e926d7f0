package setting

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/setting/internal/rows"
	"github.com/vennel/vennel/store"
)

// UpdateServiceSetting changes a setting.
func (s *Settings) UpdateServiceSetting(ctx context.Context, in *ssm.UpdateServiceSettingInput) (*ssm.UpdateServiceSettingOutput, error) {
	call := api.CallFrom(ctx)
	id, arn, own := name(call, in.SettingId)
	if err := iam.Allow(ctx, "ssm:UpdateServiceSetting", arn); err != nil {
		return nil, err
	}
	kind, err := s.find(id, own)
	if err != nil {
		return nil, err
	}
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		if in.SettingValue != kind.Default {
			if err := kind.Check(ctx, tx, in.SettingValue); err != nil {
				return err
			}
		}
		return rows.New(tx).PutSetting(ctx, rows.PutSettingParams{
			Account: call.Account, Region: call.Region, ID: id, Value: in.SettingValue, Modified: call.Time.UnixMilli(), ModifiedBy: call.Principal.ARN(),
		})
	})
	return &ssm.UpdateServiceSettingOutput{}, err
}
