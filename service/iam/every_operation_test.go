package iam_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vennel/vennel/api"
	cloudtrailapi "github.com/vennel/vennel/api/cloudtrail"
	iamapi "github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/api/model"
	"github.com/vennel/vennel/internal/awstest"
	"github.com/vennel/vennel/service/iam/actions"
	"github.com/vennel/vennel/wire"
)

// unsigned are the operations that need no AWS signature, and what proves the caller instead.
var unsigned = map[string]string{
	"ssm:RegisterManagedInstance":         "the code and id of an activation; the machine has no identity yet",
	"ssm:RequestManagedInstanceRoleToken": "a signature with the node's own key",
	"ssm:UpdateManagedInstancePublicKey":  "a signature with the node's own key",
	"ssmmessages:OpenDataChannel":         "the token of a session; agents sign as well",
}

// exempt are the operations that every caller may call, whatever policies say. source: userguide
var exempt = map[string]string{
	"sts:GetCallerIdentity": "it tells callers no more than they know",
	"sts:GetSessionToken":   "it gives no more than the caller has",
}

// further are the actions that an operation needs beside its own, and why.
var further = map[string]struct {
	actions []string
	why     string
}{
	"ssm:CreateActivation":          {[]string{"iam:PassRole"}, "the nodes act with the role"},
	"ssm:UpdateManagedInstanceRole": {[]string{"iam:PassRole"}, "the node acts with the role"},
}

// elsewhere are operations whose own action the samples do not get as far as, and what is met first.
var elsewhere = map[string]string{
	"iam:GetAccessKeyLastUsed": "a key that there is not is refused in the words of one that the caller may not see. source: aws",
	"sts:AssumeRole":           "a role that there is not is refused in the words of one that does not trust the caller",
}

// TestEveryOperationIsAuthorized calls everything that is built, as somebody who may not and as
// somebody who may, and looks at what the audit trail says of it. An operation that is added is
// covered without a word here.
func TestEveryOperationIsAuthorized(t *testing.T) {
	w := awstest.New(t)
	w.Register(awstest.NodeConfig{}).Ping() // so that the trail has the calls of nodes too
	nobody := w.User("without", "")
	someone := w.User("someone", "")
	var operations int
	secrets := map[string]string{}
	for _, s := range w.Services() {
		for _, o := range awstest.Built(s) {
			operations++
			name := s.Name + ":" + o.Name
			t.Run(name, func(t *testing.T) {
				call := func(k awstest.Keys) *api.Error { return attempt(t, w, s.Name, &o, k, secrets) }
				if _, ok := unsigned[name]; ok != (model.Load(s.Name).Operations[o.Name].AuthType != "") {
					t.Fatalf("%s is in one of the list of unsigned operations and the model only", name)
				} else if ok {
					return
				}
				if e := call(awstest.Keys{}); e == nil || !slices.Contains([]string{"MissingAuthenticationToken", "MissingAuthenticationTokenException", "AuthFailure", "AccessDenied"}, e.Code) {
					t.Errorf("unsigned: %v", e)
				}
				if _, ok := exempt[name]; ok {
					grant(w, "Deny", name)
					if e := call(someone); e != nil {
						t.Errorf("denied: %v", e)
					}
					return
				}
				e := call(nobody)
				if !denied(e) || !strings.HasPrefix(e.Message, "User: arn:aws:iam::123456789012:user/without is not authorized to perform: "+name) ||
					!strings.HasSuffix(e.Message, " because no "+layer(name)+" allows the "+name+" action") {
					t.Errorf("without a policy: %v", e)
				}
				grant(w, "Deny", name)
				e = call(someone)
				if !denied(e) || !strings.HasPrefix(e.Message, "User: arn:aws:iam::123456789012:user/someone is not authorized to perform: "+name) ||
					!strings.HasSuffix(e.Message, " with an explicit deny in an identity-based policy") {
					t.Errorf("with an explicit deny: %v", e)
				}
				grant(w, "Allow", append([]string{name}, further[name].actions...)...)
				e = call(someone)
				if _, ok := elsewhere[name]; ok != denied(e) {
					t.Errorf("allowed: %v", e)
				}
				if e != nil && (e.Fault || e.Status >= 500) {
					t.Errorf("allowed: %v", e)
				}
			})
		}
	}
	t.Logf("%d operations", operations)
	if len(secrets) < 2 {
		t.Errorf("only %d secrets were told: CreateAccessKey and GetSessionToken tell three", len(secrets))
	}
	trail(t, w, secrets)
}

// layer is what must allow an action: the trust policy for a role, which the caller's account is not
// in, else the caller's own policies.
func layer(action string) string {
	if action == "sts:AssumeRole" {
		return "role trust policy"
	}
	return "identity-based policy"
}

