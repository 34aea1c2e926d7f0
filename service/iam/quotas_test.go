package iam_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/vennel/vennel/api"
	iamapi "github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/internal/awstest"
)

// long is a policy of a size, white space not counted.
func long(size int) string {
	const empty = `{"Version":"2012-10-17","Statement":[{"Sid":"","Effect":"Allow","Action":"ssm:GetParameter","Resource":"*"}]}`
	return "\n \t" + strings.Replace(empty, `"Sid":""`, `"Sid":"`+strings.Repeat("a", size-len(empty))+`"`, 1) + strings.Repeat(" ", 500)
}

// TestQuotas has each quota at its limit, where all is well, and one beyond. source: userguide, "IAM and
// AWS STS quotas"; the words are aws where recorded answers have them, else guesses in their form
func TestQuotas(t *testing.T) {
	w := awstest.New(t)
	call := func(operation string, in, out any) *api.Error {
		err := w.Client("iam", w.Admin).Call(t.Context(), operation, in, out)
		e, ok := errors.AsType[*api.Error](err)
		if err != nil && !ok {
			t.Fatal(err)
		}
		return e
	}
	w.User("ana", "")
	awstest.Call[iamapi.CreateGroupOutput](w, "iam", "CreateGroup", &iamapi.CreateGroupInput{GroupName: "group"})
	awstest.Call[iamapi.CreateRoleOutput](w, "iam", "CreateRole", &iamapi.CreateRoleInput{RoleName: "role", AssumeRolePolicyDocument: trusting})

	managed := func(n int) string { return fmt.Sprintf("arn:aws:iam::123456789012:policy/p%d", n) }
	var tags []iamapi.Tag
	for n := range 12 {
		awstest.Call[iamapi.CreatePolicyOutput](w, "iam", "CreatePolicy", &iamapi.CreatePolicyInput{
			PolicyName: fmt.Sprintf("p%d", n), PolicyDocument: may("ssm:*"),
		})
		awstest.Call[iamapi.CreateGroupOutput](w, "iam", "CreateGroup", &iamapi.CreateGroupInput{GroupName: fmt.Sprintf("g%d", n)})
	}
	for n := range 50 {
		tags = append(tags, iamapi.Tag{Key: fmt.Sprintf("k%d", n)})
	}
	trust := func(size int) string {
		return strings.Replace(trusting, `"Effect"`, `"Sid":"`+strings.Repeat("a", size-len(trusting)-len(`"Sid":"",`))+`","Effect"`, 1)
	}
	for _, test := range []struct {
		what      string
		at        func() *api.Error
		over      func() *api.Error
		overLimit string
	}{
		{
			"a managed policy",
			func() *api.Error {
				return call("CreatePolicy", &iamapi.CreatePolicyInput{PolicyName: "long", PolicyDocument: long(6144)}, &iamapi.CreatePolicyOutput{})
			},
			func() *api.Error {
				return call("CreatePolicyVersion", &iamapi.CreatePolicyVersionInput{PolicyArn: managed(0), PolicyDocument: long(6145)}, &iamapi.CreatePolicyVersionOutput{})
			},
			"Cannot exceed quota for PolicySize: 6144",
		},
		{
			"inline policies of a user",
			func() *api.Error {
				if e := call("PutUserPolicy", &iamapi.PutUserPolicyInput{UserName: "ana", PolicyName: "a", PolicyDocument: long(1048)}, &iamapi.PutUserPolicyOutput{}); e != nil {
					return e
				}
				return call("PutUserPolicy", &iamapi.PutUserPolicyInput{UserName: "ana", PolicyName: "b", PolicyDocument: long(1000)}, &iamapi.PutUserPolicyOutput{})
			},
			func() *api.Error {
				return call("PutUserPolicy", &iamapi.PutUserPolicyInput{UserName: "ana", PolicyName: "b", PolicyDocument: long(1001)}, &iamapi.PutUserPolicyOutput{})
			},
			"Maximum policy size of 2048 bytes exceeded for user ana",
		},
		{
			"inline policies of a group",
			func() *api.Error {
				return call("PutGroupPolicy", &iamapi.PutGroupPolicyInput{GroupName: "group", PolicyName: "a", PolicyDocument: long(5120)}, &iamapi.PutGroupPolicyOutput{})
			},
			func() *api.Error {
				return call("PutGroupPolicy", &iamapi.PutGroupPolicyInput{GroupName: "group", PolicyName: "a", PolicyDocument: long(5121)}, &iamapi.PutGroupPolicyOutput{})
			},
			"Maximum policy size of 5120 bytes exceeded for group group",
		},
		{
			"inline policies of a role",
			func() *api.Error {
				return call("PutRolePolicy", &iamapi.PutRolePolicyInput{RoleName: "role", PolicyName: "a", PolicyDocument: long(10240)}, &iamapi.PutRolePolicyOutput{})
			},
			func() *api.Error {
				return call("PutRolePolicy", &iamapi.PutRolePolicyInput{RoleName: "role", PolicyName: "a", PolicyDocument: long(10241)}, &iamapi.PutRolePolicyOutput{})
			},
			"Maximum policy size of 10240 bytes exceeded for role role",
		},
		{
			"a trust policy",
			func() *api.Error {
				return call("UpdateAssumeRolePolicy", &iamapi.UpdateAssumeRolePolicyInput{RoleName: "role", PolicyDocument: trust(2048)}, &iamapi.UpdateAssumeRolePolicyOutput{})
			},
			func() *api.Error {
				return call("UpdateAssumeRolePolicy", &iamapi.UpdateAssumeRolePolicyInput{RoleName: "role", PolicyDocument: trust(2049)}, &iamapi.UpdateAssumeRolePolicyOutput{})
			},
			"Cannot exceed quota for ACLSizePerRole: 2048",
		},
		{
			"attached policies",
			func() (e *api.Error) {
				for n := 0; n < 10 && e == nil; n++ {
					e = call("AttachRolePolicy", &iamapi.AttachRolePolicyInput{RoleName: "role", PolicyArn: managed(n)}, &iamapi.AttachRolePolicyOutput{})
				}
				if e == nil { // one that is attached already
					e = call("AttachRolePolicy", &iamapi.AttachRolePolicyInput{RoleName: "role", PolicyArn: managed(3)}, &iamapi.AttachRolePolicyOutput{})
				}
				return e
			},
			func() *api.Error {
				return call("AttachRolePolicy", &iamapi.AttachRolePolicyInput{RoleName: "role", PolicyArn: managed(10)}, &iamapi.AttachRolePolicyOutput{})
			},
			"Cannot exceed quota for PoliciesPerRole: 10",
		},
		{
			"groups of a user",
			func() (e *api.Error) {
				for n := 0; n < 10 && e == nil; n++ {
					e = call("AddUserToGroup", &iamapi.AddUserToGroupInput{GroupName: fmt.Sprintf("g%d", n), UserName: "ana"}, &iamapi.AddUserToGroupOutput{})
				}
				return e
			},
			func() *api.Error {
				return call("AddUserToGroup", &iamapi.AddUserToGroupInput{GroupName: "g10", UserName: "ana"}, &iamapi.AddUserToGroupOutput{})
			},
			"Cannot exceed quota for GroupsPerUser: 10",
		},
		{
			"tags",
			func() *api.Error {
				return call("TagRole", &iamapi.TagRoleInput{RoleName: "role", Tags: tags}, &iamapi.TagRoleOutput{})
			},
			func() *api.Error {
				return call("TagRole", &iamapi.TagRoleInput{RoleName: "role", Tags: []iamapi.Tag{{Key: "more"}}}, &iamapi.TagRoleOutput{})
			},
			"Cannot exceed quota for TagsPerRole: 50",
		},
		{
			"groups of an account",
			func() (e *api.Error) {
				for n := 13; n < 300 && e == nil; n++ {
					e = call("CreateGroup", &iamapi.CreateGroupInput{GroupName: fmt.Sprintf("h%d", n)}, &iamapi.CreateGroupOutput{})
				}
				return e
			},
			func() *api.Error {
				return call("CreateGroup", &iamapi.CreateGroupInput{GroupName: "more"}, &iamapi.CreateGroupOutput{})
			},
			"Cannot exceed quota for GroupsPerAccount: 300",
		},
	} {
		if e := test.at(); e != nil {
			t.Errorf("%s at the limit: %v", test.what, e)
		}
		if e := test.over(); code(e) != "LimitExceeded" || e.Status != 409 || e.Message != test.overLimit {
			t.Errorf("%s over the limit: %v, want %s", test.what, e, test.overLimit)
		}
	}
}
