package agent

import (
	"context"
	"crypto/rsa"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vennel/vennel/agent/disk"
	"github.com/vennel/vennel/agent/platform"
	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/wire"
	"github.com/vennel/vennel/wire/sigv4"
)

// bank is a server in memory that knows one node's key and gives it credentials. It is called
// without a network, so that fake time works.
type bank struct {
	ssm.Unimplemented
	mux *wire.Mux

	mu       sync.Mutex
	key      *rsa.PublicKey // guarded by mu
	life     time.Duration
	update   bool                     // asks for a new key
	fail     []error                  // of the next calls for credentials
	onUpdate func(apply func()) error // decides about a new key; nil takes it
	asked    []time.Time              // when credentials were asked for
	updates  int
	secrets  map[string]string
}

// newBank makes a bank that knows a node's key.
func newBank(t *testing.T, n *node) *bank {
	t.Helper()
	private, err := n.Key.parse()
	if err != nil {
		t.Fatal(err)
	}
	b := &bank{key: &private.PublicKey, life: time.Hour, secrets: map[string]string{}}
	b.mux = wire.New(t.Context(), wire.Config{
		Services: []api.Service{ssm.Service(b)}, Credentials: b, TokenKey: make([]byte, 32), Region: n.Region, Log: slog.New(slog.DiscardHandler),
	})
	return b
}

// somebody is the caller.
type somebody struct{ wire.Anonymous }

// Lookup gives the node's key.
func (b *bank) Lookup(_ context.Context, keyID, _ string) (sigv4.Key, api.Principal, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if strings.HasPrefix(keyID, "mi-") {
		return sigv4.Key{Public: b.key}, somebody{}, nil
	}
	if secret, ok := b.secrets[keyID]; ok {
		return sigv4.Key{Secret: secret, SessionToken: "token"}, somebody{}, nil
	}
	return sigv4.Key{}, nil, api.Errorf(api.BadToken, "")
}

// RequestManagedInstanceRoleToken gives credentials.
func (b *bank) RequestManagedInstanceRoleToken(ctx context.Context, _ *ssm.RequestManagedInstanceRoleTokenInput) (*ssm.RequestManagedInstanceRoleTokenOutput, error) {
	api.CallFrom(ctx).Decide(api.Decision{Allowed: true})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, time.Now())
	if len(b.fail) > 0 {
		err := b.fail[0]
		b.fail = b.fail[1:]
		if err != nil {
			return nil, err
		}
	}
	id := "ASIA" + time.Now().Format("150405.000000")
	b.secrets[id] = "secret of " + id
	return &ssm.RequestManagedInstanceRoleTokenOutput{
		AccessKeyId: id, SecretAccessKey: b.secrets[id], SessionToken: "token", TokenExpirationDate: time.Now().Add(b.life), UpdateKeyPair: b.update,
	}, nil
}

// times is when it was asked for credentials.
func (b *bank) times() []time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.asked)
}

// UpdateManagedInstancePublicKey replaces the key.
func (b *bank) UpdateManagedInstancePublicKey(ctx context.Context, in *ssm.UpdateManagedInstancePublicKeyInput) (*ssm.UpdateManagedInstancePublicKeyOutput, error) {
	api.CallFrom(ctx).Decide(api.Decision{Allowed: true})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.updates++
	b.update = false
	apply := func() { b.key = parsePublic(in.NewPublicKey) }
	if b.onUpdate != nil {
		if err := b.onUpdate(apply); err != nil {
			return nil, err
		}
		return &ssm.UpdateManagedInstancePublicKeyOutput{}, nil
	}
	apply()
	return &ssm.UpdateManagedInstancePublicKeyOutput{}, nil
}

// UpdateInstanceInformation takes a heartbeat.
func (b *bank) UpdateInstanceInformation(ctx context.Context, _ *ssm.UpdateInstanceInformationInput) (*ssm.UpdateInstanceInformationOutput, error) {
	api.CallFrom(ctx).Decide(api.Decision{Allowed: true})
	return &ssm.UpdateInstanceInformationOutput{}, nil
}

