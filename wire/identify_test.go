package wire

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/kms"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/sts"
	"github.com/vennel/vennel/wire/sigv4"
)

// scoped signs a request for a Region and service.
func scoped(r *http.Request, region, service string) *http.Request {
	return signedAs(r, sigv4.Credentials{AccessKeyID: testKeyID, SecretAccessKey: testSecret}, region, service, time.Now())
}

// TestIdentify holds which service, Region and bucket a request is for. source: aws for names under
// AWS's domains; guess for the order of the hints at other names
func TestIdentify(t *testing.T) {
	const plain, form = "http://127.0.0.1:4566", "application/x-www-form-urlencoded"
	at := func(method, url string, header ...string) *http.Request {
		return newRequest(method, url, "", header...)
	}
	type found struct{ service, region, bucket string }
	m := newWorld(t, nil).Mux
	for name, c := range map[string]struct {
		r    *http.Request
		want found
	}{
		"scope":                          {scoped(at("POST", plain+"/"), "eu-west-3", "ssm"), found{"ssm", "eu-west-3", ""}},
		"scope of a Region of one's own": {scoped(at("POST", plain+"/"), "home-lab-1", "ssm"), found{"ssm", "home-lab-1", ""}},
		"presigned scope":                {at("GET", plain+"/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20260101%2Feu-west-3%2Fsts%2Faws4_request&X-Amz-Date=20260101T000000Z&X-Amz-SignedHeaders=host&X-Amz-Signature=00"), found{"sts", "eu-west-3", ""}},
		"target":                         {at("POST", plain+"/", "X-Amz-Target", "TrentService.ListKeys"), found{"kms", testRegion, ""}},
		"target with dots":               {at("POST", plain+"/", "X-Amz-Target", "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents"), found{"cloudtrail", testRegion, ""}},
		"name":                           {at("POST", "http://kms.eu-central-1.amazonaws.com/"), found{"kms", "eu-central-1", ""}},
		"name in China":                  {at("POST", "http://ssm.cn-north-1.amazonaws.com.cn/"), found{"ssm", "cn-north-1", ""}},
		"name in dual stack":             {at("POST", "http://ssm.eu-central-1.api.aws/"), found{"ssm", "eu-central-1", ""}},
		"FIPS name":                      {at("POST", "http://kms-fips.us-east-2.amazonaws.com/"), found{"kms", "us-east-2", ""}},
		"name of an endpoint":            {at("POST", "http://vpce-0a1b-2c3d.ssmmessages.eu-central-1.vpce.amazonaws.com/"), found{"ssmmessages", "eu-central-1", ""}},
		"name of one's own domain":       {at("POST", "http://ssm.home-lab-1.selfhost.test:8443/"), found{"ssm", "home-lab-1", ""}},
		"global name":                    {at("POST", "http://iam.amazonaws.com/"), found{"iam", testRegion, ""}},
		"global name, scope elsewhere":   {scoped(at("POST", "http://sts.amazonaws.com/"), "eu-west-3", "sts"), found{"sts", "eu-west-3", ""}},
		"action and version":             {newRequest("POST", plain+"/", "Action=GetCallerIdentity&Version=2011-06-15", "Content-Type", form), found{"sts", testRegion, ""}},
		"action and version in a query":  {at("GET", plain+"/?Action=DescribeVpcs&Version=2016-11-15"), found{"ec2", testRegion, ""}},
		"action without a version":       {newRequest("POST", plain+"/", "Action=GetCallerIdentity", "Content-Type", form), found{}},
		"path":                           {at("GET", plain+"/bucket/key"), found{"s3", testRegion, ""}},
		"virtual host":                   {at("GET", "http://bucket.s3.eu-west-1.amazonaws.com/key"), found{"s3", "eu-west-1", "bucket"}},
		"virtual host at an endpoint":    {at("GET", "http://my.b.bucket.vpce-0a-1b.s3.eu-west-1.vpce.amazonaws.com/key"), found{"s3", "eu-west-1", "my.b"}},
		"nothing":                        {at("GET", plain+"/"), found{}},
		"health":                         {at("GET", plain+healthPath), found{}},
		"unknown scope":                  {scoped(at("POST", plain+"/"), testRegion, "dynamodb"), found{}},
		"unknown scope, known target":    {scoped(at("POST", plain+"/", "X-Amz-Target", "AmazonSSM.GetParameter"), testRegion, "dynamodb"), found{"ssm", testRegion, ""}},
		"unknown name":                   {at("POST", "http://dynamodb.us-east-1.amazonaws.com/"), found{}},
		"a Region that is none":          {scoped(at("POST", plain+"/"), "no region", "ssm"), found{"ssm", testRegion, ""}},

		// Hints that contradict each other. Under AWS's domains the name wins, elsewhere the scope.
		"scope against target":                  {scoped(at("POST", plain+"/", "X-Amz-Target", "TrentService.ListKeys"), testRegion, "ssm"), found{"ssm", testRegion, ""}},
		"AWS's name against scope":              {scoped(at("POST", "http://kms.us-east-1.amazonaws.com/"), testRegion, "ssm"), found{"kms", testRegion, ""}},
		"AWS's Region against scope":            {scoped(at("POST", "http://ssm.eu-west-1.amazonaws.com/"), testRegion, "ssm"), found{"ssm", "eu-west-1", ""}},
		"AWS's name against target":             {at("POST", "http://ssm.us-east-1.amazonaws.com/", "X-Amz-Target", "TrentService.ListKeys"), found{"ssm", testRegion, ""}},
		"AWS's name against action":             {newRequest("POST", "http://iam.amazonaws.com/", "Action=GetCallerIdentity&Version=2011-06-15", "Content-Type", form), found{"iam", testRegion, ""}},
		"one's own name against scope":          {scoped(at("POST", "http://ssm.lab.example.com/"), "eu-west-3", "kms"), found{"kms", "eu-west-3", ""}},
		"one's own Region against scope":        {scoped(at("POST", "http://ssm.lab.example.com/"), "eu-west-3", "ssm"), found{"ssm", "eu-west-3", ""}},
		"one's own name against target":         {at("POST", "http://ssm.lab.example.com/", "X-Amz-Target", "TrentService.ListKeys"), found{"kms", "lab", ""}},
		"one's own name against unknown target": {at("POST", "http://ssm.lab.example.com/", "X-Amz-Target", "Dynamo.ListTables"), found{"ssm", "lab", ""}},
	} {
		rq := &request{Request: c.r, call: &api.Call{Region: testRegion}}
		err := m.identify(rq)
		var got found
		if rq.svc != nil {
			got = found{rq.svc.Name, rq.call.Region, rq.bucket}
		}
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
		}
	}
}

