package sts_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/api/sts"
	"github.com/vennel/vennel/internal/awstest"
)

// TestScripts runs the operation scripts.
func TestScripts(t *testing.T) { awstest.Script(t, "testdata") }

// trusting is a trust policy for the account.
const trusting = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}]}`

// all is a policy that allows everything.
const all = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`

// role makes a role that everybody of the account may assume and that may do everything.
func role(w *awstest.World, name string) {
	w.T.Helper()
	awstest.Call[iam.CreateRoleOutput](w, "iam", "CreateRole", &iam.CreateRoleInput{
		RoleName: name, AssumeRolePolicyDocument: trusting, MaxSessionDuration: new(int64(7200)),
	})
	awstest.Call[iam.PutRolePolicyOutput](w, "iam", "PutRolePolicy", &iam.PutRolePolicyInput{RoleName: name, PolicyName: "p", PolicyDocument: all})
}

// assume assumes a role.
func assume(w *awstest.World, k awstest.Keys, in *sts.AssumeRoleInput) (awstest.Keys, *sts.AssumeRoleOutput, error) {
	out := new(sts.AssumeRoleOutput)
	if err := w.Client("sts", k).Call(w.T.Context(), "AssumeRole", in, out); err != nil {
		return awstest.Keys{}, nil, err
	}
	return awstest.Keys{ID: out.Credentials.AccessKeyId, Secret: out.Credentials.SecretAccessKey, Token: out.Credentials.SessionToken}, out, nil
}

// whoami asks for the caller's identity.
func whoami(w *awstest.World, k awstest.Keys) (*sts.GetCallerIdentityOutput, error) {
	out := new(sts.GetCallerIdentityOutput)
	return out, w.Client("sts", k).Call(w.T.Context(), "GetCallerIdentity", &sts.GetCallerIdentityInput{}, out)
}

// TestAssumeRoleGivesASession has the answer, and who the session is to the next call.
func TestAssumeRoleGivesASession(t *testing.T) {
	w := awstest.New(t)
	role(w, "One")
	keys, out, err := assume(w, w.Admin, &sts.AssumeRoleInput{RoleArn: "arn:aws:iam::123456789012:role/One", RoleSessionName: "me@home"})
	if err != nil {
		t.Fatal(err)
	}
	id := awstest.Call[iam.GetRoleOutput](w, "iam", "GetRole", &iam.GetRoleInput{RoleName: "One"}).Role.RoleId
	const arn = "arn:aws:sts::123456789012:assumed-role/One/me@home"
	if u := out.AssumedRoleUser; u.Arn != arn || u.AssumedRoleId != id+":me@home" {
		t.Errorf("the role's user is %+v", u)
	}
	if left := time.Until(out.Credentials.Expiration); left < 59*time.Minute || left > time.Hour {
		t.Errorf("the session lasts %v", left)
	}
	if len(keys.ID) != 20 || keys.ID[:4] != "ASIA" || len(keys.Secret) != 40 {
		t.Errorf("the key is %s with a secret of %d characters", keys.ID, len(keys.Secret))
	}
	me, err := whoami(w, keys)
	if err != nil || *me.Arn != arn || *me.UserId != id+":me@home" || *me.Account != awstest.Account {
		t.Errorf("the session is %+v, %v", me, err)
	}
}

