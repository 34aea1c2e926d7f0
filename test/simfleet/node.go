package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/wire"
	"github.com/vennel/vennel/wire/sigv4"
)

// agentVersion is what nodes say they run.
const agentVersion = "3.3.987.0"

// node is a simulated node.
type node struct {
	fleet       *fleet
	number      int
	activation  *activation
	fingerprint string
	id          string
	key         int // of the keyring

	mu          sync.Mutex               // held while a frame is written
	credentials sigv4.Credentials        // guarded by mu
	renewal     time.Time                // of the credentials; guarded by mu
	conn        *websocket.Conn          // the control channel; guarded by mu
	ran         map[string]bool          // jobs; guarded by mu
	unacked     map[uuid.UUID]*sentReply // guarded by mu
}

// fingerprint is a node's, a UUID as all of them are.
func fingerprint(number int) string {
	return fmt.Sprintf("%08x-0000-4000-8000-000000000000", number)
}

// The waits of an agent. source: agent
const (
	callPatience   = 15 * time.Second // for an answer
	lostWait       = 2500 * time.Millisecond
	firstRetryWait = 5 * time.Second // up to twice that; doubled each time
	mostRetryWait  = 40 * time.Minute
)

// live is a node's life: it registers, and then stays connected. turns bounds how many start at once.
func (n *node) live(ctx context.Context, turns chan struct{}) {
	select {
	case turns <- struct{}{}:
	case <-ctx.Done():
		return
	}
	for n.start(ctx) != nil && ctx.Err() == nil {
		_ = pause(ctx, between(time.Second, 3*time.Second))
	}
	conn := n.open(ctx)
	<-turns
	n.fleet.running.Go(func() { n.stay(ctx, conn) }) // in a fresh goroutine: the stack of what was before is not needed
}

// stay keeps a node connected.
func (n *node) stay(ctx context.Context, conn *websocket.Conn) {
	for ctx.Err() == nil {
		if conn != nil {
			n.fleet.stats.online.Add(1)
			n.converse(ctx, conn)
			n.fleet.stats.online.Add(-1)
		}
		if n.fleet.offline.pass(ctx) != nil || pause(ctx, between(0, lostWait)) != nil {
			return
		}
		got := make(chan *websocket.Conn)
		go func() { got <- n.open(ctx) }() // again for the stack's sake
		conn = <-got
	}
}

// open opens the control channel, however often it takes. It gives nil when ctx has ended.
func (n *node) open(ctx context.Context) *websocket.Conn {
	wait := firstRetryWait
	for {
		conn, err := n.connect(ctx)
		if err == nil {
			n.fleet.stats.connects.Add(1)
			return conn
		}
		if ctx.Err() != nil {
			return nil
		}
		n.fleet.stats.fail("connect", err)
		if pause(ctx, between(wait, 2*wait)) != nil || n.fleet.offline.pass(ctx) != nil {
			return nil
		}
		wait = min(2*wait, mostRetryWait)
	}
}

// start registers a node, gets its credentials and says that it is there.
func (n *node) start(ctx context.Context) (err error) {
	transport := n.transport()
	defer transport.CloseIdleConnections()
	if n.id == "" {
		if err := n.register(ctx, transport); err != nil {
			n.fleet.stats.fail("register", err)
			return err
		}
		n.fleet.stats.registered.Add(1)
	}
	if err := n.renew(ctx, transport); err != nil {
		n.fleet.stats.fail("token", err)
		return err
	}
	if err := n.inform(ctx, transport, false); err != nil {
		n.fleet.stats.fail("inform", err)
		return err
	}
	if err := n.inform(ctx, transport, true); err != nil {
		n.fleet.stats.fail("inform", err)
		return err
	}
	return nil
}

// transport makes the connections of one node.
func (n *node) transport() *http.Transport {
	return &http.Transport{
		DialContext: dialer(n.fleet.order.Address, n.number), TLSClientConfig: n.fleet.tls(""), ForceAttemptHTTP2: true,
		IdleConnTimeout: 90 * time.Second, // as Go's own default, which the agent has
	}
}

// client calls a service as the node.
func (n *node) client(service string, transport http.RoundTripper) *wire.Client {
	return &wire.Client{
		Service: service, Endpoint: "https://" + n.fleet.name(service), HTTP: &http.Client{Transport: transport, Timeout: callPatience},
		UserAgent: "aws-sdk-go/1.51.20 (go1.26.8; linux; amd64) amazon-ssm-agent/" + agentVersion,
		Sign:      n.sign(service),
	}
}

