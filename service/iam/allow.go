package iam

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/service/iam/policy"
)

// About is something that an authorization is about, beside the action and the resource.
type About func(*question)

// question is an authorization being decided.
type question struct {
	call     *api.Call
	resource []policy.Attached
	account  string
	tags     map[string]string // of the resource
	request  map[string]string // tags in the request
	tagKeys  []string          // names of the tags in the request
	named    string            // how a refusal names the resource
	alias    string            // another ARN of the resource
	keys     map[string][]string
}

// ResourceTags are the tags of the resource: aws:ResourceTag/…, and ssm:resourceTag/… and the like.
func ResourceTags(tags map[string]string) About { return func(q *question) { q.tags = tags } }

// RequestTags are the tags that the request would set: aws:RequestTag/… and aws:TagKeys.
func RequestTags(tags map[string]string) About {
	return func(q *question) { q.request, q.tagKeys = tags, slices.Sorted(maps.Keys(tags)) }
}

// TagKeys are the names of the tags that the request would take away: aws:TagKeys.
func TagKeys(names []string) About { return func(q *question) { q.tagKeys = names } }

// Named is how a refusal names the resource, where AWS does not name it by its ARN: a form with the
// name that the request gave, so that the answer does not tell whether there is such a resource.
func Named(form, name string) About {
	return func(q *question) { q.named = fmt.Sprintf(form, name) }
}

// Alias is another ARN under which policies know the resource.
func Alias(arn string) About { return func(q *question) { q.alias = arn } }

// Key is a condition key of the service's own, such as ssm:DocumentType. The name is in lower case.
func Key(name string, values ...string) About {
	return func(q *question) {
		if q.keys == nil {
			q.keys = map[string][]string{}
		}
		q.keys[name] = values
	}
}

// ResourcePolicy is a policy of the resource itself: a role's trust policy, a bucket's policy.
func ResourcePolicy(name string, p *policy.Policy) About {
	return func(q *question) { q.resource = append(q.resource, policy.Attached{Name: name, Policy: p}) }
}

// Owner is the account that the resource belongs to, where it is not the caller's.
func Owner(account string) About { return func(q *question) { q.account = account } }

// Allow asks whether the caller may do an action to a resource, and records the answer with its
// reason. It returns nil, or AccessDenied in AWS's words.
func Allow(ctx context.Context, action, resource string, about ...About) error {
	call := api.CallFrom(ctx)
	d, message := decide(call, action, resource, about)
	call.Decide(api.Decision{Action: action, Resource: resource, Allowed: d.Allowed, Reason: reason(&d)})
	if d.Allowed {
		return nil
	}
	return api.Errorf(api.AccessDenied, "%s", message)
}

// AllowUngranted is Allow for what needs no grant, and why: AWS's own exceptions, such as
// GetCallerIdentity, and calls that are proved by something else than a signature. The policy of the
// VPC endpoint through which the call came may refuse it nonetheless.
func AllowUngranted(ctx context.Context, action, why string, about ...About) error {
	call := api.CallFrom(ctx)
	q, request := newQuestion(call, action, "*", about)
	d := api.Decision{Action: action, Resource: "*", Allowed: true, Reason: why}
	var err error
	if e := endpointOf(call); e != nil {
		filtered := policy.Filter(request, &e.layer)
		if d.Allowed = filtered.Allowed; !d.Allowed {
			d.Reason = reason(&filtered)
			err = api.Errorf(api.AccessDenied, "%s", e.named(&filtered, filtered.Message(q.shown(request))))
		}
	}
	call.Decide(d)
	return err
}

// Refuse records a refusal that is not a policy's, and returns the error.
func Refuse(ctx context.Context, action, resource string, err *api.Error) error {
	api.CallFrom(ctx).Decide(api.Decision{Action: action, Resource: resource, Reason: err.Message})
	return err
}

// Allowed is Allow for one of many resources: it says why not, but neither records nor fails.
func Allowed(ctx context.Context, action, resource string, about ...About) (ok bool, why string) {
	d, message := decide(api.CallFrom(ctx), action, resource, about)
	return d.Allowed, message
}

// reason is what the audit trail keeps of a decision.
func reason(d *policy.Decision) string {
	if !d.Allowed {
		return d.Explain()
	}
	if d.Policy == "" {
		return "allowed by " + d.By.String()
	}
	return "allowed by " + d.By.String() + " " + d.Policy + ", statement " + d.Statement
}

