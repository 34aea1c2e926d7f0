package metadata_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vennel/vennel/service/ec2/metadata"
	"github.com/vennel/vennel/service/iam"
)

// world is a VPC with instances as a test writes them down, and the credentials that they get.
type world struct {
	mu       sync.Mutex
	list     map[netip.Addr]metadata.Instance
	profiles map[string]*iam.Profile
	denied   string // why EC2 cannot assume the role
	broken   error
	issued   int
}

// Find is the service's.
func (w *world) Find(_ context.Context, vpc string, a netip.Addr) (metadata.Instance, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, ok := w.list[a]
	return n, ok && vpc == "vpc-1"
}

// InstanceProfile is the service's.
func (w *world) InstanceProfile(_ context.Context, arn string) (*iam.Profile, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, ok := w.profiles[arn]
	return p, ok, w.broken
}

// InstanceCredentials is the service's.
func (w *world) InstanceCredentials(n iam.Instance, role *iam.Role) (*iam.Credentials, string, error) {
	if w.denied != "" {
		return nil, w.denied, nil
	}
	return w.issue(role.Name + "/" + n.ID + "/" + n.Delivery)
}

// IdentityCredentials is the service's.
func (w *world) IdentityCredentials(n iam.Instance) (*iam.Credentials, error) {
	c, _, err := w.issue("identity/" + n.ID)
	return c, err
}

// issue makes credentials.
func (w *world) issue(token string) (*iam.Credentials, string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.issued++
	return &iam.Credentials{
		AccessKeyID: fmt.Sprintf("ASIA%016d", w.issued), SecretAccessKey: "secret", SessionToken: token, Expiration: time.Now().Add(6 * time.Hour),
	}, "", w.broken
}

