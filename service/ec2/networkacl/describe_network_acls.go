package networkacl

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
)

// search is DescribeNetworkAcls. source: userguide, the operation's page
var search = resource.Search[resource.NetworkAcl]{
	Kind: resource.NetworkAcls, Operation: "DescribeNetworkAcls",
	Filters: resource.Filters[resource.NetworkAcl]{
		"association.association-id": ofAssociations(func(a *ec2.NetworkAclAssociation) *string { return a.NetworkAclAssociationId }),
		"association.network-acl-id": ofAssociations(func(a *ec2.NetworkAclAssociation) *string { return a.NetworkAclId }),
		"association.subnet-id":      ofAssociations(func(a *ec2.NetworkAclAssociation) *string { return a.SubnetId }),
		"default":                    func(r *record) []string { return resource.Bool(r.Data.IsDefault) },
		"entry.cidr":                 ofEntries(func(e *ec2.NetworkAclEntry) *string { return e.CidrBlock }),
		"entry.egress":               ofEntries(func(e *ec2.NetworkAclEntry) *string { return &resource.Bool(e.Egress)[0] }),
		"entry.icmp.code":            ofICMP(func(c *ec2.IcmpTypeCode) *int64 { return c.Code }),
		"entry.icmp.type":            ofICMP(func(c *ec2.IcmpTypeCode) *int64 { return c.Type }),
		"entry.ipv6-cidr":            ofEntries(func(e *ec2.NetworkAclEntry) *string { return e.Ipv6CidrBlock }),
		"entry.port-range.from":      ofPorts(func(p *ec2.PortRange) *int64 { return p.From }),
		"entry.port-range.to":        ofPorts(func(p *ec2.PortRange) *int64 { return p.To }),
		"entry.protocol":             protocolsOf,
		"entry.rule-action":          ofEntries(func(e *ec2.NetworkAclEntry) *string { return e.RuleAction }),
		"entry.rule-number":          ofEntries(func(e *ec2.NetworkAclEntry) *string { return resource.Int(e.RuleNumber) }),
		"network-acl-id":             func(r *record) []string { return []string{r.ID} },
		"owner-id":                   func(r *record) []string { return []string{r.Account} },
		"vpc-id":                     func(r *record) []string { return []string{r.VPC} },
	},
}

// ofAssociations filters by a member of the associations.
func ofAssociations(value func(*ec2.NetworkAclAssociation) *string) func(*record) []string {
	return func(r *record) []string { return resource.Each(r.Data.Associations, value) }
}

// ofEntries filters by a member of the entries.
func ofEntries(value func(*ec2.NetworkAclEntry) *string) func(*record) []string {
	return func(r *record) []string { return resource.Each(r.Data.Entries, value) }
}

// ofICMP filters by what ICMP entries have.
func ofICMP(value func(*ec2.IcmpTypeCode) *int64) func(*record) []string {
	return ofEntries(func(e *ec2.NetworkAclEntry) *string {
		if e.IcmpTypeCode == nil {
			return nil
		}
		return resource.Int(value(e.IcmpTypeCode))
	})
}

// ofPorts filters by what entries with ports have.
func ofPorts(value func(*ec2.PortRange) *int64) func(*record) []string {
	return ofEntries(func(e *ec2.NetworkAclEntry) *string {
		if e.PortRange == nil {
			return nil
		}
		return resource.Int(value(e.PortRange))
	})
}

// protocolsOf are the protocols of the entries, by number and by name.
func protocolsOf(r *record) []string {
	numbers := resource.Each(r.Data.Entries, func(e *ec2.NetworkAclEntry) *string { return e.Protocol })
	all := slices.Clone(numbers)
	for name, number := range protocols {
		if slices.Contains(numbers, *resource.Int(new(int64(number)))) {
			all = append(all, name)
		}
	}
	return all
}

// DescribeNetworkAcls lists network ACLs.
func (n *NetworkAcls) DescribeNetworkAcls(ctx context.Context, in *ec2.DescribeNetworkAclsInput) (*ec2.DescribeNetworkAclsOutput, error) {
	page, next, err := search.Run(ctx, n.db, resource.Query{DryRun: in.DryRun, IDs: in.NetworkAclIds, Filters: in.Filters, Max: in.MaxResults, After: in.NextToken})
	out := &ec2.DescribeNetworkAclsOutput{NetworkAcls: []ec2.NetworkAcl{}, NextToken: next}
	for _, r := range page {
		out.NetworkAcls = append(out.NetworkAcls, answer(r))
	}
	return out, err
}
