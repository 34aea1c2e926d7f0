package api

import (
	"context"
	"crypto/rsa"
	"net/netip"
	"sync"
	"time"
)

// Call is what is known of one request beside its input. Wire makes it, the operation reads it,
// and the audit trail keeps it.
type Call struct {
	RequestID string
	Time      time.Time // when it arrived
	Service   string    // signing name
	Operation string
	Region    string
	Account   string // whose resources are meant: the principal's account
	Principal Principal
	Endpoint  Endpoint   // the VPC endpoint through which it came; nil for none
	SourceIP  netip.Addr // of the client; a private address through an endpoint
	Host      string
	UserAgent string
	TLS       bool
	TokenTime time.Time // when the session's credentials were issued; zero for long-lived keys
	Last      bool      // an operation sets it when the caller will ask for nothing more on the connection, which then ends with the answer

	// Countersigned checks that a request which somebody signed was signed by a managed node's own key as well. It is nil for
	// operations of which no node may prove itself.
	Countersigned func(*rsa.PublicKey) error

	mu        sync.Mutex
	decisions []Decision // guarded by mu
}

// Outcome is how a call ended, for the audit trail. Request and Response are JSON with the secrets
// taken out; Response is empty for calls that only read.
type Outcome struct {
	Status            int
	Code, Message     string // of the error, if any
	Request, Response []byte
	ReadOnly          bool
	Took              time.Duration
}

// Principal is who makes a call.
type Principal interface {
	ARN() string       // "" for nobody
	AccountID() string // "" for nobody
	UserID() string    // AIDA…, AROA…:session, the account for root
	KeyID() string     // access key, or the node's id; "" for nobody
	Type() string      // CloudTrail's word: IAMUser, AssumedRole, Root, AWSService, Node, Anonymous
}

// Endpoint is a VPC endpoint through which a call has come.
type Endpoint interface {
	ID() string        // vpce-…
	VPCID() string     // the VPC that it is in
	AccountID() string // whose it is
	Region() string    // its own and the service's
	Service() string   // the one service behind it, by its signing name
	Carried() bool     // a gateway has brought the call from another network, and said where it came from
}

// Decision is one authorization: may this principal do that to this resource, and why.
type Decision struct {
	Action   string `json:"action"`
	Resource string `json:"resource"`
	Allowed  bool   `json:"allowed"`
	Reason   string `json:"reason"`
}

// Decide records a decision. The same question asked again, by a closure that runs twice, is
// recorded once.
func (c *Call) Decide(d Decision) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, old := range c.decisions {
		if old.Action == d.Action && old.Resource == d.Resource {
			c.decisions[i] = d
			return
		}
	}
	c.decisions = append(c.decisions, d)
}

// Decisions returns what has been decided so far.
func (c *Call) Decisions() []Decision {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Decision(nil), c.decisions...)
}

// callKey is the context key of the call.
type callKey struct{}

// WithCall gives a context that carries the call.
func WithCall(ctx context.Context, c *Call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

// CallFrom returns the call of a context. Work that the service does on its own account, such as
// a timer, has none: it gets an empty call, which no policy allows anything.
func CallFrom(ctx context.Context) *Call {
	if c, ok := ctx.Value(callKey{}).(*Call); ok {
		return c
	}
	return new(Call)
}
