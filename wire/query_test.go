package wire

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/api/sts"
)

// decodeForm reads a form as the input of an operation.
func decodeForm(t testing.TB, service, operation, text string) (any, error) {
	t.Helper()
	form, err := url.ParseQuery(text)
	if err != nil {
		t.Fatal(err)
	}
	op := operationOf(t, service, operation)
	in := reflect.New(op.In)
	err = bindings()[service].protocol.decode(&request{form: form}, op.in(), in.Elem())
	return in.Interface(), err
}

// TestQueryForms reads the forms that clients write, and some that only a stranger would.
func TestQueryForms(t *testing.T) {
	users := func(tags ...iam.Tag) *iam.CreateUserInput { return &iam.CreateUserInput{UserName: "u", Tags: tags} }
	for _, c := range []struct {
		name, service, operation, form string
		want                           any
	}{
		{"list", "iam", "CreateUser", "UserName=u&Tags.member.1.Key=a&Tags.member.1.Value=1&Tags.member.2.Key=b&Tags.member.2.Value=2", users(iam.Tag{Key: "a", Value: "1"}, iam.Tag{Key: "b", Value: "2"})},
		{"list in any order", "iam", "CreateUser", "Tags.member.10.Value=2&Tags.member.9.Key=a&Tags.member.10.Key=b&UserName=u&Tags.member.9.Value=1", users(iam.Tag{Key: "a", Value: "1"}, iam.Tag{Key: "b", Value: "2"})},
		{"list with gaps", "iam", "CreateUser", "UserName=u&Tags.member.7.Key=a&Tags.member.7.Value=1&Tags.member.999999999.Key=b&Tags.member.999999999.Value=2", users(iam.Tag{Key: "a", Value: "1"}, iam.Tag{Key: "b", Value: "2"})},
		{"list from zero", "iam", "CreateUser", "UserName=u&Tags.member.0.Key=a&Tags.member.0.Value=1", users(iam.Tag{Key: "a", Value: "1"})},
		{"list without its wrapper", "iam", "CreateUser", "UserName=u&Tags.1.Key=a&Tags.1.Value=1", users(iam.Tag{Key: "a", Value: "1"})},
		{"empty list", "iam", "CreateUser", "UserName=u&Tags=", users([]iam.Tag{}...)},
		{"no list", "iam", "CreateUser", "UserName=u", &iam.CreateUserInput{UserName: "u"}},
		{"unknown parameters", "iam", "CreateUser", "UserName=u&Unknown=1&Unknown.member.1=2&Tags.member.1.Key=a&Tags.member.1.Value=1&Tags.member.1.X=3", users(iam.Tag{Key: "a", Value: "1"})},
		{"repeated names: the first counts", "iam", "CreateUser", "UserName=u&UserName=v", &iam.CreateUserInput{UserName: "u"}},
		{"escapes", "iam", "CreateUser", "UserName=%75&Tags.member.1.Key=a+b%20c&Tags.member.1.Value=%C3%A9%3D", users(iam.Tag{Key: "a b c", Value: "é="})},
		{"empty text", "iam", "CreateUser", "UserName=u&Tags.member.1.Key=a&Tags.member.1.Value=", users(iam.Tag{Key: "a", Value: ""})},
		{"flat list", "ec2", "CreateTags", "ResourceId.1=i-1&ResourceId.3=i-3&Tag.1.Key=a&Tag.1.Value=1", &ec2.CreateTagsInput{Resources: []string{"i-1", "i-3"}, Tags: []ec2.Tag{{Key: new("a"), Value: new("1")}}}},
		{"boolean", "ec2", "DescribeVpcs", "DryRun=True", &ec2.DescribeVpcsInput{DryRun: new(true)}},
		{"number with sign and zeroes", "sts", "AssumeRole", "RoleArn=arn:aws:iam::1:role/r&RoleSessionName=ab&DurationSeconds=%2B0900", &sts.AssumeRoleInput{RoleArn: "arn:aws:iam::1:role/r", RoleSessionName: "ab", DurationSeconds: new(int64(900))}}, // source: aws
	} {
		in, err := decodeForm(t, c.service, c.operation, c.form)
		if diff := cmp.Diff(c.want, in); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got)\n%s", c.name, err, diff)
		}
	}
}

