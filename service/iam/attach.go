package iam

import (
	"context"
	"slices"
	"strings"

	"github.com/vennel/vennel/api"
	vocabulary "github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/store"
)

// mostAttached is how many managed policies an entity may have. source: userguide, quotas
const mostAttached = 10

// attach does an Attach…Policy operation. A policy that is attached already stays so.
func (i *IAM) attach(ctx context.Context, action, kind, name, arn string) error {
	return i.change(ctx, action, kind, name, func(tx *store.Tx, e *entity) error {
		return attachTo(ctx, tx, e, arn)
	}, Key("iam:policyarn", arn))
}

// attachTo attaches a managed policy to an entity.
func attachTo(ctx context.Context, tx *store.Tx, e *entity, arn string) error {
	if err := attachable(ctx, tx, e.Account, arn); err != nil {
		return err
	}
	q := rows.New(tx)
	list, err := q.ListAttachments(ctx, e.ID)
	if err != nil {
		return err
	}
	if len(list) >= mostAttached && !slices.Contains(list, arn) {
		return exceeds("PoliciesPer"+kinds[e.Kind].label, mostAttached)
	}
	return q.Attach(ctx, rows.AttachParams{Owner: e.ID, Policy: arn, Account: e.Account})
}

// detach does a Detach…Policy operation.
func (i *IAM) detach(ctx context.Context, action, kind, name, arn string) error {
	return i.change(ctx, action, kind, name, func(tx *store.Tx, e *entity) error {
		n, err := rows.New(tx).Detach(ctx, rows.DetachParams{Owner: e.ID, Policy: arn})
		if err == nil && n == 0 {
			err = missing(kindPolicy, arn)
		}
		return err
	}, Key("iam:policyarn", arn))
}

// listAttached does a ListAttached…Policies operation.
func (i *IAM) listAttached(ctx context.Context, action, kind, name string, prefix, marker *string, most *int64) (list []vocabulary.AttachedPolicy, next *string, truncated *bool, err error) {
	err = i.read(ctx, action, kind, name, func(tx *store.Tx, e *entity) error {
		all, err := rows.New(tx).ListAttachments(ctx, e.ID)
		all = slices.DeleteFunc(all, func(arn string) bool {
			path, _ := splitPolicy(arn)
			return !strings.HasPrefix(path, api.Or(prefix, "/"))
		})
		var arns []string
		arns, next, truncated = page(newPager(marker, most), all, itself)
		list = each(arns, func(arn *string) vocabulary.AttachedPolicy {
			_, name := splitPolicy(*arn)
			return vocabulary.AttachedPolicy{PolicyName: &name, PolicyArn: arn}
		})
		return err
	})
	return list, next, truncated, err
}

// attachable refuses a managed policy that there is not.
func attachable(ctx context.Context, tx *store.Tx, account, arn string) error {
	if _, err := policyOwner(arn); err != nil {
		return err
	}
	e, ok, err := findPolicy(ctx, tx, account, arn)
	if ok && e.Path == serviceRoles {
		return vocabulary.ErrPolicyNotAttachableException("Cannot attach a Service Role Policy to a Customer Role.") // source: aws
	}
	if err == nil && !ok {
		err = vocabulary.ErrNoSuchEntityException("Policy %s does not exist or is not attachable.", arn) // source: aws
	}
	return err
}

// setBoundary sets or takes away the permissions boundary of a user or role.
func (i *IAM) setBoundary(ctx context.Context, action, kind, name, arn string) error {
	var about []About
	if arn != "" {
		about = append(about, Key("iam:permissionsboundary", arn))
	}
	return i.change(ctx, action, kind, name, func(tx *store.Tx, e *entity) error {
		if arn != "" {
			if err := attachable(ctx, tx, e.Account, arn); err != nil {
				return err
			}
		} else if e.Boundary == "" {
			// source: guess
			return vocabulary.ErrNoSuchEntityException("The %s with name %s does not have a permissions boundary", e.Kind, e.Name)
		}
		e.Boundary = arn
		return update(ctx, tx, e)
	}, about...)
}

// boundary is an entity's permissions boundary as answers have it.
func boundary(e *entity) *vocabulary.AttachedPermissionsBoundary {
	if e.Boundary == "" {
		return nil
	}
	return &vocabulary.AttachedPermissionsBoundary{PermissionsBoundaryType: new("Policy"), PermissionsBoundaryArn: &e.Boundary}
}
