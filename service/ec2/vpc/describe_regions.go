package vpc

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
)

// regions are those of AWS's partition aws. Here none needs to be asked for, and a server answers in any Region that it is
// called with, so that the caller's own is always one. source: userguide, "AWS Regions"
var regions = []string{
	"af-south-1", "ap-east-1", "ap-east-2", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-south-2", "ap-southeast-1",
	"ap-southeast-2", "ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ap-southeast-6", "ap-southeast-7", "ca-central-1", "ca-west-1", "eu-central-1", "eu-central-2",
	"eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-2", "eu-west-3", "il-central-1", "me-central-1", "me-south-1", "mx-central-1",
	"sa-east-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2",
}

// regionFilters are those of DescribeRegions. source: userguide, the operation's page
var regionFilters = map[string]func(*ec2.Region) []string{
	"endpoint":      func(r *ec2.Region) []string { return resource.One(r.Endpoint) },
	"opt-in-status": func(r *ec2.Region) []string { return resource.One(r.OptInStatus) },
	"region-name":   func(r *ec2.Region) []string { return resource.One(r.RegionName) },
}

// DescribeRegions lists the Regions.
func (v *VPCs) DescribeRegions(ctx context.Context, in *ec2.DescribeRegionsInput) (*ec2.DescribeRegionsOutput, error) {
	own := api.CallFrom(ctx).Region
	if err := iam.Allow(ctx, "ec2:DescribeRegions", "*", iam.Key("ec2:region", own)); err != nil {
		return nil, err
	}
	if err := resource.DryRun(in.DryRun); err != nil {
		return nil, err
	}
	names := regions
	if !slices.Contains(names, own) {
		names = append(slices.Clone(names), own)
	}
	for _, name := range in.RegionNames {
		if !slices.Contains(names, name) {
			return nil, resource.Errorf("InvalidParameterValue", "Invalid region: [%s]", name) // source: aws
		}
	}
	list := []ec2.Region{}
	for _, name := range names {
		if len(in.RegionNames) == 0 || slices.Contains(in.RegionNames, name) {
			list = append(list, ec2.Region{RegionName: &name, Endpoint: new("ec2." + name + ".amazonaws.com"), OptInStatus: new(noOptIn)})
		}
	}
	list, err := resource.Select(list, in.Filters, regionFilters)
	return &ec2.DescribeRegionsOutput{Regions: list}, err
}
