package wire

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/sts"
)

// behind is an endpoint for a service of a Region.
type behind struct{ service, region string }

// ID is the endpoint's.
func (behind) ID() string { return "vpce-0a1b2c3d" }

// VPCID is some VPC.
func (behind) VPCID() string { return "vpc-0a1b2c3d" }

// AccountID is the world's.
func (behind) AccountID() string { return testAccount }

// Region is its Region.
func (t behind) Region() string { return t.region }

// Service is its service.
func (t behind) Service() string { return t.service }
func (t behind) Carried() bool   { return false }

// via lets all requests of a world come through an endpoint.
func (w *world) via(e api.Endpoint) {
	w.Via = func(context.Context) (api.Endpoint, error) { return e, nil }
}

// TestVia holds that behind an endpoint there is one service of one Region, whatever a request says, and that the call knows
// the endpoint.
func TestVia(t *testing.T) {
	var got *api.Call
	w := newWorld(t, map[string]api.Operation{
		"ssm:ListCommands": allowed("ListCommands", func(ctx context.Context, _ *ssm.ListCommandsInput) (*ssm.ListCommandsOutput, error) {
			got = api.CallFrom(ctx)
			return &ssm.ListCommandsOutput{}, nil
		}),
		"sts:GetCallerIdentity": allowed("GetCallerIdentity", func(context.Context, *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
			t.Error("sts answered behind the endpoint of ssm")
			return &sts.GetCallerIdentityOutput{}, nil
		}),
	})
	w.via(behind{"ssm", "eu-west-1"})
	at := func(host, region, service string, r *http.Request) *http.Request {
		r.Host = host
		return scoped(r, region, service)
	}
	list := func() *http.Request { return jsonRequest("ssm", "ListCommands", "{}") }
	identity := func() *http.Request { return formRequest("sts", "Action=GetCallerIdentity") }
	for name, c := range map[string]struct {
		r      *http.Request
		status int
		body   string
	}{
		"its name":          {at("ssm.eu-west-1.amazonaws.com", "eu-west-1", "ssm", list()), 200, "{}"},
		"its own name":      {at("vpce-0a1b2c3d-xyz.ssm.eu-west-1.vpce.amazonaws.com", "eu-west-1", "ssm", list()), 200, "{}"},
		"its address":       {at("10.0.0.9", "eu-west-1", "ssm", list()), 200, "{}"},
		"another Region":    {at("ssm.us-east-1.amazonaws.com", "us-east-1", "ssm", list()), 400, "InvalidSignatureException"},
		"another service":   {at("sts.eu-west-1.amazonaws.com", "eu-west-1", "sts", identity()), 404, "UnknownOperationException"},
		"another's target":  {at("10.0.0.9", "eu-west-1", "kms", jsonRequest("kms", "ListKeys", "{}")), 400, "UnknownOperationException"},
		"another's scope":   {at("10.0.0.9", "eu-west-1", "sts", list()), 400, "InvalidSignatureException"},
		"another's version": {at("10.0.0.9", "eu-west-1", "ssm", identity()), 404, "UnknownOperationException"},
		"nobody's path":     {newRequest("GET", "http://10.0.0.9/_vennel/health", ""), 404, "UnknownOperationException"},
	} {
		got = nil
		answer := w.do(c.r)
		if answer.Code != c.status || !strings.Contains(answer.Body.String(), c.body) {
			t.Errorf("%s: %d %s", name, answer.Code, answer.Body)
		}
		if c.status == 200 && (got == nil || got.Endpoint == nil || got.Endpoint.ID() != "vpce-0a1b2c3d" || got.Region != "eu-west-1") {
			t.Errorf("%s: the call is %+v", name, got)
		}
	}
}

// TestViaNobody breaks off a connection that arrives where nobody answers any more.
func TestViaNobody(t *testing.T) {
	w := newWorld(t, nil)
	w.Via = func(context.Context) (api.Endpoint, error) { return nil, errors.New("deleted") }
	server := httptest.NewServer(w)
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+healthPath, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := server.Client().Do(r)
	if err == nil {
		t.Errorf("somebody answered: %s", answer.Status)
		_ = answer.Body.Close()
	}
}

// TestViaNames shakes hands behind an endpoint: under the names of its service in its Region, and its own.
func TestViaNames(t *testing.T) {
	ca, w := newCA(t), newWorld(t, nil)
	for _, c := range []struct {
		e     api.Endpoint
		names map[string]bool
	}{
		{nil, map[string]bool{"ssm.us-east-1.amazonaws.com": true, "kms.us-east-1.amazonaws.com": true, "localhost": true, "own.example.com": true, "example.com": false}},
		{behind{"ssm", "us-east-1"}, map[string]bool{
			"ssm.us-east-1.amazonaws.com": true, "SSM.us-east-1.amazonaws.com": true, "ssm.us-east-1.api.aws": true, "vpce-0a1b2c3d-x.ssm.us-east-1.vpce.amazonaws.com": true,
			"vpce-0a1b2c3d-x-us-east-1a.ssm.us-east-1.vpce.amazonaws.com": true, "ssm.us-east-1.selfhost.test": true,
			"vpce-0a1b2c3d4-x.ssm.us-east-1.vpce.amazonaws.com": false, "vpce-0a1b2c3d-x.kms.us-east-1.vpce.amazonaws.com": false,
			"ssmmessages.us-east-1.amazonaws.com": false, "ssm.us-east-2.amazonaws.com": false, "localhost": false, "own.example.com": false,
		}},
		{behind{"s3", "us-east-1"}, map[string]bool{
			"s3.us-east-1.amazonaws.com": true, "b.s3.us-east-1.amazonaws.com": true, "s3.amazonaws.com": true, "b.s3.amazonaws.com": true,
			"bucket.vpce-0a1b2c3d-x.s3.us-east-1.vpce.amazonaws.com": true, "b.bucket.vpce-0a1b2c3d-x.s3.us-east-1.vpce.amazonaws.com": true,
			"bucket.vpce-1-x.s3.us-east-1.vpce.amazonaws.com": false, "b.s3.eu-west-1.amazonaws.com": false, "ssm.us-east-1.amazonaws.com": false,
		}},
	} {
		w.via(c.e)
		for name, ok := range c.names {
			client := trusting(ca)
			client.ServerName = name
			if _, err := handshake(t, w.TLS(ca, "own.example.com"), client); (err == nil) != ok {
				t.Errorf("behind %v: %s: %v", c.e, name, err)
			}
		}
	}
	w.Via = func(context.Context) (api.Endpoint, error) { return nil, errors.New("deleted") }
	client := trusting(ca)
	client.ServerName = "ssm.us-east-1.amazonaws.com"
	if _, err := handshake(t, w.TLS(ca), client); err == nil {
		t.Error("hands were shaken where nobody answers")
	}
}
