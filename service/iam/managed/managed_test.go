package managed_test

import (
	"testing"

	"github.com/vennel/vennel/service/iam/actions"
	"github.com/vennel/vennel/service/iam/managed"
	"github.com/vennel/vennel/service/iam/policy"
)

// TestAllParse reads every policy as IAM would.
func TestAllParse(t *testing.T) {
	if n := len(managed.All()); n != 25 {
		t.Errorf("%d policies", n)
	}
	for _, m := range managed.All() {
		p, err := policy.Parse(m.Document, policy.Identity)
		if err != nil {
			t.Errorf("%s: %v", m.Name, err)
			continue
		}
		if m.Path == "" || m.DefaultVersionID == "" || m.CreateDate.IsZero() || m.UpdateDate.Before(m.CreateDate) {
			t.Errorf("%s: %+v", m.Name, m)
		}
		for _, f := range policy.Lint(p, nil) {
			t.Errorf("%s: %s: %s", m.Name, f.Code, f.Text)
		}
	}
}

// TestManagedInstanceCore allows an agent all that it needs, and no more.
// source: userguide (Systems Manager: instance permissions, "diagnosing" category types)
func TestManagedInstanceCore(t *testing.T) {
	var core managed.Policy
	for _, m := range managed.All() {
		if m.Name == "AmazonSSMManagedInstanceCore" {
			core = m
		}
	}
	if arn := core.ARN("aws"); arn != "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore" || core.DefaultVersionID != "v2" {
		t.Errorf("%s %s", arn, core.DefaultVersionID)
	}
	p, err := policy.Parse(core.Document, policy.Identity)
	if err != nil {
		t.Fatal(err)
	}
	for action, want := range map[string]bool{
		"ssm:UpdateInstanceInformation": true, "ssmmessages:CreateControlChannel": true, "ssmmessages:CreateDataChannel": true,
		"ec2messages:GetMessages": true, "ssm:GetParameter": true, "ssm:PutParameter": false, "ssm:SendCommand": false, "s3:GetObject": false,
	} {
		req := policy.Request{Action: action, Resource: "*", Principal: policy.Principal{Type: policy.AssumedRole, ARN: "arn:aws:sts::111111111111:assumed-role/r/i-1", Account: "111111111111"}}
		d := policy.Evaluate(&req, &policy.Policies{Identity: []policy.Attached{{Name: core.ARN("aws"), Policy: p}}})
		if d.Allowed != want {
			t.Errorf("%s: %s", action, d.Explain())
		}
	}
}

// TestActionsSuitResources has no finding about AWS's own policies: their actions are in the catalog and their resources
// are such as the actions act on.
func TestActionsSuitResources(t *testing.T) {
	for _, m := range managed.All() {
		p, err := policy.Parse(m.Document, policy.Identity)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range policy.Lint(p, actions.Catalog{}) {
			t.Errorf("%s: %s %s", m.Name, f.Code, f.Text)
		}
	}
}
