package wire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/api/s3"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/ssmmessages"
	"github.com/vennel/vennel/api/sts"
)

// benchDocument is a document of a usual size.
const benchDocument = `{"schemaVersion":"2.2","description":"Run a shell script","parameters":{"commands":{"type":"StringList","displayType":"textarea"}},` +
	`"mainSteps":[{"action":"aws:runShellScript","name":"runShellScript","inputs":{"timeoutSeconds":"60","runCommand":"{{ commands }}"}}]}`

// benchVPCs is an answer of a usual size.
func benchVPCs() *ec2.DescribeVpcsOutput {
	out := new(ec2.DescribeVpcsOutput)
	for i := range 5 {
		out.Vpcs = append(out.Vpcs, ec2.Vpc{
			VpcId: new(fmt.Sprintf("vpc-%017d", i)), CidrBlock: new("10.0.0.0/16"), State: new("available"), IsDefault: new(false), OwnerId: new(testAccount),
			InstanceTenancy: new("default"), DhcpOptionsId: new("dopt-0123456789abcdef0"), Tags: []ec2.Tag{{Key: new("Name"), Value: new("a & b")}},
		})
	}
	return out
}

// benchWorld answers one operation of each protocol from memory, without log and audit trail.
func benchWorld(tb testing.TB) *world {
	vpcs := benchVPCs()
	w := newWorld(tb, map[string]api.Operation{
		"ssm:GetDocument": allowed("GetDocument", func(_ context.Context, in *ssm.GetDocumentInput) (*ssm.GetDocumentOutput, error) {
			return &ssm.GetDocumentOutput{Name: &in.Name, DocumentVersion: new("1"), Status: new("Active"), Content: new(benchDocument), DocumentType: new("Command"), DocumentFormat: new("JSON")}, nil
		}),
		"sts:GetCallerIdentity": allowed("GetCallerIdentity", func(ctx context.Context, _ *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
			p := api.CallFrom(ctx).Principal
			return &sts.GetCallerIdentityOutput{Account: new(p.AccountID()), Arn: new(p.ARN()), UserId: new(p.UserID())}, nil
		}),
		"ec2:DescribeVpcs": allowed("DescribeVpcs", func(context.Context, *ec2.DescribeVpcsInput) (*ec2.DescribeVpcsOutput, error) { return vpcs, nil }),
		"s3:GetBucketTagging": allowed("GetBucketTagging", func(context.Context, *s3.GetBucketTaggingInput) (*s3.GetBucketTaggingOutput, error) {
			return &s3.GetBucketTaggingOutput{TagSet: []s3.Tag{{Key: "Name", Value: "bucket"}}}, nil
		}),
		"ssmmessages:CreateControlChannel": allowed("CreateControlChannel", func(context.Context, *ssmmessages.CreateControlChannelInput) (*ssmmessages.CreateControlChannelOutput, error) {
			return &ssmmessages.CreateControlChannelOutput{MessageSchemaVersion: "1.0", TokenValue: "token"}, nil
		}),
	})
	w.Log, w.Record = slog.New(slog.DiscardHandler), nil
	return w
}

// benchRequests are those operations' requests.
var benchRequests = []struct {
	name    string
	request func() *http.Request
}{
	{"json", func() *http.Request {
		return signed(jsonRequest("ssm", "GetDocument", `{"Name":"AWS-RunShellScript"}`), "ssm")
	}},
	{"query", func() *http.Request { return signed(formRequest("sts", "Action=GetCallerIdentity"), "sts") }},
	{"ec2", func() *http.Request {
		return signed(formRequest("ec2", "Action=DescribeVpcs&Filter.1.Name=tag:Name&Filter.1.Value.1=a"), "ec2")
	}},
	{"rest-xml", func() *http.Request {
		return signed(newRequest("GET", "http://bucket.s3.us-east-1.amazonaws.com/?tagging", ""), "s3")
	}},
	{"rest-json", func() *http.Request {
		return signed(newRequest("POST", endpoint("ssmmessages")+"/v1/control-channel/mi-0123456789abcdef0", `{"MessageSchemaVersion":"1.0","RequestId":"r"}`), "ssmmessages")
	}},
}

// sink is a ResponseWriter that keeps the last answer.
type sink struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header is the answer's.
func (s *sink) Header() http.Header { return s.header }

// WriteHeader keeps the status.
func (s *sink) WriteHeader(status int) { s.status = status }

// Write keeps the body.
func (s *sink) Write(b []byte) (int, error) { return s.body.Write(b) }

// repeated sends one request again and again, without allocating anything for it.
func repeated(tb testing.TB, w *world, r *http.Request) func() {
	body := bytes.NewReader(bodyOf(r))
	r.Body = io.NopCloser(body)
	s := &sink{header: http.Header{}}
	once := func() {
		_, _ = body.Seek(0, io.SeekStart)
		s.body.Reset()
		clear(s.header)
		w.ServeHTTP(s, r)
	}
	if once(); s.status/100 != 2 {
		tb.Fatalf("%d %s", s.status, s.body.String())
	}
	return once
}

// BenchmarkDispatch takes a signed request through the whole mux.
func BenchmarkDispatch(b *testing.B) {
	for _, r := range benchRequests {
		b.Run(r.name, func(b *testing.B) {
			once := repeated(b, benchWorld(b), r.request())
			b.ReportAllocs()
			for b.Loop() {
				once()
			}
		})
	}
}

