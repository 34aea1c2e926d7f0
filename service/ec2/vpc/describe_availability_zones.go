package vpc

import (
	"context"
	"slices"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
)

// zoneFilters are those of DescribeAvailabilityZones. source: userguide, the operation's page
var zoneFilters = map[string]func(*ec2.AvailabilityZone) []string{
	"group-long-name":  func(z *ec2.AvailabilityZone) []string { return resource.One(z.GroupLongName) },
	"group-name":       func(z *ec2.AvailabilityZone) []string { return resource.One(z.GroupName) },
	"message":          func(*ec2.AvailabilityZone) []string { return nil },
	"opt-in-status":    func(z *ec2.AvailabilityZone) []string { return resource.One(z.OptInStatus) },
	"parent-zone-id":   func(z *ec2.AvailabilityZone) []string { return resource.One(z.ParentZoneId) },
	"parent-zone-name": func(z *ec2.AvailabilityZone) []string { return resource.One(z.ParentZoneName) },
	"region-name":      func(z *ec2.AvailabilityZone) []string { return resource.One(z.RegionName) },
	"state":            func(z *ec2.AvailabilityZone) []string { return resource.One(z.State) },
	"zone-id":          func(z *ec2.AvailabilityZone) []string { return resource.One(z.ZoneId) },
	"zone-name":        func(z *ec2.AvailabilityZone) []string { return resource.One(z.ZoneName) },
	"zone-type":        func(z *ec2.AvailabilityZone) []string { return resource.One(z.ZoneType) },
}

// DescribeAvailabilityZones lists the zones of the Region.
func (v *VPCs) DescribeAvailabilityZones(ctx context.Context, in *ec2.DescribeAvailabilityZonesInput) (*ec2.DescribeAvailabilityZonesOutput, error) {
	region := api.CallFrom(ctx).Region
	if err := iam.Allow(ctx, "ec2:DescribeAvailabilityZones", "*", iam.Key("ec2:region", region)); err != nil {
		return nil, err
	}
	if err := resource.DryRun(in.DryRun); err != nil {
		return nil, err
	}
	list := []ec2.AvailabilityZone{}
	zones := resource.Zones(region)
	for _, zone := range zones {
		list = append(list, ec2.AvailabilityZone{
			ZoneName: &zone, ZoneId: new(resource.ZoneID(zone)), RegionName: &region, State: new(ec2.AvailabilityZoneStateAvailable), OptInStatus: new(noOptIn),
			GroupName: new(region + "-zg-1"), NetworkBorderGroup: &region, ZoneType: new("availability-zone"), Messages: []ec2.AvailabilityZoneMessage{},
		})
	}
	for _, name := range in.ZoneNames {
		if !slices.Contains(zones, name) {
			return nil, resource.Errorf("InvalidParameterValue", "Invalid availability zone: [%s]", name) // source: aws
		}
	}
	for _, id := range in.ZoneIds {
		if !slices.ContainsFunc(zones, func(zone string) bool { return resource.ZoneID(zone) == id }) {
			return nil, resource.Errorf("InvalidParameterValue", "Invalid availability zone-id: [%s]", id) // source: aws
		}
	}
	list = slices.DeleteFunc(list, func(z ec2.AvailabilityZone) bool {
		return len(in.ZoneNames) > 0 && !slices.Contains(in.ZoneNames, *z.ZoneName) || len(in.ZoneIds) > 0 && !slices.Contains(in.ZoneIds, *z.ZoneId)
	})
	list, err := resource.Select(list, in.Filters, zoneFilters)
	return &ec2.DescribeAvailabilityZonesOutput{AvailabilityZones: list}, err
}

// noOptIn is the status of zones and Regions that are there without being asked for.
const noOptIn = "opt-in-not-required"

// noZone is the error for a zone that the Region does not have. source: aws
func noZone(parameter, value string, zones []string) error {
	return resource.Errorf("InvalidParameterValue", "Value (%s) for parameter %s is invalid. Subnets can currently only be created in the following availability zones: %s.",
		value, parameter, strings.Join(zones, ", "))
}
