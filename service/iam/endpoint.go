package iam

import (
	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/service/iam/policy"
)

// Endpoint is a VPC endpoint through which a request has come, with its policy of that moment.
type Endpoint struct {
	id, vpc, account, region, service string
	layer                             policy.Layer
}

var _ api.Endpoint = (*Endpoint)(nil)

// NewEndpoint makes an endpoint with its policy, which must allow whatever comes through it.
func NewEndpoint(id, vpc, account, region, service string, p *policy.Policy) *Endpoint {
	return &Endpoint{id, vpc, account, region, service, policy.Layer{Present: true, Policies: []policy.Attached{{Name: id, Policy: p}}}}
}

// ID is vpce-….
func (e *Endpoint) ID() string { return e.id }

// VPCID is the VPC that the endpoint is in.
func (e *Endpoint) VPCID() string { return e.vpc }

// AccountID is the account that the endpoint belongs to.
func (e *Endpoint) AccountID() string { return e.account }

// Region is the Region of the endpoint and of the service behind it.
func (e *Endpoint) Region() string { return e.region }

// Service is the service behind it.
func (e *Endpoint) Service() string { return e.service }

// key gives the condition keys that only requests through an endpoint have. source: userguide, "AWS global condition context
// keys"
func (e *Endpoint) key(call *api.Call, name string) []string {
	switch name {
	case "aws:sourcevpce":
		return []string{e.id}
	case "aws:sourcevpc":
		return []string{e.vpc}
	case "aws:sourcevpcarn":
		return []string{api.ARN("ec2", e.region, e.account, "vpc/"+e.vpc)}
	case "aws:vpceaccount":
		return []string{e.account}
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
	message += ": " + e.id
	if d.Statement != "" {
		message += ", statement " + d.Statement
	}
	return message
}
