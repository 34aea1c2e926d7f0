package vpn

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// CreateVpnGateway makes a virtual private gateway, which is attached to no VPC yet.
func (v *VPNs) CreateVpnGateway(ctx context.Context, in *ec2.CreateVpnGatewayInput) (*ec2.CreateVpnGatewayOutput, error) {
	tags, err := resource.TagsFor(in.TagSpecifications, resource.VpnGateways.Name)
	if err != nil {
		return nil, err
	}
	if err := resource.VpnGateways.AllowNew(ctx, "ec2:CreateVpnGateway", tags); err != nil {
		return nil, err
	}
	if err := resource.DryRun(in.DryRun); err != nil {
		return nil, err
	}
	if err := checkType(in.Type); err != nil {
		return nil, err
	}
	asn := api.Or(in.AmazonSideAsn, amazonSide)
	if asn < 64512 || asn > 65534 && asn < 4200000000 || asn > 4294967294 {
		return nil, invalid("Value (%d) for parameter amazonSideAsn is invalid. It must be in the range 64512-65534 or 4200000000-4294967294", asn) // source: guess
	}
	if zone := in.AvailabilityZone; api.Or(zone, "") != "" && !slices.Contains(resource.Zones(api.CallFrom(ctx).Region), *zone) {
		return nil, invalid("Invalid availability zone: [%s]", *zone) // source: aws
	}
	id := resource.VpnGateways.NewID()
	g := resource.VpnGateways.New(ctx, id, "", resource.VpnGateway{VpnGateway: ec2.VpnGateway{
		VpnGatewayId: &id, Type: &in.Type, AmazonSideAsn: &asn, State: new(available), AvailabilityZone: in.AvailabilityZone,
	}})
	g.Tags = tags
	err = v.db.Update(ctx, func(tx *store.Tx) error { return resource.VpnGateways.Create(ctx, tx, g) })
	if err != nil {
		return nil, err
	}
	return &ec2.CreateVpnGatewayOutput{VpnGateway: answer(g)}, nil
}

// answer is a virtual private gateway as answers have it.
func answer(g *gateway) *ec2.VpnGateway {
	out := g.Data.VpnGateway
	out.Tags, out.VpcAttachments = resource.TagList(g.Tags), []ec2.VpcAttachment{}
	if g.VPC != "" {
		out.VpcAttachments = append(out.VpcAttachments, attachment(g))
	}
	return &out
}

// attachment is the attachment of a gateway to its VPC.
func attachment(g *gateway) ec2.VpcAttachment {
	return ec2.VpcAttachment{VpcId: &g.VPC, State: new(ec2.AttachmentStatusAttached)}
}
