package wire

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/vennel/vennel/api"
)

// fuzzed are operations with shapes of all kinds, for bytes to be read as.
var fuzzed = map[string][]struct{ service, operation string }{
	"json": {
		{"ssm", "SendCommand"}, {"ssm", "PutInventory"}, {"ssm", "StartAutomationExecution"}, {"ssm", "CreateActivation"}, {"ssm", "GetInventory"}, {"ssm", "UpdateInstanceInformation"},
		{"kms", "Encrypt"}, {"kms", "CreateGrant"}, {"logs", "PutMetricFilter"}, {"logs", "PutTransformer"}, {"ec2messages", "SendReply"}, {"cloudtrail", "LookupEvents"},
	},
	"query": {
		{"iam", "CreateUser"}, {"iam", "SimulateCustomPolicy"}, {"iam", "UploadServerCertificate"}, {"sts", "AssumeRole"}, {"ec2", "RunInstances"}, {"ec2", "AuthorizeSecurityGroupIngress"},
		{"ec2", "DescribeVpcs"}, {"ec2", "CreateVpcEndpoint"},
	},
	"rest-xml": {
		{"s3", "PutBucketTagging"}, {"s3", "PutBucketLifecycleConfiguration"}, {"s3", "PutBucketAcl"}, {"s3", "DeleteObjects"}, {"s3", "CompleteMultipartUpload"}, {"s3", "PutBucketCors"},
		{"s3", "PutBucketEncryption"},
	},
}

// refusedWell says whether an error is one that a caller may see, in words of ours and not too long,
// and gives its reason.
func refusedWell(t *testing.T, err error) api.Reason {
	t.Helper()
	e, ok := errors.AsType[*api.Error](err)
	if !ok || e.Reason == api.Internal || len(e.Message) > mostViolations*(2*mostShown+10_000) {
		t.Fatalf("%.1000v", err)
	}
	return e.Reason
}

