package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"runtime"
	"time"

	"github.com/vennel/vennel/wire"
)

// callTime is the time limit of a call, unless it is a poll.
const callTime = 30 * time.Second

// userAgent names this agent; servers look for the second product.
var userAgent = "vennel (" + runtime.GOOS + "; " + runtime.GOARCH + ") " + Name + "/" + Version

// calls are the ways to the server.
type calls struct {
	node *Registration
	http *http.Client
	tls  *tls.Config // for the websocket, too
}

// connect prepares the ways to the server. A registration with a CA trusts no other, unless it says so.
func (r *Registration) connect() (*calls, error) {
	c := &calls{node: r, tls: &tls.Config{MinVersion: tls.VersionTLS12}}
	if r.CA != "" {
		c.tls.RootCAs = x509.NewCertPool()
		if r.SystemCA {
			if system, err := x509.SystemCertPool(); err == nil { // a machine may have none
				c.tls.RootCAs = system
			}
		}
		if !c.tls.RootCAs.AppendCertsFromPEM([]byte(r.CA)) {
			return nil, errors.New("the CA file holds no certificate")
		}
	}
	c.http = &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: c.tls.Clone(), TLSHandshakeTimeout: 15 * time.Second,
		MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second, // an idle node keeps its websocket and nothing else
	}}
	return c, nil
}

// close gives the connections back.
func (c *calls) close() { c.http.CloseIdleConnections() }

// caller calls one service; each call has a time limit.
type caller struct {
	client wire.Client
	most   time.Duration
	judge  func(error) // gets the outcome of each call; nil if nobody cares
}

// Call calls an operation, see wire.Client.
func (c *caller) Call(ctx context.Context, operation string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, c.most)
	defer cancel()
	err := c.client.Call(ctx, operation, in, out)
	if c.judge != nil {
		c.judge(err)
	}
	return err
}

// service makes a caller for a service.
func (c *calls) service(name string, most time.Duration) *caller {
	return &caller{most: most, client: wire.Client{Service: name, Endpoint: c.node.endpoint(name), HTTP: c.http, UserAgent: userAgent}}
}

// unsigned calls ssm without a signature, as a machine does that is not registered yet.
func (c *calls) unsigned() *caller {
	s := c.service("ssm", callTime)
	s.client.Region = c.node.Region
	return s
}

// signed makes a caller for a service that signs with the node's credentials.
func (c *calls) signed(name string, most time.Duration, creds *credentials) *caller {
	s := c.service(name, most)
	s.judge = creds.judge
	s.client.Sign = func(ctx context.Context, r *http.Request, body []byte) error { return creds.sign(ctx, r, body, name) }
	return s
}

// ssm calls ssm with the node's credentials.
func (c *calls) ssm(creds *credentials) *caller { return c.signed("ssm", callTime, creds) }
