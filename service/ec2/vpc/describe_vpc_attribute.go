package vpc

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DescribeVpcAttribute tells one attribute of a VPC.
func (v *VPCs) DescribeVpcAttribute(ctx context.Context, in *ec2.DescribeVpcAttributeInput) (*ec2.DescribeVpcAttributeOutput, error) {
	out := new(ec2.DescribeVpcAttributeOutput)
	err := v.db.View(ctx, func(tx *store.Tx) error {
		r, err := resource.VPCs.FindFor(ctx, tx, "ec2:DescribeVpcAttribute", in.VpcId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		out.VpcId = &r.ID
		switch in.Attribute {
		case ec2.VpcAttributeNameEnableDnsSupport:
			out.EnableDnsSupport = &ec2.AttributeBooleanValue{Value: &r.Data.DNSSupport}
		case ec2.VpcAttributeNameEnableDnsHostnames:
			out.EnableDnsHostnames = &ec2.AttributeBooleanValue{Value: &r.Data.DNSHostnames}
		case ec2.VpcAttributeNameEnableNetworkAddressUsageMetrics:
			out.EnableNetworkAddressUsageMetrics = &ec2.AttributeBooleanValue{Value: &r.Data.UsageMetrics}
		default:
			return resource.Errorf("InvalidParameterValue", "Value (%s) for parameter attribute is invalid. Unknown attribute.", in.Attribute) // source: aws
		}
		return nil
	})
	return out, err
}