// RoundTrip serves a request.
func (b *bank) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.RequestURI, in.Host = r.URL.RequestURI(), r.URL.Host
	w := newRecorder()
	b.mux.ServeHTTP(w, in)
	return w.response(r), nil
}

// newCredentials makes a node with a key and the credentials that a bank gives it.
func newCredentials(t *testing.T, days int) (*credentials, *bank) {
	t.Helper()
	n := &node{state: t.TempDir(), Registration: Registration{InstanceID: "mi-0123456789abcdef0", Region: "home-lab-1", Endpoint: "http://plane", Fingerprint: "f", Key: *testKey(t)}}
	if err := disk.Folder(n.path()); err != nil {
		t.Fatal(err)
	}
	if err := n.save(); err != nil {
		t.Fatal(err)
	}
	b := newBank(t, n)
	return reopen(t, n, b, days), b
}

// reopen opens a node's credentials, as the next agent does.
func reopen(t *testing.T, n *node, b *bank, days int) *credentials {
	t.Helper()
	kept := &node{state: n.state}
	if err := disk.ReadJSON(filepath.Join(n.state, registrationFile), &kept.Registration); err != nil {
		t.Fatal(err)
	}
	return openCredentials(kept, &calls{node: &kept.Registration, http: &http.Client{Transport: b}}, days, slog.New(slog.DiscardHandler))
}

// running runs something in the bubble and stops it at its end.
func running(t *testing.T, run func(context.Context)) {
	ctx, cancel := context.WithCancel(t.Context())
	var parts sync.WaitGroup
	parts.Go(func() { run(ctx) })
	t.Cleanup(func() {
		cancel()
		parts.Wait()
	})
}

// TestCredentialsAreRefreshed asks for new credentials when half of their life is over, and takes
// those of an earlier agent up.
func TestCredentialsAreRefreshed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, b := newCredentials(t, 0)
		begin := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		var parts sync.WaitGroup
		parts.Go(func() { c.run(ctx) })
		time.Sleep(100 * time.Minute)
		synctest.Wait()
		cancel()
		parts.Wait()
		got := b.times()
		for i, want := range []time.Duration{0, 30 * time.Minute, time.Hour, 90 * time.Minute} {
			if i >= len(got) || got[i].Sub(begin) != want {
				t.Fatalf("asked at %v, since %v", got, begin)
			}
		}
		if len(got) != 4 {
			t.Errorf("asked %d times", len(got))
		}

		next := reopen(t, c.node, b, 0)
		if s, err := next.get(t.Context()); err != nil || s != c.temporary {
			t.Errorf("the next agent has %v, %v", s, err)
		}
		running(t, next.run)
		time.Sleep(15 * time.Minute)
		synctest.Wait()
		if len(b.times()) != 4 {
			t.Error("the next agent asked although it had credentials")
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if len(b.times()) != 5 {
			t.Errorf("asked %d times", len(b.times()))
		}
	})
}

