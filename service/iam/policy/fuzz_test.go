package policy

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

// seedDocuments are documents of every kind and form, for the fuzz targets.
var seedDocuments = []string{
	DefaultEndpointPolicy,
	`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`,
	`{"Version":"2012-10-17","Id":"x","Statement":[{"Sid":"A","Effect":"Deny","NotAction":["iam:*","sts:Get?aller*"],"NotResource":["arn:aws:s3:::b/${aws:username}/*",null],"Condition":{"StringLike":{"aws:PrincipalTag/team":["${*}a*","${aws:x, 'y'}"]},"NumericLessThan":{"a:n":10},"DateGreaterThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"},"Bool":{"aws:SecureTransport":false},"IpAddress":{"aws:SourceIp":"10.0.0.0/8"},"Null":{"aws:TokenIssueTime":"true"},"ForAllValues:ArnNotLike":{"a:arn":"arn:aws:ssm:*:1:*"},"BinaryEquals":{"a:b":"QQ=="}}}]}`,
	`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ssm.amazonaws.com","AWS":["111111111111","arn:aws:iam::111111111111:user/ana"],"Federated":"accounts.google.com"},"Action":"sts:AssumeRole"}]}`,
	`{"Statement":[{"Effect":"Deny","NotPrincipal":{"AWS":["111111111111","arn:aws:iam::111111111111:user/ana"]},"Action":"s3:*","Resource":"arn:aws:s3:us-*-1:1:x?y"}]}`,
	`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:s3"},{"Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"StringNotEqualsIfExists":{"aws:SourceVpce":"vpce-1"}}}]}`,
}

// kinds are all kinds of policy.
var kinds = []Kind{Identity, Boundary, Session, SCP, Resource, Trust, Key, Endpoint, GatewayEndpoint}

// FuzzParse looks for panics, for errors without words, for policies without statements, and for kinds that disagree.
func FuzzParse(f *testing.F) {
	for i, doc := range seedDocuments {
		f.Add([]byte(doc), uint8(i))
	}
	f.Fuzz(func(t *testing.T, doc []byte, k uint8) {
		kind := kinds[int(k)%len(kinds)]
		p, err := Parse(doc, kind)
		if err != nil {
			var s *SyntaxError
			if p != nil || !errors.As(err, &s) || s.Message == "" {
				t.Fatalf("policy %v with error %v", p, err)
			}
			return
		}
		if len(doc) > maxBytes || !utf8.Valid(doc) || len(p.statements) == 0 || p.Kind() != kind {
			t.Fatalf("accepted %q", doc)
		}
		for i := range p.statements {
			s := &p.statements[i]
			if s.start.Line < 1 || s.end.Line < s.start.Line || s.label == "" {
				t.Fatalf("statement %d at %v to %v", i, s.start, s.end)
			}
		}
		p.ContextKeys()
		Lint(p, nil)
		again, err := Parse(append([]byte(" \n"), doc...), kind)
		if err == nil && len(again.statements) != len(p.statements) {
			t.Fatalf("white space changed %q", doc)
		}
	})
}

// slowMatch is a plain recursive matcher to measure the fast ones by. With arn, a wildcard before the fifth colon that does
// not end its field stays in it.
func slowMatch(pattern, s string, colons int, arn bool) bool {
	if pattern == "" {
		return s == ""
	}
	head := arn && colons < 5
	switch pattern[0] {
	case '*':
		rest := strings.TrimLeft(pattern, "*")
		stay := head && rest != "" && rest[0] != ':'
		for i := 0; ; i += width(s[i:]) {
			if slowMatch(rest, s[i:], colons, arn) {
				return true
			}
			if i == len(s) || stay && s[i] == ':' {
				return false
			}
		}
	case '?':
		return s != "" && !(head && s[0] == ':') && slowMatch(pattern[1:], s[width(s):], colons, arn)
	case ':':
		colons++
	}
	return s != "" && s[0] == pattern[0] && slowMatch(pattern[1:], s[1:], colons, arn)
}