// The instances of the tests.
var (
	one = metadata.Instance{
		ID: "i-0123456789abcdef0", Account: "123456789012", Region: "us-east-1", Zone: "us-east-1a", ZoneID: "use1-az1", Type: "t3.micro",
		Image: "ami-0123456789abcdef0", Architecture: "x86_64", Reservation: "r-0123456789abcdef0", Launched: time.Unix(1795290000, 0),
		Lifecycle: "on-demand", RootDevice: "/dev/xvda", KeyName: "my key", PublicKey: "ssh-ed25519 AAAA me", PublicHostname: "ec2-203-0-113-7.compute-1.amazonaws.com",
		Profile: profileARN, ProfileID: "AIPAONE", UserData: []byte("#!/bin/sh\necho \x00hi\n"), Tags: map[string]string{"Name": "front", "empty": ""},
		Options: metadata.Options{Tags: true},
		Interfaces: []metadata.Interface{{
			ID: "eni-1", MAC: "02:00:00:00:00:01", Hostname: "ip-10-0-0-7.ec2.internal", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("10.0.0.8")},
			Public: []metadata.Association{{Public: netip.MustParseAddr("203.0.113.7"), Private: netip.MustParseAddr("10.0.0.7"), Hostname: "ec2-203-0-113-7.compute-1.amazonaws.com"}},
			Subnet: "subnet-1", VPC: "vpc-1", SubnetBlock: netip.MustParsePrefix("10.0.0.0/24"),
			VPCBlocks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16"), netip.MustParsePrefix("10.1.0.0/16")},
			Groups:    []string{"default", "web"}, GroupsIDs: []string{"sg-1", "sg-2"},
		}},
	}
	bare = metadata.Instance{
		ID: "i-0000000000000000b", Account: "123456789012", Region: "cn-north-1", Options: metadata.Options{TokensRequired: true, HopLimit: 2},
		Interfaces: []metadata.Interface{{MAC: "02:00:00:00:00:02", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.9")}}},
	}
	off = metadata.Instance{ID: "i-0000000000000000c", Options: metadata.Options{Disabled: true}}
)

// profileARN is the instance profile of one.
const profileARN = "arn:aws:iam::123456789012:instance-profile/web"

// newWorld makes the VPC.
func newWorld() *world {
	return &world{
		list: map[netip.Addr]metadata.Instance{
			netip.MustParseAddr("10.0.0.7"): one, netip.MustParseAddr("10.0.0.9"): bare, netip.MustParseAddr("10.0.0.10"): off,
		},
		profiles: map[string]*iam.Profile{profileARN: {Name: "web", ARN: profileARN, ID: "AIPAONE", Role: &iam.Role{Name: "Web", ID: "AROAONE"}}},
	}
}

// change changes the world while it is asked.
func (w *world) change(how func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	how()
}

// signers are made once: a key takes a while.
var signer = sync.OnceValues(func() (*metadata.Signer, error) {
	folder, err := os.MkdirTemp("", "signer")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	return metadata.OpenSigner(folder)
})

// serve gives the service of a world.
func serve(t testing.TB, w *world) *metadata.Service {
	t.Helper()
	s, err := signer()
	if err != nil {
		t.Fatal(err)
	}
	return metadata.New(metadata.Config{
		Instances: w, Issuer: w, Signer: s, TokenKey: make([]byte, 32), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
}

// ask makes one request from an address; headers are pairs.
func ask(h http.Handler, method, from, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://169.254.169.254"+path, http.NoBody)
	r.RemoteAddr = from + ":40000"
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// The headers of tokens.
const (
	tokenHeader = "X-aws-ec2-metadata-token"
	lifeHeader  = "X-aws-ec2-metadata-token-ttl-seconds"
)

// TestTree has what is told under each path. source: userguide, "Instance metadata categories"
func TestTree(t *testing.T) {
	h := serve(t, newWorld()).Handler("vpc-1")
	for _, c := range []struct {
		path, want string // "-" is 404
	}{
		{"/", "1.0\n2007-01-19\n2007-03-01\n2007-08-29\n2007-10-10\n2007-12-15\n2008-02-01\n2008-09-01\n2009-04-04\n2011-01-01\n2011-05-01\n2012-01-12\n2014-02-25\n2014-11-05\n2015-10-20\n2016-04-19\n2016-06-30\n2016-09-02\n2018-03-28\n2018-05-23\n2018-08-17\n2018-09-24\n2019-10-01\n2020-08-24\n2020-10-27\n2021-01-03\n2021-03-23\n2021-07-15\nlatest"},
		{"/latest", "dynamic/\nmeta-data/\nuser-data"},
		{"/latest/", "dynamic/\nmeta-data/\nuser-data"},
		{"/1.0/", "meta-data/\nuser-data"},
		{"/2009-04-04/meta-data/instance-id", one.ID},
		{"/1.0/meta-data/", "ami-id\nami-launch-index\nami-manifest-path\nhostname\ninstance-id\nlocal-ipv4\npublic-keys/\nreservation-id\nsecurity-groups"},
		{"/1.0/meta-data/mac", "-"},
		{"/2020-08-24/meta-data/tags/instance/Name", "-"},
		{"/1999-01-01/meta-data/", "-"},
		{"/latest/meta-data", "ami-id\nami-launch-index\nami-manifest-path\nblock-device-mapping/\nevents/\nhostname\niam/\nidentity-credentials/\ninstance-action\ninstance-id\ninstance-life-cycle\ninstance-type\nlocal-hostname\nlocal-ipv4\nmac\nnetwork/\nplacement/\npublic-hostname\npublic-ipv4\npublic-keys/\nreservation-id\nsecurity-groups\nservices/\ntags/"},
		{"/latest//meta-data//", "ami-id\nami-launch-index\nami-manifest-path\nblock-device-mapping/\nevents/\nhostname\niam/\nidentity-credentials/\ninstance-action\ninstance-id\ninstance-life-cycle\ninstance-type\nlocal-hostname\nlocal-ipv4\nmac\nnetwork/\nplacement/\npublic-hostname\npublic-ipv4\npublic-keys/\nreservation-id\nsecurity-groups\nservices/\ntags/"},
		{"/latest/meta-data/instance-id", one.ID},
		{"/latest/meta-data/instance-id/", one.ID},
		{"/latest/meta-data/instance-id/x", "-"},
		{"/latest/meta-data/colour", "-"},
		{"/latest/meta-data/instance-type", "t3.micro"},
		{"/latest/meta-data/local-hostname", "ip-10-0-0-7.ec2.internal"},
		{"/latest/meta-data/local-ipv4", "10.0.0.7"},
		{"/latest/meta-data/public-ipv4", "203.0.113.7"},
		{"/latest/meta-data/security-groups", "default\nweb"},
		{"/latest/meta-data/placement/", "availability-zone\navailability-zone-id\nregion"},
		{"/latest/meta-data/placement/availability-zone", "us-east-1a"},
		{"/latest/meta-data/placement/availability-zone-id", "use1-az1"},
		{"/latest/meta-data/placement/region", "us-east-1"},
		{"/latest/meta-data/public-keys/", "0=my key"},
		{"/latest/meta-data/public-keys/0/", "openssh-key"},
		{"/latest/meta-data/public-keys/0/openssh-key", "ssh-ed25519 AAAA me"},
		{"/latest/meta-data/block-device-mapping/root", "/dev/xvda"},
		{"/latest/meta-data/events/maintenance/scheduled", "[]"},
		{"/latest/meta-data/events/recommendations/rebalance", "-"},
		{"/latest/meta-data/spot/instance-action", "-"},
		{"/latest/meta-data/services/domain", "amazonaws.com"},
		{"/latest/meta-data/services/partition", "aws"},
		{"/latest/meta-data/tags/instance", "Name\nempty"},
		{"/latest/meta-data/tags/instance/Name", "front"},
		{"/latest/meta-data/tags/instance/empty", ""},
		{"/latest/meta-data/network/interfaces/macs/", "02:00:00:00:00:01/"},
		{"/latest/meta-data/network/interfaces/macs/02:00:00:00:00:01/", "device-number\ninterface-id\nipv4-associations/\nlocal-hostname\nlocal-ipv4s\nmac\nowner-id\npublic-hostname\npublic-ipv4s\nsecurity-group-ids\nsecurity-groups\nsubnet-id\nsubnet-ipv4-cidr-block\nvpc-id\nvpc-ipv4-cidr-block\nvpc-ipv4-cidr-blocks"},
		{"/latest/meta-data/network/interfaces/macs/02:00:00:00:00:01/device-number", "0"},
		{"/latest/meta-data/network/interfaces/macs/02:00:00:00:00:01/local-ipv4s", "10.0.0.7\n10.0.0.8"},
		{"/latest/meta-data/network/interfaces/macs/02:00:00:00:00:01/ipv4-associations/203.0.113.7", "10.0.0.7"},
		{"/latest/meta-data/network/interfaces/macs/02:00:00:00:00:01/vpc-ipv4-cidr-block", "10.0.0.0/16"},
		{"/latest/meta-data/network/interfaces/macs/02:00:00:00:00:01/vpc-ipv4-cidr-blocks", "10.0.0.0/16\n10.1.0.0/16"},
		{"/latest/meta-data/network/interfaces/macs/02:00:00:00:00:01/subnet-ipv4-cidr-block", "10.0.0.0/24"},
		{"/latest/meta-data/iam/", "info\nsecurity-credentials/"},
		{"/latest/meta-data/iam/security-credentials/", "Web"},
		{"/latest/meta-data/iam/security-credentials/Other", "-"},
		{"/latest/meta-data/identity-credentials/ec2/", "info\nsecurity-credentials/"},
		{"/latest/meta-data/identity-credentials/ec2/security-credentials/", "ec2-instance"},
		{"/latest/dynamic/instance-identity/", "document\npkcs7\nrsa2048\nsignature"},
		{"/latest/user-data", "#!/bin/sh\necho \x00hi\n"},
	} {
		w := ask(h, http.MethodGet, "10.0.0.7", c.path)
		if c.want == "-" {
			if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "<h1>404 - Not Found</h1>") {
				t.Errorf("%s: %d, want 404", c.path, w.Code)
			}
			continue
		}
		if w.Code != http.StatusOK || w.Body.String() != c.want {
			t.Errorf("%s: %d\n%s\nwant\n%s", c.path, w.Code, w.Body, c.want)
		}
		if got := w.Header().Get("Server"); got != "EC2ws" {
			t.Errorf("%s: served by %q", c.path, got)
		}
	}
	if w := ask(h, http.MethodGet, "10.0.0.7", "/latest/user-data"); w.Header().Get("Content-Type") != "application/octet-stream" {
		t.Errorf("user data is %q", w.Header().Get("Content-Type"))
	}
	if w := ask(h, http.MethodHead, "10.0.0.7", "/latest/meta-data/instance-id"); w.Code != http.StatusOK || w.Body.Len() > 0 {
		t.Errorf("HEAD: %d, %q", w.Code, w.Body)
	}
}

// TestBareInstance is told little: nothing of what it has not.
func TestBareInstance(t *testing.T) {
	h := serve(t, newWorld()).Handler("vpc-1")
	token := ask(h, http.MethodPut, "10.0.0.9", "/latest/api/token", lifeHeader, "60").Body.String()
	for path, want := range map[string]string{
		"/latest/": "dynamic/\nmeta-data/", "/latest/user-data": "-", "/latest/meta-data/iam/": "-", "/latest/meta-data/iam/security-credentials/": "-",
		"/latest/meta-data/public-ipv4": "-", "/latest/meta-data/tags/instance/": "-", "/latest/meta-data/public-keys/": "-",
		"/latest/meta-data/services/partition": "aws-cn", "/latest/meta-data/events/": "maintenance/\nrecommendations/",
	} {
		w := ask(h, http.MethodGet, "10.0.0.9", path, tokenHeader, token)
		if want == "-" && w.Code != http.StatusNotFound || want != "-" && w.Body.String() != want {
			t.Errorf("%s: %d %s, want %s", path, w.Code, w.Body, want)
		}
	}
}

// TestTokens walks through who may ask and how. source: userguide, "Use the Instance Metadata Service to access instance metadata"
func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := serve(t, newWorld()).Handler("vpc-1")
		const id = "/latest/meta-data/instance-id"
		made := ask(h, http.MethodPut, "10.0.0.9", "/latest/api/token", lifeHeader, "21600")
		token := made.Body.String()
		if made.Code != http.StatusOK || len(token) != 56 || made.Header().Get(lifeHeader) != "21600" {
			t.Fatalf("%d, a token of %d characters for %s", made.Code, len(token), made.Header().Get(lifeHeader))
		}
		if again := ask(h, http.MethodPut, "10.0.0.9", "/latest/api/token", lifeHeader, "21600").Body.String(); again == token {
			t.Error("two tokens are the same")
		}
		spoiled := []byte(token)
		spoiled[3] ^= 1
		other := ask(h, http.MethodPut, "10.0.0.7", "/latest/api/token", lifeHeader, "60").Body.String()
		for _, c := range []struct {
			what, method, from, path string
			headers                  []string
			want                     int
		}{
			{"version 2", http.MethodGet, "10.0.0.9", id, []string{tokenHeader, token}, 200},
			{"version 1 where it may", http.MethodGet, "10.0.0.7", id, nil, 200},
			{"version 1 where it may not", http.MethodGet, "10.0.0.9", id, nil, 401},
			{"an empty token", http.MethodGet, "10.0.0.9", id, []string{tokenHeader, ""}, 401},
			{"a wrong token where none is needed", http.MethodGet, "10.0.0.7", id, []string{tokenHeader, "x"}, 401},
			{"another instance's token", http.MethodGet, "10.0.0.9", id, []string{tokenHeader, other}, 401},
			{"a spoiled token", http.MethodGet, "10.0.0.9", id, []string{tokenHeader, string(spoiled)}, 401},
			{"two tokens", http.MethodGet, "10.0.0.9", id, []string{tokenHeader, token, tokenHeader, token}, 401},
			{"a long token", http.MethodGet, "10.0.0.9", id, []string{tokenHeader, strings.Repeat("A", 4000)}, 401},
			{"no life", http.MethodPut, "10.0.0.9", "/latest/api/token", nil, 400},
			{"two lives", http.MethodPut, "10.0.0.9", "/latest/api/token", []string{lifeHeader, "1", lifeHeader, "2"}, 400},
			{"a life of nothing", http.MethodPut, "10.0.0.9", "/latest/api/token", []string{lifeHeader, "0"}, 400},
			{"a negative life", http.MethodPut, "10.0.0.9", "/latest/api/token", []string{lifeHeader, "-1"}, 400},
			{"a long life", http.MethodPut, "10.0.0.9", "/latest/api/token", []string{lifeHeader, "21601"}, 400},
			{"a life of words", http.MethodPut, "10.0.0.9", "/latest/api/token", []string{lifeHeader, "one"}, 400},
			{"through a proxy", http.MethodPut, "10.0.0.9", "/latest/api/token", []string{lifeHeader, "60", "X-Forwarded-For", "203.0.113.9"}, 403},
			{"another version's path", http.MethodPut, "10.0.0.9", "/1.0/api/token", []string{lifeHeader, "60"}, 405},
			{"GET for a token", http.MethodGet, "10.0.0.7", "/latest/api/token", nil, 405},
			{"POST", http.MethodPost, "10.0.0.7", id, nil, 405},
			{"DELETE", http.MethodDelete, "10.0.0.7", id, nil, 405},
			{"turned off", http.MethodGet, "10.0.0.10", id, nil, 403},
			{"a token, turned off", http.MethodPut, "10.0.0.10", "/latest/api/token", []string{lifeHeader, "60"}, 403},
			{"a stranger", http.MethodGet, "10.0.0.66", id, nil, 503},
		} {
			w := ask(h, c.method, c.from, c.path, c.headers...)
			if w.Code != c.want {
				t.Errorf("%s: %d, want %d", c.what, w.Code, c.want)
			}
			if title := fmt.Sprintf("<title>%d - %s</title>", c.want, http.StatusText(c.want)); c.want != 200 && !strings.Contains(w.Body.String(), title) {
				t.Errorf("%s: %s", c.what, w.Body)
			}
		}
		if w := ask(serve(t, newWorld()).Handler("vpc-2"), http.MethodGet, "10.0.0.7", id); w.Code != http.StatusServiceUnavailable {
			t.Errorf("the address in another VPC: %d", w.Code)
		}
		if w := ask(serve(t, newWorld()).Handler("vpc-1"), http.MethodGet, "10.0.0.9", id, tokenHeader, token); w.Code != http.StatusOK {
			t.Errorf("after a restart: %d", w.Code)
		}
		time.Sleep(6*time.Hour - time.Second)
		if w := ask(h, http.MethodGet, "10.0.0.9", id, tokenHeader, token); w.Code != http.StatusOK || w.Header().Get(lifeHeader) != "1" {
			t.Errorf("at its last second: %d, %s left", w.Code, w.Header().Get(lifeHeader))
		}
		time.Sleep(time.Second)
		if w := ask(h, http.MethodGet, "10.0.0.9", id, tokenHeader, token); w.Code != http.StatusUnauthorized {
			t.Errorf("after its end: %d", w.Code)
		}
	})
}

