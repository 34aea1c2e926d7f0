package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/vennel/vennel/agent/disk"
	"github.com/vennel/vennel/agent/imds"
	"github.com/vennel/vennel/agent/platform"
	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/wire/sigv4"
)

// instanceFile keeps what a node is that is an EC2 instance, in the form of a registration.
const instanceFile = "instance.json"

// The times of an instance's credentials. Its role may be changed at any time, and nobody tells it.
const (
	instanceTrust = 30 * time.Minute // the longest until it looks again which credentials it has. source: agent
	instanceWait  = 5 * time.Minute  // the longest pause while it has none
	identityTries = 3                // to find out which instance this is
)

// isInstance says whether a node is an EC2 instance.
func (r *Registration) isInstance() bool { return strings.HasPrefix(r.InstanceID, "i-") }

// openInstance makes a node of the EC2 instance that this machine is. The key that it made when it ran here before is kept; a copied disk does
// not pass for the original, for the metadata service says who this is.
func openInstance(ctx context.Context, cfg *Config) (*node, error) {
	if err := checkEndpoint(cfg.Endpoint); err != nil {
		return nil, err
	}
	n := &node{state: cfg.State, imds: imds.New(cfg.Metadata)}
	id, region, err := n.identify(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w; nor is this an EC2 instance: %w", ErrNotRegistered, err)
	}
	if !goodID(id) || !strings.HasPrefix(id, "i-") || !api.IsRegion(region) {
		return nil, fmt.Errorf("the instance metadata service calls this machine %q in %q, which cannot be", id, region)
	}
	err = disk.ReadJSON(filepath.Join(cfg.State, instanceFile), &n.Registration)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		cfg.Log.Warn("what this instance was cannot be read; it gets a new key", "error", err)
	}
	if err != nil || n.InstanceID != id {
		key, err := newKey()
		if err != nil {
			return nil, err
		}
		n.Registration = Registration{InstanceID: id, Fingerprint: id, Key: *key}
	}
	n.Region, n.Endpoint, n.Domain, n.CA, n.SystemCA = region, cfg.Endpoint, cfg.Domain, cfg.CA, true
	for path, to := range map[string]*string{"availability-zone": &n.Zone, "availability-zone-id": &n.ZoneID} {
		if *to, err = n.imds.Get(ctx, "meta-data/placement/"+path); err != nil {
			cfg.Log.Info("the instance does not know where it is", "error", err)
		}
	}
	return n, n.save()
}

// identify asks which instance this is.
func (n *node) identify(ctx context.Context) (id, region string, err error) {
	for try := 1; ; try++ {
		id, region, err = n.imds.Identity(ctx)
		if err == nil || try == identityTries || !sleep(ctx, backoff(try, time.Minute)) {
			return id, region, err
		}
	}
}

// instance gets the credentials of a node that is an EC2 instance.
type instance struct {
	node  *node
	calls *calls
	log   *slog.Logger
}

// retrieve gets credentials: those of the instance profile's role if the server takes them, otherwise those of the account's default role.
// source: agent
func (i *instance) retrieve(ctx context.Context) (s temporary, replace bool, err error) {
	unregistered := i.register(ctx)
	if unregistered != nil && ctx.Err() == nil {
		i.log.Info("the instance's key is not registered yet", "error", unregistered)
	}
	if s, err = i.profile(ctx); err == nil {
		return s, false, nil
	}
	err = fmt.Errorf("the role of the instance profile: %w", err)
	if !final(err) {
		return s, false, err
	}
	i.log.Info("the instance profile does not make this instance a node; trying Default Host Management", "error", err)
	s, other := i.byDefault(ctx)
	if other == nil {
		return s, false, nil
	}
	return s, false, errors.Join(err, fmt.Errorf("the account's default role: %w", errors.Join(other, unregistered)))
}

// final says whether an error about the role of the instance profile leaves nothing but Default Host Management. source: agent
func final(err error) bool {
	_, refusal := errors.AsType[*imds.Refusal](err)
	return refusal || errors.Is(err, imds.ErrNone) || refused(err)
}

// register registers the instance's key, with which it proves itself to Default Host Management.
func (i *instance) register(ctx context.Context) error {
	if i.node.Registered {
		return nil
	}
	c, err := i.imds().Identified(ctx)
	if err != nil {
		return err
	}
	public, err := i.node.Key.public()
	if err != nil {
		return err
	}
	in := &ssm.RegisterManagedInstanceInput{Fingerprint: i.node.Fingerprint, PublicKey: public, PublicKeyType: api.Given("Rsa")}
	err = i.signed(c, false).Call(ctx, "RegisterManagedInstance", in, new(ssm.RegisterManagedInstanceOutput))
	if e, ok := errors.AsType[*api.Error](err); ok && e.Code == "InstanceAlreadyRegistered" {
		i.log.Warn("the server has another key of this instance; Default Host Management will not know it", "error", err)
		err = nil
	}
	if err != nil {
		return err
	}
	i.node.Registered = true
	return i.node.save()
}

// imds is the metadata service.
func (i *instance) imds() *imds.Client { return i.node.imds }

// signed calls ssm with credentials of the metadata service, signed by the instance's key as well if proved is set.
func (i *instance) signed(c *imds.Credentials, proved bool) *caller {
	s := i.calls.service("ssm", callTime)
	s.client.Sign = func(_ context.Context, r *http.Request, body []byte) error {
		if err := sigv4.Sign(r, sigv4.HashPayload(body), signing(c), i.node.Region, "ssm", time.Now()); err != nil || !proved {
			return err
		}
		key, err := i.node.Key.parse()
		if err != nil {
			return err
		}
		return sigv4.SignAsymmetricKey(r, key)
	}
	return s
}

// signing are credentials of the metadata service as signatures want them.
func signing(c *imds.Credentials) sigv4.Credentials {
	return sigv4.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.Token}
}

// profile gets the credentials of the role in the instance profile, and tries with a first heartbeat whether the server takes them.
func (i *instance) profile(ctx context.Context) (temporary, error) {
	c, err := i.imds().Role(ctx)
	if err != nil {
		return temporary{}, err
	}
	in := firstHeartbeat(i.node.InstanceID, platform.Type())
	if err := i.signed(c, false).Call(ctx, "UpdateInstanceInformation", in, new(ssm.UpdateInstanceInformationOutput)); err != nil {
		return temporary{}, err
	}
	return temporary{Credentials: signing(c), retrieved: time.Now().UTC().Truncate(time.Second), expires: c.Expiration.UTC()}, nil
}

// byDefault gets the credentials of the account's default role.
func (i *instance) byDefault(ctx context.Context) (temporary, error) {
	c, err := i.imds().Identified(ctx)
	if err != nil {
		return temporary{}, err
	}
	out, err := requestToken(ctx, i.signed(c, true), i.node.Fingerprint)
	if err != nil {
		return temporary{}, err
	}
	return temporaryOf(out), nil
}