// TestConflictingHints sends such requests to the end: a name of AWS's refuses a signature for
// another service or Region, and no operation is reached under another service's name. source: aws
func TestConflictingHints(t *testing.T) {
	w := newWorld(t, map[string]api.Operation{
		"ssm:GetParameter": allowed("GetParameter", func(context.Context, *ssm.GetParameterInput) (*ssm.GetParameterOutput, error) {
			return &ssm.GetParameterOutput{}, nil
		}),
		"kms:ListKeys": allowed("ListKeys", func(context.Context, *kms.ListKeysInput) (*kms.ListKeysOutput, error) {
			return &kms.ListKeysOutput{}, nil
		}),
	})
	get := func(url string) *http.Request {
		return newRequest("POST", url, `{"Name":"n"}`, "Content-Type", "application/x-amz-json-1.1", "X-Amz-Target", "AmazonSSM.GetParameter")
	}
	for name, c := range map[string]struct {
		r      *http.Request
		status int
		want   string
	}{
		"all agree":             {scoped(get("http://ssm.us-east-1.amazonaws.com/"), "us-east-1", "ssm"), 200, "{}"},
		"another service":       {scoped(get("http://ssm.us-east-1.amazonaws.com/"), "us-east-1", "kms"), 400, `{"__type":"InvalidSignatureException","message":"Credential should be scoped to correct service: 'ssm'."}`},
		"another Region":        {scoped(get("http://ssm.eu-west-1.amazonaws.com/"), "us-east-1", "ssm"), 400, `{"__type":"InvalidSignatureException","message":"Credential should be scoped to a valid region, not 'us-east-1'."}`},
		"another target":        {scoped(newRequest("POST", "http://ssm.us-east-1.amazonaws.com/", "{}", "X-Amz-Target", "TrentService.ListKeys"), "us-east-1", "ssm"), 400, `{"__type":"UnknownOperationException"}`},
		"another target, plain": {scoped(newRequest("POST", "http://localhost:4566/", "{}", "X-Amz-Target", "TrentService.ListKeys"), "us-east-1", "ssm"), 400, `{"__type":"UnknownOperationException"}`},
		"no prefix":             {scoped(newRequest("POST", "http://localhost:4566/", "{}", "X-Amz-Target", "GetParameter"), "us-east-1", "ssm"), 400, `{"__type":"UnknownOperationException"}`},
		"lower case":            {scoped(newRequest("POST", "http://localhost:4566/", "{}", "X-Amz-Target", "AmazonSSM.getParameter"), "us-east-1", "ssm"), 400, `{"__type":"UnknownOperationException"}`},
		"scope of S3":           {scoped(get("http://ssm.us-east-1.amazonaws.com/"), "us-east-1", "s3"), 400, "InvalidSignatureException"},
		"S3 with another scope": {scoped(newRequest("GET", "http://b.s3.us-east-1.amazonaws.com/k", ""), "us-east-1", "ssm"), 400, "<Code>AuthorizationHeaderMalformed</Code>"},
		"unknown scope":         {scoped(get("http://localhost:4566/"), "us-east-1", "dynamodb"), 400, "Credential should be scoped to correct service: 'ssm'."},
	} {
		rec := w.do(c.r)
		if rec.Code != c.status || !strings.Contains(rec.Body.String(), c.want) {
			t.Errorf("%s: %d %s, want %d %s", name, rec.Code, rec.Body, c.status, c.want)
		}
	}
}