// TestCredentials has the credentials of the role and of the identity: the same for an hour, then new ones; and what is told when there are
// none. source: userguide; aws for the errors
func TestCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		h := serve(t, w).Handler("vpc-1")
		const path = "/latest/meta-data/iam/security-credentials/Web"
		get := func(path string, headers ...string) (int, string) {
			a := ask(h, http.MethodGet, "10.0.0.7", path, headers...)
			return a.Code, a.Body.String()
		}
		_, first := get(path)
		const want = `{
  "Code" : "Success",
  "LastUpdated" : "2000-01-01T00:00:00Z",
  "Type" : "AWS-HMAC",
  "AccessKeyId" : "ASIA0000000000000001",
  "SecretAccessKey" : "secret",
  "Token" : "Web/i-0123456789abcdef0/1.0",
  "Expiration" : "2000-01-01T06:00:00Z"
}`
		if first != want {
			t.Errorf("got %s", first)
		}
		token := ask(h, http.MethodPut, "10.0.0.7", "/latest/api/token", lifeHeader, "60").Body.String()
		if _, body := get(path, tokenHeader, token); !strings.Contains(body, "/2.0") {
			t.Errorf("by version 2: %s", body)
		}
		time.Sleep(59 * time.Minute)
		if _, body := get(path); body != first {
			t.Errorf("before the hour is over: %s", body)
		}
		time.Sleep(time.Minute)
		if _, body := get(path); body == first || !strings.Contains(body, "ASIA") {
			t.Errorf("after the hour: %s", body)
		}
		if _, body := get("/latest/meta-data/identity-credentials/ec2/security-credentials/ec2-instance"); !strings.Contains(body, `"Token" : "identity/i-0123456789abcdef0"`) {
			t.Errorf("the identity: %s", body)
		}
		if _, body := get("/latest/meta-data/identity-credentials/ec2/info"); !strings.Contains(body, `"AccountId" : "123456789012"`) {
			t.Errorf("the identity's info: %s", body)
		}
		if _, body := get("/latest/meta-data/iam/info"); !strings.Contains(body, `"InstanceProfileArn" : "`+profileARN+`"`) || !strings.Contains(body, `"InstanceProfileId" : "AIPAONE"`) {
			t.Errorf("the profile: %s", body)
		}

		w.change(func() { w.denied = "the trust policy names others" })
		time.Sleep(time.Hour)
		code, body := get(path)
		if code != http.StatusOK || !strings.Contains(body, `"Code" : "AssumeRoleUnauthorizedAccess"`) || !strings.Contains(body, "EC2 cannot assume the role Web.") {
			t.Errorf("a role that cannot be assumed: %d %s", code, body)
		}
		w.change(func() { w.denied = "" })
		if _, body := get(path); !strings.Contains(body, "ASIA") {
			t.Errorf("when it can be again: %s", body)
		}
		w.change(func() { w.broken = errors.New("broken for a test") })
		if code, _ := get(path); code != http.StatusInternalServerError {
			t.Errorf("a store that is broken: %d", code)
		}
		w.change(func() { w.broken, w.profiles[profileARN].Role = nil, nil })
		if code, _ := get("/latest/meta-data/iam/security-credentials/"); code != http.StatusNotFound {
			t.Errorf("a profile without a role: %d", code)
		}
		w.change(func() {
			w.profiles[profileARN] = &iam.Profile{Name: "web", ARN: profileARN, ID: "AIPATWO", Role: &iam.Role{Name: "Web", ID: "AROAONE"}}
		})
		if code, _ := get(path); code != http.StatusNotFound {
			t.Errorf("a profile made anew: %d", code)
		}
		w.change(func() { clear(w.profiles) })
		if code, body := get("/latest/meta-data/iam/info"); code != http.StatusOK || !strings.Contains(body, `"Code" : "InstanceProfileNotFound"`) {
			t.Errorf("a profile that is gone: %d %s", code, body)
		}
	})
}

