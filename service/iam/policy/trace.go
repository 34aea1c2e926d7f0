package policy

// Match is a statement that applies to a request, as iam:Simulate* reports it.
type Match struct {
	// Kind is what the policy is attached as, or what it is for a policy that names principals.
	Kind Kind
	// Policy and Statement say which.
	Policy, Statement string
	// Deny tells a Deny statement from an Allow.
	Deny bool
	// Start and End are where the statement stands in the document.
	Start, End Position
}

// Trace lists every statement that applies to the request, layer by layer, without deciding. It looks at all that it is
// given, whatever the principal is.
func Trace(req *Request, p *Policies) []Match {
	e := newEvaluation(req, p)
	var list []Match
	add := func(kind Kind, policies []Attached) {
		for i := range policies {
			a := &policies[i]
			if a.Policy == nil {
				continue
			}
			for j := range a.statements {
				s := &a.statements[j]
				if e.matchAction(s) && e.matchResource(s) && e.matchPrincipal(a.kind, s) != notNamed && e.matchConditions(s) {
					list = append(list, Match{
						Kind: reported(kind, a.kind), Policy: a.Name, Statement: s.label, Deny: s.deny, Start: s.start, End: s.end,
					})
				}
			}
		}
	}
	for i := range p.SCP {
		add(SCP, p.SCP[i].Policies)
	}
	add(Endpoint, p.Endpoint.Policies)
	add(Resource, p.Resource)
	add(Identity, p.Identity)
	add(Boundary, p.Boundary.Policies)
	add(Session, p.Session.Policies)
	return list
}