// TestQueryMalformed sends forms that are not what the model says. source: aws, for the words where
// there are any; guess for what is malformed
func TestQueryMalformed(t *testing.T) {
	for _, c := range []struct{ name, service, operation, form, want string }{
		{"empty number", "sts", "AssumeRole", "DurationSeconds=", "missing value for decimal type"},
		{"no number", "sts", "AssumeRole", "DurationSeconds=abc", ""},
		{"fraction", "sts", "AssumeRole", "DurationSeconds=900.0", ""},
		{"over an int", "sts", "AssumeRole", "DurationSeconds=2147483648", ""},
		{"under an int", "sts", "AssumeRole", "DurationSeconds=-2147483649", ""},
		{"boolean", "iam", "CreateLoginProfile", "PasswordResetRequired=yes", ""},
		{"text for a list", "iam", "CreateUser", "UserName=u&Tags=a", ""},
		{"text for a structure", "iam", "CreateUser", "UserName=u&Tags.member.1=a", ""},
		{"parts for a text", "iam", "CreateUser", "UserName.member.1=u", ""},
		{"parts and a text", "iam", "CreateUser", "UserName=u&UserName.x=v", ""},
		{"index that is none", "iam", "CreateUser", "UserName=u&Tags.member.x.Key=a", ""},
		{"negative index", "iam", "CreateUser", "UserName=u&Tags.member.-1.Key=a", ""},
		{"index with zeroes", "iam", "CreateUser", "UserName=u&Tags.member.01.Key=a", ""},
		{"index over an int", "iam", "CreateUser", "UserName=u&Tags.member.99999999999999999999.Key=a", ""},
		{"with and without wrapper", "iam", "CreateUser", "UserName=u&Tags.member.1.Key=a&Tags.2.Key=b", ""},
		{"too deep", "iam", "CreateUser", "UserName=u&" + strings.Repeat("x.", 100) + "y=1", ""},
		{"number in EC2", "ec2", "DescribeVpcs", "MaxResults=abc", "Value (abc) for parameter maxResults is invalid."},
		{"boolean in EC2", "ec2", "DescribeVpcs", "DryRun=maybe", "Value (maybe) for parameter dryRun is invalid."},
	} {
		_, err := decodeForm(t, c.service, c.operation, c.form)
		if e, ok := errors.AsType[*api.Error](err); !ok || e.Reason != api.Unserializable || e.Message != c.want {
			t.Errorf("%s: %v, want Unserializable: %s", c.name, err, c.want)
		}
	}
}

// TestQueryMemory sends indexes and names that are small on the wire.
func TestQueryMemory(t *testing.T) {
	many := make([]string, 9000)
	for i := range many {
		many[i] = fmt.Sprintf("Tag.%d.Key=k", i*100_000)
	}
	deep := make([]string, 9000)
	for i := range deep {
		deep[i] = fmt.Sprintf("a%d%s=", i, strings.Repeat(".a", deepest))
	}
	for name, form := range map[string]string{
		"huge index":   "Tag.999999999.Key=a&ResourceId.2147483647=i",
		"many indexes": strings.Join(many, "&"),
		"deep names":   strings.Join(deep, "&"),
		"dots":         strings.Repeat(".", 1<<20) + "=1",
	} {
		values, err := url.ParseQuery(form)
		if err != nil {
			t.Fatal(err)
		}
		op := operationOf(t, "ec2", "CreateTags")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_ = decodeQuery(values, op.in(), reflect.New(op.In).Elem(), true, &checker{requiredOnly: true})
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<10+20*uint64(len(form)) {
			t.Errorf("%s: %d bytes for a form of %d", name, grown, len(form))
		} else {
			t.Logf("%s: %d bytes for a form of %d", name, grown, len(form))
		}
	}
}