// FuzzMatch compares the matchers with the plain one, with and without variables.
func FuzzMatch(f *testing.F) {
	for _, s := range [][3]string{
		{"arn:aws:s3:::b/*/test/*", "arn:aws:s3:::b/1/test/x", ""}, {"a*b*c", "aXbXbXc", "b"}, {"*a?c", "aaabc", "a"},
		{"arn:a*s:x:?:*:y", "arn:aws:x:1:2:3:y", ":"}, {"**", "", ""}, {"é?*", "éñx", "ñ"}, {"*aab*aab", "aaabaaab", "aa"},
	} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, pattern, s, v string) {
		// The plain matcher takes exponential time, and AWS's texts are valid UTF-8, where the two define characters alike.
		if len(pattern) > 24 || len(s) > 24 || len(v) > 8 || strings.Count(pattern+v, "*") > 5 || !utf8.ValidString(pattern) || !utf8.ValidString(s) || !utf8.ValidString(v) {
			return
		}
		for _, arn := range []bool{false, true} {
			p := compile(pattern, syntax{wild: true, arn: arn})
			if got, want := p.match(s, nil), slowMatch(pattern, s, 0, arn); got != want {
				t.Fatalf("arn %v: %q matches %q: %v, want %v", arn, pattern, s, got, want)
			}
		}
		folded := compile(pattern, syntax{wild: true, fold: true})
		if got, want := folded.match(s, nil), slowMatch(lower(pattern), lower(s), 0, false); got != want {
			t.Fatalf("folded: %q matches %q: %v, want %v", pattern, s, got, want)
		}
		plain := compile(pattern, syntax{})
		if got := plain.match(s, nil); got != (pattern == s) {
			t.Fatalf("plain: %q matches %q: %v", pattern, s, got)
		}
		if strings.ContainsAny(pattern, "${}") || strings.ContainsAny(v, "*?") {
			return
		}
		var ctx Context
		ctx.Set("k:v", v)
		for cut := range pattern {
			with := compile(pattern[:cut]+"${K:V}"+pattern[cut:], syntax{wild: true, vars: true})
			if got, want := with.match(s, &ctx), slowMatch(pattern[:cut]+v+pattern[cut:], s, 0, false); got != want {
				t.Fatalf("variable: %q with %q at %d matches %q: %v, want %v", pattern, v, cut, s, got, want)
			}
		}
		if got, want := overlap(pattern, strings.NewReplacer("*", "", "?", "").Replace(s)), slowMatch(pattern, strings.NewReplacer("*", "", "?", "").Replace(s), 0, false); got != want && isASCII(pattern+s) {
			t.Fatalf("overlap(%q, %q) = %v, want %v", pattern, s, got, want)
		}
	})
}

// isASCII tells whether a text has only single-byte characters.
func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// people are the principals of FuzzEvaluate.
var people = []Principal{userAna, roleDev, fedBob, rootOne, service, nobody, nodeOne, oidc}

// FuzzEvaluate gives arbitrary policies and requests and checks the laws that hold for all of them.
func FuzzEvaluate(f *testing.F) {
	for i, a := range seedDocuments {
		for j, b := range seedDocuments {
			f.Add(a, b, "s3:GetObject", "arn:aws:s3:::b/k", "aws:username=ana\naws:SourceVpce=vpce-2", uint16(i*len(seedDocuments)+j))
		}
	}
	f.Fuzz(func(t *testing.T, one, two, action, resource, keys string, mix uint16) {
		if len(one)+len(two)+len(action)+len(resource)+len(keys) > 1<<13 {
			return
		}
		req := Request{Action: action, Resource: resource, Principal: people[int(mix)%len(people)], Context: contextOf(strings.Split(keys, "\n")...)}
		if mix&0x100 != 0 {
			req.ResourceAccount = "222222222222"
		}
		p := &Policies{}
		for i, doc := range []string{one, two} {
			for _, kind := range kinds {
				parsed, err := Parse([]byte(doc), kind)
				if err != nil {
					continue
				}
				a := Attached{Name: kind.String(), Policy: parsed}
				switch slot := (int(mix>>9) + i) % 7; {
				case kind == Identity && slot%2 == 0:
					p.Identity = append(p.Identity, a)
				case kind == Boundary && slot == 1:
					p.Boundary.Policies = append(p.Boundary.Policies, a)
				case kind == Session && slot == 2:
					p.Session.Policies = append(p.Session.Policies, a)
				case kind == SCP && slot == 3:
					p.SCP = append(p.SCP, Layer{Policies: []Attached{a}})
				case kind == Resource && slot >= 4, kind == Trust, kind == Key && slot == 5:
					p.Resource = append(p.Resource, a)
				case kind == Endpoint && slot == 6, kind == GatewayEndpoint && slot == 3:
					p.Endpoint.Policies = append(p.Endpoint.Policies, a)
				}
			}
		}
		checkLaws(t, &req, p)
	})
}

