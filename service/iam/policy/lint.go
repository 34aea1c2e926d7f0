package policy

import (
	"fmt"
	"strings"
)

// Finding is something that AWS stores but that does not do what it seems to say.
type Finding struct {
	// Code names the finding; the codes are the constants of this package.
	Code string
	// Statement is the Sid or number of the statement; empty when it is about the policy.
	Statement string
	// Text is one sentence for a person.
	Text string
}

// The codes of findings.
const (
	// NothingAllowed: a limiting policy without an Allow statement denies everything.
	NothingAllowed = "NothingAllowed"
	// GatewayPrincipal: gateway endpoints know principals only as "*".
	GatewayPrincipal = "GatewayPrincipal"
	// UnknownAction: no action of the service is so named.
	UnknownAction = "UnknownAction"
	// ResourceNeedsStar: the action acts on no resource, so only a Resource of "*" covers it.
	ResourceNeedsStar = "ResourceNeedsStar"
	// ResourceOfOtherType: the action acts on no resource of this form.
	ResourceOfOtherType = "ResourceOfOtherType"
	// UnreadableValue: the value is not of the operator's type and matches nothing.
	UnreadableValue = "UnreadableValue"
	// LiteralWildcard: the operator compares a star or question mark literally.
	LiteralWildcard = "LiteralWildcard"
	// LiteralVariable: without version 2012-10-17, variables are plain text.
	LiteralVariable = "LiteralVariable"
	// UnresolvedVariable: variables resolve only after the fifth colon of a resource.
	UnresolvedVariable = "UnresolvedVariable"
	// AbsentThroughEndpoint: requests through a VPC endpoint carry no such key.
	AbsentThroughEndpoint = "AbsentThroughEndpoint"
)

// Catalog knows which actions exist and what they act on.
type Catalog interface {
	// Names lists the actions of a service, as "ssm:SendCommand"; none for a service it does not know.
	Names(service string) []string
	// Resources lists the ARN patterns of the resources that an action acts on; none when it takes only "*".
	Resources(action string) []string
}

// Lint looks for what AWS accepts but what never, or always, matches. The catalog may be nil; then actions and their
// resources are not looked at.
func Lint(p *Policy, catalog Catalog) []Finding {
	l := linter{policy: p, catalog: catalog}
	allows := false
	for i := range p.statements {
		s := &p.statements[i]
		allows = allows || !s.deny
		if p.kind == GatewayEndpoint && !s.principals.everyone {
			l.add(s, GatewayPrincipal, "A gateway endpoint knows principals only as \"*\": this one names %s and passes at most the root user of an account; use aws:PrincipalArn in a condition.",
				strings.Join(s.principals.list(), ", "))
		}
		l.resources(s)
		l.actions(s)
		for j := range s.conditions {
			l.condition(s, &s.conditions[j])
		}
	}
	limits := p.kind.isEndpoint() || p.kind == Boundary || p.kind == Session || p.kind == SCP
	if !allows && limits {
		l.findings = append([]Finding{{Code: NothingAllowed, Text: fmt.Sprintf("The %s has no Allow statement, so it denies everything.", p.kind)}}, l.findings...)
	}
	return l.findings
}

// linter gathers findings.
type linter struct {
	policy   *Policy
	catalog  Catalog
	findings []Finding
}

// add records a finding about a statement.
func (l *linter) add(s *statement, code, format string, args ...any) {
	l.findings = append(l.findings, Finding{Code: code, Statement: s.label, Text: fmt.Sprintf(format, args...)})
}

// resources looks at the resources of a statement by themselves.
func (l *linter) resources(s *statement) {
	for i := range s.resources {
		r := &s.resources[i]
		switch {
		case r.shape == shapeNever:
			l.add(s, UnresolvedVariable, "The resource %s has a variable before its fifth colon, where none is resolved, so it matches nothing.", r.text)
		case r.vars == 0 && !l.policy.variables && strings.Contains(r.text, "${"):
			l.add(s, LiteralVariable, "The resource %s is taken literally, because the policy is not of version 2012-10-17.", r.text)
		}
	}
}