// FuzzJSON reads bytes as the inputs of several operations. What can be read, even if constraints
// refuse it, is written again and read again without a change.
func FuzzJSON(f *testing.F) {
	for i := range fuzzed["json"] {
		f.Add(uint8(i), []byte(`{}`))
	}
	for _, seed := range []string{
		`{"DocumentName":"AWS-X","InstanceIds":["i-12345678",null],"Targets":[{"Key":"a","Values":["b"]}],"Parameters":{"a":["b"]},"TimeoutSeconds":3e1}`,
		`{"InstanceId":"i-12345678","Items":[{"TypeName":"AWS:Application","SchemaVersion":"1.0","CaptureTime":"2026-01-01T00:00:00Z","Content":[{"a":"b"}]}]}`,
		`{"KeyId":"k","Plaintext":"aGVsbG8=","EncryptionContext":{"é":"\ud83d\ude00"}}`,
		`{"IamRole":"r","ExpirationDate":1763750400.123,"Tags":[{"Key":"a","Key":"b","Value":"c"}]}`,
		`{"metricTransformations":[{"defaultValue":-0.0,"dimensions":{"a":"b"}}],"applyOnTransformedLogs":"yes"}`,
		`{"Aggregators":[{"Aggregators":[{"Aggregators":[]}]}]}`, `[]`, `null`, `{"X":[[[[{}]]]]}`, "{\"a\xff\":1}", `{"a":1e999}`,
	} {
		for i := range fuzzed["json"] {
			f.Add(uint8(i), []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		what := fuzzed["json"][int(which)%len(fuzzed["json"])]
		op := operationOf(t, what.service, what.operation)
		first := reflect.New(op.In).Elem()
		if err := decodeJSON(body, op.in(), first, new(checker)); err != nil {
			if refusedWell(t, err) != api.Invalid {
				return
			}
		}
		text := appendJSON(nil, op.in(), first)
		second := reflect.New(op.In).Elem()
		if err := decodeJSON(text, op.in(), second, nil); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if again := appendJSON(nil, op.in(), second); !bytes.Equal(text, again) {
			t.Errorf("%s\nbecame %s", text, again)
		}
	})
}

// FuzzQuery reads forms as the inputs of several operations. What can be read is written again and
// read again without a change, once what a form cannot say (a structure without members) is gone.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{
		"UserName=u&Tags.member.1.Key=a&Tags.member.1.Value=1&Tags.member.7.Key=b&Tags.member.7.Value=", "Tags=", "Tags.1.Key=a&Tag.1.Key=b&Tag.999999999.Key=c",
		"RoleArn=arn:aws:iam::1:role/r&RoleSessionName=ab&DurationSeconds=%2B0900", "ImageId=ami-1&MinCount=1&MaxCount=1&BlockDeviceMapping.1.Ebs.VolumeSize=8&TagSpecification.1.Tag.1.Key=a",
		"IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0&IpPermissions.1.FromPort=-1", "PolicyInputList.member.1=%7B%7D&ContextEntries.member.1.ContextKeyValues.member.1=x",
		"Filter.1.Name=a&Filter.1.Value.1=b&Filter.3.Value.2=c&DryRun=TRUE", "a.b.c=1&a=2&a.b=3&.=4&..=5&=6", "UserName=u&UserName.x=y",
	} {
		for i := range fuzzed["query"] {
			f.Add(uint8(i), seed)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, text string) {
		what := fuzzed["query"][int(which)%len(fuzzed["query"])]
		op, isEC2 := operationOf(t, what.service, what.operation), what.service == "ec2"
		form, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		rounds := make([]string, 3)
		for i := range rounds {
			v := reflect.New(op.In).Elem()
			if err := decodeQuery(form, op.in(), v, isEC2, &checker{requiredOnly: isEC2}); err != nil {
				if reason := refusedWell(t, err); reason == api.Unserializable && i == 0 {
					return
				} else if reason == api.Unserializable {
					t.Fatalf("%v in %s", err, form.Encode())
				}
			}
			form = url.Values{}
			encodeQuery(form, op.in(), v, isEC2, "")
			rounds[i] = form.Encode()
		}
		if rounds[1] != rounds[2] {
			t.Errorf("%s\nbecame %s", rounds[1], rounds[2])
		}
	})
}

