package cmd

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vennel/vennel/api/sts"
	"github.com/vennel/vennel/wire"
	"github.com/vennel/vennel/wire/sigv4"
)

// AccountFlags say where and as whom a command calls AWS's API. Without them it is as with AWS's own tools; where neither flags nor
// the environment name keys, a profile or an endpoint, it is the server that runs in the default data folder.
type AccountFlags struct {
	Data     string `env:"VENNEL_DATA" placeholder:"DIR" help:"Ask the server of this data folder, as its administrator."`
	Region   string `placeholder:"REGION" help:"Region (default: AWS_REGION, or the profile's)."`
	Profile  string `placeholder:"NAME" help:"Profile of AWS's credentials and config files (default: AWS_PROFILE)."`
	Endpoint string `name:"endpoint-url" placeholder:"URL" help:"Endpoint of ssm (default: AWS_ENDPOINT_URL_SSM, AWS_ENDPOINT_URL, or the profile's)."`
	CABundle string `name:"ca-bundle" placeholder:"FILE" help:"Certificate authorities that are trusted (default: AWS_CA_BUNDLE, or the profile's)."`
}

// account is where and as whom AWS's API is called.
type account struct {
	region string
	http   *http.Client
	local  *Ready // the server of a data folder, if it is one
	flags  AccountFlags
	config settings // of the profile
	shared settings // of the services that the profile names

	mu      sync.Mutex
	assumed map[string]assumed // by profile; guarded by mu
}

// assumed are the keys of a role.
type assumed struct {
	keys    sigv4.Credentials
	expires time.Time
}

