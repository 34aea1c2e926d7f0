package vpc

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// CreateVpc makes a VPC with its default security group, default network ACL and main route table.
func (v *VPCs) CreateVpc(ctx context.Context, in *ec2.CreateVpcInput) (*ec2.CreateVpcOutput, error) {
	tags, err := resource.TagsFor(in.TagSpecifications, resource.VPCs.Name)
	if err != nil {
		return nil, err
	}
	if err := resource.VPCs.AllowNew(ctx, "ec2:CreateVpc", tags); err != nil {
		return nil, err
	}
	if err := resource.DryRun(in.DryRun); err != nil {
		return nil, err
	}
	switch {
	case api.Or(in.AmazonProvidedIpv6CidrBlock, false) || in.Ipv6CidrBlock != nil || in.Ipv6Pool != nil || in.Ipv6IpamPoolId != nil:
		return nil, resource.NoIPv6()
	case in.Ipv4IpamPoolId != nil:
		return nil, resource.Unsupported("IPAM")
	case in.VpcEncryptionControl != nil:
		return nil, resource.Unsupported("VPC Encryption Control")
	case api.Or(in.InstanceTenancy, ec2.TenancyDefault) != ec2.TenancyDefault:
		return nil, resource.Unsupported("The tenancy " + *in.InstanceTenancy)
	case in.CidrBlock == nil:
		return nil, api.Errorf(api.Missing, "Either 'cidrBlock' or 'ipv4IpamPoolId' should be provided.") // source: aws
	}
	cidr, err := rangeOf(*in.CidrBlock)
	if err != nil {
		return nil, err
	}
	ids := newIDs()
	out := new(ec2.CreateVpcOutput)
	err = v.db.Update(ctx, func(tx *store.Tx) error {
		r, err := create(ctx, tx, ids, cidr, tags, false)
		if err != nil {
			return err
		}
		out.Vpc = new(answer(r))
		return nil
	})
	return out, err
}