// newQuestion gathers what an authorization is about.
func newQuestion(call *api.Call, action, resource string, about []About) (*question, *policy.Request) {
	q := &question{call: call}
	for _, a := range about {
		a(q)
	}
	request := &policy.Request{Action: action, Resource: resource, Alias: q.alias, ResourceAccount: q.account}
	p, ok := call.Principal.(*Principal)
	if ok {
		request.Principal = p.Principal
		p.noteUse(call)
	}
	request.Context.Fallback = func(key string) []string { return q.key(p, key) }
	return q, request
}

// shown is the request as a refusal names it.
func (q *question) shown(request *policy.Request) *policy.Request {
	if q.named != "" {
		request.Resource = q.named
	}
	return request
}

// decide evaluates all policies that apply to a call, and gives AWS's words for a refusal.
func decide(call *api.Call, action, resource string, about []About) (policy.Decision, string) {
	q, request := newQuestion(call, action, resource, about)
	policies := &policy.Policies{Resource: q.resource}
	if p, ok := call.Principal.(*Principal); ok {
		policies.Identity, policies.Boundary, policies.Session = p.grants.identity, p.grants.boundary, p.session
	}
	e := endpointOf(call)
	if e != nil {
		policies.Endpoint = e.layer
	}
	d := policy.Evaluate(request, policies)
	return d, e.named(&d, d.Message(q.shown(request)))
}

// key gives a condition key's values. Keys that no policy asks for cost nothing.
func (q *question) key(p *Principal, name string) []string {
	name = strings.ToLower(name)
	if values, ok := q.keys[name]; ok {
		return values
	}
	if values := q.requestKey(name); values != nil {
		return values
	}
	if p != nil {
		return p.key(name)
	}
	return nil
}

// requestKey gives the keys that are about the request and the resource.
func (q *question) requestKey(name string) []string {
	call := q.call
	e := endpointOf(call)
	if e != nil {
		if values := e.key(call, name); values != nil {
			return values
		}
	}
	if prefix, tag, ok := strings.Cut(name, "/"); ok {
		switch prefix {
		case "aws:resourcetag", "ssm:resourcetag", "iam:resourcetag", "ec2:resourcetag":
			return tagValue(q.tags, tag)
		case "aws:requesttag":
			return tagValue(q.request, tag)
		}
		return nil
	}
	switch name {
	case "aws:currenttime":
		return []string{call.Time.UTC().Format("2006-01-02T15:04:05Z")}
	case "aws:epochtime":
		return []string{strconv.FormatInt(call.Time.Unix(), 10)}
	case "aws:requestedregion":
		return []string{call.Region}
	case "aws:securetransport":
		return []string{strconv.FormatBool(call.TLS)}
	case "aws:sourceip":
		if call.SourceIP.IsValid() && e == nil { // through an endpoint it is aws:VpcSourceIp
			return []string{call.SourceIP.String()}
		}
	case "aws:useragent":
		return []string{call.UserAgent}
	case "aws:viaawsservice", "aws:principalisawsservice":
		return []string{"false"}
	case "aws:resourceaccount":
		if q.account != "" {
			return []string{q.account}
		}
		return []string{call.Account}
	case "aws:tagkeys":
		return q.tagKeys
	}
	return nil
}

// key gives the keys that are about the caller.
func (p *Principal) key(name string) []string {
	if tag, ok := strings.CutPrefix(name, "aws:principaltag/"); ok {
		return tagValue(p.tags, tag)
	}
	one := func(value string) []string {
		if value == "" {
			return nil
		}
		return []string{value}
	}
	switch name {
	case "aws:principalarn":
		if p.Principal.RoleARN != "" {
			return one(p.Principal.RoleARN)
		}
		return one(p.Principal.ARN)
	case "aws:principalaccount":
		return one(p.Account)
	case "aws:principaltype":
		switch p.Principal.Type {
		case policy.User:
			return one("User")
		case policy.Root:
			return one("Account")
		case policy.FederatedUser:
			return one("FederatedUser")
		}
		return one("AssumedRole")
	case "aws:userid":
		return one(p.ID)
	case "aws:username":
		return one(p.name)
	case "aws:sourceidentity":
		return one(p.identity)
	case "aws:tokenissuetime":
		if !p.issued.IsZero() {
			return one(p.issued.UTC().Format("2006-01-02T15:04:05Z"))
		}
	}
	if p.made != nil {
		return one(p.made.Keys[name])
	}
	return nil
}

// tagValue finds a tag, whose name is compared whatever its case, as condition keys are.
func tagValue(tags map[string]string, name string) []string {
	for key, value := range tags {
		if strings.EqualFold(key, name) {
			return []string{value}
		}
	}
	return nil
}
