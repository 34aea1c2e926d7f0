package vpc

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// DescribeAccountAttributes tells the default VPC and some limits of the account. What AWS no longer means has the value that it
// still gives. source: userguide, the operation's page
func (v *VPCs) DescribeAccountAttributes(ctx context.Context, in *ec2.DescribeAccountAttributesInput) (*ec2.DescribeAccountAttributesOutput, error) {
	if err := iam.Allow(ctx, "ec2:DescribeAccountAttributes", "*", iam.Key("ec2:region", api.CallFrom(ctx).Region)); err != nil {
		return nil, err
	}
	if err := resource.DryRun(in.DryRun); err != nil {
		return nil, err
	}
	out := new(ec2.DescribeAccountAttributesOutput)
	err := v.db.View(ctx, func(tx *store.Tx) error {
		own, err := defaultVPC(ctx, tx)
		if err != nil {
			return err
		}
		id := "none"
		if own != nil {
			id = own.ID
		}
		out.AccountAttributes = []ec2.AccountAttribute{
			attribute(ec2.AccountAttributeNameSupportedPlatforms, "VPC"),
			attribute("vpc-max-security-groups-per-interface", "5"),
			attribute("max-elastic-ips", "5"),
			attribute("max-instances", "20"),
			attribute("vpc-max-elastic-ips", "5"),
			attribute(ec2.AccountAttributeNameDefaultVpc, id),
		}
		return nil
	})
	out.AccountAttributes = slices.DeleteFunc(out.AccountAttributes, func(a ec2.AccountAttribute) bool {
		return len(in.AttributeNames) > 0 && !slices.Contains(in.AttributeNames, *a.AttributeName)
	})
	return out, err
}

// attribute is an attribute with its value.
func attribute(name, value string) ec2.AccountAttribute {
	return ec2.AccountAttribute{AttributeName: &name, AttributeValues: []ec2.AccountAttributeValue{{AttributeValue: &value}}}
}
