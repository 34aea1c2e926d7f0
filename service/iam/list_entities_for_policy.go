package iam

import (
	"context"
	"slices"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/store"
)

// ListEntitiesForPolicy lists the users, groups and roles that a managed policy is attached to, or whose
// permissions boundary it is.
func (i *IAM) ListEntitiesForPolicy(ctx context.Context, in *iam.ListEntitiesForPolicyInput) (*iam.ListEntitiesForPolicyOutput, error) {
	call := api.CallFrom(ctx)
	out := &iam.ListEntitiesForPolicyOutput{}
	err := i.read(ctx, "iam:ListEntitiesForPolicy", kindPolicy, in.PolicyArn, func(tx *store.Tx, _ *entity) error {
		q := rows.New(tx)
		var list []entity
		for _, use := range []struct {
			name string
			read func() ([]entity, error)
		}{
			{iam.PolicyUsageTypePermissionsPolicy, func() ([]entity, error) {
				return q.ListAttached(ctx, rows.ListAttachedParams{Account: call.Account, Policy: in.PolicyArn})
			}},
			{iam.PolicyUsageTypePermissionsBoundary, func() ([]entity, error) {
				return q.ListBounded(ctx, rows.ListBoundedParams{Account: call.Account, Boundary: in.PolicyArn})
			}},
		} {
			if api.Or(in.PolicyUsageFilter, use.name) != use.name {
				continue
			}
			found, err := use.read()
			if err != nil {
				return err
			}
			list = append(list, found...)
		}
		list = slices.DeleteFunc(list, func(e entity) bool {
			label := kinds[e.Kind].label
			return api.Or(in.EntityFilter, label) != label || !strings.HasPrefix(e.Path, api.Or(in.PathPrefix, "/"))
		})
		slices.SortFunc(list, func(a, b entity) int { return strings.Compare(holderKey(&a), holderKey(&b)) })
		list = slices.CompactFunc(list, func(a, b entity) bool { return a.ID == b.ID })
		list, out.Marker, out.IsTruncated = page(newPager(in.Marker, in.MaxItems), list, holderKey)
		out.PolicyGroups, out.PolicyRoles, out.PolicyUsers = []iam.PolicyGroup{}, []iam.PolicyRole{}, []iam.PolicyUser{}
		for n := range list {
			switch e := &list[n]; e.Kind {
			case kindGroup:
				out.PolicyGroups = append(out.PolicyGroups, iam.PolicyGroup{GroupName: &e.Name, GroupId: &e.ID})
			case kindRole:
				out.PolicyRoles = append(out.PolicyRoles, iam.PolicyRole{RoleName: &e.Name, RoleId: &e.ID})
			case kindUser:
				out.PolicyUsers = append(out.PolicyUsers, iam.PolicyUser{UserName: &e.Name, UserId: &e.ID})
			}
		}
		return nil
	})
	return out, err
}

// holderKey orders the holders of a policy.
func holderKey(e *entity) string { return e.Kind + "/" + e.Key }
