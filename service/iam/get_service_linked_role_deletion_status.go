package iam

import (
	"context"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/store"
)

// GetServiceLinkedRoleDeletionStatus says how far the deletion of a service-linked role is: it is done,
// or there was none.
func (i *IAM) GetServiceLinkedRoleDeletionStatus(ctx context.Context, in *iam.GetServiceLinkedRoleDeletionStatusInput) (*iam.GetServiceLinkedRoleDeletionStatusOutput, error) {
	account := api.CallFrom(ctx).Account
	rest, ok := strings.CutPrefix(in.DeletionTaskId, "task"+serviceRoles)
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 3 {
		return nil, iam.ErrInvalidInputException("The deletion task id %s is not valid", in.DeletionTaskId) // source: guess
	}
	name := parts[1]
	out := &iam.GetServiceLinkedRoleDeletionStatusOutput{Status: iam.DeletionTaskStatusTypeSUCCEEDED}
	return out, i.db.View(ctx, func(tx *store.Tx) error {
		arn := arnOf(account, kindRole, serviceRoles+parts[0]+"/", name)
		if err := Allow(ctx, "iam:GetServiceLinkedRoleDeletionStatus", arn); err != nil {
			return err
		}
		_, there, err := find(ctx, tx, account, kindRole, name)
		if err == nil && there {
			err = iam.ErrNoSuchEntityException("The deletion task %s cannot be found.", in.DeletionTaskId) // source: guess
		}
		return err
	})
}
