package cloudtrail_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/api/cloudtrail"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/sts"
	"github.com/vennel/vennel/internal/awstest"
)

// lookup asks for records as the administrator.
func lookup(w *awstest.World, in *cloudtrail.LookupEventsInput) *cloudtrail.LookupEventsOutput {
	w.T.Helper()
	return awstest.Call[cloudtrail.LookupEventsOutput](w, "cloudtrail", "LookupEvents", in)
}

// by asks for the records with an attribute.
func by(key, value string) *cloudtrail.LookupEventsInput {
	return &cloudtrail.LookupEventsInput{LookupAttributes: []cloudtrail.LookupAttribute{{AttributeKey: key, AttributeValue: value}}}
}

// names are the names of events, joined.
func names(out *cloudtrail.LookupEventsOutput) string {
	var list []string
	for _, e := range out.Events {
		list = append(list, *e.EventName)
	}
	return strings.Join(list, " ")
}

// record is the record of an event.
func record(t *testing.T, e *cloudtrail.Event) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(*e.CloudTrailEvent), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// mask replaces what differs from run to run, after looking that it is there.
func mask(t *testing.T, m map[string]any, path ...string) {
	t.Helper()
	for _, p := range path {
		at := m
		parts := strings.Split(p, ".")
		for _, part := range parts[:len(parts)-1] {
			at, _ = at[part].(map[string]any)
		}
		last := parts[len(parts)-1]
		if at[last] == nil || at[last] == "" {
			t.Errorf("there is no %s", p)
		}
		at[last] = "…"
	}
}