// denied says whether an answer is AccessDenied in the form of some protocol.
func denied(e *api.Error) bool {
	return e != nil && (e.Code == "AccessDenied" || e.Code == "AccessDeniedException" || e.Code == "UnauthorizedOperation")
}

// grant gives someone one policy and no other: everything denied or allowed that is named.
func grant(w *awstest.World, effect string, actions ...string) {
	statements := []map[string]any{{"Effect": effect, "Action": actions, "Resource": "*"}}
	if effect == "Deny" {
		statements = append(statements, map[string]any{"Effect": "Allow", "Action": "*", "Resource": "*"})
	}
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements})
	if err != nil {
		w.T.Fatal(err)
	}
	awstest.Call[iamapi.PutUserPolicyOutput](w, "iam", "PutUserPolicy", &iamapi.PutUserPolicyInput{
		UserName: "someone", PolicyName: "it", PolicyDocument: string(text),
	})
}

// attempt calls an operation with a small input, and gives the error that the service answered.
func attempt(t *testing.T, w *awstest.World, service string, o *api.Operation, k awstest.Keys, secrets map[string]string) *api.Error {
	t.Helper()
	text, err := awstest.Sample(service, o.Name)
	if err != nil {
		t.Fatal(err)
	}
	in := reflect.New(o.In).Interface()
	if err := wire.ReadInput(service, o.Name, text, in); err != nil {
		t.Fatal(err)
	}
	client := w.Client(service, k)
	var out any
	if o.Out == nil {
		client.HTTP = &http.Client{Transport: upgrading{w.HTTP.Transport}}
	} else {
		out = reflect.New(o.Out).Interface()
	}
	err = client.Call(t.Context(), o.Name, in, out)
	if out != nil {
		gather(secrets, o.Name, reflect.ValueOf(out))
	}
	e, ok := errors.AsType[*api.Error](err)
	if err != nil && !ok {
		t.Fatal(err)
	}
	if e != nil && e.Status == http.StatusSwitchingProtocols {
		return nil
	}
	return e
}

// secret are the names of members that no record may hold the values of. The names are said here
// again, so that a mistake in the model is noticed.
var secret = regexp.MustCompile(`(?i)(secret|password|plaintext|activationcode|sessiontoken|tokenvalue)`)

// gather adds the secrets in an answer to those that were told, by value.
func gather(secrets map[string]string, where string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			gather(secrets, where, v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			gather(secrets, where, v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				gather(secrets, where+"."+f.Name, v.Field(i))
			}
		}
	case reflect.String:
		if member := where[strings.LastIndexByte(where, '.')+1:]; secret.MatchString(member) && v.Len() >= 16 {
			secrets[v.String()] = where
		}
	}
}

// upgrading asks for a websocket, as the operations that are streams want.
type upgrading struct{ http.RoundTripper }

// RoundTrip adds the headers of an upgrade, which are not signed.
func (u upgrading) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Sec-Websocket-Version", "13")
	r.Header.Set("Sec-Websocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")
	return u.RoundTripper.RoundTrip(r)
}

// trail reads the whole audit trail. Every decision in it must be about an action that AWS has, and
// about a resource that the action can be about; no record may hold a secret.
func trail(t *testing.T, w *awstest.World, secrets map[string]string) {
	t.Helper()
	in := &cloudtrailapi.LookupEventsInput{MaxResults: new(int64(50))}
	seen := map[string]bool{}
	for {
		out := awstest.Call[cloudtrailapi.LookupEventsOutput](w, "cloudtrail", "LookupEvents", in)
		for _, e := range out.Events {
			for value, where := range secrets {
				if strings.Contains(*e.CloudTrailEvent, value) {
					t.Errorf("the record of %s holds %s", *e.EventName, where)
				}
			}
			var record struct {
				AdditionalEventData struct{ Decisions []api.Decision }
			}
			if err := json.Unmarshal([]byte(*e.CloudTrailEvent), &record); err != nil {
				t.Fatal(err)
			}
			for _, d := range record.AdditionalEventData.Decisions {
				question := d.Action + " on " + d.Resource
				if seen[question] {
					continue
				}
				seen[question] = true
				if a, ok := actions.Lookup(d.Action); !ok || a.Name != d.Action {
					t.Errorf("%s: AWS has no action %s", *e.EventName, d.Action)
				} else if !actions.Matches(d.Action, d.Resource) {
					t.Errorf("%s asks for %s, which that action cannot be about", *e.EventName, question)
				}
			}
		}
		if out.NextToken == nil {
			break
		}
		in.NextToken = out.NextToken
	}
	t.Logf("%d decisions", len(seen))
	if len(seen) == 0 {
		t.Error("the audit trail holds no decision")
	}
}
