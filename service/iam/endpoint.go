package iam

import (
	"fmt"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/service/iam/policy"
)

// EndpointSpec is what an Endpoint is made of.
type EndpointSpec struct {
	ID      string `json:"i"`
	VPC     string `json:"v"`
	Account string `json:"a"`
	Region  string `json:"r"`
	Service string `json:"s"`
	Gateway bool   `json:"g,omitzero"`
	Policy  string `json:"p"`
	Carried bool   `json:"c,omitzero"` // by a gateway, into another network
}

// Endpoint is a VPC endpoint through which a request has come, with its policy of that moment.
type Endpoint struct {
	spec  EndpointSpec
	layer policy.Layer
}

var _ api.Endpoint = (*Endpoint)(nil)

// NewEndpoint makes an endpoint, whose policy must allow whatever comes through it.
func NewEndpoint(s *EndpointSpec) (*Endpoint, error) {
	p, err := policy.Parse([]byte(s.Policy), EndpointPolicy(s.Gateway))
	if err != nil {
		return nil, fmt.Errorf("iam: the policy of %s: %w", s.ID, err)
	}
	return &Endpoint{*s, policy.Layer{Present: true, Policies: []policy.Attached{{Name: s.ID, Policy: p}}}}, nil
}

// EndpointPolicy is the kind of policy that an endpoint has.
func EndpointPolicy(gateway bool) policy.Kind {
	if gateway {
		return policy.GatewayEndpoint
	}
	return policy.Endpoint
}

// ID is vpce-….
func (e *Endpoint) ID() string { return e.spec.ID }

// VPCID is the VPC that the endpoint is in.
func (e *Endpoint) VPCID() string { return e.spec.VPC }

// AccountID is the account that the endpoint belongs to.
func (e *Endpoint) AccountID() string { return e.spec.Account }

// Region is the Region of the endpoint and of the service behind it.
func (e *Endpoint) Region() string { return e.spec.Region }

// Service is the service behind it.
func (e *Endpoint) Service() string { return e.spec.Service }

// Carried says whether a gateway has brought the request.
func (e *Endpoint) Carried() bool { return e.spec.Carried }

// ByGateway is the endpoint for requests that a gateway brings.
func (e *Endpoint) ByGateway() *Endpoint {
	carried := *e
	carried.spec.Carried = true
	return &carried
}

// key gives the condition keys that only requests through an endpoint have. source: userguide, "AWS global condition context
// keys"
func (e *Endpoint) key(call *api.Call, name string) []string {
	switch name {
	case "aws:sourcevpce":
		return []string{e.spec.ID}
	case "aws:sourcevpc":
		return []string{e.spec.VPC}
	case "aws:sourcevpcarn":
		return []string{api.ARN("ec2", e.spec.Region, e.spec.Account, "vpc/"+e.spec.VPC)}
	case "aws:vpceaccount":
		return []string{e.spec.Account}
	case "aws:vpcsourceip":
		if call.SourceIP.IsValid() {
			return []string{call.SourceIP.String()}
		}
	}
	return nil
}

// endpointOf is the endpoint through which a call has come, or nil.
func endpointOf(call *api.Call) *Endpoint {
	e, _ := call.Endpoint.(*Endpoint)
	return e
}

// named adds to a refusal by an endpoint's policy which endpoint it is, and which statement. AWS's words come first.
func (e *Endpoint) named(d *policy.Decision, message string) string {
	if e == nil || d.Allowed || d.By != policy.Endpoint && d.By != policy.GatewayEndpoint {
		return message
	}
	message += ": " + e.spec.ID
	if d.Statement != "" {
		message += ", statement " + d.Statement
	}
	return message
}