// TestQueryRequests sends whole requests. source: aws (measured on STS), but for what AWS redirects
// to its web pages
func TestQueryRequests(t *testing.T) {
	w := newWorld(t, map[string]api.Operation{
		"sts:GetCallerIdentity": allowed("GetCallerIdentity", func(context.Context, *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
			return &sts.GetCallerIdentityOutput{Account: new(testAccount)}, nil
		}),
		"ec2:DescribeVpcs": allowed("DescribeVpcs", func(context.Context, *ec2.DescribeVpcsInput) (*ec2.DescribeVpcsOutput, error) {
			return &ec2.DescribeVpcsOutput{}, nil
		}),
	})
	const (
		form  = "application/x-www-form-urlencoded"
		fault = `xmlns="http://webservices.amazon.com/AWSFault/2005-15-09"`
	)
	for _, c := range []struct {
		name, service, method, query, contentType, body string
		status                                          int
		want                                            string
	}{
		{"get", "sts", "GET", "Action=GetCallerIdentity&Version=2011-06-15", "", "", 200, "<Account>" + testAccount},
		{"post", "sts", "POST", "", form, "Action=GetCallerIdentity&Version=2011-06-15", 200, "<Account>"},
		{"charset", "sts", "POST", "", form + "; charset=utf-8", "Action=GetCallerIdentity&Version=2011-06-15", 200, "<Account>"},
		{"unknown parameter", "sts", "POST", "", form, "Action=GetCallerIdentity&Version=2011-06-15&Unknown=value", 200, "<Account>"},
		{"unknown action", "sts", "POST", "", form, "Action=NoSuchAction&Version=2011-06-15", 400, fault + "><Error><Type>Sender</Type><Code>InvalidAction</Code><Message>Could not find operation NoSuchAction for version 2011-06-15</Message></Error><RequestId>"},
		{"no version", "sts", "POST", "", form, "Action=GetCallerIdentity", 400, fault + "><Error><Type>Sender</Type><Code>InvalidAction</Code><Message>Could not find operation GetCallerIdentity for version NO_VERSION_SPECIFIED</Message>"},
		{"empty version", "sts", "POST", "", form, "Action=GetCallerIdentity&Version=", 400, "<Code>InvalidAction</Code><Message>Could not find operation GetCallerIdentity for version </Message>"},
		{"other version", "sts", "POST", "", form, "Action=GetCallerIdentity&Version=2000-01-01", 400, "<Message>Could not find operation GetCallerIdentity for version 2000-01-01</Message>"},
		{"two actions", "sts", "POST", "", form, "Action=GetCallerIdentity&Action=NoSuchAction&Version=2011-06-15", 200, "<Account>"},
		{"two actions, the first unknown", "sts", "POST", "", form, "Action=NoSuchAction&Action=GetCallerIdentity&Version=2011-06-15", 400, "operation NoSuchAction for"},
		{"two versions", "sts", "POST", "", form, "Action=GetCallerIdentity&Version=2011-06-15&Version=2000-01-01", 200, "<Account>"},
		{"empty action", "sts", "POST", "", form, "Action=&Version=2011-06-15", 400, "<Code>InvalidAction</Code><Message>Could not find operation  for version 2011-06-15</Message>"},
		{"no action", "sts", "POST", "", form, "Version=2011-06-15", 400, fault + "><Error><Type>Sender</Type><Code>MissingAction</Code>"},
		{"no content type", "sts", "POST", "", "", "Action=GetCallerIdentity&Version=2011-06-15", 400, "<Code>MissingAction</Code>"},
		{"get without action", "sts", "GET", "Version=2011-06-15", "", "", 400, "<Code>MissingAction</Code>"},
		{"broken escape", "sts", "POST", "", form, "Action=GetCallerIdentity&Version=2011-06-15&X=%zz", 404, "<Code>MalformedQueryString</Code><Message>The query string contains a syntax error.</Message>"},
		{"half an escape", "sts", "POST", "", form, "Action=GetCallerIdentity&Version=2011-06-15&X=%e", 404, "<Code>MalformedQueryString</Code>"},
		{"semicolons", "sts", "POST", "", form, "Action=GetCallerIdentity;Version=2011-06-15", 404, "<Code>MalformedQueryString</Code>"},
		{"too many names", "sts", "POST", "", form, "Action=GetCallerIdentity&Version=2011-06-15" + strings.Repeat("&a=", 20_000), 404, "<Code>MalformedQueryString</Code>"},
		{"too long", "sts", "POST", "", form, "Action=GetCallerIdentity&Version=2011-06-15&X=" + strings.Repeat("x", mostBody), 413, "<Code>RequestEntityTooLarge</Code>"},
		{"ec2", "ec2", "POST", "", form, "Action=DescribeVpcs&Version=2016-11-15", 200, "<DescribeVpcsResponse"},
		{"ec2, an old version", "ec2", "POST", "", form, "Action=DescribeVpcs&Version=2014-02-01", 200, "<DescribeVpcsResponse"},
		{"ec2, no version", "ec2", "POST", "", form, "Action=DescribeVpcs", 400, "<Code>MissingParameter</Code><Message>The request must contain the parameter Version</Message>"},
		{"ec2, unknown action", "ec2", "POST", "", form, "Action=NoSuchAction&Version=2016-11-15", 400, "<Code>InvalidAction</Code><Message>The action NoSuchAction is not valid for this web service.</Message></Error></Errors><RequestID>"},
		{"ec2, no action", "ec2", "GET", "", "", "", 400, "<Code>MissingAction</Code>"},
	} {
		target := endpoint(c.service) + "/"
		if c.query != "" {
			target += "?" + c.query
		}
		r := newRequest(c.method, target, c.body)
		if c.contentType != "" {
			r.Header.Set("Content-Type", c.contentType)
		}
		rec := w.do(signed(r, c.service))
		if rec.Code != c.status || !strings.Contains(rec.Body.String(), c.want) {
			t.Errorf("%s: %d %s\nwant %d %s", c.name, rec.Code, rec.Body, c.status, c.want)
		}
		if id := rec.Header().Get("x-amzn-RequestId"); id == "" || !strings.Contains(rec.Body.String(), id) {
			t.Errorf("%s: the request id %q is not in the answer", c.name, id)
		}
	}
}

// TestVersionsAreDistinct holds that a query service can be told by its version.
func TestVersionsAreDistinct(t *testing.T) {
	seen := map[string]string{}
	for name, svc := range bindings() {
		if !svc.isQuery() {
			continue
		}
		if other := seen[svc.model.Metadata.APIVersion]; other != "" {
			t.Errorf("%s and %s have the same version", name, other)
		}
		seen[svc.model.Metadata.APIVersion] = name
	}
	if len(seen) < 3 {
		t.Errorf("found only %v", seen)
	}
}
