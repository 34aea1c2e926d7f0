package wire

import (
	"strings"
	"testing"

	"github.com/vennel/vennel/api"
)

// served are the services of the tests of names.
func served(s string) bool {
	return map[string]bool{"ssm": true, "ssmmessages": true, "ec2messages": true, "s3": true, "sts": true, "iam": true, "logs": true, "kms": true}[s]
}

// TestParseHost lists the shapes of names that clients use, and names that only look like them.
// source: userguide, agent, aws
func TestParseHost(t *testing.T) {
	for host, want := range map[string]hostName{
		"ssm.us-east-1.amazonaws.com":                            {"ssm", "us-east-1", "", true},
		"SSM.us-east-1.amazonaws.com:443":                        {"ssm", "us-east-1", "", true},
		"ssm.us-east-1.amazonaws.com.":                           {"ssm", "us-east-1", "", true},
		"ssm.cn-north-1.amazonaws.com.cn":                        {"ssm", "cn-north-1", "", true},
		"kms-fips.us-east-1.amazonaws.com":                       {"kms", "us-east-1", "", true},
		"ec2messages-fips.us-east-1.amazonaws.com":               {"ec2messages", "us-east-1", "", true},
		"ssm.us-east-1.api.aws":                                  {"ssm", "us-east-1", "", true},
		"ssmmessages.home-lab-1.selfhost.test:8443":              {"ssmmessages", "home-lab-1", "", false},
		"ssm.home-lab-1.logs.example.com":                        {"ssm", "home-lab-1", "", false},
		"ssm.home-lab-1.s3.example.com":                          {"ssm", "home-lab-1", "", false},
		"ssm.home-lab-1.lan":                                     {"ssm", "home-lab-1", "", false},
		"vpce-0a-1b.ssm.us-east-1.vpce.amazonaws.com":            {"ssm", "us-east-1", "", true},
		"vpce-0a-1b-us-east-1a.ssm.us-east-1.vpce.amazonaws.com": {"ssm", "us-east-1", "", true},
		"vpce-0a-1b.ssm.home-lab-1.vpce.selfhost.test":           {"ssm", "home-lab-1", "", false},
		"sts.amazonaws.com":                                      {"sts", "", "", true},
		"iam.amazonaws.com":                                      {"iam", "", "", true},
		"iam.lan":                                                {},
		"iam":                                                    {},

		"s3.amazonaws.com":                                          {"s3", "", "", true},
		"bucket.s3.amazonaws.com":                                   {"s3", "", "bucket", true},
		"s3.eu-west-1.amazonaws.com":                                {"s3", "eu-west-1", "", true},
		"s3-us-west-2.amazonaws.com":                                {"s3", "us-west-2", "", true},
		"my.bucket.s3-us-west-2.amazonaws.com":                      {"s3", "us-west-2", "my.bucket", true},
		"bucket.s3.us-west-2.amazonaws.com":                         {"s3", "us-west-2", "bucket", true},
		"ssm.s3.us-west-2.amazonaws.com":                            {"s3", "us-west-2", "ssm", true},
		"ssm.x.s3.us-west-2.amazonaws.com":                          {"s3", "us-west-2", "ssm.x", true},
		"s3.s3.us-west-2.amazonaws.com":                             {"s3", "us-west-2", "s3", true},
		"a.s3.b.s3.us-west-2.amazonaws.com":                         {"s3", "us-west-2", "a.s3.b", true},
		"s3.dualstack.us-west-2.amazonaws.com":                      {"s3", "us-west-2", "", true},
		"bucket.s3.dualstack.us-west-2.amazonaws.com":               {"s3", "us-west-2", "bucket", true},
		"s3-fips.us-gov-west-1.amazonaws.com":                       {"s3", "us-gov-west-1", "", true},
		"bucket.s3-fips.dualstack.us-east-1.amazonaws.com":          {"s3", "us-east-1", "bucket", true},
		"s3.home-lab-1.selfhost.test":                               {"s3", "home-lab-1", "", false},
		"my.bucket.s3.home-lab-1.selfhost.test":                     {"s3", "home-lab-1", "my.bucket", false},
		"ssm.s3.home-lab-1.selfhost.test":                           {"s3", "home-lab-1", "ssm", false},
		"bucket.vpce-0a-1b.s3.us-east-1.vpce.amazonaws.com":         {"s3", "us-east-1", "", true},
		"my.b.bucket.vpce-0a-1b.s3.us-east-1.vpce.amazonaws.com":    {"s3", "us-east-1", "my.b", true},
		"vpce-0a-1b.s3.us-east-1.vpce.amazonaws.com":                {"s3", "us-east-1", "", true},
		"s3-website-us-east-1.amazonaws.com":                        {},
		"s3-accelerate.amazonaws.com":                               {},
		"s3-control.us-east-1.amazonaws.com":                        {},
		"accesspoint.vpce-0a-1b.s3-control.us-east-1.amazonaws.com": {},
		"bucket.s3-website.us-east-1.amazonaws.com":                 {},
		"s3":                                 {},
		"s3.lan":                             {},
		"localhost":                          {},
		"localhost:4566":                     {},
		"127.0.0.1:4566":                     {},
		"127.0.0.1":                          {},
		"[::1]:4566":                         {},
		"[::1]":                              {},
		"::1":                                {},
		"":                                   {},
		".":                                  {},
		"...":                                {},
		":443":                               {},
		"ssm":                                {},
		"ssm.":                               {},
		"amazonaws.com":                      {},
		"api.aws":                            {},
		"vpce-.amazonaws.com":                {},
		"example.com":                        {},
		"monitoring.us-east-1.amazonaws.com": {},
		"x.ssm.us-east-1.amazonaws.com":      {},
		"ssm.us-east-1.amazonaws.com.example.com":                {"ssm", "us-east-1", "", false},
		"ssm.us_east_1.amazonaws.com":                            {"ssm", "", "", true},
		"ssm." + strings.Repeat("x", 101) + ".example.com":       {},
		"ssm.us-east-1.notamazonaws.com":                         {"ssm", "us-east-1", "", false},
		"ssm.us-east-1.vpce.amazonaws.com.attacker.example:4566": {"ssm", "us-east-1", "", false},
		"bucket.s3.us-west-2.amazonaws.com.attacker.example":     {"s3", "us-west-2", "bucket", false},
	} {
		if got := parseHost(host, served); got != want {
			t.Errorf("parseHost(%q) = %+v, want %+v", host, got, want)
		}
	}
	if got := parseHost("s3.us-east-1.amazonaws.com", func(s string) bool { return s == "ssm" }); got != (hostName{}) {
		t.Errorf("a name of S3, which is not served: %+v", got)
	}
}

// FuzzHost holds that every name gives a served service, a Region that is one, and the same whatever
// its case.
func FuzzHost(f *testing.F) {
	for _, seed := range []string{"ssm.us-east-1.amazonaws.com:443", "b.s3-us-west-2.amazonaws.com", "x.bucket.vpce-1.s3.dualstack.r.vpce.api.aws", "[::1]:1", "a..b", "s3.s3.s3.s3"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, host string) {
		got := parseHost(host, served)
		if got.service == "" && got != (hostName{}) {
			t.Errorf("%q: %+v", host, got)
		}
		if got.service != "" && !served(got.service) || got.region != "" && !api.IsRegion(got.region) || got.bucket != "" && got.service != "s3" {
			t.Errorf("%q: %+v", host, got)
		}
		if lower := parseHost(strings.ToLower(host), served); lower != got {
			t.Errorf("%q: %+v, in lower case %+v", host, got, lower)
		}
		if got.bucket != "" && !strings.HasPrefix(strings.ToLower(host), got.bucket+".") {
			t.Errorf("%q does not begin with bucket %q", host, got.bucket)
		}
	})
}
