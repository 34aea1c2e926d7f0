package endpoint

import (
	"context"
	"slices"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
)

// detailFilters are what services can be filtered by. source: model, "DescribeVpcEndpointServicesRequest"
var detailFilters = map[string]func(*ec2.ServiceDetail) []string{
	"owner":          func(d *ec2.ServiceDetail) []string { return resource.One(d.Owner) },
	"service-name":   func(d *ec2.ServiceDetail) []string { return resource.One(d.ServiceName) },
	"service-region": func(d *ec2.ServiceDetail) []string { return resource.One(d.ServiceRegion) },
	"service-type": func(d *ec2.ServiceDetail) []string {
		return resource.Each(d.ServiceType, func(t *ec2.ServiceTypeDetail) *string { return t.ServiceType })
	},
	"supported-ip-address-types": func(d *ec2.ServiceDetail) []string { return d.SupportedIpAddressTypes },
	"tag-key":                    func(*ec2.ServiceDetail) []string { return nil },
}

// DescribeVpcEndpointServices lists the services that endpoints are offered for.
func (e *Endpoints) DescribeVpcEndpointServices(ctx context.Context, in *ec2.DescribeVpcEndpointServicesInput) (*ec2.DescribeVpcEndpointServicesOutput, error) {
	if err := iam.Allow(ctx, "ec2:DescribeVpcEndpointServices", "*"); err != nil {
		return nil, err
	}
	if err := resource.DryRun(in.DryRun); err != nil {
		return nil, err
	}
	region := api.CallFrom(ctx).Region
	var list []ec2.ServiceDetail
	for _, s := range services {
		if s.in(region) {
			list = append(list, s.details(region)...)
		}
	}
	slices.SortStableFunc(list, func(a, b ec2.ServiceDetail) int { return strings.Compare(*a.ServiceName, *b.ServiceName) })
	for _, name := range in.ServiceNames {
		if _, err := findService(region, name); err != nil {
			return nil, err
		}
	}
	list = slices.DeleteFunc(list, func(d ec2.ServiceDetail) bool {
		return len(in.ServiceNames) > 0 && !slices.Contains(in.ServiceNames, *d.ServiceName) ||
			len(in.ServiceRegions) > 0 && !slices.Contains(in.ServiceRegions, *d.ServiceRegion)
	})
	filters := slices.Clone(in.Filters)
	for i, f := range filters { // no service has tags
		if strings.HasPrefix(api.Or(f.Name, ""), "tag:") {
			filters[i].Name = new("tag-key")
		}
	}
	list, err := resource.Select(list, filters, detailFilters)
	if err != nil {
		return nil, err
	}
	list, next, err := page(list, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeVpcEndpointServicesOutput{ServiceDetails: list, ServiceNames: []string{}, NextToken: next}
	for _, d := range list {
		if !slices.Contains(out.ServiceNames, *d.ServiceName) {
			out.ServiceNames = append(out.ServiceNames, *d.ServiceName)
		}
	}
	return out, nil
}

// page gives a page of services; the token is the id of the last one of the page before.
func page(list []ec2.ServiceDetail, most *int64, after *string) (_ []ec2.ServiceDetail, next *string, err error) {
	if after != nil {
		i := slices.IndexFunc(list, func(d ec2.ServiceDetail) bool { return *d.ServiceId == *after })
		list = list[i+1:]
	}
	if most == nil {
		return list, nil, nil
	}
	if *most < 1 {
		// source: aws
		return nil, nil, resource.Errorf("InvalidParameterValue", "Value ( %d ) for parameter maxResults is invalid. Expecting a value greater than or equal to 1.", *most)
	}
	if n := int(min(*most, 1000)); n < len(list) {
		return list[:n], list[n-1].ServiceId, nil
	}
	return list, nil, nil
}
