package actions

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/service/iam/policy"
)

// TestLookup finds actions whatever their case. source: model (Service Authorization Reference)
func TestLookup(t *testing.T) {
	got, ok := Lookup("SSM:sendcommand")
	if !ok {
		t.Fatal("no ssm:SendCommand")
	}
	tags := []Key{{"aws:ResourceTag/${TagKey}", "String"}, {"ssm:resourceTag/${TagKey}", "String"}}
	if diff := cmp.Diff(tags, got.Keys); diff != "" {
		t.Error(diff)
	}
	var uses []string
	for _, r := range got.Resources {
		use := r.Type + " " + r.Pattern()
		if r.Required {
			use += " required"
		}
		uses = append(uses, use)
	}
	want := []string{
		"bucket arn:*:s3:::*", "document arn:*:ssm:*:*:document/* required", "instance arn:*:ec2:*:*:instance/*",
		"managed-instance arn:*:ssm:*:*:managed-instance/*",
	}
	if diff := cmp.Diff(want, uses); diff != "" {
		t.Error(diff)
	}
	if got.Name != "ssm:SendCommand" || got.Level != "Write" {
		t.Errorf("%+v", got)
	}
	for _, name := range []string{"", "ssm", "ssm:", "ssm:Nothing", "lambda:InvokeFunction", "ssm:SendCommand:x"} {
		if _, ok := Lookup(name); ok {
			t.Errorf("found %q", name)
		}
	}
}

// TestLookupKeys has condition keys that the project relies on. source: model (Service Authorization Reference)
func TestLookupKeys(t *testing.T) {
	for action, key := range map[string]string{
		"ssm:RegisterManagedInstance":         "ssm:NodeAccountId",
		"ssm:RequestManagedInstanceRoleToken": "ssm:NodeOrgId",
		"ssm:UpdateManagedInstancePublicKey":  "ssm:NodeOrgId",
		"ssm:UpdateInstanceInformation":       "ssm:SourceInstanceARN",
		"ssmmessages:CreateControlChannel":    "ssm:SourceInstanceARN",
		"ec2messages:GetMessages":             "ec2:SourceInstanceARN",
		"ssm:PutParameter":                    "ssm:Overwrite",
		"ssm:GetParametersByPath":             "ssm:Recursive",
	} {
		a, ok := Lookup(action)
		if !ok || !slices.ContainsFunc(a.Keys, func(k Key) bool { return k.Name == key }) {
			t.Errorf("%s has no %s: %v", action, key, a.Keys)
		}
	}
	run, _ := Lookup("ec2:RunInstances")
	i := slices.IndexFunc(run.Resources, func(r Resource) bool { return r.Type == "instance" })
	if i < 0 || !slices.Contains(run.Resources[i].Keys, Key{"ec2:InstanceType", "String"}) {
		t.Errorf("ec2:RunInstances: %v", run.Resources)
	}
}

