package policy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestEvaluateLaws draws policies and requests from a small world in which statements often apply, and checks the laws:
// a Deny never allows more, an Allow in an identity policy never denies, an endpoint policy never grants.
func TestEvaluateLaws(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	statement := func(principal bool) string {
		var b strings.Builder
		fmt.Fprintf(&b, `{"Effect":%q`, pick("Allow", "Allow", "Allow", "Deny"))
		if principal {
			fmt.Fprintf(&b, `,"Principal":%s`, pick(`"*"`, `{"AWS":"111111111111"}`, `{"AWS":"arn:aws:iam::111111111111:user/ana"}`,
				`{"AWS":"arn:aws:iam::111111111111:role/team/dev"}`, `{"AWS":"arn:aws:sts::111111111111:assumed-role/dev/s1"}`, `{"Service":"ssm.amazonaws.com"}`))
		}
		fmt.Fprintf(&b, `,%q:%q`, pick("Action", "Action", "NotAction"), pick("s3:GetObject", "s3:*", "*", "ec2:*"))
		fmt.Fprintf(&b, `,%q:%q`, pick("Resource", "Resource", "NotResource"), pick("*", "arn:aws:s3:::b/*", "arn:aws:s3:::b/${aws:username}", "arn:aws:s3:::other"))
		if r.IntN(2) == 0 {
			fmt.Fprintf(&b, `,"Condition":{%q:{"aws:SourceVpc":"vpc-1"}}`, pick("StringEquals", "StringNotEquals", "StringEqualsIfExists", "ForAllValues:StringEquals", "ForAnyValue:StringNotLike"))
		}
		return b.String() + "}"
	}
	some := func(kind Kind) []Attached {
		var list []Attached
		for range r.IntN(3) {
			statements := make([]string, 1+r.IntN(3))
			for i := range statements {
				statements[i] = statement(kind.namesPrincipals())
			}
			list = append(list, Attached{Name: kind.String(), Policy: mustParse(t, kind, `{"Version":"2012-10-17","Statement":[`+strings.Join(statements, ",")+`]}`)})
		}
		return list
	}
	layer := func(kind Kind) Layer {
		if r.IntN(2) == 0 {
			return Layer{}
		}
		return Layer{Present: true, Policies: some(kind)}
	}
	allowed := 0
	const rounds = 4000
	for range rounds {
		req := Request{Action: pick("s3:GetObject", "ec2:RunInstances"), Resource: pick("arn:aws:s3:::b/ana", "arn:aws:s3:::other", "*"), Principal: people[r.IntN(len(people))]}
		req.ResourceAccount = pick("", "111111111111", "222222222222")
		if r.IntN(2) == 0 {
			req.Context.Set("aws:SourceVpc", pick("vpc-1", "vpc-2"))
		}
		if r.IntN(2) == 0 {
			req.Context.Set("aws:username", pick("ana", "*"))
		}
		p := &Policies{Identity: some(Identity), Boundary: layer(Identity), Session: layer(Session), Endpoint: layer(Endpoint), Resource: some(Resource)}
		if r.IntN(3) == 0 {
			p.SCP = []Layer{layer(SCP), layer(SCP)}
		}
		if Evaluate(&req, p).Allowed {
			allowed++
		}
		checkLaws(t, &req, p)
	}
	if allowed < rounds/50 || allowed > rounds*9/10 {
		t.Errorf("%d of %d requests were allowed: the world is too one-sided to prove anything", allowed, rounds)
	}
}
