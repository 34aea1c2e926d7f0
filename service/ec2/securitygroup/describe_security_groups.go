package securitygroup

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// groupFilters are what groups can be filtered by. source: model, "DescribeSecurityGroupsRequest"
var groupFilters = withPermissions(resource.Filters[resource.SecurityGroup]{
	"description": func(g *group) []string { return resource.One(g.Data.Description) },
	"group-id":    func(g *group) []string { return []string{g.ID} },
	"group-name":  func(g *group) []string { return resource.One(g.Data.GroupName) },
	"owner-id":    func(g *group) []string { return []string{g.Account} },
	"vpc-id":      func(g *group) []string { return []string{g.VPC} },
})

// permissionFilters are what a permission has under the names of filters.
var permissionFilters = map[string]func(*ec2.IpPermission) []string{
	"protocol":  func(p *ec2.IpPermission) []string { return resource.One(p.IpProtocol) },
	"from-port": func(p *ec2.IpPermission) []string { return resource.One(resource.Int(p.FromPort)) },
	"to-port":   func(p *ec2.IpPermission) []string { return resource.One(resource.Int(p.ToPort)) },
	"cidr": func(p *ec2.IpPermission) []string {
		return resource.Each(p.IpRanges, func(r *ec2.IpRange) *string { return r.CidrIp })
	},
	"ipv6-cidr": func(p *ec2.IpPermission) []string {
		return resource.Each(p.Ipv6Ranges, func(r *ec2.Ipv6Range) *string { return r.CidrIpv6 })
	},
	"prefix-list-id": func(p *ec2.IpPermission) []string {
		return resource.Each(p.PrefixListIds, func(l *ec2.PrefixListId) *string { return l.PrefixListId })
	},
	"group-id": func(p *ec2.IpPermission) []string {
		return resource.Each(p.UserIdGroupPairs, func(g *ec2.UserIdGroupPair) *string { return g.GroupId })
	},
	"group-name": func(p *ec2.IpPermission) []string {
		return resource.Each(p.UserIdGroupPairs, func(g *ec2.UserIdGroupPair) *string { return g.GroupName })
	},
	"user-id": func(p *ec2.IpPermission) []string {
		return resource.Each(p.UserIdGroupPairs, func(g *ec2.UserIdGroupPair) *string { return g.UserId })
	},
}

// withPermissions adds the filters about permissions, of both directions.
func withPermissions(f resource.Filters[resource.SecurityGroup]) resource.Filters[resource.SecurityGroup] {
	for name, values := range permissionFilters {
		of := func(list []ec2.IpPermission) (found []string) {
			for i := range list {
				found = append(found, values(&list[i])...)
			}
			return found
		}
		f["ip-permission."+name] = func(g *group) []string { return of(g.Data.IpPermissions) }
		f["egress.ip-permission."+name] = func(g *group) []string { return of(g.Data.IpPermissionsEgress) }
	}
	return f
}

// groupSearch is DescribeSecurityGroups.
var groupSearch = &resource.Search[resource.SecurityGroup]{
	Kind: resource.SecurityGroups, Operation: "DescribeSecurityGroups", Filters: groupFilters, Complete: completeGroups,
}

// DescribeSecurityGroups lists groups with their permissions.
func (s *SecurityGroups) DescribeSecurityGroups(ctx context.Context, in *ec2.DescribeSecurityGroupsInput) (*ec2.DescribeSecurityGroupsOutput, error) {
	ids := in.GroupIds
	if len(in.GroupNames) > 0 {
		more, err := s.idsOf(ctx, in.GroupNames)
		if err != nil {
			return nil, err
		}
		ids = append(ids, more...)
	}
	page, next, err := groupSearch.Run(ctx, s.db, resource.Query{DryRun: in.DryRun, IDs: ids, Filters: in.Filters, Max: in.MaxResults, After: in.NextToken})
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeSecurityGroupsOutput{NextToken: next, SecurityGroups: []ec2.SecurityGroup{}}
	for _, g := range page {
		out.SecurityGroups = append(out.SecurityGroups, g.Data.SecurityGroup)
	}
	return out, nil
}

// idsOf gives the ids of groups of the default VPC by their names.
func (s *SecurityGroups) idsOf(ctx context.Context, names []string) (ids []string, err error) {
	if err := iam.Allow(ctx, "ec2:"+groupSearch.Operation, "*"); err != nil {
		return nil, err
	}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		ids = nil
		for _, name := range names {
			g, err := byName(ctx, tx, name)
			if err != nil {
				return err
			}
			ids = append(ids, g.ID)
		}
		return nil
	})
	return ids, err
}

// completeGroups works out what follows of groups; each VPC's rules are read once.
func completeGroups(ctx context.Context, tx *store.Tx, groups []*group) error {
	rules, read := map[string][]*rule{}, map[string]bool{}
	for _, g := range groups {
		if !read[g.VPC] {
			read[g.VPC] = true
			list, err := resource.SecurityGroupRules.Of(ctx, tx, g.VPC)
			if err == nil {
				err = complete(ctx, tx, list)
			}
			if err != nil {
				return err
			}
			for _, r := range list {
				rules[*r.Data.GroupId] = append(rules[*r.Data.GroupId], r)
			}
		}
		of := rules[g.ID]
		g.Data.IpPermissions, g.Data.IpPermissionsEgress = permissionsOf(direction(of, false)), permissionsOf(direction(of, true))
		g.Data.SecurityGroupArn = new(resource.SecurityGroups.ARN(g.Region, g.Account, g.ID))
		g.Data.Tags = resource.TagList(g.Tags)
	}
	return nil
}