// TestNames counts the actions and checks that every one is whole. source: model (Service Authorization Reference)
func TestNames(t *testing.T) {
	want := map[string]int{
		"ssm": 164, "ssmmessages": 4, "ec2messages": 6, "cloudtrail": 66, "ec2": 826, "kms": 56, "logs": 133, "iam": 190, "sts": 16, "s3": 180, "route53resolver": 69,
	}
	levels := []string{"List", "Read", "Write", "Permissions management", "Tagging"}
	got := map[string]int{}
	for service := range tables {
		names := Names(service)
		got[service] = len(names)
		if !slices.IsSortedFunc(names, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) }) {
			t.Errorf("%s is not in order", service)
		}
		for _, name := range names {
			a, ok := Lookup(name)
			if !ok || a.Name != name {
				t.Errorf("%s: %s", name, a.Name)
			}
			for level := range strings.SplitSeq(a.Level, ", ") {
				if !slices.Contains(levels, level) {
					t.Errorf("%s: level %q", name, a.Level)
				}
			}
			for _, r := range a.Resources {
				if !strings.HasPrefix(r.Pattern(), "arn:*:") || strings.Contains(r.Pattern(), "$") {
					t.Errorf("%s acts on %s", name, r.ARN)
				}
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if names := Names("nothing"); names != nil {
		t.Error(names)
	}
}

// TestMatches has what actions act on. source: model (Service Authorization Reference), userguide for the session of
// ssmmessages:OpenDataChannel
func TestMatches(t *testing.T) {
	tests := []struct {
		action, arn string
		want        bool
	}{
		{"ssm:GetParameter", "arn:aws:ssm:us-east-1:123456789012:parameter/a/b", true},
		{"ssm:GetParameter", "*", false},
		{"ssm:GetParameter", "arn:aws:ssm:us-east-1:123456789012:document/a", false},
		{"ssm:SendCommand", "arn:aws:ssm:us-east-1::document/AWS-RunShellScript", true},
		{"ssm:SendCommand", "arn:aws:ec2:us-east-1:123456789012:instance/i-1", true},
		{"ssm:DescribeInstanceInformation", "*", true},
		{"ssm:DescribeInstanceInformation", "arn:aws:ssm:us-east-1:123456789012:*", false},
		{"ssmmessages:CreateControlChannel", "*", true},
		{"ssmmessages:CreateControlChannel", "arn:aws:ssm:us-east-1:123456789012:managed-instance/mi-1", false},
		{"ssmmessages:OpenDataChannel", "*", true},
		{"ssmmessages:OpenDataChannel", "arn:aws:ssm:us-east-1:123456789012:session/ana-0123", true},
		{"ssm:StartSession", "*", true},
		{"s3:GetObject", "arn:aws:s3:::b/a:b/c", true},
		{"iam:GetRole", "arn:aws:iam::123456789012:role/team/dev", true},
		{"ssm:Nothing", "*", false},
	}
	for _, tt := range tests {
		if got := Matches(tt.action, tt.arn); got != tt.want {
			t.Errorf("Matches(%s, %s) = %v", tt.action, tt.arn, got)
		}
	}
}

// TestParseRefuses has data files that are not whole.
func TestParseRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"NotJSON":       `{`,
		"ShortKey":      `{"keys":[["a"]]}`,
		"KeyOutOfRange": `{"actions":[["A","Read",[0],[]]]}`,
		"UnknownType":   `{"actions":[["A","Read",[],[["x",true,[]]]]]}`,
		"UseKeyTooHigh": `{"resources":[["x","arn:*",[]]],"actions":[["A","Read",[],[["x",true,[7]]]]]}`,
		"TypeKey":       `{"resources":[["x","arn:*",[-1]]]}`,
	} {
		if _, err := parse("x", []byte(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestLintCatalog has findings that need the catalog: POL-02 and misspelt actions.
func TestLintCatalog(t *testing.T) {
	tests := []struct{ name, statement, want string }{
		{"Fits", `"Action":["ssm:GetParameter","ssm:SendCommand"],"Resource":["arn:aws:ssm:*:*:parameter/x","arn:aws:ssm:*::document/*"]`, ""},
		{"AgentChannels", `"Action":"ssmmessages:*","Resource":"arn:aws:ssmmessages:*:*:*"`,
			`ResourceNeedsStar The statement's resources never match ssmmessages:CreateControlChannel, ssmmessages:CreateDataChannel, ssmmessages:OpenControlChannel, for which the resource is always "*".`},
		{"OwnSessions", `"Action":"ssmmessages:OpenDataChannel","Resource":"arn:aws:ssm:*:*:session/${aws:userid}-*"`, ""},
		{"Misspelt", `"Action":"ec2messages:SendRepl","Resource":"*"`, "UnknownAction No action of ec2messages is named ec2messages:SendRepl."},
		{"MisspeltCase", `"Action":"EC2Messages:sendreply","Resource":"*"`, ""},
		{"OtherType", `"Action":"ssm:GetParameter","Resource":"arn:aws:ssm:*:*:document/x"`, "ResourceOfOtherType The statement's resources are of no type that ssm:GetParameter acts on."},
		{"UnknownService", `"Action":"lambda:Invoke","Resource":"arn:aws:lambda:::x"`, ""},
		{"WildcardCoversSome", `"Action":"s3:*","Resource":"arn:aws:s3:::b/*"`, ""},
		{"NotAction", `"NotAction":"ssm:Nothing","Resource":"*"`, ""},
		{"ManyNeedStar", `"Action":"ec2messages:*","Resource":"arn:aws:ec2:*:*:*"`,
			`ResourceNeedsStar The statement's resources never match ec2messages:AcknowledgeMessage, ec2messages:DeleteMessage, ec2messages:FailMessage, ec2messages:GetEndpoint and 2 more, for which the resource is always "*".`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow",`+tt.statement+`}]}`), policy.Identity)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range policy.Lint(p, Catalog{}) {
				got = append(got, f.Code+" "+f.Text)
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, "\n")); diff != "" {
				t.Error(diff)
			}
		})
	}
}
