package iam

import (
	"context"
	"strings"

	"github.com/google/uuid"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/store"
)

// DeleteServiceLinkedRole deletes the role of one of AWS's services. Here it is done when the answer is
// given; to AWS's clients it is a task that has ended.
func (i *IAM) DeleteServiceLinkedRole(ctx context.Context, in *iam.DeleteServiceLinkedRoleInput) (*iam.DeleteServiceLinkedRoleOutput, error) {
	task := uuid.NewString()
	out := new(iam.DeleteServiceLinkedRoleOutput)
	return out, i.db.Update(ctx, func(tx *store.Tx) error {
		e, err := allow(ctx, tx, "iam:DeleteServiceLinkedRole", kindRole, in.RoleName)
		if err != nil {
			return err
		}
		service, ok := strings.CutPrefix(e.Path, serviceRoles)
		if !ok {
			return iam.ErrInvalidInputException("The role %s is not a service-linked role", e.Name) // source: guess
		}
		q := rows.New(tx)
		attached, err := q.ListAttachments(ctx, e.ID)
		if err != nil {
			return err
		}
		for _, arn := range attached {
			if _, err := q.Detach(ctx, rows.DetachParams{Owner: e.ID, Policy: arn}); err != nil {
				return err
			}
		}
		out.DeletionTaskId = "task" + serviceRoles + service + e.Name + "/" + task
		tx.Notify(topic, e.Account)
		return remove(ctx, tx, e)
	})
}