// open finds out where and as whom to call.
func (f AccountFlags) open() (*account, error) {
	a := &account{flags: f, assumed: map[string]assumed{}}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	a.http = &http.Client{Transport: transport}
	named := cmp.Or(f.Profile, f.Endpoint, os.Getenv("AWS_PROFILE"), os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_ENDPOINT_URL"), os.Getenv("AWS_ENDPOINT_URL_SSM"))
	if f.Data != "" || named == "" {
		r, err := readReady(DataFlag{f.Data})
		if err == nil {
			a.local, a.region = &r, cmp.Or(f.Region, r.Region)
			transport.TLSClientConfig, err = trust(r.CA)
			return a, err
		}
		if f.Data != "" {
			return nil, err
		}
	}
	if err := a.configure(); err != nil {
		return nil, err
	}
	a.region = cmp.Or(f.Region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), a.config["region"])
	if a.region == "" {
		return nil, errors.New("you must specify a Region: --region, AWS_REGION, or region in the profile")
	}
	if bundle := cmp.Or(f.CABundle, os.Getenv("AWS_CA_BUNDLE"), a.config["ca_bundle"]); bundle != "" {
		var err error
		if transport.TLSClientConfig, err = trust(bundle); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// profile is the name of the profile that is used.
func (a *account) profile() string {
	return cmp.Or(a.flags.Profile, os.Getenv("AWS_PROFILE"), "default")
}

// awsFile is one of AWS's shared files.
func awsFile(variable, name string) string {
	if file := os.Getenv(variable); file != "" {
		return file
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".aws", name)
}

// readShared reads one of AWS's shared files, which need not exist.
func readShared(variable, name string) (map[string]settings, error) {
	profiles, err := readProfiles(awsFile(variable, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // no file has no profiles
	}
	return profiles, err
}

// configProfile finds a profile in the config file, where all but one have a word before their name.
func configProfile(config map[string]settings, name string) settings {
	if s, ok := config["profile "+name]; ok || name != "default" {
		return s
	}
	return config[name]
}

// configure reads the profile's settings. A profile that was asked for must be somewhere.
func (a *account) configure() error {
	config, err := readShared("AWS_CONFIG_FILE", "config")
	if err != nil {
		return err
	}
	a.config = configProfile(config, a.profile())
	a.shared = config["services "+a.config["services"]]
	if a.config != nil || cmp.Or(a.flags.Profile, os.Getenv("AWS_PROFILE")) == "" {
		return nil
	}
	credentials, err := readShared("AWS_SHARED_CREDENTIALS_FILE", "credentials")
	if err == nil && credentials[a.profile()] == nil {
		err = fmt.Errorf("the config profile (%s) could not be found", a.profile())
	}
	return err
}

// client gives a client of a service. Its keys are looked up for every call, so that those which have been replaced are not used.
func (a *account) client(service string) *wire.Client {
	return &wire.Client{
		Service: service, Endpoint: a.endpoint(service), HTTP: a.http, UserAgent: "vennel",
		Sign: func(ctx context.Context, request *http.Request, body []byte) error {
			keys, err := a.keys(ctx)
			if err != nil {
				return err
			}
			return sigv4.Sign(request, sigv4.HashPayload(body), keys, a.region, service, time.Now())
		},
	}
}

// tls is how the server is known.
func (a *account) tls() *tls.Config {
	return a.http.Transport.(*http.Transport).TLSClientConfig.Clone()
}

// endpoint is where a service is.
func (a *account) endpoint(service string) string {
	if a.local != nil {
		return cmp.Or(a.local.HTTP, a.local.HTTPS)
	}
	own := os.Getenv("AWS_ENDPOINT_URL_" + strings.ToUpper(service))
	if service == "ssm" {
		own = cmp.Or(a.flags.Endpoint, own)
	}
	configured := cmp.Or(a.shared[service+".endpoint_url"], a.config["endpoint_url"])
	if ignore, _ := strconv.ParseBool(os.Getenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")); ignore {
		return cmp.Or(own, a.regional(service))
	}
	return cmp.Or(own, os.Getenv("AWS_ENDPOINT_URL"), configured, a.regional(service))
}

// regional is a service's name at AWS.
func (a *account) regional(service string) string {
	domain := "amazonaws.com"
	if strings.HasPrefix(a.region, "cn-") {
		domain += ".cn"
	}
	return "https://" + service + "." + a.region + "." + domain
}

// keys gives the keys of now: of the environment, unless a profile was asked for by a flag, or of the profile.
func (a *account) keys(ctx context.Context) (sigv4.Credentials, error) {
	if a.local != nil {
		return ReadCredentials(a.local.Credentials)
	}
	if a.flags.Profile == "" {
		if id, secret := os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"); id != "" && secret != "" {
			return sigv4.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: os.Getenv("AWS_SESSION_TOKEN")}, nil
		}
	}
	credentials, err := readShared("AWS_SHARED_CREDENTIALS_FILE", "credentials")
	if err != nil {
		return sigv4.Credentials{}, err
	}
	config, err := readShared("AWS_CONFIG_FILE", "config")
	if err != nil {
		return sigv4.Credentials{}, err
	}
	return a.profileKeys(ctx, credentials, config, a.profile())
}

// profileKeys gives the keys of a profile: its own, or those of the role that it assumes with another's. through are the profiles that
// have led here.
func (a *account) profileKeys(ctx context.Context, credentials, config map[string]settings, name string, through ...string) (sigv4.Credentials, error) {
	s := settings{}
	maps.Copy(s, configProfile(config, name))
	maps.Copy(s, credentials[name]) // it wins
	role, source := s["role_arn"], s["source_profile"]
	switch {
	case role == "":
		return a.ownKeys(ctx, name, s)
	case source == "":
		return sigv4.Credentials{}, a.noKeys(name)
	case slices.Contains(through, source):
		return sigv4.Credentials{}, fmt.Errorf("the profiles %s lead in a circle", strings.Join(append(through, name), ", "))
	}
	return a.assume(ctx, name, s, func() (sigv4.Credentials, error) {
		if source == name {
			return a.ownKeys(ctx, name, s)
		}
		return a.profileKeys(ctx, credentials, config, source, append(through, name)...)
	})
}

// ownKeys gives the keys that a profile itself says, or that its program prints.
func (a *account) ownKeys(ctx context.Context, name string, s settings) (sigv4.Credentials, error) {
	if c, ok := s.keys(); ok {
		return c, nil
	}
	if program := s["credential_process"]; program != "" {
		return processKeys(ctx, program)
	}
	return sigv4.Credentials{}, a.noKeys(name)
}

// noKeys is the error of a profile that has none of the kinds of keys that are read here.
func (a *account) noKeys(name string) error {
	return fmt.Errorf("unable to locate credentials: neither the environment nor profile %s has keys; those that your aws command finds elsewhere are exported by "+
		`eval "$(aws configure export-credentials --profile %s --format env)"`, name, quote(name))
}

// processKeys runs the program of a profile, which prints keys. source: userguide, "Sourcing credentials with an external process"
func processKeys(ctx context.Context, program string) (c sigv4.Credentials, err error) {
	shell, flag := "sh", "-c"
	if runtime.GOOS == "windows" {
		shell, flag = "cmd", "/C"
	}
	run := exec.CommandContext(ctx, shell, flag, program)
	var said bytes.Buffer
	run.Stderr = &said
	text, err := run.Output()
	if err != nil {
		return c, fmt.Errorf("the profile's credential_process: %w\n%s", err, bytes.TrimSpace(said.Bytes()))
	}
	var out struct {
		Version                                    int
		AccessKeyID, SecretAccessKey, SessionToken string
	}
	if err := json.Unmarshal(text, &out); err != nil || out.Version != 1 || out.AccessKeyID == "" || out.SecretAccessKey == "" {
		return c, errors.New("the profile's credential_process has printed no keys in version 1 of AWS's format")
	}
	return sigv4.Credentials{AccessKeyID: out.AccessKeyID, SecretAccessKey: out.SecretAccessKey, SessionToken: out.SessionToken}, nil
}

// assumeEarly is how long before they expire the keys of a role are replaced.
const assumeEarly = 5 * time.Minute

// assume gives the keys of the role that a profile names.
func (a *account) assume(ctx context.Context, name string, s settings, source func() (sigv4.Credentials, error)) (sigv4.Credentials, error) {
	a.mu.Lock()
	have, ok := a.assumed[name]
	a.mu.Unlock()
	if ok && time.Until(have.expires) > assumeEarly {
		return have.keys, nil
	}
	client := a.client("sts")
	client.Sign = func(_ context.Context, request *http.Request, body []byte) error {
		keys, err := source()
		if err != nil {
			return err
		}
		return sigv4.Sign(request, sigv4.HashPayload(body), keys, a.region, "sts", time.Now())
	}
	in := &sts.AssumeRoleInput{RoleArn: s["role_arn"], RoleSessionName: cmp.Or(s["role_session_name"], "vennel-"+strconv.FormatInt(time.Now().Unix(), 10))}
	if external := s["external_id"]; external != "" {
		in.ExternalId = &external
	}
	out := new(sts.AssumeRoleOutput)
	if err := client.Call(ctx, "AssumeRole", in, out); err != nil {
		return sigv4.Credentials{}, inWords("AssumeRole", err)
	}
	c := out.Credentials
	if c == nil {
		return sigv4.Credentials{}, errors.New("AssumeRole answered without credentials")
	}
	keys := sigv4.Credentials{AccessKeyID: c.AccessKeyId, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.assumed[name] = assumed{keys, c.Expiration}
	return keys, nil
}
