package iam

import (
	"context"
	"database/sql"
	"errors"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/store"
)

// GetAccessKeyLastUsed says when, where and for what a key was last used. A key that there is not, or
// that is of another account, is refused in the same words as one that the caller may not ask for.
func (i *IAM) GetAccessKeyLastUsed(ctx context.Context, in *iam.GetAccessKeyLastUsedInput) (*iam.GetAccessKeyLastUsedOutput, error) {
	const action = "iam:GetAccessKeyLastUsed"
	call := api.CallFrom(ctx)
	named := Named("access key %s", in.AccessKeyId)
	out := new(iam.GetAccessKeyLastUsedOutput)
	return out, i.db.View(ctx, func(tx *store.Tx) error {
		q := rows.New(tx)
		k, err := q.GetAccessKey(ctx, in.AccessKeyId)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		e, ok, err := row(q.GetEntityByID(ctx, k.Owner))
		if err != nil {
			return err
		}
		if !ok || e.Account != call.Account {
			arn := arnOf(call.Account, kindUser, "/", "*")
			if err := Allow(ctx, action, arn, named); err != nil {
				return err
			}
			// source: aws
			return Refuse(ctx, action, arn, api.Errorf(api.AccessDenied,
				"User: %s is not authorized to perform %s on resource: access key %s", call.Principal.ARN(), action, in.AccessKeyId))
		}
		if err := Allow(ctx, action, entityARN(e), named); err != nil {
			return err
		}
		out.UserName, out.AccessKeyLastUsed = &e.Name, &iam.AccessKeyLastUsed{ServiceName: "N/A", Region: "N/A"} // source: aws
		if k.Used != 0 {
			out.AccessKeyLastUsed = &iam.AccessKeyLastUsed{LastUsedDate: new(when(k.Used)), ServiceName: k.UsedService, Region: k.UsedRegion}
		}
		return nil
	})
}
