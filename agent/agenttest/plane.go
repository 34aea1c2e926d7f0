// Package agenttest is a control plane in memory for the tests of agents: it answers the calls that
// a node makes, over real TLS on a loopback address, with every signature verified, and remembers
// all that it sees. It can be told to fail, to forget, to be slow and to restart.
//
// It is made of wire and the vocabularies alone, and it is for tests only.
package agenttest

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2messages"
	"github.com/vennel/vennel/api/kms"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/ssmmessages"
	"github.com/vennel/vennel/wire"
	"github.com/vennel/vennel/wire/sigv4"
)

// Region is the Region that a plane serves.
const Region = "home-lab-1"

// patience is how long Wait waits.
const patience = 20 * time.Second

// session are the temporary credentials of a node.
type session struct {
	node          *Node
	kind          Kind
	secret, token string
	expires       time.Time
}

// Kind is whose temporary credentials are.
type Kind int

// The kinds of temporary credentials.
const (
	Managed  Kind = iota // given by the plane
	Role                 // of the role in an instance's profile
	Identity             // of an instance's identity role
)

// Plane is a control plane.
type Plane struct {
	CAFile string // of the authority that signs its certificates
	log    *slog.Logger
	ca     *wire.CA
	addr   string
	stop   func() // of the server that runs

	mu         sync.Mutex
	changed    chan struct{}            // closed at every change; guarded by mu
	codes      map[string]string        // activation codes by id; guarded by mu
	nodes      map[string]*Node         // guarded by mu
	sessions   map[string]session       // by access key; guarded by mu
	faults     map[string][]fault       // by operation; guarded by mu
	calls      map[string]int           // by operation; guarded by mu
	documents  map[string]string        // by name; guarded by mu
	parameters map[string]ssm.Parameter // by name; guarded by mu
	keys       map[string]dataKey       // by their encrypted form; guarded by mu
	fresh      time.Duration            // the life of credentials; guarded by mu
}

// fault is a call that fails.
type fault struct {
	err  error
	late bool // after the work was done
}

// New starts a plane that lives as long as the test.
func New(t testing.TB) *Plane {
	t.Helper()
	folder := t.TempDir()
	ca, err := wire.OpenCA(folder)
	if err != nil {
		t.Fatal(err)
	}
	p := &Plane{
		CAFile: filepath.Join(folder, "ca.pem"), log: slog.New(slog.DiscardHandler), ca: ca, addr: "127.0.0.1:0", changed: make(chan struct{}),
		codes: map[string]string{}, nodes: map[string]*Node{}, sessions: map[string]session{}, faults: map[string][]fault{}, calls: map[string]int{},
		documents: map[string]string{}, parameters: map[string]ssm.Parameter{}, keys: map[string]dataKey{}, fresh: time.Hour,
	}
	p.Start(t)
	t.Cleanup(func() { p.Stop() })
	return p
}

// Start starts the server, on the address that it had before if it was stopped.
func (p *Plane) Start(t testing.TB) {
	t.Helper()
	listener, err := net.Listen("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	p.addr = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	mux := wire.New(ctx, wire.Config{
		Services: []api.Service{
			ssm.Service(&ssmServer{Plane: p}), ssmmessages.Service(&messagesServer{Plane: p}), ec2messages.Service(&pollServer{Plane: p}), kms.Service(&kmsServer{Plane: p}),
		},
		Credentials: p, TokenKey: make([]byte, 32), Region: Region, Log: p.log,
	})
	server := &http.Server{Handler: mux, ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelError), ReadHeaderTimeout: time.Minute}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(tls.NewListener(listener, p.ca.Config(mux.Serves))) })
	p.stop = func() {
		cancel()
		_ = server.Close()
		serving.Wait()
		mux.Wait()
	}
}

// Stop stops the server; what it remembers stays.
func (p *Plane) Stop() {
	if p.stop != nil {
		p.stop()
		p.stop = nil
	}
}

// URL is the plane's endpoint.
func (p *Plane) URL() string { return "https://" + p.addr }

// CA is the certificate of its authority.
func (p *Plane) CA() string { return string(p.ca.PEM()) }

// Client is an HTTP client that trusts the plane.
func (p *Plane) Client(t testing.TB) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(p.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
}

// Activation makes an activation for any number of nodes.
func (p *Plane) Activation() (id, code string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, code = uuid.NewString(), strings.ToUpper(uuid.NewString()[:20])
	p.codes[id] = code
	return id, code
}

// Node is a node by its id.
func (p *Plane) Node(t testing.TB, id string) *Node {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.nodes[id]
	if n == nil {
		t.Fatalf("no node %s", id)
	}
	return n
}

// Instance makes an EC2 instance known, which may become a node.
func (p *Plane) Instance(id string) *Node {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := &Node{ID: id, plane: p, Fingerprint: id, Commands: map[string]*Command{}, Sessions: map[string]*Session{}}
	p.nodes[id] = n
	return n
}

// Credentials are temporary credentials of an instance, as its metadata service gives them.
func (p *Plane) Credentials(n *Node, kind Kind) (id, secret, token string, expires time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, s := p.session(n, kind)
	return id, s.secret, s.token, s.expires
}

