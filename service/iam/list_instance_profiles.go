package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/store"
)

// ListInstanceProfiles lists the instance profiles of the account below a path.
func (i *IAM) ListInstanceProfiles(ctx context.Context, in *iam.ListInstanceProfilesInput) (*iam.ListInstanceProfilesOutput, error) {
	out := new(iam.ListInstanceProfilesOutput)
	var err error
	_, out.Marker, out.IsTruncated, err = i.list(ctx, "iam:ListInstanceProfiles", kindProfile, in.PathPrefix, in.Marker, in.MaxItems,
		func(tx *store.Tx, list []entity) (err error) {
			out.InstanceProfiles, err = profiles(ctx, tx, list)
			return err
		})
	return out, err
}
