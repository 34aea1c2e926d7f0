package iam_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/api"
	cloudtrailapi "github.com/vennel/vennel/api/cloudtrail"
	iamapi "github.com/vennel/vennel/api/iam"
	stsapi "github.com/vennel/vennel/api/sts"
	"github.com/vennel/vennel/internal/awstest"
)

// decisions are those of the newest record of an operation.
func decisions(w *awstest.World, operation string) []api.Decision {
	w.T.Helper()
	out := awstest.Call[cloudtrailapi.LookupEventsOutput](w, "cloudtrail", "LookupEvents", &cloudtrailapi.LookupEventsInput{
		LookupAttributes: []cloudtrailapi.LookupAttribute{{AttributeKey: cloudtrailapi.LookupAttributeKeyEventName, AttributeValue: operation}},
		MaxResults:       new(int64(1)),
	})
	if len(out.Events) == 0 {
		w.T.Fatalf("there is no record of %s", operation)
	}
	var record struct {
		AdditionalEventData struct{ Decisions []api.Decision }
	}
	if err := json.Unmarshal([]byte(*out.Events[0].CloudTrailEvent), &record); err != nil {
		w.T.Fatal(err)
	}
	return record.AdditionalEventData.Decisions
}

// statement is a policy of one statement.
func statement(text string) string { return `{"Version":"2012-10-17","Statement":[` + text + `]}` }

