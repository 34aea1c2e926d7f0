package policy

import (
	"fmt"
	"strings"
)

// Decision is the outcome of an evaluation and its reason.
type Decision struct {
	// Allowed is the outcome.
	Allowed bool
	// Explicit tells that a Deny statement decided, and not the want of an Allow.
	Explicit bool
	// By is the kind of policy that decided: that granted, denied, or allowed nothing.
	By Kind
	// Policy is the name of the policy that granted or denied; empty when none allowed.
	Policy string
	// Statement is the Sid of the statement that granted or denied, or its number as "#2".
	Statement string
	// Missing are, when no policy of kind By allowed, the Allow statements about the action and what each lacked.
	Missing []Reason
	// Met are, for an explicit deny, the conditions of the denying statement.
	Met []Reason

	action, resource, principal string
}

// Reason is one element of a statement that decided whether it applied, and what the request had for it.
type Reason struct {
	// Policy and Statement say where.
	Policy, Statement string
	// Element is "Condition", "Resource", "NotResource" or "Principal".
	Element string
	// Operator and Key are those of the condition, as written.
	Operator, Key string
	// Want are the values in the policy, variables unresolved.
	Want []string
	// Have are the request's values; none means that the request has no such key.
	Have []string
}

// decision starts a decision about the request.
func (e *evaluation) decision() Decision {
	return Decision{action: e.req.Action, resource: e.req.Resource, principal: e.req.Principal.String()}
}

// allowed is the decision that a verdict grants.
func (e *evaluation) allowed(v *verdict) Decision {
	d := e.decision()
	d.Allowed, d.By, d.Policy = true, v.kind, v.name
	if v.allow != nil {
		d.Statement = v.allow.label
	}
	return d
}

// explicit is the decision of a Deny statement.
func (e *evaluation) explicit(v *verdict) Decision {
	d := e.decision()
	d.Explicit, d.By, d.Policy, d.Statement = true, v.kind, v.name, v.deny.label
	for i := range v.deny.conditions {
		d.Met = append(d.Met, v.deny.conditions[i].reason(v.name, v.deny.label, &e.req.Context))
	}
	return d
}

// implicit is the decision that no policy of a kind allows.
func (e *evaluation) implicit(kind Kind, p *Policies) Decision {
	d := e.decision()
	d.By = kind
	switch kind {
	case SCP:
		for i := range p.SCP {
			if p.SCP[i].exists() && e.all(SCP, p.SCP[i].Policies).allow == nil {
				d.Missing = e.misses(p.SCP[i].Policies)
				break
			}
		}
	case Endpoint:
		d.Missing = e.misses(p.Endpoint.Policies)
	case Boundary:
		d.Missing = e.misses(p.Boundary.Policies)
	case Session:
		d.Missing = e.misses(p.Session.Policies)
	case Identity:
		d.Missing = e.misses(p.Identity)
	default:
		d.Missing = e.misses(p.Resource)
	}
	return d
}

// mostReasons bounds what a decision carries.
const mostReasons = 16

// misses finds the Allow statements about the action that did not match, and why.
func (e *evaluation) misses(policies []Attached) []Reason {
	var list []Reason
	for i := range policies {
		a := &policies[i]
		if a.Policy == nil {
			continue
		}
		for j := range a.statements {
			s := &a.statements[j]
			if s.deny || !e.matchAction(s) {
				continue
			}
			if !e.matchResource(s) {
				m := Reason{Policy: a.Name, Statement: s.label, Element: "Resource", Have: []string{e.req.Resource}}
				if s.notResource {
					m.Element = "NotResource"
				}
				for k := range s.resources {
					m.Want = append(m.Want, s.resources[k].text)
				}
				list = append(list, m)
			}
			if e.matchPrincipal(a.kind, s) == notNamed {
				list = append(list, Reason{Policy: a.Name, Statement: s.label, Element: "Principal", Want: s.principals.list(), Have: []string{e.req.Principal.String()}})
			}
			for k := range s.conditions {
				if c := &s.conditions[k]; !c.match(&e.req.Context) {
					list = append(list, c.reason(a.Name, s.label, &e.req.Context))
				}
			}
			if len(list) >= mostReasons {
				return list
			}
		}
	}
	return list
}

// reason describes a condition and what the request has for its key.
func (c *condition) reason(policy, statement string, ctx *Context) Reason {
	m := Reason{Policy: policy, Statement: statement, Element: "Condition", Operator: c.name, Key: c.key}
	for i := range c.values {
		m.Want = append(m.Want, c.values[i].text)
	}
	m.Have = append(m.Have, ctx.Get(c.key)...)
	return m
}

// list is the element's values, as a reader would write them.
func (e *principals) list() []string {
	var all []string
	if e.everyone {
		all = append(all, "*")
	}
	for _, l := range [][]string{e.accounts, e.arns, e.ids, e.services, e.providers, e.canonical} {
		all = append(all, l...)
	}
	return all
}

