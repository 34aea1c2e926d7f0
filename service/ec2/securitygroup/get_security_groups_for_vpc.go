package securitygroup

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// vpcFilters are what the groups that a VPC can use can be filtered by. source: model, "GetSecurityGroupsForVpcRequest"
var vpcFilters = resource.Filters[resource.SecurityGroup]{
	"description":    groupFilters["description"],
	"group-id":       groupFilters["group-id"],
	"group-name":     groupFilters["group-name"],
	"owner-id":       groupFilters["owner-id"],
	"primary-vpc-id": groupFilters["vpc-id"],
}

// GetSecurityGroupsForVpc lists the groups that interfaces in a VPC can have.
func (s *SecurityGroups) GetSecurityGroupsForVpc(ctx context.Context, in *ec2.GetSecurityGroupsForVpcInput) (*ec2.GetSecurityGroupsForVpcOutput, error) {
	search := &resource.Search[resource.SecurityGroup]{
		Kind: resource.SecurityGroups, Operation: "GetSecurityGroupsForVpc", Filters: vpcFilters,
		Allow: func(ctx context.Context, tx *store.Tx) error {
			_, err := resource.VPCs.FindFor(ctx, tx, "ec2:GetSecurityGroupsForVpc", in.VpcId)
			return err
		},
	}
	page, next, err := search.Run(ctx, s.db, resource.Query{
		DryRun: in.DryRun, Filters: append(slices.Clip(in.Filters), ec2.Filter{Name: new("primary-vpc-id"), Values: []string{in.VpcId}}),
		Max: in.MaxResults, After: in.NextToken,
	})
	if err != nil {
		return nil, err
	}
	out := &ec2.GetSecurityGroupsForVpcOutput{NextToken: next, SecurityGroupForVpcs: []ec2.SecurityGroupForVpc{}}
	for _, g := range page {
		out.SecurityGroupForVpcs = append(out.SecurityGroupForVpcs, ec2.SecurityGroupForVpc{
			GroupId: &g.ID, GroupName: g.Data.GroupName, Description: g.Data.Description, OwnerId: &g.Account, PrimaryVpcId: &g.VPC, Tags: resource.TagList(g.Tags),
		})
	}
	return out, nil
}