// TestAllowMessages has the words of refusals, one for each kind of policy that refuses, and what the
// audit trail says of them beside. source: userguide ("Access denied error message examples"), aws
// for the names of IAM's own resources
func TestAllowMessages(t *testing.T) {
	w := awstest.New(t)
	deny := awstest.Call[iamapi.CreatePolicyOutput](w, "iam", "CreatePolicy", &iamapi.CreatePolicyInput{
		PolicyName: "deny", PolicyDocument: statement(`{"Sid":"No","Effect":"Deny","Action":"iam:GetRole","Resource":"*"}`),
	}).Policy.Arn
	narrow := awstest.Call[iamapi.CreatePolicyOutput](w, "iam", "CreatePolicy", &iamapi.CreatePolicyInput{
		PolicyName: "narrow", PolicyDocument: may("ssm:*"),
	}).Policy.Arn
	w.User("plain", "")
	for _, test := range []struct {
		name, policy    string
		attach, bound   *string
		message, reason string
	}{
		{
			name:    "none",
			message: "User: arn:aws:iam::123456789012:user/none is not authorized to perform: iam:GetRole on resource: role any because no identity-based policy allows the iam:GetRole action",
			reason:  "No identity-based policy has a statement that allows iam:GetRole on arn:aws:iam::123456789012:role/any for arn:aws:iam::123456789012:user/none; add one.",
		},
		{
			name: "near", policy: statement(`{"Sid":"Mine","Effect":"Allow","Action":"iam:GetRole","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"a"}}}`),
			message: "User: arn:aws:iam::123456789012:user/near is not authorized to perform: iam:GetRole on resource: role any because no identity-based policy allows the iam:GetRole action",
			reason:  `No identity-based policy allows iam:GetRole on arn:aws:iam::123456789012:role/any for arn:aws:iam::123456789012:user/near. Statement Mine of the identity-based policy test would, but it asks for StringEquals aws:PrincipalTag/team "a" and the request has no aws:PrincipalTag/team.`,
		},
		{
			name: "inline", policy: statement(`{"Effect":"Allow","Action":"*","Resource":"*"},{"Sid":"No","Effect":"Deny","Action":"iam:Get*","Resource":"*"}`),
			message: "User: arn:aws:iam::123456789012:user/inline is not authorized to perform: iam:GetRole on resource: role any with an explicit deny in an identity-based policy",
			reason:  "Statement No of the identity-based policy test denies iam:GetRole on arn:aws:iam::123456789012:role/any, and a deny overrides every allow.",
		},
		{
			name: "managed", policy: may("*"), attach: deny,
			message: "User: arn:aws:iam::123456789012:user/managed is not authorized to perform: iam:GetRole on resource: role any with an explicit deny in an identity-based policy: arn:aws:iam::123456789012:policy/deny",
			reason:  "Statement No of the identity-based policy arn:aws:iam::123456789012:policy/deny denies iam:GetRole on arn:aws:iam::123456789012:role/any, and a deny overrides every allow.",
		},
		{
			name: "bounded", policy: may("*"), bound: narrow,
			message: "User: arn:aws:iam::123456789012:user/bounded is not authorized to perform: iam:GetRole on resource: role any because no permissions boundary allows the iam:GetRole action",
			reason:  "No permissions boundary has a statement that allows iam:GetRole on arn:aws:iam::123456789012:role/any for arn:aws:iam::123456789012:user/bounded; add one.",
		},
		{
			name: "denied", policy: may("*"), bound: deny,
			message: "User: arn:aws:iam::123456789012:user/denied is not authorized to perform: iam:GetRole on resource: role any with an explicit deny in a permissions boundary: arn:aws:iam::123456789012:policy/deny",
			reason:  "Statement No of the permissions boundary arn:aws:iam::123456789012:policy/deny denies iam:GetRole on arn:aws:iam::123456789012:role/any, and a deny overrides every allow.",
		},
	} {
		keys := w.User(test.name, test.policy)
		if test.attach != nil {
			awstest.Call[iamapi.AttachUserPolicyOutput](w, "iam", "AttachUserPolicy", &iamapi.AttachUserPolicyInput{UserName: test.name, PolicyArn: *test.attach})
		}
		if test.bound != nil {
			awstest.Call[iamapi.PutUserPermissionsBoundaryOutput](w, "iam", "PutUserPermissionsBoundary",
				&iamapi.PutUserPermissionsBoundaryInput{UserName: test.name, PermissionsBoundary: *test.bound})
		}
		err := w.Client("iam", keys).Call(t.Context(), "GetRole", &iamapi.GetRoleInput{RoleName: "any"}, &iamapi.GetRoleOutput{})
		e, _ := errors.AsType[*api.Error](err)
		if code(e) != "AccessDenied" || e.Status != 403 || e.Message != test.message {
			t.Errorf("%s: %v\nwant %s", test.name, err, test.message)
		}
		want := []api.Decision{{Action: "iam:GetRole", Resource: "arn:aws:iam::123456789012:role/any", Reason: test.reason}}
		if diff := cmp.Diff(want, decisions(w, "GetRole")); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
	awstest.Call[iamapi.GetUserOutput](w, "iam", "GetUser", &iamapi.GetUserInput{UserName: new("plain")})
	want := []api.Decision{{
		Action: "iam:GetUser", Resource: "arn:aws:iam::123456789012:user/plain", Allowed: true,
		Reason: "allowed by identity-based policy arn:aws:iam::aws:policy/AdministratorAccess, statement #1",
	}}
	if diff := cmp.Diff(want, decisions(w, "GetUser")); diff != "" {
		t.Error(diff)
	}
}

// TestAllowHidesWhatThereIs has a caller who may not ask: it gets the same answer whether there is
// what it asks for or not, wherever that stands.
func TestAllowHidesWhatThereIs(t *testing.T) {
	w := awstest.New(t)
	awstest.Call[iamapi.CreateUserOutput](w, "iam", "CreateUser", &iamapi.CreateUserInput{UserName: "there", Path: new("/somewhere/")})
	awstest.Call[iamapi.CreateGroupOutput](w, "iam", "CreateGroup", &iamapi.CreateGroupInput{GroupName: "there", Path: new("/somewhere/")})
	awstest.Call[iamapi.CreateRoleOutput](w, "iam", "CreateRole", &iamapi.CreateRoleInput{
		RoleName: "there", Path: new("/somewhere/"), AssumeRolePolicyDocument: trusting,
	})
	awstest.Call[iamapi.CreateInstanceProfileOutput](w, "iam", "CreateInstanceProfile", &iamapi.CreateInstanceProfileInput{
		InstanceProfileName: "there", Path: new("/somewhere/"),
	})
	awstest.Call[iamapi.CreatePolicyOutput](w, "iam", "CreatePolicy", &iamapi.CreatePolicyInput{PolicyName: "there", PolicyDocument: may("a:B")})
	key := w.User("keyed", "").ID
	ana := w.User("ana", may("ssm:*"))
	answer := func(operation string, in, out any) string {
		err := w.Client("iam", ana).Call(t.Context(), operation, in, out)
		e, _ := errors.AsType[*api.Error](err)
		if code(e) != "AccessDenied" {
			t.Errorf("%s: %v", operation, err)
			return ""
		}
		return e.Message
	}
	for _, test := range []struct {
		operation         string
		there, nowhere    any
		out               any
		name, nowhereName string
	}{
		{"GetUser", &iamapi.GetUserInput{UserName: new("there")}, &iamapi.GetUserInput{UserName: new("where")}, &iamapi.GetUserOutput{}, "user there", "user where"},
		{"GetGroup", &iamapi.GetGroupInput{GroupName: "there"}, &iamapi.GetGroupInput{GroupName: "where"}, &iamapi.GetGroupOutput{}, "group there", "group where"},
		{"DeleteRole", &iamapi.DeleteRoleInput{RoleName: "there"}, &iamapi.DeleteRoleInput{RoleName: "where"}, &iamapi.DeleteRoleOutput{}, "role there", "role where"},
		{
			"DeleteInstanceProfile", &iamapi.DeleteInstanceProfileInput{InstanceProfileName: "there"},
			&iamapi.DeleteInstanceProfileInput{InstanceProfileName: "where"}, &iamapi.DeleteInstanceProfileOutput{}, "instance profile there", "instance profile where",
		},
		{
			"GetPolicy", &iamapi.GetPolicyInput{PolicyArn: "arn:aws:iam::123456789012:policy/there"},
			&iamapi.GetPolicyInput{PolicyArn: "arn:aws:iam::123456789012:policy/where"}, &iamapi.GetPolicyOutput{},
			"policy arn:aws:iam::123456789012:policy/there", "policy arn:aws:iam::123456789012:policy/where",
		},
		{
			"GetAccessKeyLastUsed", &iamapi.GetAccessKeyLastUsedInput{AccessKeyId: key},
			&iamapi.GetAccessKeyLastUsedInput{AccessKeyId: "AKIAIOSFODNN7EXAMPLE"}, &iamapi.GetAccessKeyLastUsedOutput{},
			"access key " + key, "access key AKIAIOSFODNN7EXAMPLE",
		},
		{
			"CreateUser", &iamapi.CreateUserInput{UserName: "there", Path: new("/somewhere/")}, &iamapi.CreateUserInput{UserName: "where", Path: new("/somewhere/")},
			&iamapi.CreateUserOutput{}, "arn:aws:iam::123456789012:user/somewhere/there", "arn:aws:iam::123456789012:user/somewhere/where",
		},
	} {
		form := func(name string) string {
			return "User: arn:aws:iam::123456789012:user/ana is not authorized to perform: iam:" + test.operation + " on resource: " + name +
				" because no identity-based policy allows the iam:" + test.operation + " action"
		}
		if got := answer(test.operation, test.there, test.out); got != form(test.name) {
			t.Errorf("%s of what there is: %s", test.operation, got)
		}
		if got := answer(test.operation, test.nowhere, test.out); got != form(test.nowhereName) {
			t.Errorf("%s of what there is not: %s", test.operation, got)
		}
	}
}

// TestAllowConditions has the keys that a request has of its own accord.
func TestAllowConditions(t *testing.T) {
	w := awstest.New(t)
	now := time.Now().UTC()
	for name, test := range map[string]struct {
		condition string
		want      string
	}{
		"before":    {`{"DateLessThan":{"aws:CurrentTime":"` + now.Add(-time.Hour).Format(time.RFC3339) + `"}}`, "AccessDenied"},
		"after":     {`{"DateGreaterThan":{"aws:CurrentTime":"` + now.Add(-time.Hour).Format(time.RFC3339) + `"},"NumericGreaterThan":{"aws:EpochTime":"1"}}`, ""},
		"address":   {`{"IpAddress":{"aws:SourceIp":"127.0.0.0/8"}}`, ""},
		"other":     {`{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`, "AccessDenied"},
		"plain":     {`{"Bool":{"aws:SecureTransport":"true"}}`, "AccessDenied"},
		"region":    {`{"StringEquals":{"aws:RequestedRegion":"us-east-1"}}`, ""},
		"tag":       {`{"StringEquals":{"aws:PrincipalTag/TEAM":"blue"}}`, ""},
		"arn":       {`{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::123456789012:user/a*"}}`, ""},
		"account":   {`{"StringEquals":{"aws:PrincipalAccount":"123456789012","aws:PrincipalType":"User","aws:ResourceAccount":"123456789012"}}`, ""},
		"service":   {`{"Bool":{"aws:ViaAWSService":"false","aws:PrincipalIsAWSService":"false"}}`, ""},
		"temporary": {`{"Null":{"aws:TokenIssueTime":"false"}}`, "AccessDenied"},
		"nothing":   {`{"StringEquals":{"aws:SourceVpce":"vpce-1"}}`, "AccessDenied"},
	} {
		t.Run(name, func(t *testing.T) {
			keys := w.User("a"+name, statement(`{"Effect":"Allow","Action":"iam:ListUsers","Resource":"*","Condition":`+test.condition+`}`))
			awstest.Call[iamapi.TagUserOutput](w, "iam", "TagUser", &iamapi.TagUserInput{UserName: "a" + name, Tags: []iamapi.Tag{{Key: "Team", Value: "blue"}}})
			if e := listUsers(w, keys); code(e) != test.want {
				t.Errorf("%v, want %q", e, test.want)
			}
		})
	}
}

// TestAllowInSessions has a role's session: what the role may, less what the session's own policies
// leave out, with the tags of both.
func TestAllowInSessions(t *testing.T) {
	w := awstest.New(t)
	assume(w, "one")
	awstest.Call[iamapi.PutRolePolicyOutput](w, "iam", "PutRolePolicy", &iamapi.PutRolePolicyInput{
		RoleName: "one", PolicyName: "p", PolicyDocument: statement(`{"Effect":"Allow","Action":"iam:List*","Resource":"*",
			"Condition":{"StringEqualsIfExists":{"aws:PrincipalTag/team":"blue"}}}`),
	})
	awstest.Call[iamapi.TagRoleOutput](w, "iam", "TagRole", &iamapi.TagRoleInput{RoleName: "one", Tags: []iamapi.Tag{{Key: "Team", Value: "blue"}}})
	for _, test := range []struct {
		what   string
		policy *string
		arns   []string
		tags   []stsapi.Tag
		want   string
	}{
		{what: "as the role", want: ""},
		{what: "with a policy that lets it", policy: new(may("iam:ListUsers"))},
		{what: "with a policy that leaves it out", policy: new(may("iam:ListRoles")), want: "User: arn:aws:sts::123456789012:assumed-role/one/test is not authorized to perform: iam:ListUsers because no session policy allows the iam:ListUsers action"},
		{what: "with a managed policy", arns: []string{"arn:aws:iam::aws:policy/IAMReadOnlyAccess"}},
		{what: "with a managed policy that no token could hold", arns: []string{"arn:aws:iam::aws:policy/ReadOnlyAccess"}},
		{what: "with both, of which one lets it", policy: new(may("iam:ListRoles")), arns: []string{"arn:aws:iam::aws:policy/IAMReadOnlyAccess"}},
		{what: "with a tag over the role's", tags: []stsapi.Tag{{Key: "TEAM", Value: "red"}}, want: "User: arn:aws:sts::123456789012:assumed-role/one/test is not authorized to perform: iam:ListUsers because no identity-based policy allows the iam:ListUsers action"},
	} {
		in := &stsapi.AssumeRoleInput{RoleArn: "arn:aws:iam::123456789012:role/one", RoleSessionName: "test", Policy: test.policy, Tags: test.tags}
		for _, arn := range test.arns {
			in.PolicyArns = append(in.PolicyArns, stsapi.PolicyDescriptorType{Arn: &arn})
		}
		c := awstest.Call[stsapi.AssumeRoleOutput](w, "sts", "AssumeRole", in).Credentials
		e := listUsers(w, awstest.Keys{ID: c.AccessKeyId, Secret: c.SecretAccessKey, Token: c.SessionToken})
		if got := message(e); got != test.want {
			t.Errorf("%s: %q, want %q", test.what, got, test.want)
		}
	}
}

// message is the text of an error, or nothing.
func message(e *api.Error) string {
	if e == nil {
		return ""
	}
	return e.Message
}
