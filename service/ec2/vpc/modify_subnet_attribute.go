package vpc

import (
	"context"
	"strconv"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// ModifySubnetAttribute changes what interfaces and instances get that are made in a subnet from now on.
func (v *VPCs) ModifySubnetAttribute(ctx context.Context, in *ec2.ModifySubnetAttributeInput) (*ec2.ModifySubnetAttributeOutput, error) {
	var about []iam.About
	set := 0
	if in.PrivateDnsHostnameTypeOnLaunch != nil {
		set++
	}
	for name, value := range map[string]*ec2.AttributeBooleanValue{
		"AssignIpv6AddressOnCreation": in.AssignIpv6AddressOnCreation, "DisableLniAtDeviceIndex": in.DisableLniAtDeviceIndex, "EnableDns64": in.EnableDns64,
		"EnableResourceNameDnsARecordOnLaunch": in.EnableResourceNameDnsARecordOnLaunch, "EnableResourceNameDnsAAAARecordOnLaunch": in.EnableResourceNameDnsAAAARecordOnLaunch,
		"MapCustomerOwnedIpOnLaunch": in.MapCustomerOwnedIpOnLaunch, "MapPublicIpOnLaunch": in.MapPublicIpOnLaunch,
	} {
		if value != nil {
			set++
			about = append(about, iam.Key("ec2:attribute", name), iam.Key("ec2:attribute/"+strings.ToLower(name), strconv.FormatBool(given(value))))
		}
	}
	err := v.db.Update(ctx, func(tx *store.Tx) error {
		s, err := resource.Subnets.FindFor(ctx, tx, "ec2:ModifySubnetAttribute", in.SubnetId, about...)
		if err != nil {
			return err
		}
		names := s.Data.PrivateDnsNameOptionsOnLaunch
		switch {
		case given(in.AssignIpv6AddressOnCreation) || given(in.EnableDns64) || given(in.EnableResourceNameDnsAAAARecordOnLaunch):
			return resource.NoIPv6()
		case given(in.MapCustomerOwnedIpOnLaunch) || in.CustomerOwnedIpv4Pool != nil || in.EnableLniAtDeviceIndex != nil:
			return resource.Unsupported("AWS Outposts")
		case set == 0:
			return api.Errorf(api.Missing, "The request must contain exactly one attribute to modify") // source: guess
		case set > 1:
			return resource.Errorf("InvalidParameterCombination", "Fields for multiple attribute types specified") // source: aws
		case in.PrivateDnsHostnameTypeOnLaunch != nil:
			if t := *in.PrivateDnsHostnameTypeOnLaunch; t != ec2.HostnameTypeIpName && t != ec2.HostnameTypeResourceName {
				return resource.Errorf("InvalidParameterValue", "Value (%s) for parameter privateDnsHostnameTypeOnLaunch is invalid.", t) // source: guess
			}
			names.HostnameType = in.PrivateDnsHostnameTypeOnLaunch
		case in.EnableResourceNameDnsARecordOnLaunch != nil:
			names.EnableResourceNameDnsARecord = new(given(in.EnableResourceNameDnsARecordOnLaunch))
		case in.MapPublicIpOnLaunch != nil:
			s.Data.MapPublicIpOnLaunch = new(given(in.MapPublicIpOnLaunch))
		}
		return resource.Subnets.Put(ctx, tx, s)
	})
	return new(ec2.ModifySubnetAttributeOutput), err
}
