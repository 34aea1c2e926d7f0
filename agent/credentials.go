package agent

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/vennel/vennel/agent/disk"
	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/wire/sigv4"
)

// The waits after a failed request for credentials. A node that is refused asks again after half
// an hour, whenever the failure may pass much sooner. source: agent, but for the last
const (
	refusedWait   = 25 * time.Minute
	refusedSpread = 5 * time.Minute
	failedWait    = 30 * time.Minute
	passingWait   = 5 * time.Minute
	leastRefresh  = 30 * time.Second // between two requests that somebody's doubts cause
)

// temporary are temporary credentials.
type temporary struct {
	sigv4.Credentials
	retrieved, expires time.Time
}

// credentials keeps the node's credentials fresh. It is the only one that uses the node's key.
type credentials struct {
	node       *node
	calls      *calls
	rotateDays int
	log        *slog.Logger
	doubts     chan struct{} // filled when a server does not take the credentials

	retrieve func(context.Context) (s temporary, replace bool, err error) // gets new ones, and says whether the key is to be replaced
	trust    time.Duration                                                // how long they are taken for the right ones; 0 is for all their life
	patience func(err error, n int) time.Duration                         // the wait after the n-th failure in a row

	mu        sync.Mutex
	temporary temporary     // guarded by mu
	changed   chan struct{} // closed when temporary changes; guarded by mu
}