// session makes credentials. p.mu is held.
func (p *Plane) session(n *Node, kind Kind) (id string, s session) {
	id = "ASIA" + strings.ToUpper(strings.ReplaceAll(uuid.NewString(), "-", "")[:16])
	s = session{node: n, kind: kind, secret: uuid.NewString(), token: uuid.NewString(), expires: time.Now().Add(p.fresh)}
	p.sessions[id] = s
	return id, s
}

// Nodes is the number of nodes that registered.
func (p *Plane) Nodes() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.nodes)
}

// Fail lets the next n calls of an operation fail.
func (p *Plane) Fail(operation string, n int, err error) { p.fault(operation, n, fault{err: err}) }

// FailLate lets the next n calls of an operation do their work and fail all the same.
func (p *Plane) FailLate(operation string, n int, err error) {
	p.fault(operation, n, fault{err: err, late: true})
}

// fault adds faults.
func (p *Plane) fault(operation string, n int, f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range n {
		p.faults[operation] = append(p.faults[operation], f)
	}
}

// Heal takes the faults of an operation away.
func (p *Plane) Heal(operation string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.faults, operation)
}

// Calls is how often an operation was called.
func (p *Plane) Calls(operation string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[operation]
}

// Seen is Calls within Do and Wait.
func (p *Plane) Seen(operation string) int { return p.calls[operation] }

// AddDocument keeps a document that nodes may read.
func (p *Plane) AddDocument(name, content string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.documents[name] = content
}

// AddParameter keeps a parameter that nodes may read.
func (p *Plane) AddParameter(name, kind, value string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	version := int64(1)
	p.parameters[name] = ssm.Parameter{Name: &name, Type: &kind, Value: &value, Version: &version}
}

// TokenLife sets how long new credentials live.
func (p *Plane) TokenLife(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fresh = d
}

// ForgetSessions makes all credentials unknown, as the restoration of an older state does.
func (p *Plane) ForgetSessions() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.sessions)
}

// change tells whoever waits that something has changed. p.mu is held.
func (p *Plane) change() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// Wait waits until a condition holds; it is judged while nothing changes. The test fails when that
// takes too long.
func (p *Plane) Wait(t testing.TB, what string, holds func() bool) {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		p.mu.Lock()
		ok, changed := holds(), p.changed
		p.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-late.C:
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// Do does something while nothing changes, such as looking at nodes and commands.
func (p *Plane) Do(what func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	what()
	p.change()
}

// nodePrincipal is a node as a caller.
type nodePrincipal struct {
	id   string
	kind Kind
}

// ARN is the node's.
func (n nodePrincipal) ARN() string { return "arn:aws:sts::000000000000:assumed-role/Node/" + n.id }

// AccountID is made up.
func (nodePrincipal) AccountID() string { return "000000000000" }

// UserID is made up.
func (n nodePrincipal) UserID() string { return "AROA:" + n.id }

// KeyID is the node's id.
func (n nodePrincipal) KeyID() string { return n.id }

// Type is CloudTrail's.
func (nodePrincipal) Type() string { return "AssumedRole" }

// Lookup gives the key of a node or of a node's session.
func (p *Plane) Lookup(_ context.Context, keyID, _ string) (sigv4.Key, api.Principal, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.nodes[keyID]; n != nil {
		return sigv4.Key{Public: n.key}, nodePrincipal{id: n.ID}, nil
	}
	s, ok := p.sessions[keyID]
	switch {
	case !ok:
		return sigv4.Key{}, nil, api.Errorf(api.BadToken, "")
	case time.Now().After(s.expires):
		return sigv4.Key{}, nil, api.Errorf(api.ExpiredToken, "")
	}
	return sigv4.Key{Secret: s.secret, SessionToken: s.token}, nodePrincipal{s.node.ID, s.kind}, nil
}

// enter begins a call: it counts it, decides that it is allowed, gives the node that calls, and
// fails it if it is to fail. leave must end it.
func (p *Plane) enter(ctx context.Context, operation string) (n *Node, leave func(*error), err error) {
	call := api.CallFrom(ctx)
	call.Decide(api.Decision{Action: operation, Resource: "*", Allowed: true, Reason: "a test"})
	p.mu.Lock()
	p.calls[operation]++
	n = p.nodes[call.Principal.KeyID()]
	var f fault
	if q := p.faults[operation]; len(q) > 0 {
		f, p.faults[operation] = q[0], q[1:]
	}
	p.change()
	if f.err != nil && !f.late {
		p.mu.Unlock()
		return nil, nil, f.err
	}
	return n, func(err *error) {
		p.change()
		p.mu.Unlock()
		if f.err != nil && *err == nil {
			*err = f.err
		}
	}, nil
}

// Broken is a server's own fault.
var Broken = &api.Error{Code: "InternalServerError", Status: http.StatusInternalServerError, Fault: true, Message: "broken for a test"}

// Denied is a refusal.
var Denied = api.Errorf(api.AccessDenied, "denied for a test")

// publicKey reads a public key as nodes send it.
func publicKey(text string) (*rsa.PublicKey, error) {
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, err
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok || public.N.BitLen() != 2048 {
		return nil, errors.New("no RSA key of 2048 bits")
	}
	return public, nil
}

// mustBe fails a call in which a node speaks for another.
func mustBe(n *Node, id string) error {
	if n == nil || n.ID != id {
		return api.Errorf(api.AccessDenied, "%s", fmt.Sprintf("%s is not the caller", id))
	}
	return nil
}
