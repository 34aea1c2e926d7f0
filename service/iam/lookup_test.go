package iam_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vennel/vennel/api"
	iamapi "github.com/vennel/vennel/api/iam"
	stsapi "github.com/vennel/vennel/api/sts"
	"github.com/vennel/vennel/internal/awstest"
)

// inFakeTime runs a test whose clock the test moves; PostgreSQL is out of fake time's reach.
func inFakeTime(t *testing.T, f func(t *testing.T)) {
	if awstest.RealTime() {
		t.Skip("fake time does not reach PostgreSQL")
	}
	synctest.Test(t, f)
}

// listUsers makes a request that any user with the policy of these tests may make, and gives the
// error.
func listUsers(w *awstest.World, k awstest.Keys) *api.Error {
	err := w.Client("iam", k).Call(w.T.Context(), "ListUsers", &iamapi.ListUsersInput{}, &iamapi.ListUsersOutput{})
	e, ok := errors.AsType[*api.Error](err)
	if err != nil && !ok {
		w.T.Fatal(err)
	}
	return e
}

// code is the code of an error, or nothing.
func code(e *api.Error) string {
	if e == nil {
		return ""
	}
	return e.Code
}

// may is a policy that allows an action.
func may(action string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"` + action + `","Resource":"*"}]}`
}

// trusting is a trust policy for the account.
const trusting = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`

// assume makes a role that may list users, unless it is there, and gives a session of it.
func assume(w *awstest.World, name string) awstest.Keys {
	w.T.Helper()
	err := w.Client("iam", w.Admin).Call(w.T.Context(), "CreateRole",
		&iamapi.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: trusting}, &iamapi.CreateRoleOutput{})
	if err != nil && awstest.Code(err) != "EntityAlreadyExists" {
		w.T.Fatal(err)
	}
	awstest.Call[iamapi.PutRolePolicyOutput](w, "iam", "PutRolePolicy", &iamapi.PutRolePolicyInput{
		RoleName: name, PolicyName: "p", PolicyDocument: may("iam:ListUsers"),
	})
	c := awstest.Call[stsapi.AssumeRoleOutput](w, "sts", "AssumeRole", &stsapi.AssumeRoleInput{
		RoleArn: "arn:aws:iam::123456789012:role/" + name, RoleSessionName: "test",
	}).Credentials
	return awstest.Keys{ID: c.AccessKeyId, Secret: c.SecretAccessKey, Token: c.SessionToken}
}

// forget takes all from a role and deletes it.
func forget(w *awstest.World, name string) {
	w.T.Helper()
	awstest.Call[iamapi.DeleteRolePolicyOutput](w, "iam", "DeleteRolePolicy", &iamapi.DeleteRolePolicyInput{RoleName: name, PolicyName: "p"})
	awstest.Call[iamapi.DeleteRoleOutput](w, "iam", "DeleteRole", &iamapi.DeleteRoleInput{RoleName: name})
}

// TestLookupOfKeys has who may speak at all: keys that are known, active, whole, and whose holder is
// there. The codes are those of the query protocol. source: model, userguide
func TestLookupOfKeys(t *testing.T) {
	w := awstest.New(t)
	ana, bea := w.User("ana", may("iam:ListUsers")), w.User("bea", may("iam:ListUsers"))
	session, other := assume(w, "one"), assume(w, "two")
	check := func(what string, k awstest.Keys, want string) {
		t.Helper()
		if e := listUsers(w, k); code(e) != want {
			t.Errorf("%s: %v, want %q", what, e, want)
		}
	}
	check("an active key", ana, "")
	check("a session", session, "")
	check("an unknown key", awstest.Keys{ID: "AKIAIOSFODNN7EXAMPLE", Secret: ana.Secret}, "InvalidClientTokenId")
	check("a key with another's secret", awstest.Keys{ID: ana.ID, Secret: bea.Secret}, "SignatureDoesNotMatch")
	check("a session without its token", awstest.Keys{ID: session.ID, Secret: session.Secret}, "InvalidClientTokenId")
	check("a session with the token of another", awstest.Keys{ID: session.ID, Secret: session.Secret, Token: other.Token}, "InvalidClientTokenId")
	check("the token of another with that one's secret", awstest.Keys{ID: session.ID, Secret: other.Secret, Token: other.Token}, "InvalidClientTokenId")
	changed := []byte(session.Token)
	changed[len(changed)/2] ^= 1
	check("a changed token", awstest.Keys{ID: session.ID, Secret: session.Secret, Token: string(changed)}, "InvalidClientTokenId")
	check("a long token", awstest.Keys{ID: session.ID, Secret: session.Secret, Token: strings.Repeat("A", 20_000)}, "InvalidClientTokenId")

	awstest.Call[iamapi.UpdateAccessKeyOutput](w, "iam", "UpdateAccessKey", &iamapi.UpdateAccessKeyInput{
		UserName: new("ana"), AccessKeyId: ana.ID, Status: "Inactive",
	})
	check("an inactive key", ana, "InvalidClientTokenId")
	awstest.Call[iamapi.UpdateAccessKeyOutput](w, "iam", "UpdateAccessKey", &iamapi.UpdateAccessKeyInput{
		UserName: new("ana"), AccessKeyId: ana.ID, Status: "Active",
	})
	check("a key that is active again", ana, "")
	awstest.Call[iamapi.DeleteAccessKeyOutput](w, "iam", "DeleteAccessKey", &iamapi.DeleteAccessKeyInput{UserName: new("ana"), AccessKeyId: ana.ID})
	check("a deleted key", ana, "InvalidClientTokenId")

	forget(w, "one")
	check("a session of a deleted role", session, "InvalidClientTokenId")
	again := assume(w, "one")
	check("a session of a role made again", again, "")
	check("an old session of a role made again", session, "InvalidClientTokenId")
}

