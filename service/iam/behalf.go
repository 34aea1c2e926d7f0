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
	RequestID string     `json:"r"`
	Service   string     `json:"v"`
	Operation string     `json:"o"`
	Region    string     `json:"g"`
	Time      time.Time  `json:"t"`
	SourceIP  netip.Addr `json:"i,omitzero"`
	UserAgent string     `json:"a,omitzero"`
	TLS       bool       `json:"l,omitzero"`
}

// Save keeps the caller of a request, sealed, for Resume.
func (i *IAM) Save(ctx context.Context) (string, error) {
	call := api.CallFrom(ctx)
	b := behalf{
		RequestID: call.RequestID, Service: call.Service, Operation: call.Operation, Region: call.Region, Time: call.Time,
		SourceIP: call.SourceIP, UserAgent: call.UserAgent, TLS: call.TLS,
	}
	if p, ok := call.Principal.(*Principal); ok {
		e := &p.grants.entity
		b.Session = session{
			KeyID: p.keyID, Account: e.Account, Kind: e.Kind, Owner: e.Key, ID: e.ID, Name: p.sessionName, Policies: p.policies, Tags: p.tags,
			Source: p.source, Issued: unix(p.issued),
		}
	}
	text, err := json.Marshal(b)
	return base64.StdEncoding.EncodeToString(i.tokens.Seal(text, behalfName)), err
}

// behalfName is the name under which saved callers are sealed.
const behalfName = "on behalf of"

// unix is a time in seconds; 0 for none.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

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
	g, err := i.grantsOf(ctx, owner{b.Session.Account, b.Session.Kind, b.Session.Owner})
	if err != nil {
		return nil, err
	}
	call := &api.Call{
		RequestID: b.RequestID, Service: b.Service, Operation: b.Operation, Region: b.Region, Account: b.Session.Account, Time: b.Time,
		SourceIP: b.SourceIP, UserAgent: b.UserAgent, TLS: b.TLS,
	}
	if g.exists && g.entity.ID == b.Session.ID {
		if call.Principal, err = i.sessionPrincipal(g, &b.Session); err != nil {
			return nil, err
		}
	}
	return api.WithCall(ctx, call), nil
}