// TestIdentityDocument verifies the document's signatures as AWS's guide does. source: userguide, "Verify the instance identity document"
func TestIdentityDocument(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("REQUIRE") == "1" {
			t.Fatal("openssl is not installed")
		}
		t.Skip("SKIPPED: openssl is not installed")
	}
	folder := t.TempDir()
	s, err := metadata.OpenSigner(folder)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := metadata.OpenSigner(folder); err != nil || again == s {
		t.Fatalf("the key is not kept: %v", err)
	}
	w := newWorld()
	h := metadata.New(metadata.Config{Instances: w, Issuer: w, Signer: s, TokenKey: make([]byte, 32), Log: slog.New(slog.DiscardHandler)}).Handler("vpc-1")
	get := func(name string) string {
		return ask(h, http.MethodGet, "10.0.0.7", "/latest/dynamic/instance-identity/"+name).Body.String()
	}
	document := get("document")
	const want = `{
  "accountId" : "123456789012",
  "architecture" : "x86_64",
  "availabilityZone" : "us-east-1a",
  "billingProducts" : null,
  "devpayProductCodes" : null,
  "marketplaceProductCodes" : null,
  "imageId" : "ami-0123456789abcdef0",
  "instanceId" : "i-0123456789abcdef0",
  "instanceType" : "t3.micro",
  "kernelId" : null,
  "pendingTime" : "2026-11-21T19:40:00Z",
  "privateIp" : "10.0.0.7",
  "ramdiskId" : null,
  "region" : "us-east-1",
  "version" : "2017-09-30"
}`
	if document != want {
		t.Errorf("the document is %s", document)
	}
	run := func(stdin string, args ...string) (string, error) {
		c := exec.CommandContext(t.Context(), "openssl", args...)
		c.Dir, c.Stdin = folder, strings.NewReader(stdin)
		out, err := c.Output()
		return string(out), err
	}
	for _, name := range []string{"pkcs7", "rsa2048"} {
		message := "-----BEGIN PKCS7-----\n" + get(name) + "\n-----END PKCS7-----\n"
		out, err := run(message, "smime", "-verify", "-inform", "PEM", "-certfile", metadata.CertificateFile, "-noverify")
		if err != nil || out != document {
			t.Errorf("%s: %v, %s", name, err, out)
		}
	}
	public, err := run("", "x509", "-pubkey", "-noout", "-in", metadata.CertificateFile)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := run(get("signature")+"\n", "base64", "-d")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"key": public, "signature": signature} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := run(document, "dgst", "-sha256", "-verify", "key", "-signature", "signature"); err != nil {
		t.Errorf("the signature: %v, %s", err, out)
	}
	if out, err := run(document+" ", "dgst", "-sha256", "-verify", "key", "-signature", "signature"); err == nil {
		t.Errorf("another document has the same signature: %s", out)
	}
}

