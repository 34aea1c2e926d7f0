package policy

import "strings"

// Attached is a policy under the name by which reasons call it: an ARN, the name of an inline policy, or the id of the
// endpoint or resource that it belongs to. A nil Policy is one that allows nothing.
type Attached struct {
	Name string
	*Policy
}

// Layer is a set of policies that limits what others grant. The zero Layer is absent and limits nothing; a layer that is
// Present, or has policies, must allow a request in at least one of them.
type Layer struct {
	Present  bool
	Policies []Attached
}

// exists tells whether the layer limits.
func (l *Layer) exists() bool { return l.Present || len(l.Policies) > 0 }

// Policies are all the policies that apply to a request.
type Policies struct {
	// SCP has one layer per level of the organisation: root, each unit, account. Every level must allow.
	SCP []Layer
	// Identity are the policies of the user and its groups, or of the role.
	Identity []Attached
	// Boundary is the permissions boundary of the user or role.
	Boundary Layer
	// Session are the policies passed when the session began. A federated user without any may do nothing that a
	// resource policy does not grant it.
	Session Layer
	// Endpoint is the policy of the VPC endpoint through which the request came.
	Endpoint Layer
	// Resource are the policies of the resource. For a role it must hold its trust policy, for a key its key policy: those
	// kinds are what makes the evaluation ask for more than identity policies.
	Resource []Attached
}

// Request is what is to be authorised.
type Request struct {
	// Action is the service's prefix and the name of the action, as in "ssm:SendCommand".
	Action string
	// Resource is the ARN acted upon, or "*" for actions that know no resource.
	Resource string
	// Alias is another ARN under which policies know the resource; empty for none. What is said of either holds.
	Alias string
	// Principal is who asks.
	Principal Principal
	// ResourceAccount is the account that owns the resource; empty means the principal's.
	ResourceAccount string
	// Context are the condition keys.
	Context Context
}

// Evaluate decides a request. An explicit deny anywhere wins. Otherwise every service control layer and the endpoint's
// policy must allow; then, within one account, an identity policy or a resource policy must allow, and across accounts
// both; boundary and session policies limit whatever a resource policy does not grant to the very user or session.
// Trust and key policies must allow, or delegate by naming the account.
func Evaluate(req *Request, p *Policies) Decision {
	e := newEvaluation(req, p)
	who := req.Principal.Type
	account := who == User || who == AssumedRole || who == FederatedUser
	limited := account || who == Root || who == Node

	var endpoint, resource, identity, boundary, session verdict
	everyLevel := true
	if limited {
		for i := range p.SCP {
			level := e.all(SCP, p.SCP[i].Policies)
			if level.deny != nil {
				return e.explicit(&level)
			}
			everyLevel = everyLevel && (level.allow != nil || !p.SCP[i].exists())
		}
	}
	if endpoint = e.all(Endpoint, p.Endpoint.Policies); endpoint.deny != nil {
		return e.explicit(&endpoint)
	}
	if resource = e.all(Resource, p.Resource); resource.deny != nil {
		return e.explicit(&resource)
	}
	if account {
		if identity = e.all(Identity, p.Identity); identity.deny != nil {
			return e.explicit(&identity)
		}
		if boundary = e.all(Boundary, p.Boundary.Policies); boundary.deny != nil {
			return e.explicit(&boundary)
		}
	}
	if account || who == Root {
		if session = e.all(Session, p.Session.Policies); session.deny != nil {
			return e.explicit(&session)
		}
	}

	if !everyLevel {
		return e.implicit(SCP, p)
	}
	if p.Endpoint.exists() && endpoint.allow == nil {
		return e.implicit(Endpoint, p)
	}
	required := requiredKind(p.Resource)
	sameAccount := req.ResourceAccount == "" || req.ResourceAccount == req.Principal.Account
	sessionLimits := p.Session.exists() || who == FederatedUser

	switch {
	case who == Node:
		return e.allowed(&verdict{kind: Endpoint})
	case !limited:
		if resource.strength == notNamed {
			return e.implicit(required, p)
		}
		return e.allowed(&resource)
	case who == Root:
		if (!sameAccount || required != Resource) && resource.strength == notNamed {
			return e.implicit(required, p)
		}
		if sessionLimits && session.allow == nil {
			return e.implicit(Session, p)
		}
		return e.allowed(&verdict{kind: Identity})
	case sameAccount && resource.strength == namesDirect:
		return e.allowed(&resource)
	case sameAccount && required != Resource && resource.strength == notNamed:
		return e.implicit(required, p)
	}
	granted := &identity
	if sameAccount && resource.strength == namesRole {
		granted = &resource
	}
	if granted.allow == nil {
		return e.implicit(Identity, p)
	}
	if e.boundary && boundary.allow == nil {
		return e.implicit(Boundary, p)
	}
	if sessionLimits && session.allow == nil {
		return e.implicit(Session, p)
	}
	if !sameAccount && resource.strength == notNamed {
		return e.implicit(required, p)
	}
	return e.allowed(granted)
}