// openCredentials takes up the credentials of an earlier run.
func openCredentials(n *node, c *calls, rotateDays int, log *slog.Logger) *credentials {
	creds := &credentials{node: n, calls: c, rotateDays: rotateDays, log: log, doubts: make(chan struct{}, 1), changed: make(chan struct{})}
	creds.retrieve, creds.patience = creds.own, patience
	if n.isInstance() {
		creds.retrieve, creds.trust = (&instance{n, c, log}).retrieve, instanceTrust
		creds.patience = func(_ error, failures int) time.Duration { return backoff(failures, instanceWait) }
	}
	kept, err := readCredentials(n.path(credentialsFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("the kept credentials cannot be read", "error", err)
	}
	creds.temporary = kept
	return creds
}

// The members of the credentials file that AWS's tools ignore.
const (
	retrievedMember = "retrieved"
	expiresMember   = "expiration"
)

// readCredentials reads a credentials file.
func readCredentials(name string) (s temporary, err error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return s, err
	}
	values := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		if key, value, ok := strings.Cut(lines.Text(), "="); ok {
			values[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	if s.retrieved, err = time.Parse(time.RFC3339, values[retrievedMember]); err != nil {
		return temporary{}, err
	}
	if s.expires, err = time.Parse(time.RFC3339, values[expiresMember]); err != nil {
		return temporary{}, err
	}
	s.Credentials = sigv4.Credentials{
		AccessKeyID: values["aws_access_key_id"], SecretAccessKey: values["aws_secret_access_key"], SessionToken: values["aws_session_token"],
	}
	if s.AccessKeyID == "" || s.SecretAccessKey == "" {
		return temporary{}, errors.New("no key")
	}
	return s, nil
}

// write writes a credentials file, in the format that AWS's tools share, for workers and scripts.
func (s *temporary) write(name string) error {
	return disk.Write(name, fmt.Appendf(nil, "# The credentials of this node, kept fresh by its agent.\n[default]\naws_access_key_id = %s\naws_secret_access_key = %s\naws_session_token = %s\n%s = %s\n%s = %s\n",
		s.AccessKeyID, s.SecretAccessKey, s.SessionToken, retrievedMember, s.retrieved.Format(time.RFC3339), expiresMember, s.expires.Format(time.RFC3339)))
}

// due is the time for new credentials: when half of their life is over.
func (s *temporary) due() time.Time { return s.retrieved.Add(s.expires.Sub(s.retrieved) / 2) }

// due is the time to look for new credentials.
func (c *credentials) due(s *temporary) time.Time {
	if again := s.retrieved.Add(c.trust); c.trust > 0 && again.Before(s.due()) {
		return again
	}
	return s.due()
}

// sign signs a request, waiting for credentials if there are none that are valid.
func (c *credentials) sign(ctx context.Context, r *http.Request, body []byte, service string) error {
	s, err := c.get(ctx)
	if err != nil {
		return err
	}
	return sigv4.Sign(r, sigv4.HashPayload(body), s.Credentials, c.node.Region, service, time.Now())
}

// get waits for valid credentials.
func (c *credentials) get(ctx context.Context) (temporary, error) {
	for {
		c.mu.Lock()
		s, changed := c.temporary, c.changed
		c.mu.Unlock()
		if time.Now().Before(s.expires) {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return s, fmt.Errorf("the node has no valid credentials: %w", context.Cause(ctx))
		case <-changed:
		}
	}
}

// judge takes note of an error that may mean that the server does not know the credentials any
// more, as after it was restored from an older state, or the node, as after it was deregistered:
// the answer to the request for new ones tells.
func (c *credentials) judge(err error) {
	e, ok := errors.AsType[*api.Error](err)
	if !ok {
		return
	}
	switch e.Code {
	case "UnrecognizedClientException", "InvalidClientTokenId", "ExpiredTokenException", "ExpiredToken", "InvalidInstanceId":
		select {
		case c.doubts <- struct{}{}:
		default:
		}
	}
}

// run keeps the credentials fresh until ctx ends.
func (c *credentials) run(ctx context.Context) {
	c.mu.Lock()
	due := c.due(&c.temporary)
	c.mu.Unlock()
	if c.trust > 0 {
		due = time.Now() // who knows what has changed since the last run
	}
	var last time.Time // of a request
	for failures := 0; ; {
		wait := time.NewTimer(time.Until(due))
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-wait.C:
		case <-c.doubts:
			wait.Stop()
			if !sleep(ctx, time.Until(last.Add(leastRefresh))) {
				return
			}
			c.log.Info("the server does not take the node's credentials; asking for new ones")
		}
		last = time.Now()
		s, err := c.refresh(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			failures = 0
			due = c.due(&s)
			continue
		}
		failures++
		pause := c.patience(err, failures)
		c.log.Warn("no new credentials", "error", err, "next_try", pause.Round(time.Second).String())
		due = time.Now().Add(pause)
	}
}

// patience is the wait after the n-th failure in a row. source: agent
func patience(err error, n int) time.Duration {
	switch {
	case refused(err):
		return refusedWait + rand.N(refusedSpread)
	case passing(err):
		return backoff(n, passingWait)
	}
	return backoff(n, failedWait)
}

// refresh asks for new credentials and, when it is time or the server says so, replaces the key.
func (c *credentials) refresh(ctx context.Context) (temporary, error) {
	s, replace, err := c.retrieve(ctx)
	if err != nil {
		return temporary{}, err
	}
	if err := s.write(c.node.path(credentialsFile)); err != nil {
		c.log.Warn("the credentials cannot be kept; workers will not have them", "error", err)
	}
	c.mu.Lock()
	c.temporary = s
	close(c.changed)
	c.changed = make(chan struct{})
	c.mu.Unlock()
	c.log.Debug("new credentials", "expires", s.expires)
	if replace {
		if err := c.rotate(ctx); err != nil {
			c.log.Warn("the node's key was not replaced", "error", err)
		} else {
			c.log.Info("the node's key was replaced")
		}
	}
	return s, nil
}

// own gets credentials for a registered node.
func (c *credentials) own(ctx context.Context) (s temporary, replace bool, err error) {
	out, err := c.token(ctx, &c.node.Key)
	if c.node.NextKey != nil {
		out, err = c.resume(ctx, out, err)
	}
	if err != nil {
		return temporary{}, false, err
	}
	old := c.rotateDays > 0 && time.Since(c.node.Key.Created) > time.Duration(c.rotateDays)*24*time.Hour
	return temporaryOf(out), out.UpdateKeyPair || old, nil
}

// temporaryOf reads a server's answer.
func temporaryOf(out *ssm.RequestManagedInstanceRoleTokenOutput) temporary {
	return temporary{
		Credentials: sigv4.Credentials{AccessKeyID: out.AccessKeyId, SecretAccessKey: out.SecretAccessKey, SessionToken: out.SessionToken},
		retrieved:   time.Now().UTC().Truncate(time.Second), expires: out.TokenExpirationDate.UTC(),
	}
}

// token asks for credentials with one key.
func (c *credentials) token(ctx context.Context, key *nodeKey) (*ssm.RequestManagedInstanceRoleTokenOutput, error) {
	s, err := c.withKey(key)
	if err != nil {
		return nil, err
	}
	return requestToken(ctx, s, c.node.Fingerprint)
}

// requestToken asks for credentials.
func requestToken(ctx context.Context, s *caller, fingerprint string) (*ssm.RequestManagedInstanceRoleTokenOutput, error) {
	out := new(ssm.RequestManagedInstanceRoleTokenOutput)
	if err := s.Call(ctx, "RequestManagedInstanceRoleToken", &ssm.RequestManagedInstanceRoleTokenInput{Fingerprint: fingerprint}, out); err != nil {
		return nil, err
	}
	if out.AccessKeyId == "" || out.SecretAccessKey == "" || !out.TokenExpirationDate.After(time.Now()) {
		return nil, errors.New("the server's answer holds no credentials that are valid")
	}
	return out, nil
}

// withKey calls ssm with requests that are signed by a node's key.
func (c *credentials) withKey(key *nodeKey) (*caller, error) {
	private, err := key.parse()
	if err != nil {
		return nil, err
	}
	s := c.calls.service("ssm", callTime)
	s.client.Sign = func(_ context.Context, r *http.Request, body []byte) error {
		return sigv4.SignRSA(r, sigv4.HashPayload(body), c.node.InstanceID, private, c.node.Region, "ssm", time.Now())
	}
	return s, nil
}