// TestAssumeRoleInChains has sessions that make sessions: for an hour at most, with the transitive tags
// and the source identity of those before. source: userguide
func TestAssumeRoleInChains(t *testing.T) {
	w := awstest.New(t)
	role(w, "One")
	role(w, "Two")
	one, _, err := assume(w, w.Admin, &sts.AssumeRoleInput{
		RoleArn: "arn:aws:iam::123456789012:role/One", RoleSessionName: "first", SourceIdentity: new("ana"), DurationSeconds: new(int64(7200)),
		Tags: []sts.Tag{{Key: "Team", Value: "blue"}, {Key: "Here", Value: "only"}}, TransitiveTagKeys: []string{"Team"},
	})
	if err != nil {
		t.Fatal(err)
	}
	two := &sts.AssumeRoleInput{RoleArn: "arn:aws:iam::123456789012:role/Two", RoleSessionName: "second"}
	two.DurationSeconds = new(int64(3601))
	if _, _, err := assume(w, one, two); awstest.Code(err) != "ValidationError" {
		t.Errorf("a chain for more than an hour: %v", err)
	}
	two.DurationSeconds = nil
	two.Tags = []sts.Tag{{Key: "TEAM", Value: "red"}}
	if _, _, err := assume(w, one, two); awstest.Code(err) != "InvalidParameterValue" {
		t.Errorf("a tag over a transitive one: %v", err)
	}
	two.Tags = nil
	two.SourceIdentity = new("bea")
	if _, _, err := assume(w, one, two); awstest.Code(err) != "AccessDenied" {
		t.Errorf("another source identity: %v", err)
	}
	two.SourceIdentity = nil
	keys, out, err := assume(w, one, two)
	if err != nil {
		t.Fatal(err)
	}
	if out.SourceIdentity == nil || *out.SourceIdentity != "ana" {
		t.Errorf("the source identity is %v", out.SourceIdentity)
	}
	for condition, want := range map[string]string{
		`"StringEquals":{"aws:PrincipalTag/team":"blue","aws:SourceIdentity":"ana"}`: "",
		`"Null":{"aws:PrincipalTag/Here":"false"}`:                                   "AccessDenied",
		`"Null":{"aws:TokenIssueTime":"false"}`:                                      "",
	} {
		awstest.Call[iam.PutRolePolicyOutput](w, "iam", "PutRolePolicy", &iam.PutRolePolicyInput{
			RoleName: "Two", PolicyName: "p",
			PolicyDocument: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:ListUsers","Resource":"*","Condition":{` + condition + `}}]}`,
		})
		err := w.Client("iam", keys).Call(t.Context(), "ListUsers", &iam.ListUsersInput{}, &iam.ListUsersOutput{})
		if awstest.Code(err) != want {
			t.Errorf("with %s: %v, want %q", condition, err, want)
		}
	}
}

// TestGetSessionTokenLasts has a user's session, with all that the user may do, until its end.
func TestGetSessionTokenLasts(t *testing.T) {
	if awstest.RealTime() {
		t.Skip("fake time does not reach PostgreSQL")
	}
	synctest.Test(t, func(t *testing.T) {
		w := awstest.New(t)
		ana := w.User("ana", all)
		for _, test := range []struct {
			seconds *int64
			life    time.Duration
		}{{nil, 12 * time.Hour}, {new(int64(900)), 15 * time.Minute}} {
			out := new(sts.GetSessionTokenOutput)
			if err := w.Client("sts", ana).Call(t.Context(), "GetSessionToken", &sts.GetSessionTokenInput{DurationSeconds: test.seconds}, out); err != nil {
				t.Fatal(err)
			}
			c := out.Credentials
			keys := awstest.Keys{ID: c.AccessKeyId, Secret: c.SecretAccessKey, Token: c.SessionToken}
			if life := time.Until(c.Expiration).Round(time.Second); life != test.life {
				t.Errorf("the session lasts %v, want %v", life, test.life)
			}
			me, err := whoami(w, keys)
			if err != nil || *me.Arn != "arn:aws:iam::123456789012:user/ana" {
				t.Errorf("the session is %+v, %v", me, err)
			}
			err = w.Client("sts", keys).Call(t.Context(), "GetSessionToken", &sts.GetSessionTokenInput{}, out)
			if awstest.Code(err) != "AccessDenied" {
				t.Errorf("a session asked for another: %v", err)
			}
			time.Sleep(test.life)
			if _, err := whoami(w, keys); awstest.Code(err) != "ExpiredToken" {
				t.Errorf("after its end: %v", err)
			}
		}
	})
}

// TestGetCallerIdentityNeedsNothing has a caller whom a policy denies everything. source: userguide
func TestGetCallerIdentityNeedsNothing(t *testing.T) {
	w := awstest.New(t)
	ana := w.User("ana", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`)
	if me, err := whoami(w, ana); err != nil || *me.Arn != "arn:aws:iam::123456789012:user/ana" {
		t.Errorf("%+v, %v", me, err)
	}
	if _, err := whoami(w, awstest.Keys{}); awstest.Code(err) != "MissingAuthenticationToken" {
		t.Errorf("unsigned: %v", err)
	}
}
