package endpoint

import (
	"slices"
	"strings"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
)

// owner is who owns the services. source: aws
const owner = "amazon"

// service is a service that endpoints are offered for.
type service struct {
	name    string
	gateway bool   // there are gateway endpoints, too
	only    string // the one Region that has it, "" for all
}

// services are those of resource.EndpointServices. IAM has one Region, and no Region in its names. source: userguide,
// "AWS services that integrate with AWS PrivateLink", "IAM interface VPC endpoints"
var services = func() (list []*service) {
	for _, name := range resource.EndpointServices {
		s := &service{name: name, gateway: name == "s3"}
		if name == "iam" {
			s.only = "us-east-1"
		}
		list = append(list, s)
	}
	return list
}()

// in says whether a Region has the service.
func (s *service) in(region string) bool { return s.only == "" || s.only == region }

// full is the name under which endpoints for a service are made.
func (s *service) full(region string) string {
	if s.only != "" {
		return "com.amazonaws." + s.name
	}
	return "com.amazonaws." + region + "." + s.name
}

// privateNames are the names that an endpoint with private DNS takes over in its VPC.
func (s *service) privateNames(region string) []string {
	name := s.name + "." + region + ".amazonaws.com"
	switch {
	case s.only != "":
		return []string{s.name + ".amazonaws.com"}
	case s.gateway:
		return []string{name, "*." + name}
	}
	return []string{name}
}

// findService finds the service of a full name. source: aws
func findService(region, full string) (*service, error) {
	i := slices.IndexFunc(services, func(s *service) bool { return s.in(region) && s.full(region) == full })
	if i < 0 {
		return nil, resource.Errorf("InvalidServiceName", "The Vpc Endpoint Service '%s' does not exist", full)
	}
	return services[i], nil
}

// types are the types of endpoints that a service has.
func (s *service) types() []string {
	if s.gateway {
		return []string{ec2.VpcEndpointTypeGateway, ec2.VpcEndpointTypeInterface}
	}
	return []string{ec2.VpcEndpointTypeInterface}
}

// details are what AWS tells of a service, one for each type of endpoint.
func (s *service) details(region string) (list []ec2.ServiceDetail) {
	zones := resource.Zones(region)
	ids := make([]string, len(zones))
	for i, z := range zones {
		ids[i] = resource.ZoneID(z)
	}
	for _, kind := range s.types() {
		d := ec2.ServiceDetail{
			ServiceName: new(s.full(region)), ServiceId: new(s.id(region, kind)), ServiceType: []ec2.ServiceTypeDetail{{ServiceType: new(kind)}},
			ServiceRegion: new(region), AvailabilityZones: zones, AvailabilityZoneIds: ids, Owner: new(owner),
			BaseEndpointDnsNames: []string{s.name + "." + region + ".vpce.amazonaws.com"}, VpcEndpointPolicySupported: new(true),
			AcceptanceRequired: new(false), ManagesVpcEndpoints: new(false), Tags: []ec2.Tag{}, SupportedIpAddressTypes: []string{"ipv4"},
		}
		if kind == ec2.VpcEndpointTypeGateway {
			d.BaseEndpointDnsNames = []string{s.name + "." + region + ".amazonaws.com"}
		} else {
			d.PrivateDnsName, d.PrivateDnsNameVerificationState = new(s.privateNames(region)[0]), new(ec2.DnsNameStateVerified)
			for _, name := range s.privateNames(region) {
				d.PrivateDnsNames = append(d.PrivateDnsNames, ec2.PrivateDnsDetails{PrivateDnsName: new(name)})
			}
		}
		list = append(list, d)
	}
	return list
}

// id is the id of a service, of which nothing is known but its form.
func (s *service) id(region, kind string) string {
	return "vpce-svc-" + strings.ToLower((hostedZone(region+"/"+s.name+"/"+kind) + "00000000000000000")[1:18])
}