// TestLookupOfUserSessions has sessions of GetSessionToken, which end with the user.
func TestLookupOfUserSessions(t *testing.T) {
	w := awstest.New(t)
	ana := w.User("ana", may("iam:ListUsers"))
	out := new(stsapi.GetSessionTokenOutput)
	if err := w.Client("sts", ana).Call(t.Context(), "GetSessionToken", &stsapi.GetSessionTokenInput{}, out); err != nil {
		t.Fatal(err)
	}
	session := awstest.Keys{ID: out.Credentials.AccessKeyId, Secret: out.Credentials.SecretAccessKey, Token: out.Credentials.SessionToken}
	if e := listUsers(w, session); e != nil {
		t.Error(e)
	}
	awstest.Call[iamapi.UpdateUserOutput](w, "iam", "UpdateUser", &iamapi.UpdateUserInput{UserName: "ana", NewUserName: new("bea")})
	if e := listUsers(w, session); e != nil {
		t.Errorf("a session of a renamed user: %v", e)
	}
	awstest.Call[iamapi.DeleteUserPolicyOutput](w, "iam", "DeleteUserPolicy", &iamapi.DeleteUserPolicyInput{UserName: "bea", PolicyName: "test"})
	awstest.Call[iamapi.DeleteAccessKeyOutput](w, "iam", "DeleteAccessKey", &iamapi.DeleteAccessKeyInput{UserName: new("bea"), AccessKeyId: ana.ID})
	if e := listUsers(w, session); code(e) != "AccessDenied" || !strings.Contains(e.Message, "user/bea") {
		t.Errorf("a session of a user without a policy: %v", e)
	}
	awstest.Call[iamapi.DeleteUserOutput](w, "iam", "DeleteUser", &iamapi.DeleteUserInput{UserName: "bea"})
	if e := listUsers(w, session); code(e) != "InvalidClientTokenId" {
		t.Errorf("a session of a deleted user: %v", e)
	}
}

// TestLookupAfterExpiry has a session that is over, to the second.
func TestLookupAfterExpiry(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		w := awstest.New(t)
		session := assume(w, "one")
		time.Sleep(time.Hour - 2*time.Second)
		if e := listUsers(w, session); e != nil {
			t.Errorf("just before its end: %v", e)
		}
		time.Sleep(2 * time.Second)
		if e := listUsers(w, session); code(e) != "ExpiredToken" {
			t.Errorf("after its end: %v", e)
		}
	})
}

