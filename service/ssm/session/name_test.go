package session_test

import (
	"regexp"
	"testing"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/session"
)

// TestStreamURL has the address that a caller is told, which must be of the kind that the caller can reach. source: userguide (the names),
// guess (what is done for names of one's own and for addresses)
func TestStreamURL(t *testing.T) {
	through, err := iam.NewEndpoint(&iam.EndpointSpec{
		ID: "vpce-1", VPC: "vpc-1", Account: "123456789012", Region: "us-east-1", Service: "ssm", Policy: `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`,
	})
	must(t, err)
	const own = "vpce-2-abc.ssmmessages.us-east-1.vpce.amazonaws.com"
	for _, c := range []struct {
		host, own string
		tls       bool
		endpoint  api.Endpoint
		want      string
	}{
		{"ssm.us-east-1.amazonaws.com", "", true, nil, "wss://ssmmessages.us-east-1.amazonaws.com"},
		{"ssm.us-east-1.amazonaws.com:8443", "", true, nil, "wss://ssmmessages.us-east-1.amazonaws.com:8443"},
		{"ssm-fips.us-east-1.amazonaws.com", "", true, nil, "wss://ssmmessages-fips.us-east-1.amazonaws.com"},
		{"ssm.us-east-1.corp.example:4443", "", true, nil, "wss://ssmmessages.us-east-1.corp.example:4443"},
		{"127.0.0.1:4566", "", false, nil, "ws://127.0.0.1:4566"},
		{"[::1]:4566", "", false, nil, "ws://[::1]:4566"},
		{"vennel.example", "", true, nil, "wss://vennel.example"},
		{"ssm.us-east-1.amazonaws.com", own, true, through, "wss://ssmmessages.us-east-1.amazonaws.com"},
		{"vpce-1-abc.ssm.us-east-1.vpce.amazonaws.com", own, true, through, "wss://" + own},
		{"vpce-1-abc.ssm.us-east-1.vpce.amazonaws.com:443", own, true, through, "wss://" + own + ":443"},
		{"vpce-1-abc.ssm.us-east-1.vpce.amazonaws.com", "", true, through, "wss://ssmmessages.us-east-1.amazonaws.com"},
		{"10.0.0.9", own, true, through, "wss://" + own},
	} {
		got, err := session.StreamURL(t.Context(), &api.Call{Host: c.host, TLS: c.tls, Region: "us-east-1", Endpoint: c.endpoint}, c.own)
		if want := c.want + "/v1/data-channel/ana-0123?role=publish_subscribe"; err != nil || got != want {
			t.Errorf("%s with %q: %s, want %s: %v", c.host, c.own, got, want, err)
		}
	}
}

// named is somebody with a name.
type named struct {
	api.Principal
	arn string
}

// ARN is the name.
func (n named) ARN() string { return n.arn }

// TestNewID has ids of callers with all kinds of names. source: model (96 characters), agent (not "tmp" in what we add)
func TestNewID(t *testing.T) {
	long := "arn:aws:sts::123456789012:assumed-role/R/aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggghhhhhhhhhhiiii"
	for arn, want := range map[string]string{
		"arn:aws:iam::123456789012:user/path/ana":               `ana`,
		"arn:aws:sts::123456789012:assumed-role/R/me@there,+=.": `me@there,\+=\.`,
		"arn:aws:iam::123456789012:root":                        `root`,
		"arn:aws:iam::123456789012:user/a\x1b[31m b":            `a--31m-b`,
		"arn:aws:iam::123456789012:user/größe":                  `gr--e`,
		"arn:aws:iam::123456789012:user/.ana":                   `_ana`,
		"arn:aws:iam::123456789012:user/-rf":                    `_rf`,
		"arn:aws:iam::123456789012:user/..":                     `_\.`,
		long:                                                    `aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggghhhhhhhh`,
	} {
		id := session.NewID(named{arn: arn})
		if !regexp.MustCompile(`^`+want+`-0[0-9a-f]{16}$`).MatchString(id) || len(id) > 96 {
			t.Errorf("%s: %q", arn, id)
		}
	}
}

// TestPrintable keeps what would steer a terminal from it.
func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"\nSessionId: a :\n\t----ERROR---- größe": "\nSessionId: a :\n\t----ERROR---- größe",
		"a\x1b]0;title\x07b\x00\u202Ec\r\nd":      "a\uFFFD]0;title\uFFFDb\uFFFD\uFFFDc\nd",
		"\xff\x9b31m":                             "\uFFFD\uFFFD31m",
	} {
		if got := session.Printable(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