// TestCredentialsFile keeps credentials for AWS's tools and workers, and for nobody else.
func TestCredentialsFile(t *testing.T) {
	c, _ := newCredentials(t, 0)
	s, err := c.refresh(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	name := c.node.path(credentialsFile)
	info, err := os.Stat(name)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	b, err := os.ReadFile(name)
	if err != nil || !strings.Contains(string(b), "[default]\naws_access_key_id = "+s.AccessKeyID+"\naws_secret_access_key = "+s.SecretAccessKey+"\naws_session_token = token\n") {
		t.Errorf("%s, %v", b, err)
	}
	for _, damage := range []string{"", "[default]", strings.Replace(string(b), "expiration = ", "expiration = x", 1), strings.Replace(string(b), "aws_access_key_id", "x", 1)} {
		if err := os.WriteFile(name, []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := readCredentials(name); err == nil {
			t.Errorf("%q gave %v", damage, s)
		}
	}
}

// TestCredentialsAfterFailures waits as long as the failure deserves. source: the protocol sheet of
// the official agent, but for failures that may pass
func TestCredentialsAfterFailures(t *testing.T) {
	for _, tt := range []struct {
		name        string
		err         error
		least, most time.Duration // of the wait after the first failure
	}{
		{"denied", api.Errorf(api.AccessDenied, ""), 25 * time.Minute, 30 * time.Minute},
		{"another machine", ssm.ErrMachineFingerprintDoesNotMatch(""), 25 * time.Minute, 30 * time.Minute},
		{"a fault", &api.Error{Code: "InternalServerError", Status: 500}, 500 * time.Millisecond, time.Second},
		{"throttled", api.Errorf(api.Throttled, ""), 500 * time.Millisecond, time.Second},
		{"an unknown node", ssm.ErrInvalidInstanceId(""), 500 * time.Millisecond, time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, b := newCredentials(t, 0)
				b.fail = []error{tt.err}
				running(t, c.run)
				time.Sleep(time.Hour)
				synctest.Wait()
				if wait := b.times()[1].Sub(b.times()[0]); wait < tt.least || wait > tt.most {
					t.Errorf("waited %v", wait)
				}
			})
		})
	}
	for _, tt := range []struct {
		err  error
		most time.Duration
	}{{&api.Error{Code: "InternalServerError", Status: 500}, 5 * time.Minute}, {ssm.ErrInvalidInstanceId(""), 30 * time.Minute}} {
		synctest.Test(t, func(t *testing.T) {
			c, b := newCredentials(t, 0)
			for range 1000 {
				b.fail = append(b.fail, tt.err)
			}
			running(t, c.run)
			time.Sleep(24 * time.Hour)
			synctest.Wait()
			last := 0 * time.Second
			for i := 1; i < len(b.times()); i++ {
				last = b.times()[i].Sub(b.times()[i-1])
				if last > tt.most {
					t.Errorf("%v: waited %v", tt.err, last)
				}
			}
			if last < tt.most/2 {
				t.Errorf("%v: the waits grew to %v only", tt.err, last)
			}
		})
	}
}