// TestLookupSeesChangesAtOnce has the caches: whatever changes in IAM is seen by the next request.
func TestLookupSeesChangesAtOnce(t *testing.T) {
	w := awstest.New(t)
	ana, session := w.User("ana", ""), assume(w, "one")
	const arn = "arn:aws:iam::aws:policy/IAMReadOnlyAccess"
	own := *awstest.Call[iamapi.CreatePolicyOutput](w, "iam", "CreatePolicy", &iamapi.CreatePolicyInput{
		PolicyName: "own", PolicyDocument: may("ssm:*"),
	}).Policy.Arn
	for _, step := range []struct {
		what        string
		do          func()
		ana, member string
	}{
		{"nothing yet", func() {}, "AccessDenied", ""},
		{"a managed policy", func() {
			awstest.Call[iamapi.AttachUserPolicyOutput](w, "iam", "AttachUserPolicy", &iamapi.AttachUserPolicyInput{UserName: "ana", PolicyArn: arn})
		}, "", ""},
		{"a boundary", func() {
			awstest.Call[iamapi.PutUserPermissionsBoundaryOutput](w, "iam", "PutUserPermissionsBoundary",
				&iamapi.PutUserPermissionsBoundaryInput{UserName: "ana", PermissionsBoundary: own})
		}, "AccessDenied", ""},
		{"another version of the boundary", func() {
			awstest.Call[iamapi.CreatePolicyVersionOutput](w, "iam", "CreatePolicyVersion",
				&iamapi.CreatePolicyVersionInput{PolicyArn: own, PolicyDocument: may("iam:*"), SetAsDefault: new(true)})
		}, "", ""},
		{"the old version", func() {
			awstest.Call[iamapi.SetDefaultPolicyVersionOutput](w, "iam", "SetDefaultPolicyVersion",
				&iamapi.SetDefaultPolicyVersionInput{PolicyArn: own, VersionId: "v1"})
		}, "AccessDenied", ""},
		{"no boundary", func() {
			awstest.Call[iamapi.DeleteUserPermissionsBoundaryOutput](w, "iam", "DeleteUserPermissionsBoundary",
				&iamapi.DeleteUserPermissionsBoundaryInput{UserName: "ana"})
		}, "", ""},
		{"nothing again", func() {
			awstest.Call[iamapi.DetachUserPolicyOutput](w, "iam", "DetachUserPolicy", &iamapi.DetachUserPolicyInput{UserName: "ana", PolicyArn: arn})
		}, "AccessDenied", ""},
		{"a group", func() {
			awstest.Call[iamapi.CreateGroupOutput](w, "iam", "CreateGroup", &iamapi.CreateGroupInput{GroupName: "g"})
			awstest.Call[iamapi.PutGroupPolicyOutput](w, "iam", "PutGroupPolicy", &iamapi.PutGroupPolicyInput{
				GroupName: "g", PolicyName: "p", PolicyDocument: may("iam:ListUsers"),
			})
			awstest.Call[iamapi.AddUserToGroupOutput](w, "iam", "AddUserToGroup", &iamapi.AddUserToGroupInput{GroupName: "g", UserName: "ana"})
		}, "", ""},
		{"another policy of the group, and of the role", func() {
			awstest.Call[iamapi.PutGroupPolicyOutput](w, "iam", "PutGroupPolicy", &iamapi.PutGroupPolicyInput{
				GroupName: "g", PolicyName: "p", PolicyDocument: may("ssm:*"),
			})
			awstest.Call[iamapi.PutRolePolicyOutput](w, "iam", "PutRolePolicy", &iamapi.PutRolePolicyInput{
				RoleName: "one", PolicyName: "p", PolicyDocument: may("ssm:*"),
			})
		}, "AccessDenied", "AccessDenied"},
	} {
		step.do()
		if e := listUsers(w, ana); code(e) != step.ana {
			t.Errorf("with %s, the user: %v", step.what, e)
		}
		if e := listUsers(w, session); code(e) != step.member {
			t.Errorf("with %s, the role: %v", step.what, e)
		}
	}
}

// TestLastUses has when keys and roles were last used, which is written down within a minute, and
// before the server stops; a request whose signature is wrong is no use.
func TestLastUses(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		w := awstest.New(t)
		ana, bea, session := w.User("ana", may("iam:ListUsers")), w.User("bea", ""), assume(w, "one")
		lastUsed := func(k awstest.Keys) *iamapi.AccessKeyLastUsed {
			return awstest.Call[iamapi.GetAccessKeyLastUsedOutput](w, "iam", "GetAccessKeyLastUsed", &iamapi.GetAccessKeyLastUsedInput{
				AccessKeyId: k.ID,
			}).AccessKeyLastUsed
		}
		role := func() *iamapi.RoleLastUsed {
			return awstest.Call[iamapi.GetRoleOutput](w, "iam", "GetRole", &iamapi.GetRoleInput{RoleName: "one"}).Role.RoleLastUsed
		}
		at := time.Now().UTC().Truncate(time.Second)
		for _, k := range []awstest.Keys{ana, session} {
			if e := listUsers(w, k); e != nil {
				t.Error(e)
			}
		}
		if e := listUsers(w, awstest.Keys{ID: bea.ID, Secret: ana.Secret}); code(e) != "SignatureDoesNotMatch" {
			t.Error(e)
		}
		if got := lastUsed(ana); got.LastUsedDate != nil {
			t.Errorf("at once: %v", got)
		}
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if got := lastUsed(ana); got.LastUsedDate == nil || !got.LastUsedDate.Equal(at) || got.ServiceName != "iam" || got.Region != "us-east-1" {
			t.Errorf("the key, after a minute: %+v", got)
		}
		if got := role(); got == nil || got.LastUsedDate == nil || !got.LastUsedDate.Equal(at) || *got.Region != "us-east-1" {
			t.Errorf("the role, after a minute: %+v", got)
		}
		if got := lastUsed(bea); got.LastUsedDate != nil {
			t.Errorf("a key that was misused: %+v", got)
		}
		time.Sleep(5 * time.Second)
		if e := listUsers(w, ana); e != nil {
			t.Error(e)
		}
		w.Stop()
		w.Start()
		if got := lastUsed(ana); got.LastUsedDate == nil || !got.LastUsedDate.Equal(at.Add(66*time.Second)) {
			t.Errorf("after a stop: %v, want %v", got.LastUsedDate, at.Add(66*time.Second))
		}
	})
}
