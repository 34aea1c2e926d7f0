package vpc

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
)

// searchOptions is DescribeDhcpOptions. source: userguide, the operation's page
var searchOptions = resource.Search[resource.Dhcp]{
	Kind: resource.DhcpOptions, Operation: "DescribeDhcpOptions",
	Filters: resource.Filters[resource.Dhcp]{
		"dhcp-options-id": func(o *options) []string { return []string{o.ID} },
		"key": func(o *options) []string {
			return resource.Each(o.Data.DhcpConfigurations, func(c *ec2.DhcpConfiguration) *string { return c.Key })
		},
		"owner-id": func(o *options) []string { return []string{o.Account} },
		"value": func(o *options) (values []string) {
			for _, c := range o.Data.DhcpConfigurations {
				values = append(values, resource.Each(c.Values, func(v *ec2.AttributeValue) *string { return v.Value })...)
			}
			return values
		},
	},
}

// DescribeDhcpOptions lists DHCP option sets.
func (v *VPCs) DescribeDhcpOptions(ctx context.Context, in *ec2.DescribeDhcpOptionsInput) (*ec2.DescribeDhcpOptionsOutput, error) {
	page, next, err := searchOptions.Run(ctx, v.db, resource.Query{DryRun: in.DryRun, IDs: in.DhcpOptionsIds, Filters: in.Filters, Max: in.MaxResults, After: in.NextToken})
	out := &ec2.DescribeDhcpOptionsOutput{DhcpOptions: []ec2.DhcpOptions{}, NextToken: next}
	for _, o := range page {
		out.DhcpOptions = append(out.DhcpOptions, answerOptions(o))
	}
	return out, err
}
