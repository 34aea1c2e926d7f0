package iam

import (
	"context"
	"encoding/base64"
	"net/netip"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/vennel/vennel/api"
)

// behalf is a caller as work that outlives the request keeps it: enough to ask later what the caller
// may do then. It holds no secret.
type behalf struct {
	Session   session    `json:"s"`
	Account   string     `json:"c"`
	RequestID string     `json:"r"`
	Service   string     `json:"v"`
	Operation string     `json:"o"`
	Region    string     `json:"g"`
	Time      time.Time  `json:"t"`
	SourceIP  netip.Addr `json:"i,omitzero"`
	UserAgent string     `json:"a,omitzero"`
	TLS       bool       `json:"l,omitzero"`
	// Endpoint is the one through which the request came, with the policy that it had.
	Endpoint *EndpointSpec `json:"e,omitzero"`
}

// Save keeps the caller of a request, sealed, for Resume.
func (i *IAM) Save(ctx context.Context) (string, error) {
	call := api.CallFrom(ctx)
	b := behalf{
		Account: call.Account, RequestID: call.RequestID, Service: call.Service, Operation: call.Operation, Region: call.Region, Time: call.Time,
		SourceIP: call.SourceIP, UserAgent: call.UserAgent, TLS: call.TLS,
	}
	if e := endpointOf(call); e != nil {
		b.Endpoint = &e.spec
	}
	if p, ok := call.Principal.(*Principal); ok {
		b.Session = session{KeyID: p.keyID, Owner: p.grants.entity.ID}
		if p.made != nil {
			b.Session = *p.made
			b.Session.Secret = ""
		}
	}
	text, err := json.Marshal(b)
	return base64.StdEncoding.EncodeToString(i.tokens.Seal(text, behalfName)), err
}

// behalfName is the name under which saved callers are sealed.
const behalfName = "on behalf of"

// Resume gives a context in which a saved caller acts again, with what it is granted now. A caller
// that is gone is granted nothing.
func (i *IAM) Resume(ctx context.Context, saved string) (context.Context, error) {
	sealed, err := base64.StdEncoding.DecodeString(saved)
	if err != nil {
		return nil, err
	}
	text, err := i.tokens.Open(sealed, behalfName)
	if err != nil {
		return nil, err
	}
	var b behalf
	if err := json.Unmarshal(text, &b); err != nil {
		return nil, err
	}
	call := &api.Call{
		RequestID: b.RequestID, Service: b.Service, Operation: b.Operation, Region: b.Region, Account: b.Account, Time: b.Time,
		SourceIP: b.SourceIP, UserAgent: b.UserAgent, TLS: b.TLS,
	}
	if b.Endpoint != nil {
		e, err := NewEndpoint(b.Endpoint)
		if err != nil {
			return nil, err
		}
		call.Endpoint = e
	}
	g, err := i.grantsOf(ctx, b.Session.Owner)
	if err != nil {
		return nil, err
	}
	switch {
	case !g.exists:
	case b.Session.Issued == 0:
		call.Principal = i.userPrincipal(g, b.Session.KeyID)
	default:
		if call.Principal, err = i.sessionPrincipal(ctx, g, &b.Session); err != nil {
			return nil, err
		}
	}
	return api.WithCall(ctx, call), nil
}