// TestDispatchAllocations guards the path of every request. The race detector allocates, too.
func TestDispatchAllocations(t *testing.T) {
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("the race detector is watching")
	}
	most := map[string]float64{"json": 40, "query": 40, "ec2": 55, "rest-xml": 60, "rest-json": 60}
	for _, r := range benchRequests {
		n := testing.AllocsPerRun(200, repeated(t, benchWorld(t), r.request()))
		t.Logf("%s: %v allocations", r.name, n)
		if n > most[r.name] {
			t.Errorf("%s: %v allocations, want %v at most", r.name, n, most[r.name])
		}
	}
}

// benchInputs are inputs of usual sizes.
var benchInputs = []struct{ name, service, operation, text string }{
	{"PutParameter", "ssm", "PutParameter", `{"Name":"/app/db/password","Value":"correct horse battery staple","Type":"SecureString","Overwrite":true,"Tags":[{"Key":"team","Value":"db"},{"Key":"env","Value":"prod"}]}`},
	{"SendCommand", "ssm", "SendCommand", `{"DocumentName":"AWS-RunShellScript","InstanceIds":["i-0123456789abcdef0","i-0123456789abcdef1"],"Parameters":{"commands":["uptime","df -h"]},"TimeoutSeconds":600,"Comment":"look around"}`},
	{"PutInventory", "ssm", "PutInventory", `{"InstanceId":"i-0123456789abcdef0","Items":[{"TypeName":"AWS:Application","SchemaVersion":"1.1","CaptureTime":"2026-01-01T00:00:00Z","Content":[` +
		strings.TrimSuffix(strings.Repeat(`{"Name":"package","Version":"1.2.3","Architecture":"amd64","Publisher":"Debian"},`, 100), ",") + `]}]}`},
}

// BenchmarkDecodeJSON reads and checks inputs.
func BenchmarkDecodeJSON(b *testing.B) {
	for _, c := range benchInputs {
		op := operationOf(b, c.service, c.operation)
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.text)))
			b.ReportAllocs()
			for b.Loop() {
				if err := decodeJSON([]byte(c.text), op.in(), reflect.New(op.In).Elem(), new(checker)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDecodeQuery reads and checks forms.
func BenchmarkDecodeQuery(b *testing.B) {
	for _, c := range []struct{ name, service, operation, text string }{
		{"CreateUser", "iam", "CreateUser", "Action=CreateUser&Version=2010-05-08&UserName=u&Path=/a/&Tags.member.1.Key=a&Tags.member.1.Value=b"},
		{"AuthorizeSecurityGroupIngress", "ec2", "AuthorizeSecurityGroupIngress", "Action=AuthorizeSecurityGroupIngress&Version=2016-11-15&GroupId=sg-1&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=443&IpPermissions.1.ToPort=443&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8"},
	} {
		op := operationOf(b, c.service, c.operation)
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.text)))
			b.ReportAllocs()
			for b.Loop() {
				form, err := url.ParseQuery(c.text)
				if err != nil {
					b.Fatal(err)
				}
				if err := decodeQuery(form, op.in(), reflect.New(op.In).Elem(), c.service == "ec2", new(checker)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDecodeXML reads a payload.
func BenchmarkDecodeXML(b *testing.B) {
	const text = "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag><Tag><Key>b</Key><Value>2</Value></Tag></TagSet></Tagging>"
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeBody(b, "PutBucketTagging", text); err != nil {
			b.Fatal(err)
		}
	}
}

// benchOutputs are outputs of usual sizes.
func benchOutputs() map[string]any {
	commands := new(ssm.ListCommandsOutput)
	for range 20 {
		commands.Commands = append(commands.Commands, ssm.Command{
			CommandId: new("0a1b2c3d-1111-4222-8333-444455556666"), DocumentName: new("AWS-RunShellScript"), Parameters: map[string][]string{"commands": {"uptime"}, "workingDirectory": {""}},
			InstanceIds: []string{"i-0123456789abcdef0"}, RequestedDateTime: new(time.Unix(1763750400, 123e6)), Status: new("Success"), TargetCount: new(int64(1)),
		})
	}
	return map[string]any{
		"ssm:GetParameter": &ssm.GetParameterOutput{Parameter: &ssm.Parameter{
			Name: new("/app/db/password"), Type: new("String"), Value: new("correct horse battery staple"), Version: new(int64(3)), LastModifiedDate: new(time.Unix(1763750400, 123e6)),
			ARN: new("arn:aws:ssm:us-east-1:123456789012:parameter/app/db/password"), DataType: new("text"),
		}},
		"ssm:ListCommands": commands,
		"ec2:DescribeVpcs": benchVPCs(),
	}
}

// BenchmarkEncode writes outputs, JSON and XML.
func BenchmarkEncode(b *testing.B) {
	for name, out := range benchOutputs() {
		service, operation, _ := strings.Cut(name, ":")
		op, v := operationOf(b, service, operation), reflect.ValueOf(out).Elem()
		encode := appendJSON
		if service == "ec2" {
			encode = appendXML
		}
		b.Run(name, func(b *testing.B) {
			text := encode(nil, op.out(), v)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				text = encode(text[:0], op.out(), v)
			}
		})
	}
}
