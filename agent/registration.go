package agent

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/vennel/vennel/agent/disk"
	"github.com/vennel/vennel/agent/imds"
	"github.com/vennel/vennel/agent/platform"
	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
)

// The files of a state folder. What belongs to one registration is in a folder named after the
// node, so that a new registration begins with nothing of the old.
const (
	lockFile         = "lock"
	registrationFile = "registration.json"
)

// The files and folders of a node's folder.
const (
	credentialsFile     = "credentials"
	jobsFolder          = "jobs"
	orchestrationFolder = "orchestration"
	outboxFolder        = "outbox"
	seenFolder          = "seen"
	sessionsFolder      = "sessions"
)

// ErrNotRegistered says that a state folder holds no registration.
var ErrNotRegistered = errors.New("this state folder holds no registration; run `vennel agent register` first")

// ErrRegistered says that a state folder holds a registration that was not to be replaced.
var ErrRegistered = errors.New("already registered")

// Registration is what makes a machine a node, as it is kept in the state folder.
type Registration struct {
	InstanceID  string
	Region      string
	Endpoint    string `json:",omitzero"` // one URL for all services; otherwise names are derived
	Domain      string `json:",omitzero"` // of derived names; otherwise the Region's
	CA          string `json:",omitzero"` // PEM; what servers are trusted by, otherwise the system's
	SystemCA    bool   `json:",omitzero"` // trusts the system's beside CA
	Fingerprint string
	Machine     string   `json:",omitzero"` // a hash that tells this machine from others
	Key         nodeKey  // the key that the server has
	NextKey     *nodeKey `json:",omitzero"` // a key that the server may have: a rotation has not been finished
	Registered  bool     `json:",omitzero"` // of an EC2 instance: the server has a key of it
	Zone        string   `json:",omitzero"` // of an EC2 instance: its Availability Zone
	ZoneID      string   `json:",omitzero"`
}

// nodeKey is a node's RSA key.
type nodeKey struct {
	Private string // base64 of PKCS #1
	Created time.Time
}

// keyBits is the size of a node's key, which the lengths in the protocol imply.
const keyBits = 2048

// newKey makes a key.
func newKey() (*nodeKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return nil, err
	}
	return &nodeKey{Private: base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PrivateKey(key)), Created: time.Now().UTC()}, nil
}

// parse gives the key itself.
func (k *nodeKey) parse() (*rsa.PrivateKey, error) {
	der, err := base64.StdEncoding.DecodeString(k.Private)
	if err != nil {
		return nil, errors.New("the node's key is not base64") // the error of the library would tell parts of it
	}
	return x509.ParsePKCS1PrivateKey(der)
}

// public is the public key as the server is told: base64 of a SubjectPublicKeyInfo.
func (k *nodeKey) public() (string, error) {
	key, err := k.parse()
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	return base64.StdEncoding.EncodeToString(der), err
}

// domains are the domains of AWS's partitions by the beginning of a Region's name. source: agent
var domains = []struct{ prefix, domain string }{
	{"cn-", "amazonaws.com.cn"}, {"us-iso-", "c2s.ic.gov"}, {"us-isob-", "sc2s.sgov.gov"}, {"us-isof-", "csp.hci.ic.gov"},
	{"eu-isoe-", "cloud.adc-e.uk"}, {"eusc-de-", "amazonaws.eu"}, {"", "amazonaws.com"},
}

// endpoint is the URL of a service.
func (r *Registration) endpoint(service string) string {
	if r.Endpoint != "" {
		return strings.TrimSuffix(r.Endpoint, "/")
	}
	domain := r.Domain
	for _, d := range domains {
		if domain == "" && strings.HasPrefix(r.Region, d.prefix) {
			domain = d.domain
		}
	}
	return "https://" + service + "." + r.Region + "." + domain
}

// Activation is what registers a machine.
type Activation struct {
	State    string // the state folder; made if need be
	Code, ID string
	Region   string
	Endpoint string // see Registration
	Domain   string // see Registration
	CA       string // see Registration
	Force    bool   // replaces a registration
	Log      *slog.Logger
}

// check refuses what cannot work.
func (a *Activation) check() error {
	if !api.IsRegion(a.Region) {
		return fmt.Errorf("%q is not a Region", a.Region)
	}
	if err := checkEndpoint(a.Endpoint); err != nil {
		return err
	}
	if a.Code == "" || a.ID == "" {
		return errors.New("an activation has a code and an id")
	}
	return nil
}

// checkEndpoint refuses an endpoint that is none.
func checkEndpoint(endpoint string) error {
	if endpoint == "" {
		return nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("the endpoint %q is not a URL that begins with http or https", endpoint)
	}
	return nil
}

