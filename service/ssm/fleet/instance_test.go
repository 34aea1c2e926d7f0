package fleet_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/sts"
	"github.com/vennel/vennel/internal/awstest"
	"github.com/vennel/vennel/service/ssm/fleet"
)

// ping sends the first heartbeat of an agent with somebody's credentials, and gives the code of the error.
func ping(w *awstest.World, k awstest.Keys, id string) string {
	w.T.Helper()
	return awstest.Code(w.Client("ssm", k).Call(w.T.Context(), "UpdateInstanceInformation", &ssm.UpdateInstanceInformationInput{
		InstanceId: id, AgentName: new("amazon-ssm-agent"), AgentVersion: new("3.3.987.0"), PlatformType: new("Linux"),
	}, new(ssm.UpdateInstanceInformationOutput)))
}

// listed says whether a node is in the list.
func listed(w *awstest.World, id string) bool {
	w.T.Helper()
	out := awstest.Call[ssm.DescribeInstanceInformationOutput](w, "ssm", "DescribeInstanceInformation", &ssm.DescribeInstanceInformationInput{
		Filters: []ssm.InstanceInformationStringFilter{{Key: "InstanceIds", Values: []string{id}}},
	})
	return len(out.InstanceInformationList) == 1
}

// TestInstanceIsANodeFromItsFirstHeartbeat walks through who may make an EC2 instance a node. source: agent, model
func TestInstanceIsANodeFromItsFirstHeartbeat(t *testing.T) {
	w := awstest.New(t)
	role := w.InstanceRole()
	one, other := w.Instance(role, nil), w.Instance(role, nil)
	w.Role("Weak", "ec2.amazonaws.com", "AmazonS3ReadOnlyAccess")
	weak, bare := w.Instance("Weak", nil), w.Instance("", nil)
	foreign := w.Instance(role, nil)
	w.Instances.Put(fleet.Instance{ID: foreign.ID, Account: "210987654321", Region: awstest.Region, State: "running"})
	away := w.Instance(role, nil)
	w.Instances.Put(fleet.Instance{ID: away.ID, Account: awstest.Account, Region: "eu-west-1", State: "running"})
	dead := w.Instance(role, nil)
	dead.SetState("shutting-down")
	for _, c := range []struct {
		what string
		keys awstest.Keys
		id   string
		want string
	}{
		{"its own credentials", one.Keys(), one.ID, ""},
		{"once more", one.Keys(), one.ID, ""},
		{"another instance's", other.Keys(), weak.ID, "AccessDeniedException"},
		{"a role without permission", weak.Keys(), weak.ID, "AccessDeniedException"},
		{"the identity role", bare.Identity(), bare.ID, "AccessDeniedException"},
		{"an instance that there is not", w.Admin, "i-0123456789abcdef0", "InvalidInstanceId"},
		{"one of another account", w.Admin, foreign.ID, "InvalidInstanceId"},
		{"one of another Region", w.Admin, away.ID, "InvalidInstanceId"},
		{"one that is shutting down", dead.Keys(), dead.ID, "InvalidInstanceId"},
	} {
		if got := ping(w, c.keys, c.id); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
		if got := listed(w, c.id); got != (c.want == "") {
			t.Errorf("%s: listed %v", c.what, got)
		}
	}
}

