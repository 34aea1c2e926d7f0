package securitygroup

import (
	"context"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// CreateSecurityGroup makes a group in a VPC. Nothing gets in, everything gets out.
func (s *SecurityGroups) CreateSecurityGroup(ctx context.Context, in *ec2.CreateSecurityGroupInput) (*ec2.CreateSecurityGroupOutput, error) {
	const action = "ec2:CreateSecurityGroup"
	tags, err := resource.TagsFor(in.TagSpecifications, resource.SecurityGroups.Name)
	if err != nil {
		return nil, err
	}
	if err := resource.SecurityGroups.AllowNew(ctx, action, tags); err != nil {
		return nil, err
	}
	id, out := resource.SecurityGroups.NewID(), resource.SecurityGroupRules.NewID()
	var g *group
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		vpc, err := vpcFor(ctx, tx, action, in.VpcId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		if err := checkNames(ctx, tx, vpc.ID, in); err != nil {
			return err
		}
		g = resource.SecurityGroups.New(ctx, id, vpc.ID, resource.SecurityGroup{SecurityGroup: ec2.SecurityGroup{
			GroupId: &id, GroupName: &in.GroupName, Description: &in.Description, VpcId: &vpc.ID, OwnerId: new(api.CallFrom(ctx).Account),
		}})
		g.Tags = tags
		if err := resource.SecurityGroups.Create(ctx, tx, g); err != nil {
			return err
		}
		return put(ctx, tx, g, out, true, outward(), nil)
	})
	if err != nil {
		return nil, err
	}
	return &ec2.CreateSecurityGroupOutput{
		GroupId: &id, Tags: resource.TagList(tags), SecurityGroupArn: new(resource.SecurityGroups.ARN(g.Region, g.Account, id)),
	}, nil
}

// vpcFor finds the VPC of a request, which is the default one where it names none.
func vpcFor(ctx context.Context, tx *store.Tx, action string, id *string) (*resource.Record[resource.VPC], error) {
	if id != nil {
		return resource.VPCs.FindFor(ctx, tx, action, *id)
	}
	vpc, err := defaultVPC(ctx, tx)
	if err != nil {
		return nil, err
	}
	return vpc, resource.VPCs.Allow(ctx, action, vpc)
}

// checkNames refuses a name or description that a group cannot have.
func checkNames(ctx context.Context, tx *store.Tx, vpc string, in *ec2.CreateSecurityGroupInput) error {
	const most = 255
	switch name := in.GroupName; {
	case strings.HasPrefix(name, "sg-"):
		return invalid("Group names may not be in the format sg-*.") // source: aws
	case name == "" || len(name) > most || !plain.MatchString(name):
		return invalid("Value (%s) for parameter GroupName is invalid. Security group names must be up to 255 characters in length and contain only a-z, A-Z, 0-9, spaces, and ._-:/()#,@[]+=&;{}!$*.", name) // source: guess
	case name == defaultName:
		return invalid("Cannot use reserved security group name: %s", name) // source: aws
	case in.Description == "" || len(in.Description) > most || !plain.MatchString(in.Description):
		// source: aws
		return invalid("Invalid security group description. Valid descriptions are strings less than 256 characters from the following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*")
	}
	list, err := resource.SecurityGroups.Of(ctx, tx, vpc)
	if err != nil {
		return err
	}
	for _, g := range list {
		if *g.Data.GroupName == in.GroupName {
			return resource.Errorf("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", in.GroupName, vpc) // source: aws
		}
	}
	return nil
}
