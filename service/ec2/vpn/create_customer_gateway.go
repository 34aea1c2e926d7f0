package vpn

import (
	"context"
	"net/netip"
	"strconv"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// CreateCustomerGateway makes what stands for a site on-premises: the site whose public address it names. The same request again
// answers the same customer gateway. source: userguide, the operation's page
func (v *VPNs) CreateCustomerGateway(ctx context.Context, in *ec2.CreateCustomerGatewayInput) (*ec2.CreateCustomerGatewayOutput, error) {
	tags, err := resource.TagsFor(in.TagSpecifications, resource.CustomerGateways.Name)
	if err != nil {
		return nil, err
	}
	if err := resource.CustomerGateways.AllowNew(ctx, "ec2:CreateCustomerGateway", tags); err != nil {
		return nil, err
	}
	if err := resource.DryRun(in.DryRun); err != nil {
		return nil, err
	}
	id := resource.CustomerGateways.NewID()
	data, err := readCustomer(id, in)
	if err != nil {
		return nil, err
	}
	out := new(ec2.CreateCustomerGatewayOutput)
	err = v.db.Update(ctx, func(tx *store.Tx) error {
		list, err := resource.CustomerGateways.List(ctx, tx)
		if err != nil {
			return err
		}
		for _, c := range list {
			if *c.Data.IpAddress == *data.IpAddress && number(&c.Data) == number(data) {
				out.CustomerGateway = answerCustomer(c)
				return nil
			}
		}
		c := resource.CustomerGateways.New(ctx, id, "", *data)
		c.Tags = tags
		out.CustomerGateway = answerCustomer(c)
		return resource.CustomerGateways.Create(ctx, tx, c)
	})
	return out, err
}

// mostSmall is the most of a number that BgpAsn can say. source: model, "CreateCustomerGatewayRequest"
const mostSmall = 2147483647

// readCustomer reads a request.
func readCustomer(id string, in *ec2.CreateCustomerGatewayInput) (*resource.CustomerGateway, error) {
	if err := checkType(in.Type); err != nil {
		return nil, err
	}
	address := in.IpAddress
	if address == nil {
		address = in.PublicIp
	}
	switch {
	case in.CertificateArn != nil:
		return nil, resource.Unsupported("A certificate of a customer gateway")
	case address == nil:
		return nil, api.Errorf(api.Missing, "The request must contain the parameter ipAddress") // source: aws
	case in.BgpAsn != nil && in.BgpAsnExtended != nil:
		return nil, resource.Errorf("InvalidParameterCombination", "The parameter bgpAsn cannot be used with the parameter bgpAsnExtended") // source: guess
	}
	a, err := netip.ParseAddr(*address)
	if err != nil || !a.Is4() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return nil, invalid("Value (%s) for parameter ipAddress is invalid. Invalid IPv4 address", *address) // source: aws
	}
	c := &resource.CustomerGateway{CustomerGateway: ec2.CustomerGateway{
		CustomerGatewayId: &id, State: new("available"), Type: &in.Type, IpAddress: new(a.String()), DeviceName: in.DeviceName,
	}}
	asn := api.Or(in.BgpAsnExtended, api.Or(in.BgpAsn, customerSide))
	if asn < 1 || asn > 1<<32-1 || in.BgpAsnExtended == nil && asn > mostSmall {
		return nil, invalid("Value (%d) for parameter bgpAsn is invalid. Invalid BGP ASN", asn) // source: aws
	}
	if text := strconv.FormatInt(asn, 10); asn > mostSmall {
		c.BgpAsnExtended = &text
	} else {
		c.BgpAsn = &text
	}
	return c, nil
}

// number is a customer gateway's autonomous system number.
func number(c *resource.CustomerGateway) string {
	return api.Or(c.BgpAsn, api.Or(c.BgpAsnExtended, ""))
}

// answerCustomer is a customer gateway as answers have it.
func answerCustomer(c *customer) *ec2.CustomerGateway {
	out := c.Data.CustomerGateway
	out.Tags = resource.TagList(c.Tags)
	return &out
}