// TestInstanceCredentials has who an instance's credentials are to the services, and the condition keys that come with them. source:
// userguide, SAR
func TestInstanceCredentials(t *testing.T) {
	w := awstest.New(t)
	n := w.Instance(w.InstanceRole(), nil)
	who := func(k awstest.Keys) (string, string) {
		out := new(sts.GetCallerIdentityOutput)
		if err := w.Client("sts", k).Call(t.Context(), "GetCallerIdentity", &sts.GetCallerIdentityInput{}, out); err != nil {
			t.Fatal(err)
		}
		return *out.Arn, *out.UserId
	}
	if arn, _ := who(n.Keys()); arn != "arn:aws:sts::123456789012:assumed-role/InstanceRole/"+n.ID {
		t.Errorf("the role's credentials are %s", arn)
	}
	arn, id := who(n.Identity())
	if arn != "arn:aws:sts::123456789012:assumed-role/aws:ec2-instance/"+n.ID || id != "123456789012:aws:ec2-instance:"+n.ID {
		t.Errorf("the identity's credentials are %s, %s", arn, id)
	}
	for condition, want := range map[string]string{
		`"ArnEquals":{"ec2:SourceInstanceARN":"arn:aws:ec2:us-east-1:123456789012:instance/` + n.ID + `"}`:  "",
		`"ArnEquals":{"ec2:SourceInstanceARN":"arn:aws:ec2:us-east-1:123456789012:instance/i-other"}`:       "AccessDenied",
		`"Null":{"ssm:SourceInstanceARN":"true"}`:                                                           "",
		`"StringEquals":{"aws:Ec2InstanceSourceVpc":"vpc-1","aws:Ec2InstanceSourcePrivateIPv4":"10.0.0.7"}`: "",
		`"NumericGreaterThanEquals":{"ec2:RoleDelivery":"2.0"}`:                                             "",
	} {
		awstest.Call[iam.PutRolePolicyOutput](w, "iam", "PutRolePolicy", &iam.PutRolePolicyInput{RoleName: "InstanceRole", PolicyName: "p",
			PolicyDocument: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:ListUsers","Resource":"*","Condition":{` + condition + `}}]}`})
		if err := w.Client("iam", n.Keys()).Call(t.Context(), "ListUsers", &iam.ListUsersInput{}, &iam.ListUsersOutput{}); awstest.Code(err) != want {
			t.Errorf("with %s: %v, want %q", condition, err, want)
		}
	}
	w.Role("Distrusting", "lambda.amazonaws.com", "AmazonSSMManagedInstanceCore")
	if d := w.Instance("Distrusting", nil); d.Keys() != (awstest.Keys{}) {
		t.Error("an instance has credentials of a role that EC2 may not assume")
	}
}

// TestInstanceCredentialsLast has them end after six hours. source: userguide
func TestInstanceCredentialsLast(t *testing.T) {
	if awstest.RealTime() {
		t.Skip("fake time does not reach PostgreSQL")
	}
	synctest.Test(t, func(t *testing.T) {
		w := awstest.New(t)
		n := w.Instance(w.InstanceRole(), nil)
		time.Sleep(6*time.Hour - time.Second)
		if code := ping(w, n.Keys(), n.ID); code != "" {
			t.Errorf("before their end: %s", code)
		}
		time.Sleep(time.Second)
		if code := ping(w, n.Keys(), n.ID); code != "ExpiredTokenException" {
			t.Errorf("at their end: %s", code)
		}
	})
}

// TestRegisterInstance walks through the registration of an instance's key. source: agent
func TestRegisterInstance(t *testing.T) {
	w := awstest.New(t)
	one, other := w.Instance(w.InstanceRole(), nil), w.Instance("", nil)
	key, next := newKey(t, 2048), newKey(t, 2048)
	dead := w.Instance("", nil)
	dead.SetState("terminated")
	for _, c := range []struct {
		what string
		err  error
		want string
	}{
		{"with its role", one.RegisterKey(one.Keys(), key), "AccessDeniedException"},
		{"with another's identity", one.RegisterKey(other.Identity(), key), "AccessDeniedException"},
		{"with an administrator's key", one.RegisterKey(w.Admin, key), "AccessDeniedException"},
		{"with no credentials", one.RegisterKey(awstest.Keys{}, key), "InvalidActivation"},
		{"when it is terminated", dead.RegisterKey(dead.Identity(), key), "InvalidInstanceId"},
		{"with a weak key", one.RegisterKey(one.Identity(), newKey(t, 1024)), "InvalidPublicKey"},
		{"with its identity", one.RegisterKey(one.Identity(), key), ""},
		{"again", one.RegisterKey(one.Identity(), key), ""},
		{"with another key", one.RegisterKey(one.Identity(), next), "InstanceAlreadyRegistered"},
		{"another with the same key", other.RegisterKey(other.Identity(), key), "PublicKeyAlreadyRegistered"},
	} {
		if got := awstest.Code(c.err); got != c.want || c.want == "" && c.err != nil {
			t.Errorf("%s: %v, want %q", c.what, c.err, c.want)
		}
	}
	if listed(w, one.ID) {
		t.Error("an instance is a node before its first heartbeat")
	}
}

// TestDefaultHostManagement has an instance without a role of its own become a node, and what refuses it. source: agent; the refusal's words
// are aws
func TestDefaultHostManagement(t *testing.T) {
	w := awstest.New(t)
	n, other := w.Instance("", nil), w.Instance("", nil)
	key, wrong := newKey(t, 2048), newKey(t, 2048)
	try := func(what string, k awstest.Keys, want string) awstest.Keys {
		t.Helper()
		got, err := n.DefaultToken(k, key)
		if awstest.Code(err) != want || want == "" && err != nil {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
		return got
	}
	try("before it has registered", n.Identity(), "InvalidInstanceId")
	if err := n.RegisterKey(n.Identity(), key); err != nil {
		t.Fatal(err)
	}
	_, err := n.DefaultToken(n.Identity(), key)
	if awstest.Code(err) != "AccessDeniedException" || err.Error() == "" {
		t.Errorf("while there is no role: %v", err)
	}
	w.DefaultHostManagement()
	try("with another's identity", other.Identity(), "AccessDeniedException")
	try("as an administrator", w.Admin, "AccessDeniedException")
	for _, k := range []struct {
		what string
		err  error
	}{
		{"without the second signature", second(n.DefaultToken(n.Identity(), nil))},
		{"with another key", second(n.DefaultToken(n.Identity(), wrong))},
	} {
		if awstest.Code(k.err) != "InvalidSignatureException" {
			t.Errorf("%s: %v", k.what, k.err)
		}
	}
	keys := try("as it should be", n.Identity(), "")
	n.SetKeys(keys)
	n.Ping()
	n.Connect()
	if !listed(w, n.ID) {
		t.Error("the instance is no node")
	}
	if code := ping(w, keys, other.ID); code != "AccessDeniedException" {
		t.Errorf("its credentials speak for another: %q", code)
	}
	awstest.Call[ssm.ResetServiceSettingOutput](w, "ssm", "ResetServiceSetting", &ssm.ResetServiceSettingInput{SettingId: fleet.DefaultRole})
	try("after the setting is reset", n.Identity(), "AccessDeniedException")

	n.SetState("terminated")
	if err := n.Ended(); err != nil {
		t.Errorf("its channel: %v", err)
	}
	if code := ping(w, keys, n.ID); code != "InvalidInstanceId" {
		t.Errorf("a terminated instance: %q", code)
	}
	if err := other.RegisterKey(other.Identity(), key); err != nil {
		t.Errorf("its key is not forgotten: %v", err)
	}
}

// second is the error of a call that gives something as well.
func second[T any](_ T, err error) error { return err }
