package sts

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/sts"
	"github.com/vennel/vennel/service/iam"
)

// sessionSeconds is how long a session of a user lasts unless it asks for another time. source: userguide
const sessionSeconds = 12 * 60 * 60

// GetSessionToken gives a user credentials for a while, with all that the user may do. It needs no
// permission, but a session cannot ask for another. source: userguide
func (s *STS) GetSessionToken(ctx context.Context, in *sts.GetSessionTokenInput) (*sts.GetSessionTokenOutput, error) {
	const action = "sts:GetSessionToken"
	if err := iam.AllowUngranted(ctx, action, "needs no permission"); err != nil {
		return nil, err
	}
	p, ok := api.CallFrom(ctx).Principal.(*iam.Principal)
	if !ok || p.Temporary() {
		return nil, iam.Refuse(ctx, action, "*", api.Errorf(api.AccessDenied, "Cannot call GetSessionToken with session credentials"))
	}
	if in.SerialNumber != nil || in.TokenCode != nil {
		return nil, iam.Refuse(ctx, action, "*", api.Errorf(api.AccessDenied, wrongCode))
	}
	session, err := s.iam.NewUserSession(p, seconds(api.Or(in.DurationSeconds, sessionSeconds)))
	if err != nil {
		return nil, err
	}
	return &sts.GetSessionTokenOutput{Credentials: credentials(session)}, nil
}