// everything is a policy of each kind that allows, or denies, everything to everyone.
var everything = sync.OnceValue(func() map[string]map[Kind][]Attached {
	all := map[string]map[Kind][]Attached{}
	for _, effect := range []string{"Allow", "Deny"} {
		all[effect] = map[Kind][]Attached{}
		for _, kind := range []Kind{SCP, Identity, Boundary, Session, Endpoint, Resource} {
			doc := `{"Version":"2012-10-17","Statement":[{"Effect":"` + effect + `","Action":"*","Resource":"*"}]}`
			if kind.namesPrincipals() {
				doc = strings.Replace(doc, `"Action"`, `"Principal":"*","Action"`, 1)
			}
			p, err := Parse([]byte(doc), kind)
			if err != nil {
				panic(err)
			}
			all[effect][kind] = []Attached{{Name: effect, Policy: p}}
		}
	}
	return all
})

// checkLaws checks what must hold of every evaluation.
func checkLaws(t *testing.T, req *Request, p *Policies) {
	t.Helper()
	d := Evaluate(req, p)
	if d.Allowed != (d.Message(req) == "") || d.Explain() == "" || d.Allowed && d.Explicit {
		t.Fatalf("decision %+v, message %q", d, d.Message(req))
	}
	if again := Evaluate(req, p); again.Explain() != d.Explain() {
		t.Fatalf("twice: %s and %s", d.Explain(), again.Explain())
	}
	denies := false
	for _, m := range Trace(req, p) {
		denies = denies || m.Deny
	}
	if d.Explicit && !denies {
		t.Fatalf("explicit deny without a statement: %s", d.Explain())
	}

	join := func(a, b []Attached) []Attached { return append(append([]Attached{}, a...), b...) }

	more := *p
	more.Identity = join(p.Identity, everything()["Allow"][Identity])
	if d.Allowed && !Evaluate(req, &more).Allowed {
		t.Fatalf("an Allow in an identity policy denied: %s", Evaluate(req, &more).Explain())
	}
	through := *p
	through.Endpoint = Layer{Policies: join(p.Endpoint.Policies, everything()["Allow"][Endpoint])}
	without := *p
	without.Endpoint = Layer{}
	if Evaluate(req, &through).Allowed && !Evaluate(req, &without).Allowed {
		t.Fatal("an endpoint policy granted")
	}
	for _, kind := range []Kind{SCP, Identity, Boundary, Session, Endpoint, Resource} {
		less := *p
		switch deny := everything()["Deny"][kind]; kind {
		case SCP:
			less.SCP = append(append([]Layer{}, p.SCP...), Layer{Policies: deny})
		case Identity:
			less.Identity = join(p.Identity, deny)
		case Boundary:
			less.Boundary = Layer{Policies: join(p.Boundary.Policies, deny)}
		case Session:
			less.Session = Layer{Policies: join(p.Session.Policies, deny)}
		case Endpoint:
			less.Endpoint = Layer{Policies: join(p.Endpoint.Policies, deny)}
		default:
			less.Resource = join(p.Resource, deny)
		}
		got := Evaluate(req, &less)
		if got.Allowed && !d.Allowed {
			t.Fatalf("a Deny in the %s allowed", kind)
		}
		who := req.Principal.Type
		bound := map[Kind]bool{
			SCP: who != Service && who != Anonymous && who != Federated, Endpoint: true, Resource: true,
			Identity: who == User || who == AssumedRole || who == FederatedUser,
			Boundary: who == User || who == AssumedRole || who == FederatedUser,
			Session:  who == User || who == AssumedRole || who == FederatedUser || who == Root,
		}
		if bound[kind] && (got.Allowed || !got.Explicit) {
			t.Fatalf("a Deny of everything in the %s left %+v", kind, got)
		}
	}
}