// Register registers this machine and returns the node's id. An earlier registration stays whole
// and in force until the new one is complete. The error is ErrRegistered when there is one that is
// not to be replaced, ErrRunning while an agent runs on the folder, and the server's *api.Error.
func Register(ctx context.Context, a Activation) (id string, err error) {
	if err := a.check(); err != nil {
		return "", err
	}
	if err := disk.Folder(a.State); err != nil {
		return "", err
	}
	lock, err := disk.TryLock(filepath.Join(a.State, lockFile))
	if errors.Is(err, disk.ErrLocked) {
		return "", fmt.Errorf("%s: %w", a.State, ErrRunning)
	} else if err != nil {
		return "", err
	}
	defer lock.Release()
	file := filepath.Join(a.State, registrationFile)
	var old Registration
	switch err := disk.ReadJSON(file, &old); {
	case err == nil && !a.Force:
		return "", fmt.Errorf("%w as %s; --force replaces that registration", ErrRegistered, old.InstanceID)
	case err != nil && !errors.Is(err, fs.ErrNotExist) && !a.Force:
		return "", fmt.Errorf("the registration cannot be read; --force replaces it: %w", err)
	}
	r := &Registration{
		Region: a.Region, Endpoint: a.Endpoint, Domain: a.Domain, CA: a.CA,
		Fingerprint: uuid.NewString(), Machine: platform.Machine(ctx),
	}
	key, err := newKey()
	if err != nil {
		return "", err
	}
	r.Key = *key
	if r.InstanceID, err = r.register(ctx, &a); err != nil {
		return "", err
	}
	if err := disk.WriteJSON(file, r); err != nil {
		return "", fmt.Errorf("the server has registered this machine as %s, but that cannot be kept: %w", r.InstanceID, err)
	}
	return r.InstanceID, nil
}

// mostTries is how often a registration is tried when the failure may pass.
const mostTries = 4

// register calls the server.
func (r *Registration) register(ctx context.Context, a *Activation) (string, error) {
	calls, err := r.connect()
	if err != nil {
		return "", err
	}
	defer calls.close()
	public, err := r.Key.public()
	if err != nil {
		return "", err
	}
	in := &ssm.RegisterManagedInstanceInput{
		ActivationCode: &a.Code, ActivationId: &a.ID, Fingerprint: r.Fingerprint, PublicKey: public, PublicKeyType: api.Given("Rsa"),
	}
	for try := 1; ; try++ {
		var out ssm.RegisterManagedInstanceOutput
		err := calls.unsigned().Call(ctx, "RegisterManagedInstance", in, &out)
		switch id := api.Or(out.InstanceId, ""); {
		case err == nil && !goodID(id):
			return "", fmt.Errorf("the server's answer has no instance id that can be used: %q", id)
		case err == nil:
			return id, nil
		case !passing(err) || distrusts(err) || try == mostTries || ctx.Err() != nil:
			return "", err
		}
		a.Log.Warn("registration will be tried again", "error", err)
		sleep(ctx, backoff(try, time.Minute))
	}
}

// distrusts says whether an error is about the server's certificate, which will not get better.
func distrusts(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}

// idForm is the form of a node's id, without its length as that of sessionIDForm.
var idForm = regexp.MustCompile(`^[A-Za-z0-9-]+$`)

// goodID says whether a text can be a node's id, which names a folder.
func goodID(id string) bool { return len(id) >= 10 && len(id) <= 124 && idForm.MatchString(id) }

// node is an opened registration.
type node struct {
	Registration
	state string
	imds  *imds.Client // of an EC2 instance whose agent runs; otherwise nil
}

// readNode reads the registration in a state folder, or what an EC2 instance has kept there.
func readNode(state string) (*node, error) {
	n := &node{state: state}
	err := disk.ReadJSON(filepath.Join(state, registrationFile), &n.Registration)
	if errors.Is(err, fs.ErrNotExist) {
		err = disk.ReadJSON(filepath.Join(state, instanceFile), &n.Registration)
	}
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, ErrNotRegistered
		}
		return nil, err
	}
	if !goodID(n.InstanceID) || !api.IsRegion(n.Region) {
		return nil, fmt.Errorf("the registration in %s is damaged", state)
	}
	return n, nil
}

// openNode finds out which node an agent that is to run is, and makes the node's folders. A registration comes before the instance. source: agent
func openNode(ctx context.Context, cfg *Config) (*node, error) {
	open := func() (*node, error) { return readNode(cfg.State) }
	if !disk.Exists(filepath.Join(cfg.State, registrationFile)) {
		open = func() (*node, error) { return openInstance(ctx, cfg) }
	}
	n, err := open()
	if err != nil {
		return nil, err
	}
	for _, folder := range []string{jobsFolder, orchestrationFolder, outboxFolder, seenFolder, sessionsFolder} {
		if err := disk.Folder(n.path(folder)); err != nil {
			return nil, err
		}
	}
	if machine := platform.Machine(ctx); machine != "" && n.Machine != "" && machine != n.Machine {
		// A copied disk must not pass for the original: the server compares fingerprints.
		cfg.Log.Warn("this is not the machine that was registered; the node gets a new fingerprint", "node", n.InstanceID)
		n.Fingerprint, n.Machine = uuid.NewString(), machine
		if err := n.save(); err != nil {
			return nil, err
		}
	}
	if info, err := os.Stat(cfg.State); err == nil && info.Mode().Perm()&0o022 != 0 {
		cfg.Log.Warn("others can write to the state folder", "folder", cfg.State)
	}
	return n, nil
}

// save writes the registration.
func (n *node) save() error {
	file := registrationFile
	if n.isInstance() {
		file = instanceFile
	}
	return disk.WriteJSON(filepath.Join(n.state, file), &n.Registration)
}

// path is a file or folder of the node's.
func (n *node) path(parts ...string) string {
	return filepath.Join(append([]string{n.state, n.InstanceID}, parts...)...)
}