// actions looks at the actions of a statement and whether its resources suit them.
func (l *linter) actions(s *statement) {
	if l.catalog == nil || s.not {
		return
	}
	for i := range s.actions {
		a := &s.actions[i]
		service, ok := a.service()
		if !ok {
			continue
		}
		names := l.catalog.Names(service)
		if len(names) == 0 {
			continue
		}
		var star, other []string
		known, covered := false, s.everywhere || s.notResource
		for _, name := range names {
			if !a.match(name, nil) {
				continue
			}
			known = true
			switch forms := l.catalog.Resources(name); {
			case covered:
			case len(forms) == 0 && !s.covers("*"):
				star = append(star, name)
			case len(forms) > 0 && !s.overlaps(forms):
				other = append(other, name)
			default:
				covered = true
			}
		}
		// A wildcard that covers some actions usually takes in others that the resources do not suit; that is no mistake.
		switch {
		case !known:
			l.add(s, UnknownAction, "No action of %s is named %s.", service, a.text)
		case covered:
		case len(star) > 0:
			l.add(s, ResourceNeedsStar, "The statement's resources never match %s, for which the resource is always \"*\".", someOf(star))
		default:
			l.add(s, ResourceOfOtherType, "The statement's resources are of no type that %s acts on.", someOf(other))
		}
	}
}

// someOf names a few and counts the rest.
func someOf(names []string) string {
	const most = 4
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// covers tells whether one of the statement's resources matches a text.
func (s *statement) covers(resource string) bool {
	for i := range s.resources {
		if s.resources[i].vars == 0 && s.resources[i].match(resource, nil) {
			return true
		}
	}
	return false
}

// overlaps tells whether some ARN could match both one of the statement's resources and one of the forms.
func (s *statement) overlaps(forms []string) bool {
	for i := range s.resources {
		for _, f := range forms {
			if overlapARN(replaceVariables(s.resources[i].text, func(string) string { return "*" }), f) {
				return true
			}
		}
	}
	return false
}

// overlapARN tells whether some ARN matches both patterns, field by field where both have all fields.
func overlapARN(a, b string) bool {
	x, y := strings.SplitN(a, ":", arnFields), strings.SplitN(b, ":", arnFields)
	if len(x) < arnFields || len(y) < arnFields {
		return overlap(a, b)
	}
	for i := range x {
		if !overlap(x[i], y[i]) {
			return false
		}
	}
	return true
}

// overlap tells whether some text matches both patterns.
func overlap(a, b string) bool {
	// after[j] says whether what is left of a overlaps b[j:].
	after, next := make([]bool, len(b)+1), make([]bool, len(b)+1)
	for i := len(a); i >= 0; i-- {
		for j := len(b); j >= 0; j-- {
			switch {
			case i == len(a) && j == len(b):
				next[j] = true
			case i < len(a) && a[i] == '*':
				next[j] = after[j] || j < len(b) && next[j+1]
			case j < len(b) && b[j] == '*':
				next[j] = next[j+1] || i < len(a) && after[j]
			default:
				next[j] = i < len(a) && j < len(b) && (a[i] == b[j] || a[i] == '?' || b[j] == '?') && after[j+1]
			}
		}
		after, next = next, after
	}
	return after[0]
}

// condition looks at one condition.
func (l *linter) condition(s *statement, c *condition) {
	if lower(c.key) == "aws:sourceip" && l.policy.kind.isEndpoint() {
		l.add(s, AbsentThroughEndpoint, "Requests through a VPC endpoint have no aws:SourceIp; use aws:VpcSourceIp.")
	}
	for i := range c.values {
		v := &c.values[i]
		boolean := c.family == familyBool || c.family == familyNull
		if !v.ok || boolean && !strings.Contains(v.text, "${") && !strings.EqualFold(v.text, "true") && !strings.EqualFold(v.text, "false") {
			l.add(s, UnreadableValue, "%s cannot read %q, so that value of %s matches nothing.", c.name, v.text, c.key)
		}
		switch c.family {
		case familyString, familyFold:
			if strings.ContainsAny(maskVariables(v.text), "*?") {
				l.add(s, LiteralWildcard, "%s compares %q of %s literally; StringLike knows wildcards.", c.name, v.text, c.key)
			}
		}
		if !l.policy.variables && strings.Contains(v.text, "${") {
			l.add(s, LiteralVariable, "The value %q of %s is taken literally, because the policy is not of version 2012-10-17.", v.text, c.key)
		}
	}
}
