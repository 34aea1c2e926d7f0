// Package awstest is a whole server in memory for tests: every service on a real database, spoken
// to through HTTP with signatures, without a socket, so that time can be fake. Scripts run on it
// (see Script), and simulated nodes (see Node). Only external test packages import it.
package awstest

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/vennel/vennel/api"
	iamapi "github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/cmd"
	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/internal/memnet"
	"github.com/vennel/vennel/service/ssm/fleet"
	"github.com/vennel/vennel/store"
	"github.com/vennel/vennel/store/storetest"
	"github.com/vennel/vennel/wire"
	"github.com/vennel/vennel/wire/sigv4"
)

// The account and Region of every test.
const (
	Account = "123456789012"
	Region  = "us-east-1"
)

// World is a running server.
type World struct {
	T         testing.TB
	Admin     Keys
	HTTP      *http.Client
	Instances *Instances // of EC2, as the test writes them down; nobody asks them in a world with a host
	Host      *Host      // carries the private network; nil for none

	data, database string
	config         cmd.Config
	listener       *memnet.Listener
	stop           context.CancelFunc
	stopped        chan error
	server         *cmd.Server
	services       []api.Service
	nodeRole       bool // it has been made
	instanceRole   bool // it has been made
	made           int  // instances
}

// Keys are somebody's credentials; the zero value signs nothing.
type Keys struct{ ID, Secret, Token string }

// New starts a server that lasts as long as the test. Closures of the store run twice.
func New(t testing.TB) *World { return NewWith(t, fleet.Config{}) }

// NewWith starts a server with settings.
func NewWith(t testing.TB, nodes fleet.Config) *World { return start(t, nodes, nil) }

// Site is the on-premises network of a world with a host.
var Site = dataplane.Site{ID: "office", CIDR: netip.MustParsePrefix("192.168.50.0/24"), Internet: netip.MustParseAddr("198.19.255.10")}

// NewWithHost starts a server whose private network is carried by a host in memory.
func NewWithHost(t testing.TB) *World { return start(t, fleet.Config{}, NewHost()) }

// start starts a server.
func start(t testing.TB, nodes fleet.Config, host *Host) *World {
	t.Helper()
	w := &World{Host: host, T: t, Instances: new(Instances), data: t.TempDir(), database: storetest.URL(t)}
	w.config = cmd.Config{
		Data: w.data, Database: w.database, Region: Region, Account: Account, Fleet: nodes, Instances: w.Instances, Store: store.Options{RunTwice: true, Watch: time.Minute},
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo})),
	}
	if host != nil {
		w.config.Host, w.config.Instances, w.config.Plan.Sites = host, nil, []dataplane.Site{Site}
	}
	w.HTTP = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return w.listener.Dial(ctx, network, address)
		},
	}}
	w.Start()
	t.Cleanup(func() {
		if w.stop != nil {
			w.Stop()
		}
		w.HTTP.CloseIdleConnections()
	})
	w.Admin = readKeys(t, filepath.Join(w.data, "credentials"))
	return w
}

// Start starts the server, again after Stop, on what it has kept.
func (w *World) Start() {
	w.T.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(w.T.Context()))
	server, err := cmd.OpenServer(ctx, w.config)
	if err != nil {
		stop()
		w.T.Fatal(err)
	}
	w.server, w.services = server, server.Mux.Services
	w.listener = memnet.Listen()
	w.stop, w.stopped = stop, make(chan error, 1)
	web := &http.Server{Handler: server.Mux, BaseContext: func(net.Listener) context.Context { return ctx }}
	served := make(chan error, 1)
	listener := w.listener
	go func() { served <- web.Serve(listener) }()
	go func() {
		err := server.Run(ctx)
		err = errors.Join(err, web.Close())
		if e := <-served; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
		server.Mux.Wait()
		w.stopped <- errors.Join(err, server.Close())
	}()
}

// Server is the running server, for tests that need sockets.
func (w *World) Server() *cmd.Server { return w.server }

// Stop stops the server in good order.
func (w *World) Stop() {
	w.T.Helper()
	w.stop()
	w.stop = nil
	w.HTTP.CloseIdleConnections()
	if err := <-w.stopped; err != nil {
		w.T.Errorf("the server stopped with %v", err)
	}
}

// Client calls a service as somebody.
func (w *World) Client(service string, k Keys) *wire.Client {
	return &wire.Client{Service: service, Endpoint: "http://" + service + "." + Region + ".amazonaws.com", HTTP: w.HTTP, Sign: k.Sign(service)}
}

// Sign gives the signer of a client.
func (k Keys) Sign(service string) func(context.Context, *http.Request, []byte) error {
	if k.ID == "" {
		return nil
	}
	return func(_ context.Context, r *http.Request, body []byte) error {
		return sigv4.Sign(r, sigv4.HashPayload(body), sigv4.Credentials{AccessKeyID: k.ID, SecretAccessKey: k.Secret, SessionToken: k.Token}, Region, service, time.Now())
	}
}

// Call calls an operation as the administrator; any error fails the test.
func Call[Out, In any](w *World, service, operation string, in *In) *Out {
	w.T.Helper()
	out := new(Out)
	if err := w.Client(service, w.Admin).Call(w.T.Context(), operation, in, out); err != nil {
		w.T.Fatalf("%s %s: %v", service, operation, err)
	}
	return out
}

// User makes a user with a policy, "" for none, and gives its keys.
func (w *World) User(name, policy string) Keys {
	w.T.Helper()
	Call[iamapi.CreateUserOutput](w, "iam", "CreateUser", &iamapi.CreateUserInput{UserName: name})
	if policy != "" {
		Call[iamapi.PutUserPolicyOutput](w, "iam", "PutUserPolicy", &iamapi.PutUserPolicyInput{UserName: name, PolicyName: "test", PolicyDocument: policy})
	}
	key := Call[iamapi.CreateAccessKeyOutput](w, "iam", "CreateAccessKey", &iamapi.CreateAccessKeyInput{UserName: &name}).AccessKey
	return Keys{ID: key.AccessKeyId, Secret: key.SecretAccessKey}
}

// Role makes a role that a service principal may assume, with an AWS managed policy.
func (w *World) Role(name, service, managed string) {
	w.T.Helper()
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + service + `"},"Action":"sts:AssumeRole"}]}`
	Call[iamapi.CreateRoleOutput](w, "iam", "CreateRole", &iamapi.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: trust})
	Call[iamapi.AttachRolePolicyOutput](w, "iam", "AttachRolePolicy", &iamapi.AttachRolePolicyInput{RoleName: name, PolicyArn: "arn:aws:iam::aws:policy/" + managed})
}

// DeleteRole removes what Role made.
func (w *World) DeleteRole(name, managed string) {
	w.T.Helper()
	Call[iamapi.DetachRolePolicyOutput](w, "iam", "DetachRolePolicy", &iamapi.DetachRolePolicyInput{RoleName: name, PolicyArn: "arn:aws:iam::aws:policy/" + managed})
	Call[iamapi.DeleteRoleOutput](w, "iam", "DeleteRole", &iamapi.DeleteRoleInput{RoleName: name})
}

// Code gives the code of an error that a service answered.
func Code(err error) string {
	if e, ok := errors.AsType[*api.Error](err); ok {
		return e.Code
	}
	return ""
}

// readKeys reads a credentials file in AWS's format.
func readKeys(t testing.TB, file string) Keys {
	t.Helper()
	keys, err := cmd.ReadCredentials(file)
	if err != nil {
		t.Fatal(err)
	}
	return Keys{ID: keys.AccessKeyID, Secret: keys.SecretAccessKey}
}