// TestCallsWaitForCredentials holds a call until there are credentials, and no longer than it may.
func TestCallsWaitForCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, b := newCredentials(t, 0)
		b.fail = []error{&api.Error{Code: "InternalServerError", Status: 500}, &api.Error{Code: "InternalServerError", Status: 500}}
		running(t, c.run)
		in := &ssm.UpdateInstanceInformationInput{InstanceId: c.node.InstanceID}
		if err := c.calls.ssm(c).Call(t.Context(), "UpdateInstanceInformation", in, new(ssm.UpdateInstanceInformationOutput)); err != nil {
			t.Error(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c, _ := newCredentials(t, 0)
		begin := time.Now()
		err := c.calls.ssm(c).Call(t.Context(), "UpdateInstanceInformation", &ssm.UpdateInstanceInformationInput{InstanceId: c.node.InstanceID}, new(ssm.UpdateInstanceInformationOutput))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != callTime {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

// TestDoubts asks for new credentials when the server does not take those there are, but not all
// the time.
func TestDoubts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, b := newCredentials(t, 0)
		running(t, c.run)
		synctest.Wait()
		b.mu.Lock()
		clear(b.secrets)
		b.mu.Unlock()
		call := func() error {
			return c.calls.ssm(c).Call(t.Context(), "UpdateInstanceInformation", &ssm.UpdateInstanceInformationInput{InstanceId: c.node.InstanceID}, new(ssm.UpdateInstanceInformationOutput))
		}
		if e, ok := errors.AsType[*api.Error](call()); !ok || e.Code != "UnrecognizedClientException" {
			t.Errorf("got %v", e)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if err := call(); err != nil || len(b.times()) != 2 {
			t.Errorf("%v, asked %d times", err, len(b.times()))
		}
		for range 100 {
			c.judge(&api.Error{Code: "ExpiredTokenException"})
			c.judge(&api.Error{Code: "InvalidInstanceId"})
			c.judge(errors.New("other"))
			c.judge(&api.Error{Code: "Other"})
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if n := len(b.times()); n > 6 {
			t.Errorf("asked %d times", n)
		}
		time.Sleep(2 * leastRefresh)
		synctest.Wait()
		n := len(b.times())
		c.judge(&api.Error{Code: "InvalidInstanceId"}) // was it deregistered? The answer tells
		time.Sleep(2 * leastRefresh)
		synctest.Wait()
		if len(b.times()) != n+1 {
			t.Errorf("asked %d times, not once, whether the node is still registered", len(b.times())-n)
		}
	})
}

// keys are what a registration holds.
func keys(t *testing.T, c *credentials) (key, next string) {
	t.Helper()
	kept := new(Registration)
	if err := disk.ReadJSON(filepath.Join(c.node.state, registrationFile), kept); err != nil {
		t.Fatal(err)
	}
	if kept.NextKey != nil {
		next = kept.NextKey.Private
	}
	return kept.Key.Private, next
}

// TestRotation replaces the key when the server says so or the key is old, through every failure.
func TestRotation(t *testing.T) {
	broken := &api.Error{Code: "InternalServerError", Status: 500, Fault: true}
	t.Run("the server says so", func(t *testing.T) {
		c, b := newCredentials(t, 0)
		old, _ := keys(t, c)
		b.update = true
		if _, err := c.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		now, next := keys(t, c)
		if now == old || next != "" || b.updates != 1 {
			t.Errorf("replaced: %v, left over: %v, %d updates", now != old, next != "", b.updates)
		}
		if _, err := c.refresh(t.Context()); err != nil || b.updates != 1 {
			t.Errorf("%v, %d updates", err, b.updates)
		}
		if _, err := reopen(t, c.node, b, 0).refresh(t.Context()); err != nil {
			t.Errorf("the next agent: %v", err)
		}
	})
	t.Run("the key is old", func(t *testing.T) {
		for _, tt := range []struct {
			age  time.Duration
			days int
			want int
		}{{31 * 24 * time.Hour, 30, 1}, {29 * 24 * time.Hour, 30, 0}, {1000 * 24 * time.Hour, 0, 0}} {
			c, b := newCredentials(t, tt.days)
			c.node.Key.Created = time.Now().Add(-tt.age)
			if _, err := c.refresh(t.Context()); err != nil || b.updates != tt.want {
				t.Errorf("%+v: %v, %d updates", tt, err, b.updates)
			}
		}
	})
	t.Run("the new key cannot be kept", func(t *testing.T) {
		c, b := newCredentials(t, 0)
		b.update = true
		obstruct(t, c)
		if _, err := c.refresh(t.Context()); err != nil {
			t.Errorf("the credentials themselves: %v", err)
		}
		if b.updates != 0 || c.node.NextKey != nil {
			t.Errorf("%d updates", b.updates)
		}
	})
	t.Run("the server refuses", func(t *testing.T) {
		c, b := newCredentials(t, 0)
		old, _ := keys(t, c)
		b.update, b.onUpdate = true, func(func()) error { return ssm.ErrInvalidPublicKey("") }
		if _, err := c.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if now, next := keys(t, c); now != old || next != "" {
			t.Errorf("replaced: %v, left over: %v", now != old, next != "")
		}
		if _, err := c.refresh(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("the answer is lost", func(t *testing.T) {
		c, b := newCredentials(t, 0)
		old, _ := keys(t, c)
		b.update, b.onUpdate = true, func(apply func()) error { apply(); return broken }
		if _, err := c.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if now, next := keys(t, c); now == old || next != "" {
			t.Errorf("replaced: %v, left over: %v", now != old, next != "")
		}
		if _, err := c.refresh(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("nothing is heard for a while", func(t *testing.T) {
		for _, applied := range []bool{false, true} {
			c, b := newCredentials(t, 0)
			old, _ := keys(t, c)
			b.update, b.onUpdate = true, func(apply func()) error {
				if applied {
					apply()
				}
				b.fail = []error{broken, broken} // what it tries to find out
				return broken
			}
			if _, err := c.refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			if now, next := keys(t, c); now != old || next == "" {
				t.Errorf("applied %v: replaced: %v, both kept: %v", applied, now != old, next != "")
			}
			b.fail = nil
			for _, again := range []*credentials{reopen(t, c.node, b, 0), c} { // the next agent, and this one
				if _, err := again.refresh(t.Context()); err != nil {
					t.Errorf("applied %v: %v", applied, err)
				}
			}
			if now, next := keys(t, c); (now != old) != applied || next != "" {
				t.Errorf("applied %v: replaced: %v, left over: %v", applied, now != old, next != "")
			}
		}
	})
	t.Run("the machine dies in between", func(t *testing.T) {
		for _, applied := range []bool{false, true} {
			c, b := newCredentials(t, 0)
			next := testKey(t)
			c.node.NextKey = next
			if err := c.node.save(); err != nil {
				t.Fatal(err)
			}
			public, err := next.public()
			if err != nil {
				t.Fatal(err)
			}
			if applied {
				b.key = parsePublic(public)
			}
			again := reopen(t, c.node, b, 0)
			if _, err := again.refresh(t.Context()); err != nil {
				t.Errorf("applied %v: %v", applied, err)
			}
			if now, left := keys(t, again); (now == next.Private) != applied || left != "" {
				t.Errorf("applied %v: replaced: %v, left over: %v", applied, now == next.Private, left != "")
			}
		}
	})
	t.Run("the server takes neither", func(t *testing.T) {
		c, b := newCredentials(t, 0)
		old, _ := keys(t, c)
		c.node.NextKey = testKey(t)
		if err := c.node.save(); err != nil {
			t.Fatal(err)
		}
		third, err := testKey(t).public()
		if err != nil {
			t.Fatal(err)
		}
		right := b.key
		b.key = parsePublic(third)
		if _, err := c.refresh(t.Context()); err == nil {
			t.Error("no error")
		}
		if now, next := keys(t, c); now != old || next == "" {
			t.Errorf("replaced: %v, both kept: %v", now != old, next != "")
		}
		b.key = right
		if _, err := c.refresh(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("the new key cannot be kept as the only one", func(t *testing.T) {
		c, b := newCredentials(t, 0)
		old, _ := keys(t, c)
		var restore func()
		b.update, b.onUpdate = true, func(apply func()) error {
			apply()
			restore = obstruct(t, c)
			return nil
		}
		if _, err := c.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := c.refresh(t.Context()); err != nil {
			t.Errorf("this agent: %v", err)
		}
		restore()
		if now, next := keys(t, c); now != old || next == "" {
			t.Errorf("the file was to have both")
		}
		if _, err := reopen(t, c.node, b, 0).refresh(t.Context()); err != nil {
			t.Errorf("the next agent: %v", err)
		}
	})
}

// TestMachineChanged gives a copied disk a fingerprint of its own.
func TestMachineChanged(t *testing.T) {
	state := t.TempDir()
	r := Registration{InstanceID: "mi-0123456789abcdef0", Region: "r", Fingerprint: "f", Machine: "another machine"}
	if err := disk.WriteJSON(filepath.Join(state, registrationFile), r); err != nil {
		t.Fatal(err)
	}
	n, err := openNode(t.Context(), &Config{State: state, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if platform.Machine(t.Context()) == "" {
		t.Skip("nothing tells machines apart here")
	}
	if n.Fingerprint == "f" {
		t.Error("the copy has the fingerprint of the original")
	}
	again, err := openNode(t.Context(), &Config{State: state, Log: slog.New(slog.DiscardHandler)})
	if err != nil || again.Fingerprint != n.Fingerprint {
		t.Errorf("%v: %q, then %q", err, n.Fingerprint, again.Fingerprint)
	}
}
