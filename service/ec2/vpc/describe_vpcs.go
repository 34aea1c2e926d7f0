package vpc

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
)

// searchVPCs is DescribeVpcs. source: userguide, the operation's page
var searchVPCs = resource.Search[resource.VPC]{
	Kind: resource.VPCs, Operation: "DescribeVpcs",
	Filters: resource.Filters[resource.VPC]{
		"cidr":                                        func(r *record) []string { return resource.One(r.Data.CidrBlock) },
		"cidr-block-association.association-id":       ofRanges(func(a *ec2.VpcCidrBlockAssociation) *string { return a.AssociationId }),
		"cidr-block-association.cidr-block":           ofRanges(func(a *ec2.VpcCidrBlockAssociation) *string { return a.CidrBlock }),
		"cidr-block-association.state":                ofRanges(func(a *ec2.VpcCidrBlockAssociation) *string { return a.CidrBlockState.State }),
		"dhcp-options-id":                             func(r *record) []string { return resource.One(r.Data.DhcpOptionsId) },
		"ipv6-cidr-block-association.state":           none[resource.VPC],
		"ipv6-cidr-block-association.ipv6-pool":       none[resource.VPC],
		"ipv6-cidr-block-association.ipv6-cidr-block": none[resource.VPC],
		"ipv6-cidr-block-association.association-id":  none[resource.VPC],
		"is-default":                                  func(r *record) []string { return resource.Bool(r.Data.IsDefault) },
		"isDefault":                                   func(r *record) []string { return resource.Bool(r.Data.IsDefault) },
		"owner-id":                                    func(r *record) []string { return []string{r.Account} },
		"state":                                       func(r *record) []string { return resource.One(r.Data.State) },
		"vpc-id":                                      func(r *record) []string { return []string{r.ID} },
	},
}

// ofRanges filters by a member of the associations of ranges.
func ofRanges(value func(*ec2.VpcCidrBlockAssociation) *string) func(*record) []string {
	return func(r *record) []string { return resource.Each(r.Data.CidrBlockAssociationSet, value) }
}

// none is what everything has under filters that are about what nothing here has.
func none[T any](*resource.Record[T]) []string { return nil }

// DescribeVpcs lists VPCs.
func (v *VPCs) DescribeVpcs(ctx context.Context, in *ec2.DescribeVpcsInput) (*ec2.DescribeVpcsOutput, error) {
	page, next, err := searchVPCs.Run(ctx, v.db, resource.Query{DryRun: in.DryRun, IDs: in.VpcIds, Filters: in.Filters, Max: in.MaxResults, After: in.NextToken})
	out := &ec2.DescribeVpcsOutput{Vpcs: []ec2.Vpc{}, NextToken: next}
	for _, r := range page {
		out.Vpcs = append(out.Vpcs, answer(r))
	}
	return out, err
}
