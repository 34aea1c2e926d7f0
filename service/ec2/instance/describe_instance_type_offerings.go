package instance

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
)

// offeringFilters are what offerings can be filtered by. source: model, "DescribeInstanceTypeOfferingsRequest"
var offeringFilters = map[string]func(*ec2.InstanceTypeOffering) []string{
	"instance-type": func(o *ec2.InstanceTypeOffering) []string { return resource.One(o.InstanceType) },
	"location":      func(o *ec2.InstanceTypeOffering) []string { return resource.One(o.Location) },
}

// DescribeInstanceTypeOfferings describes where there are which types: every one everywhere, that the host's programs run on.
func (s *Instances) DescribeInstanceTypeOfferings(
	ctx context.Context, in *ec2.DescribeInstanceTypeOfferingsInput,
) (*ec2.DescribeInstanceTypeOfferingsOutput, error) {
	region := api.CallFrom(ctx).Region
	if err := iam.Allow(ctx, "ec2:DescribeInstanceTypeOfferings", "*", iam.Key("ec2:region", region)); err != nil {
		return nil, err
	}
	if err := resource.DryRun(in.DryRun); err != nil {
		return nil, err
	}
	kind := api.Or(in.LocationType, ec2.LocationTypeRegion)
	var places []string
	switch kind {
	case ec2.LocationTypeRegion:
		places = []string{region}
	case ec2.LocationTypeAvailabilityZone:
		places = resource.Zones(region)
	case ec2.LocationTypeAvailabilityZoneId:
		for _, z := range resource.Zones(region) {
			places = append(places, resource.ZoneID(z))
		}
	case ec2.LocationTypeOutpost:
	default:
		return nil, invalid("Value (%s) for parameter locationType is invalid.", kind) // source: guess
	}
	list := []ec2.InstanceTypeOffering{}
	for i := range kinds {
		for _, p := range places {
			if kinds[i].fits() == nil {
				list = append(list, ec2.InstanceTypeOffering{InstanceType: &kinds[i].name, LocationType: &kind, Location: new(p)})
			}
		}
	}
	list, err := resource.Select(list, in.Filters, offeringFilters)
	if err != nil {
		return nil, err
	}
	page, next, err := resource.Page(list, in.MaxResults, in.NextToken, 5, 1000)
	return &ec2.DescribeInstanceTypeOfferingsOutput{InstanceTypeOfferings: page, NextToken: next}, err
}
