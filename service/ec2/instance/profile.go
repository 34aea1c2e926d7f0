package instance

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// newAssociationID makes the id of an association of an instance profile.
func newAssociationID() string { return resource.NewID(associationPrefix) }

// associationPrefix is that of their ids.
const associationPrefix = "iip-assoc"

// associated is the state of an association; it has no other: the instance's metadata tell of it at once.
const associated = ec2.IamInstanceProfileAssociationStateAssociated

// associate gives an instance an instance profile.
func associate(ctx context.Context, r *record, p *iam.Profile, id string) {
	r.Data.Association = &ec2.IamInstanceProfileAssociation{
		AssociationId: &id, InstanceId: &r.ID, IamInstanceProfile: &ec2.IamInstanceProfile{Arn: &p.ARN, Id: &p.ID}, State: new(associated),
		Timestamp: new(api.CallFrom(ctx).Time),
	}
}

// wantProfile finds the instance profile that a request must name.
func wantProfile(ctx context.Context, tx *store.Tx, in *ec2.IamInstanceProfileSpecification) (*iam.Profile, error) {
	p, err := findProfile(ctx, tx, in)
	if err == nil && p == nil {
		err = missingParameter("IamInstanceProfile")
	}
	return p, err
}

// ofAssociation gives the instance that has an association, to which the caller may do an action.
func ofAssociation(ctx context.Context, tx *store.Tx, action, id string, about ...iam.About) (*record, error) {
	list, err := resource.Instances.List(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		if a := r.Data.Association; a != nil && *a.AssociationId == id {
			return findFor(ctx, tx, action, r.ID, about...)
		}
	}
	call := api.CallFrom(ctx)
	if denied := resource.Instances.Allow(ctx, action, &record{ID: "*", Account: call.Account, Region: call.Region}, about...); denied != nil {
		return nil, denied
	}
	return nil, resource.Errorf("InvalidAssociationID.NotFound", "An invalid association-id of '%s' was given", id) // source: aws
}

// newProfile is the condition key of an instance profile that an instance is given.
func newProfile(p *iam.Profile) iam.About {
	if p == nil {
		return iam.Key("ec2:newinstanceprofile")
	}
	return iam.Key("ec2:newinstanceprofile", p.ARN)
}