// loopback lets an instance ask from 127.0.0.1, and gives the service's URL.
func loopback(t *testing.T, w *world, n metadata.Instance, s *metadata.Service) string {
	t.Helper()
	w.change(func() { w.list[netip.MustParseAddr("127.0.0.1")] = n })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, "vpc-1", l) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

// TestBounds has the limits of what one address can hold: connections, and the head of a request.
func TestBounds(t *testing.T) {
	w := newWorld()
	url := loopback(t, w, one, serve(t, w))
	address := strings.TrimPrefix(url, "http://")
	var held []net.Conn
	defer func() {
		for _, c := range held {
			_ = c.Close()
		}
	}()
	refused := false
	for range 80 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	for _, c := range held[64:] {
		if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
			t.Fatalf("a connection too many: %v", err)
		}
		refused = true
	}
	if !refused {
		t.Fatal("no connection was refused")
	}
	for _, c := range held {
		_ = c.Close()
	}
	for end := time.Now().Add(10 * time.Second); ; {
		answer, err := http.Get(url + "/latest/meta-data/instance-id")
		if err == nil {
			_ = answer.Body.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the connections are not forgotten: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/latest/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Long", strings.Repeat("x", 64<<10))
	answer, err := http.DefaultClient.Do(r)
	if err == nil {
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("a head of 64 KiB: %s", answer.Status)
		}
	}
}

