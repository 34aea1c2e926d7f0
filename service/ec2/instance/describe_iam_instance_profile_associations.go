package instance

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// associationFilters are what associations can be filtered by. source: model, "DescribeIamInstanceProfileAssociationsRequest"
var associationFilters = map[string]func(*ec2.IamInstanceProfileAssociation) []string{
	"instance-id": func(a *ec2.IamInstanceProfileAssociation) []string { return resource.One(a.InstanceId) },
	"state":       func(a *ec2.IamInstanceProfileAssociation) []string { return resource.One(a.State) },
}

// DescribeIamInstanceProfileAssociations describes which instances have which instance profiles.
func (s *Instances) DescribeIamInstanceProfileAssociations(
	ctx context.Context, in *ec2.DescribeIamInstanceProfileAssociationsInput,
) (*ec2.DescribeIamInstanceProfileAssociationsOutput, error) {
	if err := iam.Allow(ctx, "ec2:DescribeIamInstanceProfileAssociations", "*", iam.Key("ec2:region", api.CallFrom(ctx).Region)); err != nil {
		return nil, err
	}
	var all []ec2.IamInstanceProfileAssociation
	err := s.db.View(ctx, func(tx *store.Tx) error {
		all = []ec2.IamInstanceProfileAssociation{}
		list, err := resource.Instances.List(ctx, tx)
		for _, r := range list {
			if a := r.Data.Association; a != nil && (len(in.AssociationIds) == 0 || slices.Contains(in.AssociationIds, *a.AssociationId)) {
				all = append(all, *a)
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, id := range in.AssociationIds {
		if !slices.ContainsFunc(all, func(a ec2.IamInstanceProfileAssociation) bool { return *a.AssociationId == id }) {
			return nil, resource.Errorf("InvalidAssociationID.NotFound", "An invalid association-id of '%s' was given", id) // source: aws
		}
	}
	if all, err = resource.Select(all, in.Filters, associationFilters); err != nil {
		return nil, err
	}
	page, next, err := resource.Page(all, in.MaxResults, in.NextToken, 5, 1000)
	return &ec2.DescribeIamInstanceProfileAssociationsOutput{IamInstanceProfileAssociations: page, NextToken: next}, err
}
