package vpc

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// CreateDefaultSubnet makes the default subnet of a zone, in the default VPC.
func (v *VPCs) CreateDefaultSubnet(ctx context.Context, in *ec2.CreateDefaultSubnetInput) (*ec2.CreateDefaultSubnetOutput, error) {
	call := api.CallFrom(ctx)
	if err := iam.Allow(ctx, "ec2:CreateDefaultSubnet", "*", iam.Key("ec2:region", call.Region)); err != nil {
		return nil, err
	}
	if err := resource.DryRun(in.DryRun); err != nil {
		return nil, err
	}
	if api.Or(in.Ipv6Native, false) {
		return nil, resource.NoIPv6()
	}
	if in.AvailabilityZone == nil && in.AvailabilityZoneId == nil {
		return nil, api.Errorf(api.Missing, "The request must contain the parameter availabilityZone")
	}
	zone, err := zoneOf(ctx, in.AvailabilityZone, in.AvailabilityZoneId)
	if err != nil {
		return nil, err
	}
	ids := newSubnetIDs()
	out := new(ec2.CreateDefaultSubnetOutput)
	err = v.db.Update(ctx, func(tx *store.Tx) error {
		vpc, err := defaultVPC(ctx, tx)
		if err != nil {
			return err
		}
		if vpc == nil {
			return resource.Errorf("DefaultVpcDoesNotExist", "There is no default VPC for this account in this region.") // source: userguide
		}
		subnets, err := resource.Subnets.Of(ctx, tx, vpc.ID)
		if err != nil {
			return err
		}
		for _, s := range subnets {
			if *s.Data.DefaultForAz && *s.Data.AvailabilityZone == zone {
				return resource.Errorf("DefaultSubnetAlreadyExistsInAvailabilityZone", "'%s' is already the default subnet in %s.", s.ID, zone) // source: aws
			}
		}
		if err := createDefaultSubnet(ctx, tx, ids, vpc, zone); err != nil {
			return err
		}
		s, err := resource.Subnets.Find(ctx, tx, ids.subnet)
		if err != nil {
			return err
		}
		answers, err := answerSubnets(ctx, tx, []*subnet{s})
		if err != nil {
			return err
		}
		out.Subnet = &answers[0]
		return nil
	})
	return out, err
}
