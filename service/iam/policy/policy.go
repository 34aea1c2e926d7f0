// Package policy is AWS's policy language and its evaluator: it reads a policy document, says whether AWS would store
// it, and decides a request against every policy that applies, with the reason. It is pure: no clock, no store, no
// network. The same decision feeds AccessDenied messages, the doctor and iam:Simulate*.
//
// It keeps nothing and uses no sibling. Where AWS's guides leave a question open, the answer taken here is named in the
// comment beside it; the tests say for every expected text and outcome where it comes from.
package policy

// Kind is the place a policy document is written for. It decides the grammar, AWS's words for errors, and how the
// policy takes part in an evaluation.
type Kind uint8

// The kinds of policy.
const (
	// Identity is a policy of a user, group or role: managed or inline.
	Identity Kind = iota
	// Boundary is the managed policy set as the permissions boundary of a user or role.
	Boundary
	// Session is a policy passed to an AssumeRole* operation or to GetFederationToken.
	Session
	// SCP is a service control policy of an organisation.
	SCP
	// Resource is a policy of a resource, such as a bucket.
	Resource
	// Trust is the trust policy of a role: it must allow, whatever identity policies say.
	Trust
	// Key is the policy of a KMS key: it must allow, or delegate to the account.
	Key
	// Endpoint is the policy of an interface endpoint: a filter that never grants.
	Endpoint
	// GatewayEndpoint is the policy of a gateway endpoint: as Endpoint, but it knows principals only as "*".
	GatewayEndpoint
)

// kindNames are AWS's words for the kinds in AccessDenied messages, without an article.
var kindNames = [...]string{
	Identity:        "identity-based policy",
	Boundary:        "permissions boundary",
	Session:         "session policy",
	SCP:             "service control policy",
	Resource:        "resource-based policy",
	Trust:           "role trust policy",
	Key:             "resource-based policy",
	Endpoint:        "VPC endpoint policy",
	GatewayEndpoint: "VPC endpoint policy",
}

// String is AWS's word for the kind, as in "no VPC endpoint policy allows".
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "policy"
}

// namesPrincipals tells whether a statement of this kind must say whom it is for.
func (k Kind) namesPrincipals() bool { return k >= Resource }

// isEndpoint tells whether the kind belongs to a VPC endpoint.
func (k Kind) isEndpoint() bool { return k == Endpoint || k == GatewayEndpoint }

// DefaultEndpointPolicy is the document that AWS attaches to an endpoint created without one.
const DefaultEndpointPolicy = `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`

// Policy is a document compiled for evaluation. It is immutable and safe for concurrent use.
type Policy struct {
	kind       Kind
	variables  bool // version 2012-10-17
	statements []statement
	byService  map[string][]int32 // statements that may match an action of the service; nil when the policy is small
	anyService []int32            // statements that may match an action of any service
}

// Kind is the kind that the document was parsed as.
func (p *Policy) Kind() Kind { return p.kind }

// Position is a place in a policy document; lines and columns count from 1, columns in bytes.
type Position struct{ Line, Column int }

// statement is one compiled statement.
type statement struct {
	label        string // the Sid, or "#2" for the second statement
	deny         bool
	not          bool // the actions come from NotAction
	notResource  bool
	notPrincipal bool
	everywhere   bool // a Resource of "*", or no Resource element (trust policies)
	actions      []pattern
	actionIndex  map[string][]int32 // actions by service; nil when there are few
	anyAction    []int32            // actions that name no single service
	resources    []pattern
	principals   principals
	conditions   []condition
	start, end   Position
}

// few is the number of statements or actions up to which a plain loop beats an index.
const few = 8

// index builds the per-service shortcuts of a large policy.
func (p *Policy) index() {
	for i := range p.statements {
		p.statements[i].index()
	}
	if len(p.statements) <= few {
		return
	}
	p.byService = map[string][]int32{}
	for i := range p.statements {
		s := &p.statements[i]
		services, all := s.services()
		if all {
			for service := range p.byService {
				p.byService[service] = append(p.byService[service], int32(i))
			}
			p.anyService = append(p.anyService, int32(i))
			continue
		}
		for service := range services {
			list, ok := p.byService[service]
			if !ok {
				list = append(list, p.anyService...)
			}
			p.byService[service] = append(list, int32(i))
		}
	}
}

// services lists the services whose actions the statement may match, or reports that it may match any.
func (s *statement) services() (map[string]bool, bool) {
	if s.not {
		return nil, true
	}
	services := map[string]bool{}
	for i := range s.actions {
		service, ok := s.actions[i].service()
		if !ok {
			return nil, true
		}
		services[service] = true
	}
	return services, false
}

// index groups the actions of a long statement by service.
func (s *statement) index() {
	if len(s.actions) <= few {
		return
	}
	s.actionIndex = map[string][]int32{}
	for i := range s.actions {
		if service, ok := s.actions[i].service(); ok {
			s.actionIndex[service] = append(s.actionIndex[service], int32(i))
		} else {
			s.anyAction = append(s.anyAction, int32(i))
		}
	}
}

// ContextKeys lists the condition keys that the policy's conditions and variables read, as written, each once, in order
// of appearance; iam:GetContextKeysForCustomPolicy answers with them.
func (p *Policy) ContextKeys() []string {
	var keys []string
	seen := map[string]bool{}
	add := func(key string) {
		if low := lower(key); key != "" && !seen[low] {
			seen[low] = true
			keys = append(keys, key)
		}
	}
	fromPattern := func(q *pattern) {
		for _, t := range q.tokens {
			if t.kind == tokenVariable {
				add(t.text)
			}
		}
	}
	for i := range p.statements {
		s := &p.statements[i]
		for j := range s.resources {
			fromPattern(&s.resources[j])
		}
		for j := range s.conditions {
			c := &s.conditions[j]
			add(c.key)
			for k := range c.values {
				for l := range c.values[k].patterns {
					fromPattern(&c.values[k].patterns[l])
				}
			}
		}
	}
	return keys
}
