package wire

import "testing"

// TestParseHost lists the shapes of names that clients use. source: userguide, agent
func TestParseHost(t *testing.T) {
	serves := func(s string) bool {
		return map[string]bool{"ssm": true, "ssmmessages": true, "s3": true, "sts": true, "iam": true, "logs": true, "kms": true}[s]
	}
	for host, want := range map[string]hostName{
		"ssm.us-east-1.amazonaws.com":                            {"ssm", "us-east-1", "", true},
		"SSM.us-east-1.amazonaws.com:443":                        {"ssm", "us-east-1", "", true},
		"kms-fips.us-east-1.amazonaws.com":                       {"kms", "us-east-1", "", true},
		"ssmmessages.home-lab-1.selfhost.test:8443":              {"ssmmessages", "home-lab-1", "", false},
		"ssm.home-lab-1.logs.example.com":                        {"ssm", "home-lab-1", "", false},
		"vpce-0a-1b.ssm.us-east-1.vpce.amazonaws.com":            {"ssm", "us-east-1", "", true},
		"vpce-0a-1b-us-east-1a.ssm.us-east-1.vpce.amazonaws.com": {"ssm", "us-east-1", "", true},
		"sts.amazonaws.com":                                      {"sts", "", "", true},
		"iam.amazonaws.com":                                      {"iam", "", "", true},
		"s3.amazonaws.com":                                       {"s3", "", "", true},
		"s3.eu-west-1.amazonaws.com":                             {"s3", "eu-west-1", "", true},
		"s3-us-west-2.amazonaws.com":                             {"s3", "us-west-2", "", true},
		"my.bucket.s3-us-west-2.amazonaws.com":                   {"s3", "us-west-2", "my.bucket", true},
		"bucket.s3.us-west-2.amazonaws.com":                      {"s3", "us-west-2", "bucket", true},
		"ssm.s3.us-west-2.amazonaws.com":                         {"s3", "us-west-2", "ssm", true},
		"ssm.us-east-1.api.aws":                                  {"ssm", "us-east-1", "", true},
		"localhost":                                              {},
		"127.0.0.1:4566":                                         {},
		"[::1]:4566":                                             {},
		"":                                                       {},
		"ssm":                                                    {},
		"example.com":                                            {},
		"monitoring.us-east-1.amazonaws.com":                     {},
	} {
		if got := parseHost(host, serves); got != want {
			t.Errorf("parseHost(%q) = %+v, want %+v", host, got, want)
		}
	}
}
