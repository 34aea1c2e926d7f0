package policy

import (
	"fmt"
	"strings"
	"testing"
)

// typical is an agent's call: a role with five statements, through an endpoint, with twelve condition keys.
func typical(t testing.TB) (*Request, *Policies) {
	identity := mustParse(t, Identity, `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["ssm:DescribeAssociation","ssm:GetDocument","ssm:ListAssociations","ssm:PutInventory","ssm:UpdateInstanceInformation"],"Resource":"*"},
		{"Effect":"Allow","Action":["ssmmessages:CreateControlChannel","ssmmessages:CreateDataChannel","ssmmessages:OpenControlChannel","ssmmessages:OpenDataChannel"],"Resource":"*"},
		{"Effect":"Allow","Action":["ec2messages:GetMessages","ec2messages:SendReply"],"Resource":"*"},
		{"Effect":"Deny","Action":"ssm:*","Resource":"*","Condition":{"StringNotEqualsIfExists":{"aws:SourceVpc":"vpc-0123456789abcdef0"}}},
		{"Effect":"Allow","Action":["ssm:GetParameter","ssm:GetParameters"],"Resource":"arn:aws:ssm:*:111111111111:parameter/${aws:PrincipalTag/team}/*","Condition":{"Bool":{"aws:SecureTransport":"true"},"StringEquals":{"aws:RequestedRegion":["eu-west-1","us-east-1"]}}}]}`)
	endpoint := mustParse(t, Endpoint, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalAccount":"111111111111"}}}]}`)
	req := &Request{Action: "ssm:GetParameter", Resource: "arn:aws:ssm:us-east-1:111111111111:parameter/red/db/password", Principal: roleDev, ResourceAccount: "111111111111"}
	for _, kv := range []string{
		"aws:CurrentTime=2026-11-21T12:00:00Z", "aws:EpochTime=1795262400", "aws:PrincipalArn=" + roleDev.RoleARN, "aws:PrincipalAccount=111111111111",
		"aws:userid=" + roleDev.ID, "aws:PrincipalType=AssumedRole", "aws:SecureTransport=true", "aws:RequestedRegion=us-east-1",
		"aws:SourceVpc=vpc-0123456789abcdef0", "aws:SourceVpce=vpce-0123456789abcdef0", "aws:VpcSourceIp=10.0.1.17", "aws:PrincipalTag/team=red",
	} {
		k, v, _ := strings.Cut(kv, "=")
		req.Context.Set(k, v)
	}
	return req, &Policies{Identity: []Attached{{Name: "P", Policy: identity}}, Endpoint: Layer{Policies: []Attached{{Name: "vpce-1", Policy: endpoint}}}}
}

// large is fifty statements about as many services, the last of which allows.
func large(t testing.TB) (*Request, *Policies) {
	req, _ := typical(t)
	statements := make([]string, 50)
	for i := range statements {
		name := fmt.Sprintf("svc%d", i)
		if i%5 == 0 || i == 49 {
			name = "ssm"
		}
		resource := fmt.Sprintf("arn:aws:%s:*:*:parameter/*/x%d", name, i)
		if i == 49 {
			resource = "arn:aws:ssm:*:*:parameter/*/password"
		}
		statements[i] = fmt.Sprintf(`{"Effect":"Allow","Action":["%s:Get*","%s:List*","%s:Describe*"],"Resource":"%s","Condition":{"StringEquals":{"aws:PrincipalTag/team":"red"}}}`, name, name, name, resource)
	}
	p := mustParse(t, Identity, `{"Version":"2012-10-17","Statement":[`+strings.Join(statements, ",")+`]}`)
	return req, &Policies{Identity: []Attached{{Name: "P", Policy: p}}}
}

// TestEvaluateAllocations guards the hot path: deciding allocates nothing.
func TestEvaluateAllocations(t *testing.T) {
	for name, world := range map[string]func(testing.TB) (*Request, *Policies){"Typical": typical, "Large": large} {
		req, p := world(t)
		if d := Evaluate(req, p); !d.Allowed {
			t.Fatalf("%s: %s", name, d.Explain())
		}
		if n := testing.AllocsPerRun(100, func() { Evaluate(req, p) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// BenchmarkEvaluateTypical is an agent's call through an endpoint.
func BenchmarkEvaluateTypical(b *testing.B) {
	req, p := typical(b)
	b.ReportAllocs()
	for b.Loop() {
		Evaluate(req, p)
	}
}

// BenchmarkEvaluateLarge is a call under fifty statements.
func BenchmarkEvaluateLarge(b *testing.B) {
	req, p := large(b)
	b.ReportAllocs()
	for b.Loop() {
		Evaluate(req, p)
	}
}

// BenchmarkEvaluateDenied is a denial with its reasons and its message.
func BenchmarkEvaluateDenied(b *testing.B) {
	req, p := typical(b)
	req.Action = "ssm:PutParameter"
	b.ReportAllocs()
	for b.Loop() {
		d := Evaluate(req, p)
		d.Message(req)
	}
}

// BenchmarkMatchHostile is a pattern that makes naive matchers take exponential time.
func BenchmarkMatchHostile(b *testing.B) {
	p := compile(strings.Repeat("*a?", 64)+"b", syntax{wild: true})
	s := strings.Repeat("a", 2048)
	for b.Loop() {
		p.match(s, nil)
	}
}

// BenchmarkParse reads the policy of the typical call.
func BenchmarkParse(b *testing.B) {
	doc := []byte(seedDocuments[2])
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(doc, Identity); err != nil {
			b.Fatal(err)
		}
	}
}