// sign signs with the node's credentials; a request before there are any stays unsigned.
func (n *node) sign(service string) func(context.Context, *http.Request, []byte) error {
	return func(_ context.Context, r *http.Request, body []byte) error {
		c, _ := n.keys()
		if c.AccessKeyID == "" {
			return nil
		}
		return sigv4.Sign(r, sigv4.HashPayload(body), c, n.fleet.order.Region, service, time.Now())
	}
}

// register registers the node with its activation, under a new key each time it tries: what became of
// an attempt that was not answered is not known.
func (n *node) register(ctx context.Context, transport http.RoundTripper) error {
	n.key = int(n.fleet.used.Add(1)) - 1
	key, err := n.fleet.keys.key(n.key)
	if err != nil {
		return err
	}
	public, err := publicText(key)
	if err != nil {
		return err
	}
	out := new(ssm.RegisterManagedInstanceOutput)
	if err := n.client("ssm", transport).Call(ctx, "RegisterManagedInstance", &ssm.RegisterManagedInstanceInput{
		ActivationCode: &n.activation.Code, ActivationId: &n.activation.ID, Fingerprint: n.fingerprint, PublicKey: public, PublicKeyType: new("Rsa"),
	}, out); err != nil {
		return err
	}
	if out.InstanceId == nil {
		return errors.New("the server gave no id")
	}
	n.id = *out.InstanceId
	return nil
}

// renew gets the node credentials. It signs with its own key.
func (n *node) renew(ctx context.Context, transport http.RoundTripper) error {
	key, err := n.fleet.keys.key(n.key)
	if err != nil {
		return err
	}
	c := n.client("ssm", transport)
	c.Sign = func(_ context.Context, r *http.Request, body []byte) error {
		sum := sha256.Sum256(body)
		return sigv4.SignRSA(r, hex.EncodeToString(sum[:]), n.id, key, n.fleet.order.Region, "ssm", time.Now())
	}
	out := new(ssm.RequestManagedInstanceRoleTokenOutput)
	if err := c.Call(ctx, "RequestManagedInstanceRoleToken", &ssm.RequestManagedInstanceRoleTokenInput{Fingerprint: n.fingerprint}, out); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.credentials = sigv4.Credentials{AccessKeyID: out.AccessKeyId, SecretAccessKey: out.SecretAccessKey, SessionToken: out.SessionToken}
	n.renewal = time.Now().Add(time.Until(out.TokenExpirationDate) / 2)
	return nil
}

// keys are the node's credentials and when to renew them.
func (n *node) keys() (sigv4.Credentials, time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.credentials, n.renewal
}

// inform says that the node is there: a few members at first, all of them from then on.
func (n *node) inform(ctx context.Context, transport http.RoundTripper, whole bool) error {
	in := &ssm.UpdateInstanceInformationInput{
		InstanceId: n.id, AgentName: new("amazon-ssm-agent"), AgentVersion: new(agentVersion), PlatformType: new(ssm.PlatformTypeLinux),
	}
	if whole {
		in.AgentStatus, in.PlatformName, in.PlatformVersion = new("Active"), new("Debian GNU/Linux"), new("12")
		in.ComputerName = new(fmt.Sprintf("node-%d.simulated", n.number))
		in.IPAddress = new(net.IPv4(10, byte(n.number>>16), byte(n.number>>8), byte(n.number)).String())
	}
	return n.client("ssm", transport).Call(ctx, "UpdateInstanceInformation", in, &ssm.UpdateInstanceInformationOutput{})
}

// beat sends heartbeats, the first after a random part of the time between them, and renews the
// credentials when half of their life has gone. The transport is kept: its connection idles for a
// while after each beat, as an agent's does.
func (n *node) beat(ctx context.Context, every time.Duration) {
	transport := n.transport()
	defer transport.CloseIdleConnections()
	for wait := between(0, every); pause(ctx, wait) == nil; wait = every {
		if n.fleet.offline.pass(ctx) != nil {
			return
		}
		if _, renewal := n.keys(); time.Now().After(renewal) {
			if err := n.renew(ctx, transport); err != nil && ctx.Err() == nil {
				n.fleet.stats.fail("token", err)
			}
		}
		if err := n.inform(ctx, transport, true); err == nil {
			n.fleet.stats.beats.Add(1)
		} else if ctx.Err() == nil {
			n.fleet.stats.fail("inform", err)
		}
	}
}

// cause is an error without what differs from node to node.
func cause(err error) string {
	if e, ok := errors.AsType[*api.Error](err); ok {
		return e.Code
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return e.Op + ": " + e.Err.Error()
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return "timeout"
	}
	return err.Error()
}
