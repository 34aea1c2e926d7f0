package setting

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// GetServiceSetting gives a setting of the account in the Region.
func (s *Settings) GetServiceSetting(ctx context.Context, in *ssm.GetServiceSettingInput) (*ssm.GetServiceSettingOutput, error) {
	id, arn, own := name(api.CallFrom(ctx), in.SettingId)
	if err := iam.Allow(ctx, "ssm:GetServiceSetting", arn); err != nil {
		return nil, err
	}
	kind, err := s.find(id, own)
	if err != nil {
		return nil, err
	}
	out := new(ssm.GetServiceSettingOutput)
	err = s.db.View(ctx, func(tx *store.Tx) (err error) {
		out.ServiceSetting, err = describe(ctx, tx, kind, id, arn)
		return err
	})
	return out, err
}