// TestEveryRegionOnOneListener calls the same server in many Regions.
func TestEveryRegionOnOneListener(t *testing.T) {
	w := newWorld(t, map[string]api.Operation{
		"sts:GetCallerIdentity": allowed("GetCallerIdentity", func(ctx context.Context, _ *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
			return &sts.GetCallerIdentityOutput{Account: new(api.CallFrom(ctx).Region)}, nil
		}),
	})
	for _, region := range []string{"us-east-1", "eu-west-3", "cn-north-1", "us-gov-west-1", "home-lab-1", "x"} {
		for _, url := range []string{"http://localhost:4566/", "http://sts." + region + ".amazonaws.com/", "http://sts." + region + ".example.com/"} {
			rec := w.do(scoped(newRequest("POST", url, "Action=GetCallerIdentity&Version=2011-06-15", "Content-Type", "application/x-www-form-urlencoded"), region, "sts"))
			if rec.Code != 200 || !strings.Contains(rec.Body.String(), "<Account>"+region+"</Account>") {
				t.Errorf("%s at %s: %d %s", region, url, rec.Code, rec.Body)
			}
		}
	}
}

// TestWhoIsThere asks services who they are as AWS's guides do: curl https://ssm.REGION.amazonaws.com.
// source: aws for the JSON services, userguide for MissingAction
func TestWhoIsThere(t *testing.T) {
	w := newWorld(t, nil)
	for name, c := range map[string]struct {
		r                 *http.Request
		status            int
		contentType, want string
	}{
		"ssm":                         {newRequest("GET", "https://ssm.us-east-1.amazonaws.com/", ""), 404, "", "<UnknownOperationException/>\n"},
		"ssm, signed":                 {signed(newRequest("GET", "https://ssm.us-east-1.amazonaws.com/", ""), "ssm"), 404, "", "<UnknownOperationException/>\n"},
		"ssm, posted":                 {newRequest("POST", "https://ssm.us-east-1.amazonaws.com/", "{}"), 404, "", "<UnknownOperationException/>\n"},
		"ssm, posted JSON":            {newRequest("POST", "https://ssm.us-east-1.amazonaws.com/", "{}", "Content-Type", "application/x-amz-json-1.1"), 400, "application/x-amz-json-1.1", `{"__type":"UnknownOperationException"}`},
		"ec2messages":                 {newRequest("GET", "https://ec2messages.eu-west-1.amazonaws.com/", ""), 404, "", "<UnknownOperationException/>\n"},
		"kms, a path":                 {newRequest("GET", "https://kms.eu-west-1.amazonaws.com/ping", ""), 404, "", "<UnknownOperationException/>\n"},
		"ssmmessages":                 {newRequest("GET", "https://ssmmessages.us-east-1.amazonaws.com/", ""), 400, "application/xml", "<UnknownOperationException>"},
		"sts":                         {newRequest("GET", "https://sts.us-east-1.amazonaws.com/", ""), 400, "text/xml", "<Code>MissingAction</Code>"},
		"iam":                         {newRequest("GET", "https://iam.amazonaws.com/", ""), 400, "text/xml", "<Code>MissingAction</Code>"},
		"ec2":                         {newRequest("GET", "https://ec2.us-east-1.amazonaws.com/", ""), 400, "text/xml;charset=UTF-8", "<Code>MissingAction</Code>"},
		"ssm, a broken signature":     {newRequest("GET", "https://ssm.us-east-1.amazonaws.com/", "", "Authorization", "AWS4-HMAC-SHA256 nonsense"), 400, "application/x-amz-json-1.1", `{"__type":"IncompleteSignatureException"`},
		"nobody":                      {newRequest("GET", "http://127.0.0.1:4566/", ""), 404, "text/plain; charset=utf-8", "Vennel speaks AWS's APIs here."},
		"health":                      {newRequest("GET", "http://127.0.0.1:4566/_vennel/health", ""), 200, "text/plain; charset=utf-8", "ok\n"},
		"health, posted":              {newRequest("POST", "http://127.0.0.1:4566/_vennel/health", ""), 404, "text/plain; charset=utf-8", "Vennel speaks"},
		"another page of ours":        {newRequest("GET", "http://127.0.0.1:4566/_vennel/x", ""), 404, "text/plain; charset=utf-8", "Vennel speaks"},
		"a service that is not ours":  {scoped(newRequest("POST", "http://127.0.0.1:4566/", "{}", "X-Amz-Target", "DynamoDB_20120810.ListTables"), testRegion, "dynamodb"), 404, "text/plain; charset=utf-8", `Vennel does not serve "dynamodb", for which this request is signed. It serves cloudtrail, ec2, ec2messages, iam,`},
		"a service with a long name":  {scoped(newRequest("POST", "http://127.0.0.1:4566/", "{}"), testRegion, strings.Repeat("<x>", 1000)), 404, "text/plain; charset=utf-8", `Vennel does not serve "` + strings.Repeat("<x>", 33) + `<", for`},
		"a signature that is none":    {newRequest("GET", "http://127.0.0.1:4566/", "", "Authorization", "Basic eDp5"), 400, "text/plain; charset=utf-8", "Authorization header"},
		"a body that is too long":     {newRequest("POST", "http://127.0.0.1:4566/", strings.Repeat("x", mostBody+1)), 400, "text/plain; charset=utf-8", "This request cannot be read."},
		"a form that is none":         {newRequest("POST", "http://127.0.0.1:4566/", "%zz", "Content-Type", "application/x-www-form-urlencoded"), 400, "text/plain; charset=utf-8", "This request cannot be read."},
		"an old signature for S3":     {newRequest("GET", "http://127.0.0.1:4566/b/k?AWSAccessKeyId=AKID&Expires=1&Signature=x", ""), 400, "application/xml", "<Code>InvalidRequest</Code><Message>The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."},
		"S3's list without signature": {newRequest("GET", "https://s3.us-east-1.amazonaws.com/", ""), 405, "application/xml", "<Code>MethodNotAllowed</Code>"}, // not built: the operation would deny it
	} {
		rec := w.do(c.r)
		if rec.Code != c.status || rec.Header().Get("Content-Type") != c.contentType || !strings.Contains(rec.Body.String(), c.want) {
			t.Errorf("%s: %d %s %s\nwant %d %s %s", name, rec.Code, rec.Header().Get("Content-Type"), rec.Body, c.status, c.contentType, c.want)
		}
		if rec.Header().Get("x-amzn-RequestId") == "" {
			t.Errorf("%s: no request id", name)
		}
	}
}

// TestLargeBodies announces or sends more than is read.
func TestLargeBodies(t *testing.T) {
	w := newWorld(t, nil)
	for _, length := range []int64{mostBody + 1, 1 << 40, -1} {
		r := jsonRequest("ssm", "GetParameter", "")
		read := &counter{Reader: io.LimitReader(spaces{}, 1<<40)}
		r.Body, r.ContentLength = io.NopCloser(read), length
		rec := w.do(r)
		if rec.Code != 413 || !strings.Contains(rec.Body.String(), "RequestEntityTooLargeException") {
			t.Errorf("length %d: %d %s", length, rec.Code, rec.Body)
		}
		if most := int64(mostBody + 1); read.n > most || length > 0 && read.n > 0 {
			t.Errorf("length %d: %d bytes were read", length, read.n)
		}
	}
}

// spaces reads as spaces without an end.
type spaces struct{}

// Read gives spaces.
func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// counter counts what is read.
type counter struct {
	io.Reader
	n int64
}

// Read reads and counts.
func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}