// TestBotocore reads credentials and the Region with botocore, as every program in Python does.
func TestBotocore(t *testing.T) {
	if err := exec.CommandContext(t.Context(), "python3", "-c", "import botocore").Run(); err != nil {
		if os.Getenv("REQUIRE") == "1" {
			t.Fatal("botocore is not installed")
		}
		t.Skip("SKIPPED: botocore is not installed")
	}
	for _, required := range []bool{false, true} {
		t.Run("TokensRequired="+strconv.FormatBool(required), func(t *testing.T) {
			w := newWorld()
			n := one
			n.Options.TokensRequired = required
			url := loopback(t, w, n, serve(t, w))
			c := exec.CommandContext(t.Context(), "python3", "-c", `
from botocore.session import Session
from botocore.utils import IMDSRegionProvider
s = Session()
c = s.get_credentials()
f = c.get_frozen_credentials()
print(c.method, f.access_key, f.token, IMDSRegionProvider(s).provide())`)
			c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "AWS_EC2_METADATA_SERVICE_ENDPOINT=" + url}
			out, err := c.CombinedOutput()
			if want := "iam-role ASIA0000000000000001 Web/i-0123456789abcdef0/2.0 us-east-1\n"; err != nil || string(out) != want {
				t.Errorf("%v\n%s\nwant %s", err, out, want)
			}
		})
	}
}

// FuzzPath asks for any path with any token: nothing panics, and there is always an answer.
func FuzzPath(f *testing.F) {
	h := serve(f, newWorld()).Handler("vpc-1")
	f.Add("/latest/meta-data/network/interfaces/macs/02:00:00:00:00:01/vpc-id", "")
	f.Add("//1.0/../latest/user-data/", "AAAA")
	f.Add("/latest/meta-data/public-keys/0=my key", strings.Repeat("A", 56))
	f.Fuzz(func(t *testing.T, path, token string) {
		r := httptest.NewRequest(http.MethodGet, "http://169.254.169.254/", http.NoBody)
		r.URL.Path, r.RemoteAddr = path, "10.0.0.7:1"
		if token != "" {
			r.Header.Set(tokenHeader, token)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == 0 || w.Code >= 500 {
			t.Errorf("%q: %d", path, w.Code)
		}
	})
}
