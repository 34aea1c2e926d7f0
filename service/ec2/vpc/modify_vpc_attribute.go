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

// ModifyVpcAttribute changes one attribute of a VPC. Endpoints whose private names need an attribute that is switched off keep
// them; the names are not answered while it is off.
func (v *VPCs) ModifyVpcAttribute(ctx context.Context, in *ec2.ModifyVpcAttributeInput) (*ec2.ModifyVpcAttributeOutput, error) {
	var changes []change
	for _, c := range []change{
		{"EnableDnsSupport", in.EnableDnsSupport, func(d *resource.VPC) *bool { return &d.DNSSupport }},
		{"EnableDnsHostnames", in.EnableDnsHostnames, func(d *resource.VPC) *bool { return &d.DNSHostnames }},
		{"EnableNetworkAddressUsageMetrics", in.EnableNetworkAddressUsageMetrics, func(d *resource.VPC) *bool { return &d.UsageMetrics }},
	} {
		if c.value != nil {
			changes = append(changes, c)
		}
	}
	err := v.db.Update(ctx, func(tx *store.Tx) error {
		r, err := resource.VPCs.FindFor(ctx, tx, "ec2:ModifyVpcAttribute", in.VpcId, attributes(changes)...)
		if err != nil {
			return err
		}
		switch {
		case len(changes) == 0:
			return api.Errorf(api.Missing, "The request must contain exactly one attribute to modify") // source: guess
		case len(changes) > 1:
			return resource.Errorf("InvalidParameterCombination", "Fields for multiple attribute types specified") // source: aws
		case in.EnableDnsHostnames != nil && given(in.EnableDnsHostnames) && !r.Data.DNSSupport:
			return resource.Errorf("InvalidParameterCombination", "DNS hostnames can be enabled only when DNS support is enabled") // source: guess
		}
		*changes[0].of(&r.Data) = given(changes[0].value)
		return resource.VPCs.Put(ctx, tx, r)
	})
	return new(ec2.ModifyVpcAttributeOutput), err
}

// change is an attribute that a request sets.
type change struct {
	name  string
	value *ec2.AttributeBooleanValue
	of    func(*resource.VPC) *bool
}

// attributes are the condition keys about what a request sets.
func attributes(changes []change) (about []iam.About) {
	for _, c := range changes {
		about = append(about, iam.Key("ec2:attribute", c.name), iam.Key("ec2:attribute/"+strings.ToLower(c.name), strconv.FormatBool(given(c.value))))
	}
	return about
}