// Filter decides a request that needs no grant: only the policy of the VPC endpoint through which it came may refuse it.
func Filter(req *Request, endpoint *Layer) Decision {
	e := newEvaluation(req, &Policies{Endpoint: *endpoint})
	v := e.all(Endpoint, endpoint.Policies)
	switch {
	case v.deny != nil:
		return e.explicit(&v)
	case endpoint.exists() && v.allow == nil:
		return e.implicit(Endpoint, &Policies{Endpoint: *endpoint})
	}
	return e.allowed(&v)
}

// requiredKind is the kind of resource policy that must take part in an allow, Resource when none must.
func requiredKind(resource []Attached) Kind {
	for i := range resource {
		if k := resource[i].kindOr(Resource); k != Resource {
			return k
		}
	}
	return Resource
}

// kindOr is the kind of the policy, or another when there is none.
func (a *Attached) kindOr(k Kind) Kind {
	if a.Policy == nil {
		return k
	}
	return a.Policy.kind
}

// evaluation is the state of one Evaluate.
type evaluation struct {
	req      *Request
	service  string // the action's service in lower case
	boundary bool   // the principal has a permissions boundary
}

// newEvaluation prepares an evaluation of the request.
func newEvaluation(req *Request, p *Policies) evaluation {
	service, _, _ := strings.Cut(req.Action, ":")
	return evaluation{req: req, service: lower(service), boundary: p.Boundary.exists()}
}

// verdict is what the policies of one kind say.
type verdict struct {
	deny, allow *statement
	name        string // the policy of deny or allow
	kind        Kind
	strength    strength // of the strongest allow that names principals
}

// all asks policies of one kind, stopping at the first that denies.
func (e *evaluation) all(kind Kind, policies []Attached) verdict {
	v := verdict{kind: kind}
	for i := range policies {
		p := policies[i].Policy
		if p == nil {
			continue
		}
		if p.byService == nil {
			for j := range p.statements {
				if e.one(&v, &policies[i], &p.statements[j]) {
					return v
				}
			}
			continue
		}
		candidates, ok := p.byService[e.service]
		if !ok {
			candidates = p.anyService
		}
		for _, j := range candidates {
			if e.one(&v, &policies[i], &p.statements[j]) {
				return v
			}
		}
	}
	return v
}

// one asks one statement and reports whether it denies.
func (e *evaluation) one(v *verdict, a *Attached, s *statement) bool {
	if !s.deny && v.allow != nil && (!a.kind.namesPrincipals() || v.strength == namesDirect) {
		return false // nothing to gain
	}
	if !e.matchAction(s) || !e.matchResource(s) {
		return false
	}
	named := e.matchPrincipal(a.kind, s)
	if named == notNamed || !e.matchConditions(s) {
		return false
	}
	if s.deny {
		v.deny, v.name, v.kind = s, a.Name, reported(v.kind, a.kind)
		return true
	}
	if v.allow == nil || named > v.strength {
		v.allow, v.name, v.strength, v.kind = s, a.Name, named, reported(v.kind, a.kind)
	}
	return false
}

// reported is the kind that a decision names: a managed policy counts as what it is attached as, a resource's policy as
// what it is.
func reported(slot, own Kind) Kind {
	if own.namesPrincipals() {
		return own
	}
	return slot
}

// matchAction tells whether the statement is about the action.
func (e *evaluation) matchAction(s *statement) bool {
	action := e.req.Action
	if s.actionIndex == nil {
		for i := range s.actions {
			if s.actions[i].match(action, nil) {
				return !s.not
			}
		}
		return s.not
	}
	for _, i := range s.actionIndex[e.service] {
		if s.actions[i].match(action, nil) {
			return !s.not
		}
	}
	for _, i := range s.anyAction {
		if s.actions[i].match(action, nil) {
			return !s.not
		}
	}
	return s.not
}

// matchResource tells whether the statement is about the resource.
func (e *evaluation) matchResource(s *statement) bool {
	if s.everywhere {
		return true
	}
	for i := range s.resources {
		if s.resources[i].match(e.req.Resource, &e.req.Context) || e.req.Alias != "" && s.resources[i].match(e.req.Alias, &e.req.Context) {
			return !s.notResource
		}
	}
	return s.notResource
}

// matchPrincipal is how strongly the statement names the principal. NotPrincipal catches every user and role that has a
// permissions boundary, listed or not (userguide: NotPrincipal).
func (e *evaluation) matchPrincipal(kind Kind, s *statement) strength {
	if !kind.namesPrincipals() {
		return namesDirect
	}
	p := &e.req.Principal
	if s.notPrincipal {
		if s.principals.exempts(p) && !(e.boundary && (p.Type == User || p.Type == AssumedRole)) {
			return notNamed
		}
		return namesDirect
	}
	return s.principals.match(p, kind == GatewayEndpoint)
}

// matchConditions tells whether every condition of the statement holds.
func (e *evaluation) matchConditions(s *statement) bool {
	for i := range s.conditions {
		if !s.conditions[i].match(&e.req.Context) {
			return false
		}
	}
	return true
}
