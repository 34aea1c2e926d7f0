package vpc

import (
	"context"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// amazonDNS stands for the VPC's own resolver among name servers.
const amazonDNS = "AmazonProvidedDNS"

// options is a DHCP option set as it is kept.
type options = resource.Record[resource.Dhcp]

// CreateDhcpOptions makes a DHCP option set.
func (v *VPCs) CreateDhcpOptions(ctx context.Context, in *ec2.CreateDhcpOptionsInput) (*ec2.CreateDhcpOptionsOutput, error) {
	tags, err := resource.TagsFor(in.TagSpecifications, resource.DhcpOptions.Name)
	if err != nil {
		return nil, err
	}
	if err := resource.DhcpOptions.AllowNew(ctx, "ec2:CreateDhcpOptions", tags); err != nil {
		return nil, err
	}
	if err := resource.DryRun(in.DryRun); err != nil {
		return nil, err
	}
	configurations, err := configure(in.DhcpConfigurations)
	if err != nil {
		return nil, err
	}
	id := resource.DhcpOptions.NewID()
	out := new(ec2.CreateDhcpOptionsOutput)
	err = v.db.Update(ctx, func(tx *store.Tx) error {
		o := newOptions(ctx, id, configurations)
		o.Tags = tags
		if err := resource.DhcpOptions.Create(ctx, tx, o); err != nil {
			return err
		}
		out.DhcpOptions = new(answerOptions(o))
		return nil
	})
	return out, err
}

// newOptions makes an option set's record.
func newOptions(ctx context.Context, id string, configurations []ec2.DhcpConfiguration) *options {
	o := resource.DhcpOptions.New(ctx, id, "", resource.Dhcp{})
	o.Data.DhcpOptions = ec2.DhcpOptions{DhcpOptionsId: &o.ID, OwnerId: &o.Account, DhcpConfigurations: configurations}
	return o
}

// configure checks the options of a request and orders them by their keys.
func configure(in []ec2.NewDhcpConfiguration) ([]ec2.DhcpConfiguration, error) {
	var list []ec2.DhcpConfiguration
	for _, c := range in {
		var values []string
		for _, v := range c.Values {
			for part := range strings.SplitSeq(v, ",") {
				values = append(values, strings.TrimSpace(part))
			}
		}
		key := api.Or(c.Key, "")
		valid, ok := dhcpKeys[key]
		switch {
		case !ok:
			return nil, resource.Errorf("InvalidParameterValue", "Value (%s) for parameter key is invalid. Unknown DHCP option", key) // source: guess
		case slices.ContainsFunc(list, func(other ec2.DhcpConfiguration) bool { return *other.Key == key }):
			return nil, resource.Errorf("InvalidParameterValue", "Value (%s) for parameter key is invalid. It is given twice", key) // source: guess
		case len(values) == 0 || !valid(values):
			return nil, resource.Errorf("InvalidParameterValue", "Value (%s) for parameter value is invalid. Invalid DHCP option value", strings.Join(values, ", ")) // source: aws
		}
		config := ec2.DhcpConfiguration{Key: &key}
		for _, v := range values {
			config.Values = append(config.Values, ec2.AttributeValue{Value: &v})
		}
		list = append(list, config)
	}
	if len(list) == 0 {
		return nil, api.Errorf(api.Missing, "The request must contain the parameter dhcpConfiguration")
	}
	slices.SortFunc(list, func(a, b ec2.DhcpConfiguration) int { return strings.Compare(*a.Key, *b.Key) })
	return list, nil
}

// mostServers is how many servers an option may name. source: userguide, "DHCP option sets"
const mostServers = 4

// dhcpKeys are the options there are, and what values each may have. Those about IPv6 are not among them.
var dhcpKeys = map[string]func([]string) bool{
	"domain-name":          func(values []string) bool { return len(values) == 1 && domains(values[0]) },
	"domain-name-servers":  func(values []string) bool { return len(values) <= mostServers && all(values, nameServer) },
	"ntp-servers":          servers,
	"netbios-name-servers": servers,
	"netbios-node-type": func(values []string) bool {
		return len(values) == 1 && slices.Contains([]string{"1", "2", "4", "8"}, values[0])
	},
}

// domain is what a domain looks like in which machines can look for names.
var domain = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9.])?$`)

// mostDomains is how many there may be. source: guess
const mostDomains = 32

// domains says whether a value is a domain, or several with spaces between them, which Linux tries one after the other. source:
// userguide, "DHCP option set concepts"
func domains(value string) bool {
	names := strings.Fields(value)
	return len(names) > 0 && len(names) <= mostDomains && len(value) <= 255 && all(names, domain.MatchString)
}

// servers says whether values are addresses of servers.
func servers(values []string) bool { return len(values) <= mostServers && all(values, address) }

// all says whether all values are valid.
func all(values []string, valid func(string) bool) bool {
	return !slices.ContainsFunc(values, func(v string) bool { return !valid(v) })
}

// address says whether a value is an IPv4 address.
func address(value string) bool {
	a, err := netip.ParseAddr(value)
	return err == nil && a.Is4()
}

// nameServer says whether a value is a name server.
func nameServer(value string) bool { return value == amazonDNS || address(value) }

// defaultOptions gives the id of the option set that new VPCs get; it is made with the first VPC, and again when it was
// deleted. source: userguide, "Default DHCP option set"
func defaultOptions(ctx context.Context, tx *store.Tx, id string) (string, error) {
	list, err := resource.DhcpOptions.List(ctx, tx)
	if err != nil {
		return "", err
	}
	for _, o := range list {
		if o.Data.Default {
			return o.ID, nil
		}
	}
	o := newOptions(ctx, id, []ec2.DhcpConfiguration{
		{Key: new("domain-name"), Values: []ec2.AttributeValue{{Value: new(internalDomain(api.CallFrom(ctx).Region))}}},
		{Key: new("domain-name-servers"), Values: []ec2.AttributeValue{{Value: new(amazonDNS)}}},
	})
	o.Data.Default = true
	return id, resource.DhcpOptions.Create(ctx, tx, o)
}

// internalDomain is the domain of private host names in a Region. source: userguide, "DNS attributes for your VPC"
func internalDomain(region string) string {
	if region == "us-east-1" {
		return "ec2.internal"
	}
	return region + ".compute.internal"
}

// answerOptions is an option set as answers have it.
func answerOptions(o *options) ec2.DhcpOptions {
	d := o.Data.DhcpOptions
	d.Tags = resource.TagList(o.Tags)
	return d
}