// TestRecord has whole records: of a user's change, of a refusal to a role's session, and of a call
// that only reads. source: userguide, "CloudTrail record contents" and "CloudTrail userIdentity
// element"; additionalEventData is ours
func TestRecord(t *testing.T) {
	w := awstest.New(t)
	awstest.Call[iam.CreateGroupOutput](w, "iam", "CreateGroup", &iam.CreateGroupInput{GroupName: "ops"})
	got := record(t, &lookup(w, by("EventName", "CreateGroup")).Events[0])
	mask(t, got, "userIdentity.principalId", "userIdentity.accessKeyId", "eventTime", "requestID", "eventID", "additionalEventData.tookMilliseconds",
		"responseElements.group.groupId", "responseElements.group.createDate", "userAgent")
	want := map[string]any{
		"eventVersion": "1.11",
		"userIdentity": map[string]any{
			"type": "IAMUser", "principalId": "…", "arn": "arn:aws:iam::123456789012:user/admin", "accountId": "123456789012", "accessKeyId": "…",
			"userName": "admin",
		},
		"eventTime": "…", "eventSource": "iam.amazonaws.com", "eventName": "CreateGroup", "awsRegion": "us-east-1", "sourceIPAddress": "127.0.0.1",
		"userAgent":         "…",
		"requestParameters": map[string]any{"groupName": "ops"},
		"responseElements": map[string]any{"group": map[string]any{
			"path": "/", "groupName": "ops", "groupId": "…", "arn": "arn:aws:iam::123456789012:group/ops", "createDate": "…",
		}},
		"additionalEventData": map[string]any{
			"tookMilliseconds": "…",
			"decisions": []any{map[string]any{
				"action": "iam:CreateGroup", "resource": "arn:aws:iam::123456789012:group/ops", "allowed": true,
				"reason": "allowed by identity-based policy arn:aws:iam::aws:policy/AdministratorAccess, statement #1",
			}},
		},
		"requestID": "…", "eventID": "…", "readOnly": false, "eventType": "AwsApiCall", "managementEvent": true,
		"recipientAccountId": "123456789012", "eventCategory": "Management",
		"tlsDetails": map[string]any{"clientProvidedHostHeader": "iam.us-east-1.amazonaws.com"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a change: %s", diff)
	}

	awstest.Call[iam.CreateRoleOutput](w, "iam", "CreateRole", &iam.CreateRoleInput{RoleName: "R", Path: new("/x/"), AssumeRolePolicyDocument: trusting})
	c := awstest.Call[sts.AssumeRoleOutput](w, "sts", "AssumeRole", &sts.AssumeRoleInput{RoleArn: "arn:aws:iam::123456789012:role/x/R", RoleSessionName: "me"}).Credentials
	session := awstest.Keys{ID: c.AccessKeyId, Secret: c.SecretAccessKey, Token: c.SessionToken}
	err := w.Client("iam", session).Call(t.Context(), "GetGroup", &iam.GetGroupInput{GroupName: "ops"}, &iam.GetGroupOutput{})
	if awstest.Code(err) != "AccessDenied" {
		t.Fatal(err)
	}
	events := lookup(w, by("Username", "me")).Events
	got = record(t, &events[0])
	mask(t, got, "userIdentity.principalId", "userIdentity.accessKeyId", "userIdentity.sessionContext.sessionIssuer.principalId",
		"userIdentity.sessionContext.attributes.creationDate", "eventTime", "requestID", "eventID", "additionalEventData.tookMilliseconds", "userAgent")
	want["userIdentity"] = map[string]any{
		"type": "AssumedRole", "principalId": "…", "arn": "arn:aws:sts::123456789012:assumed-role/R/me", "accountId": "123456789012", "accessKeyId": "…",
		"sessionContext": map[string]any{
			"sessionIssuer": map[string]any{
				"type": "Role", "principalId": "…", "arn": "arn:aws:iam::123456789012:role/x/R", "accountId": "123456789012", "userName": "R",
			},
			"attributes": map[string]any{"creationDate": "…", "mfaAuthenticated": "false"},
		},
	}
	want["eventName"], want["readOnly"], want["responseElements"] = "GetGroup", true, nil
	want["errorCode"] = "AccessDenied"
	want["errorMessage"] = "User: arn:aws:sts::123456789012:assumed-role/R/me is not authorized to perform: iam:GetGroup on resource: group ops because no identity-based policy allows the iam:GetGroup action"
	want["additionalEventData"] = map[string]any{
		"tookMilliseconds": "…",
		"decisions": []any{map[string]any{
			"action": "iam:GetGroup", "resource": "arn:aws:iam::123456789012:group/ops", "allowed": false,
			"reason": "No identity-based policy has a statement that allows iam:GetGroup on arn:aws:iam::123456789012:group/ops for arn:aws:sts::123456789012:assumed-role/R/me; add one.",
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a refusal: %s", diff)
	}
	if e := events[0]; *e.Username != "me" || *e.ReadOnly != "true" || *e.EventSource != "iam.amazonaws.com" || *e.AccessKeyId != session.ID ||
		len(e.Resources) != 1 || *e.Resources[0].ResourceName != "arn:aws:iam::123456789012:group/ops" {
		t.Errorf("the event is %+v", e)
	}
}

// trusting is a trust policy for the account.
const trusting = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"sts:AssumeRole"}]}`

// TestLookupEventsAttributes has each attribute by which records are found.
func TestLookupEventsAttributes(t *testing.T) {
	w := awstest.New(t)
	ana := w.User("ana", "")
	_ = w.Client("iam", ana).Call(t.Context(), "GetGroup", &iam.GetGroupInput{GroupName: "x"}, &iam.GetGroupOutput{})
	_ = w.Client("ssm", ana).Call(t.Context(), "DescribeActivations", &ssm.DescribeActivationsInput{}, &ssm.DescribeActivationsOutput{})
	id := *lookup(w, by("EventName", "GetGroup")).Events[0].EventId
	for _, test := range []struct{ key, value, want string }{
		{"EventName", "GetGroup", "GetGroup"},
		{"EventName", "getgroup", ""},
		{"EventId", id, "GetGroup"},
		{"Username", "ana", "DescribeActivations GetGroup"},
		{"AccessKeyId", ana.ID, "DescribeActivations GetGroup"},
		{"ResourceName", "arn:aws:iam::123456789012:group/x", "GetGroup"},
		{"EventSource", "ssm.amazonaws.com", "DescribeActivations"},
	} {
		if got := names(lookup(w, by(test.key, test.value))); got != test.want {
			t.Errorf("%s %s: %q, want %q", test.key, test.value, got, test.want)
		}
	}
	for _, e := range lookup(w, by("ReadOnly", "false")).Events {
		if *e.ReadOnly != "false" {
			t.Errorf("%s is among what changed something", *e.EventName)
		}
	}
	for what, in := range map[string]*cloudtrail.LookupEventsInput{
		"InvalidLookupAttributesException": by("ResourceType", "AWS::IAM::Group"),
		"InvalidTimeRangeException":        {StartTime: new(time.Now()), EndTime: new(time.Now().Add(-time.Hour))},
		"InvalidEventCategoryException":    {EventCategory: new("insight")},
	} {
		err := w.Client("cloudtrail", w.Admin).Call(t.Context(), "LookupEvents", in, &cloudtrail.LookupEventsOutput{})
		if awstest.Code(err) != what {
			t.Errorf("%v, want %s", err, what)
		}
	}
}

// TestLookupEventsPages has pages, newest first, without a gap or a repetition, and with an attribute
// that is looked for record by record.
func TestLookupEventsPages(t *testing.T) {
	w := awstest.New(t)
	for n := range 7 {
		awstest.Call[iam.CreateGroupOutput](w, "iam", "CreateGroup", &iam.CreateGroupInput{GroupName: fmt.Sprintf("g%d", n)})
		awstest.Call[iam.GetGroupOutput](w, "iam", "GetGroup", &iam.GetGroupInput{GroupName: fmt.Sprintf("g%d", n)})
	}
	for _, attribute := range [][2]string{{"EventName", "CreateGroup"}, {"ReadOnly", "false"}} {
		in := by(attribute[0], attribute[1])
		in.MaxResults = new(int64(3))
		var got []string
		for {
			out := lookup(w, in)
			if len(out.Events) > 3 {
				t.Fatalf("a page of %d", len(out.Events))
			}
			for _, e := range out.Events {
				if parameters, _ := record(t, &e)["requestParameters"].(map[string]any); *e.EventName == "CreateGroup" {
					got = append(got, parameters["groupName"].(string))
				}
			}
			if out.NextToken == nil {
				break
			}
			in.NextToken = out.NextToken
		}
		if want := "g6 g5 g4 g3 g2 g1 g0"; strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", attribute[0], got, want)
		}
	}
	in := by("EventName", "CreateGroup")
	in.NextToken = new("made up")
	if err := w.Client("cloudtrail", w.Admin).Call(t.Context(), "LookupEvents", in, &cloudtrail.LookupEventsOutput{}); err == nil {
		t.Error("a token that was made up was taken")
	}
}

// TestLookupEventsTimes has the range of time, whose ends belong to it, and what is too old.
func TestLookupEventsTimes(t *testing.T) {
	if awstest.RealTime() {
		t.Skip("fake time does not reach PostgreSQL")
	}
	synctest.Test(t, func(t *testing.T) {
		w := awstest.New(t)
		start := time.Now()
		for n := range 3 {
			awstest.Call[iam.CreateGroupOutput](w, "iam", "CreateGroup", &iam.CreateGroupInput{GroupName: fmt.Sprintf("g%d", n)})
			time.Sleep(time.Hour)
		}
		find := func(from, to time.Duration) string {
			in := by("EventName", "CreateGroup")
			in.StartTime, in.EndTime = new(start.Add(from)), new(start.Add(to))
			return fmt.Sprint(len(lookup(w, in).Events))
		}
		for _, test := range []struct {
			from, to time.Duration
			want     string
		}{
			{-time.Hour, 10 * time.Hour, "3"}, {0, 0, "1"}, {time.Second, time.Hour, "1"}, {0, time.Hour, "2"}, {time.Second, time.Minute, "0"},
		} {
			if got := find(test.from, test.to); got != test.want {
				t.Errorf("from %v to %v: %s records, want %s", test.from, test.to, got, test.want)
			}
		}
		w.Stop() // so that nothing ticks meanwhile
		time.Sleep(92 * 24 * time.Hour)
		w.Start()
		synctest.Wait()
		if got := find(-time.Hour, 10*time.Hour); got != "0" {
			t.Errorf("%s records after 92 days", got)
		}
	})
}

// TestRecordHidesSecrets makes every secret that this server tells anybody, and looks for each in
// every record.
func TestRecordHidesSecrets(t *testing.T) {
	w := awstest.New(t)
	secrets := map[string]string{"administrator": w.Admin.Secret}
	ana := w.User("ana", "")
	secrets["access key"] = ana.Secret
	session := new(sts.GetSessionTokenOutput)
	if err := w.Client("sts", ana).Call(t.Context(), "GetSessionToken", &sts.GetSessionTokenInput{}, session); err != nil {
		t.Fatal(err)
	}
	secrets["session's key"], secrets["session's token"] = session.Credentials.SecretAccessKey, session.Credentials.SessionToken
	awstest.Call[iam.CreateRoleOutput](w, "iam", "CreateRole", &iam.CreateRoleInput{RoleName: "R", AssumeRolePolicyDocument: trusting})
	c := awstest.Call[sts.AssumeRoleOutput](w, "sts", "AssumeRole", &sts.AssumeRoleInput{RoleArn: "arn:aws:iam::123456789012:role/R", RoleSessionName: "me"}).Credentials
	secrets["role's key"], secrets["role's token"] = c.SecretAccessKey, c.SessionToken
	w.Role("Nodes", "ssm.amazonaws.com", "AmazonSSMManagedInstanceCore")
	a := awstest.Call[ssm.CreateActivationOutput](w, "ssm", "CreateActivation", &ssm.CreateActivationInput{IamRole: "Nodes"})
	secrets["activation code"] = *a.ActivationCode
	_ = w.Client("ssm", awstest.Keys{}).Call(t.Context(), "RegisterManagedInstance", &ssm.RegisterManagedInstanceInput{
		ActivationId: a.ActivationId, ActivationCode: a.ActivationCode, Fingerprint: "f", PublicKey: "k", PublicKeyType: new("Rsa"),
	}, &ssm.RegisterManagedInstanceOutput{})
	n := w.Register(awstest.NodeConfig{})
	secrets["node's key"], secrets["node's token"] = n.Keys().Secret, n.Keys().Token
	n.Ping()

	seen := map[string]bool{}
	in := &cloudtrail.LookupEventsInput{}
	for {
		out := lookup(w, in)
		for _, e := range out.Events {
			seen[*e.EventName] = true
			for what, secret := range secrets {
				if secret == "" || strings.Contains(*e.CloudTrailEvent, secret) {
					t.Errorf("the record of %s holds the secret of %s", *e.EventName, what)
				}
			}
		}
		if out.NextToken == nil {
			break
		}
		in.NextToken = out.NextToken
	}
	for _, name := range []string{
		"CreateAccessKey", "GetSessionToken", "AssumeRole", "CreateActivation", "RegisterManagedInstance", "RequestManagedInstanceRoleToken",
		"UpdateInstanceInformation",
	} {
		if !seen[name] {
			t.Errorf("there is no record of %s", name)
		}
	}
}

// TestRecordOfStrangers keeps the requests that were refused because nobody knows who made them.
func TestRecordOfStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := awstest.New(t)
		known := w.User("ann", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
		for _, k := range []awstest.Keys{{ID: "AKIASTRANGERSTRANGER", Secret: "s"}, {ID: known.ID, Secret: "wrong"}} {
			if err := w.Client("ssm", k).Call(t.Context(), "ListDocuments", &ssm.ListDocumentsInput{}, &ssm.ListDocumentsOutput{}); err == nil {
				t.Fatalf("%s may call", k.ID)
			}
			out := lookup(w, by("Username", k.ID))
			if len(out.Events) != 1 {
				t.Fatalf("%s has %d records", k.ID, len(out.Events))
			}
			r := record(t, &out.Events[0])
			identity, _ := r["userIdentity"].(map[string]any)
			want := map[string]any{"type": "Unknown", "principalId": "", "arn": "", "accountId": "", "accessKeyId": k.ID}
			for name, v := range want {
				if got := identity[name]; got != v && (v != "" || got != nil) {
					t.Errorf("%s of %s is %v, not %v", name, k.ID, got, v)
				}
			}
			if r["errorCode"] == nil || r["requestParameters"] != nil {
				t.Errorf("the record is %v", r)
			}
		}
	})
}