// Message is AWS's text for the denial (userguide: "Access denied error message examples"), empty for an allow. The
// resource is left out when it is "*" and quoted for S3 (both aws), and a denying policy is named if it has an ARN and is
// of a kind that AWS names.
func (d Decision) Message(req *Request) string {
	if d.Allowed {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "User: %s is not authorized to perform: %s", req.Principal.String(), req.Action)
	if req.Resource != "" && req.Resource != "*" {
		form := " on resource: %s"
		if strings.HasPrefix(req.Action, "s3:") {
			form = ` on resource: "%s"`
		}
		fmt.Fprintf(&b, form, req.Resource)
	}
	if !d.Explicit {
		fmt.Fprintf(&b, " because no %s allows the %s action", d.By, req.Action)
		return b.String()
	}
	b.WriteString(" with an explicit deny in " + article(d.By) + d.By.String())
	if !d.By.namesPrincipals() && strings.HasPrefix(d.Policy, "arn:") {
		b.WriteString(": " + d.Policy)
	}
	return b.String()
}

// article is the article that AWS puts before a kind.
func article(k Kind) string {
	switch k {
	case Identity:
		return "an "
	case Trust:
		return "the "
	}
	return "a "
}

// Explain says in one or two sentences what decided and what would change it; it is for people and for the audit trail.
func (d Decision) Explain() string {
	on := ""
	if d.resource != "" && d.resource != "*" {
		on = " on " + d.resource
	}
	switch {
	case d.Allowed && d.Statement == "" && d.By == Identity:
		return fmt.Sprintf("%s may do everything in its account.", d.principal)
	case d.Allowed && d.Statement == "":
		return fmt.Sprintf("%s needs no grant for %s, and nothing denies it.", d.principal, d.action)
	case d.Allowed:
		return fmt.Sprintf("%s allows %s%s.", d.where(), d.action, on)
	case d.Explicit && len(d.Met) == 0:
		return fmt.Sprintf("%s denies %s%s, and a deny overrides every allow.", d.where(), d.action, on)
	case d.Explicit:
		return fmt.Sprintf("%s denies %s%s because %s. A deny overrides every allow.", d.where(), d.action, on, joinReasons(d.Met, Reason.met))
	case len(d.Missing) == 0:
		return fmt.Sprintf("No %s has a statement that allows %s%s for %s; add one.", d.By, d.action, on, d.principal)
	}
	near := nearest(d.Missing)
	return fmt.Sprintf("No %s allows %s%s for %s. %s would, but %s.", d.By, d.action, on, d.principal,
		where(near[0].Statement, d.By, near[0].Policy), joinReasons(near, Reason.unmet))
}

// where names the deciding statement.
func (d Decision) where() string { return where(d.Statement, d.By, d.Policy) }

// where names a statement of a policy.
func where(statement string, kind Kind, policy string) string {
	s := "Statement " + statement + " of the " + kind.String()
	if policy != "" {
		s += " " + policy
	}
	return s
}

// nearest are the misses of the statement that lacked least; a statement that lacks only conditions is nearer than one
// about other resources or principals.
func nearest(list []Reason) []Reason {
	var best []Reason
	cost, bestCost := 0, 0
	for from := 0; from < len(list); {
		to := from
		for cost = 0; to < len(list) && list[to].Policy == list[from].Policy && list[to].Statement == list[from].Statement; to++ {
			if cost++; list[to].Element != "Condition" {
				cost += 8
			}
		}
		if best == nil || cost < bestCost {
			best, bestCost = list[from:to], cost
		}
		from = to
	}
	return best
}

// joinReasons writes several misses as one clause.
func joinReasons(list []Reason, say func(Reason) string) string {
	parts := make([]string, len(list))
	for i, m := range list {
		parts[i] = say(m)
	}
	return strings.Join(parts, ", and ")
}

// met says how a request met a condition.
func (m Reason) met() string {
	return m.request() + " and the condition is " + m.condition()
}

// unmet says what a request lacked.
func (m Reason) unmet() string {
	switch m.Element {
	case "Resource":
		return "it is about " + strings.Join(m.Want, " or ")
	case "NotResource":
		return "it leaves out " + strings.Join(m.Want, " and ")
	case "Principal":
		return "it is for " + strings.Join(m.Want, " or ")
	}
	return "it asks for " + m.condition() + " and " + m.request()
}

// condition writes a condition in the policy's own words.
func (m Reason) condition() string {
	return m.Operator + " " + m.Key + " " + quoteList(m.Want)
}

// request says what the request has for the condition's key.
func (m Reason) request() string {
	if len(m.Have) == 0 {
		return "the request has no " + m.Key
	}
	return "the request has " + m.Key + " " + quoteList(m.Have)
}

// quoteList quotes values and joins them.
func quoteList(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = fmt.Sprintf("%q", v)
	}
	return strings.Join(quoted, " or ")
}
