package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// awsHome gives a test AWS's two files, and an environment without anything else of AWS's.
func awsHome(t *testing.T, config, credentials string) {
	t.Helper()
	for _, line := range os.Environ() {
		if name, _, _ := strings.Cut(line, "="); strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "VENNEL_") {
			t.Setenv(name, "")
		}
	}
	home := t.TempDir()
	for name, text := range map[string]string{"config": config, "credentials": credentials} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(home, "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(home, "credentials"))
	t.Setenv("XDG_DATA_HOME", home)
}

// The files of a user. source: userguide, "Configuration and credential file settings in the AWS CLI"
const (
	someConfig = `# comment
[default]
region = eu-west-1

[profile work]
region=eu-central-1
endpoint_url = https://everything.example
services = own
s3 =
  addressing_style = path
[profile tool]
region = us-east-2
credential_process = printf '{"Version":1,"AccessKeyId":"AKIATOOL","SecretAccessKey":"s","SessionToken":"t"}'
[profile broken]
region = us-east-2
credential_process = echo it is broken >&2; exit 1
[profile circle]
role_arn = arn:aws:iam::111111111111:role/a
source_profile = circle2
[profile circle2]
role_arn = arn:aws:iam::111111111111:role/b
source_profile = circle
[profile sso]
region = us-east-2
sso_session = x
[services own]
ssm =
  endpoint_url = https://ssm.example
`
	someCredentials = `
[default]
aws_access_key_id = AKIADEFAULT
aws_secret_access_key = secret=with=equals
; comment
[work]
aws_access_key_id=AKIAWORK
aws_secret_access_key=w
aws_session_token=token
`
)

// TestAccount finds Region, endpoint and keys where AWS's own tools do, in their order. source: userguide, "Configuration and credential
// precedence"; "Service-specific endpoints"
func TestAccount(t *testing.T) {
	for name, c := range map[string]struct {
		env   map[string]string
		flags AccountFlags
		want  [4]string // Region, endpoint, key, session token
		err   string
	}{
		"default profile": {want: [4]string{"eu-west-1", "https://ssm.eu-west-1.amazonaws.com", "AKIADEFAULT", ""}},
		"profile by flag": {flags: AccountFlags{Profile: "work"}, want: [4]string{"eu-central-1", "https://ssm.example", "AKIAWORK", "token"}},
		"profile by name": {env: map[string]string{"AWS_PROFILE": "work"}, want: [4]string{"eu-central-1", "https://ssm.example", "AKIAWORK", "token"}},
		"environment before profile": {
			env:  map[string]string{"AWS_PROFILE": "work", "AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "e", "AWS_REGION": "us-west-2", "AWS_ENDPOINT_URL": "http://all"},
			want: [4]string{"us-west-2", "http://all", "AKIAENV", ""},
		},
		"flags before environment": {
			env:   map[string]string{"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "e", "AWS_REGION": "us-west-2", "AWS_ENDPOINT_URL_SSM": "http://one"},
			flags: AccountFlags{Profile: "work", Region: "ap-south-1", Endpoint: "http://flag"}, want: [4]string{"ap-south-1", "http://flag", "AKIAWORK", "token"},
		},
		"endpoint of the service": {
			env: map[string]string{"AWS_ENDPOINT_URL_SSM": "http://one", "AWS_ENDPOINT_URL": "http://all"}, want: [4]string{"eu-west-1", "http://one", "AKIADEFAULT", ""},
		},
		"older name of the Region": {env: map[string]string{"AWS_DEFAULT_REGION": "cn-north-1"}, want: [4]string{"cn-north-1", "https://ssm.cn-north-1.amazonaws.com.cn", "AKIADEFAULT", ""}},
		"configured endpoints ignored": {
			env: map[string]string{"AWS_PROFILE": "work", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, want: [4]string{"eu-central-1", "https://ssm.eu-central-1.amazonaws.com", "AKIAWORK", "token"},
		},
		"program": {flags: AccountFlags{Profile: "tool"}, want: [4]string{"us-east-2", "https://ssm.us-east-2.amazonaws.com", "AKIATOOL", "t"}},
		"broken":  {flags: AccountFlags{Profile: "broken"}, err: "it is broken"},
		"circle":  {flags: AccountFlags{Profile: "circle", Region: "us-east-1"}, err: "lead in a circle"},
		"sso":     {flags: AccountFlags{Profile: "sso"}, err: "aws configure export-credentials --profile sso"},
		"nobody":  {flags: AccountFlags{Profile: "nobody"}, err: "the config profile (nobody) could not be found"},
		"no data": {flags: AccountFlags{Data: "/nowhere"}, err: "no server runs in /nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			awsHome(t, someConfig, someCredentials)
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			a, err := c.flags.open()
			var have [4]string
			if err == nil {
				keys, keysErr := a.keys(t.Context())
				have, err = [4]string{a.region, a.endpoint("ssm"), keys.AccessKeyID, keys.SessionToken}, keysErr
			}
			switch {
			case c.err == "" && (err != nil || have != c.want):
				t.Errorf("%q %v", have, err)
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
				t.Errorf("%q %v", have, err)
			}
		})
	}
}

// TestAccountReadsAgain takes keys from a file that was replaced meanwhile.
func TestAccountReadsAgain(t *testing.T) {
	awsHome(t, someConfig, someCredentials)
	a, err := AccountFlags{}.open()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(os.Getenv("AWS_SHARED_CREDENTIALS_FILE"), []byte("[default]\naws_access_key_id=AKIANEW\naws_secret_access_key=n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if keys, err := a.keys(t.Context()); err != nil || keys.AccessKeyID != "AKIANEW" {
		t.Errorf("%s %v", keys.AccessKeyID, err)
	}
}

// TestAccountNoRegion says what is missing.
func TestAccountNoRegion(t *testing.T) {
	awsHome(t, "", someCredentials)
	if _, err := (AccountFlags{}).open(); err == nil || !strings.Contains(err.Error(), "you must specify a Region") {
		t.Error(err)
	}
}

// TestParameters reads them as AWS's command has them, or one at a time.
func TestParameters(t *testing.T) {
	have, err := parameters([]string{"command=a=b, c", `{"portNumber": "80", "list": ["x", "y"]}`})
	if diff := cmp.Diff(map[string][]string{"command": {"a=b, c"}, "portNumber": {"80"}, "list": {"x", "y"}}, have); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	for _, wrong := range []string{"command", "=x", `{"a": 1}`, `{"a"`} {
		if _, err := parameters([]string{wrong}); err == nil {
			t.Errorf("%s is taken", wrong)
		}
	}
}

// TestClean takes what would control a terminal from what others say.
func TestClean(t *testing.T) {
	if have := clean("a\x1b]0;title\x07 ünï\tb\r\nc\u009b31m\n"); have != "a�]0;title� ünï\tb\nc�31m" {
		t.Errorf("%q", have)
	}
}
