package sts

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/sts"
	"github.com/vennel/vennel/service/iam"
)

// GetCallerIdentity says who makes the call. It needs no permission, and no policy can deny it
// but that of a VPC endpoint. source: userguide
func (s *STS) GetCallerIdentity(ctx context.Context, _ *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
	if err := iam.AllowUngranted(ctx, "sts:GetCallerIdentity", "needs no permission"); err != nil {
		return nil, err
	}
	p := api.CallFrom(ctx).Principal
	return &sts.GetCallerIdentityOutput{UserId: new(p.UserID()), Account: new(p.AccountID()), Arn: new(p.ARN())}, nil
}
