package resource

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"

	"github.com/vennel/vennel/api"
)

// The public addresses of this network's own internet, which no real host has: 198.18.0.0/15 is kept for such uses (RFC
// 2544). The first half is the services', the second the Elastic IP addresses'.
var (
	ServiceRange = netip.MustParsePrefix("198.18.0.0/16")
	ElasticRange = netip.MustParsePrefix("198.19.0.0/16")
)

// EndpointServices are the services that have public addresses and that endpoints are offered for. source: userguide, "AWS
// services that integrate with AWS PrivateLink"
var EndpointServices = []string{"cloudtrail", "ec2", "ec2messages", "iam", "kms", "logs", "route53resolver", "s3", "ssm", "ssmmessages", "sts"}

// gatewayService is the service with a gateway endpoint.
const gatewayService = "s3"

// regionNumber spreads the Regions over the third byte of the services' addresses. Two Regions may meet: addresses say
// nothing about the Region of a request, its signature and host name do.
func regionNumber(region string) byte {
	h := fnv.New32a()
	_, _ = h.Write([]byte(region))
	return byte(h.Sum32())
}

// ServiceAddress is the public address of a service in a Region.
func ServiceAddress(region, service string) netip.Addr {
	i := slices.Index(EndpointServices, service)
	if i < 0 {
		return netip.Addr{}
	}
	last := byte(10 + i)
	if service == gatewayService {
		last = 130
	}
	return netip.AddrFrom4([4]byte{198, 18, regionNumber(region), last})
}

// AWSPrefixList is a managed prefix list that AWS keeps.
type AWSPrefixList struct {
	ID, Name string
	CIDRs    []netip.Prefix
}

// AWSPrefixLists are those of a Region: S3's addresses, which its gateway endpoint routes.
func AWSPrefixLists(region string) []AWSPrefixList {
	h := fnv.New32a()
	_, _ = h.Write([]byte(region + "/" + gatewayService))
	return []AWSPrefixList{{
		ID: fmt.Sprintf("pl-%08x", h.Sum32()), Name: "com.amazonaws." + region + "." + gatewayService,
		CIDRs: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, regionNumber(region), 128}), 25)},
	}}
}

// ARN is the prefix list's name as policies know it.
func (l *AWSPrefixList) ARN(region string) string {
	return api.ARN("ec2", region, "aws", "prefix-list/"+l.ID)
}

// Zones are a Region's Availability Zones: three, like most of AWS's.
func Zones(region string) []string { return []string{region + "a", region + "b", region + "c"} }