// FuzzXML reads bytes as the payloads of several operations. What can be read is written again and
// read again without a change.
func FuzzXML(f *testing.F) {
	for _, seed := range []string{
		"<Tagging><TagSet><Tag><Key>a</Key><Value>&lt;&#13;</Value></Tag></TagSet></Tagging>",
		`<LifecycleConfiguration xmlns="x"><Rule><Status>Enabled</Status><Expiration><Days>7</Days></Expiration><Transition><Date>2026-01-01T00:00:00Z</Date></Transition></Rule></LifecycleConfiguration>`,
		`<AccessControlPolicy><AccessControlList><Grant><Grantee xmlns:xsi="x" xsi:type="Group"><URI>u</URI></Grantee></Grant></AccessControlList></AccessControlPolicy>`,
		"<Delete><Object><Key>k</Key></Object><Object><Key>l</Key><VersionId>v</VersionId></Object><Quiet>true</Quiet></Delete>",
		"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag><![CDATA[e]]></ETag></Part></CompleteMultipartUpload>",
		"<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod><AllowedOrigin>*</AllowedOrigin></CORSRule></CORSConfiguration>",
		`<!DOCTYPE x [<!ENTITY a "b">]><a>&a;</a>`, "<a/><b/>", "<a><a><a>", "<?xml version='1.0'?><a b='c' d:e='f'/>",
	} {
		for i := range fuzzed["rest-xml"] {
			f.Add(uint8(i), []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		what := fuzzed["rest-xml"][int(which)%len(fuzzed["rest-xml"])]
		op := operationOf(t, what.service, what.operation)
		p := op.in().payload
		rounds := make([][]byte, 2)
		for i := range rounds {
			root, err := parseXML(body, mostElements)
			v := reflect.New(op.In).Elem()
			if err == nil {
				err = xmlDecoder{strict: true}.value(root, p.shape, p.field(v))
			}
			if err != nil {
				refusedWell(t, err)
				if i > 0 {
					t.Fatalf("%v in %s", err, body)
				}
				return
			}
			rounds[i] = appendElement(nil, p.rootName(), p.shape, p.field(v), p.ref.XMLNamespace)
			body = rounds[i]
		}
		if !bytes.Equal(rounds[0], rounds[1]) {
			t.Errorf("%s\nbecame %s", rounds[0], rounds[1])
		}
	})
}

// FuzzRoute sends whole requests to a server of which nothing is built: whatever they are, each is
// answered, by nobody's fault but the caller's, and what is found on a path has all of its labels.
func FuzzRoute(f *testing.F) {
	f.Add("POST", "ssm.us-east-1.amazonaws.com", "/", "AmazonSSM.GetParameter", "application/x-amz-json-1.1", "", `{"Name":"n"}`)
	f.Add("POST", "localhost:4566", "/", "", "application/x-www-form-urlencoded", "", "Action=ListUsers&Version=2010-05-08")
	f.Add("GET", "b.s3.eu-west-1.amazonaws.com", "/a%2Fb//c?tagging&versionId=v", "", "", "", "")
	f.Add("PUT", "s3.eu-west-1.amazonaws.com", "/b/k?partNumber=1&uploadId=u", "", "", "", "x")
	f.Add("DELETE", "127.0.0.1", "/b?policy", "", "application/xml", "", "")
	f.Add("POST", "ssmmessages.us-east-1.amazonaws.com", "/v1/control-channel/mi-0123456789abcdef0", "", "application/json", "", "{}")
	f.Add("GET", "vpce-1.ec2.us-east-1.vpce.amazonaws.com", "/?Action=DescribeVpcs&Version=1&X-Amz-Algorithm=AWS4-HMAC-SHA256", "", "", "", "")
	f.Add("GET", "x", "/b/k?AWSAccessKeyId=a&Signature=b", "", "", "AWS a:b", "")
	f.Add("POST", "kms.us-east-1.amazonaws.com", "/", "TrentService.Encrypt", "", "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260101/us-east-1/kms/aws4_request, SignedHeaders=host;x-amz-date, Signature=00", "{}")
	w := newWorld(f, nil)
	f.Fuzz(func(t *testing.T, method, host, uri, target, contentType, authorization, body string) {
		u, err := url.ParseRequestURI(uri)
		if err != nil || !strings.HasPrefix(uri, "/") {
			return // which net/http does not let through
		}
		r := &http.Request{
			Method: method, URL: u, RequestURI: uri, Host: host, Header: http.Header{}, Body: http.NoBody, ContentLength: int64(len(body)), RemoteAddr: "127.0.0.1:1",
			Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		}
		r.Body = nopCloser{strings.NewReader(body)}
		for name, value := range map[string]string{targetHeader: target, "Content-Type": contentType, "Authorization": authorization} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		if authorization != "" {
			r.Header.Set("X-Amz-Date", "20260101T000000Z")
		}
		rec := httptest.NewRecorder()
		w.ServeHTTP(rec, r)
		health := method == http.MethodGet && u.Path == healthPath
		if (rec.Code/100 != 4 && !health) || rec.Header().Get(requestIDHeader) == "" {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
		for _, service := range []string{"s3", "ssmmessages"} {
			op, labels := findRoute(bindings()[service].routes, method, u.EscapedPath(), u.Query(), r.Header)
			if op == nil {
				continue
			}
			for _, m := range op.in().members {
				if m.ref.Location == "uri" && labels[m.wireName()] == "" {
					t.Errorf("%s:%s was found without its %s", service, op.Name, m.wireName())
				}
			}
		}
	})
}

// nopCloser is a body.
type nopCloser struct{ *strings.Reader }

// Close does nothing.
func (nopCloser) Close() error { return nil }
