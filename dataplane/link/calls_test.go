//go:build linux

package link_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/dataplane/link"
	"github.com/vennel/vennel/internal/awstest"
	"github.com/vennel/vennel/wire"
)

// serverName is the name in the control plane's certificate.
const serverName = "links.test"

// linked gives a host as a control plane sees it, over a unix socket and over the network.
func linked(t *testing.T, host dataplane.Host) map[string]dataplane.Host {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	t.Cleanup(func() { stop(); work.Wait() })
	run := func(what string, f func() error) {
		work.Go(func() {
			if err := f(); err != nil && ctx.Err() == nil {
				t.Errorf("%s: %v", what, err)
			}
		})
	}
	path := filepath.Join(t.TempDir(), "host.sock")
	run("the daemon", func() error { return link.ServeLocal(ctx, path, host) })

	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	ca, err := wire.OpenCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	text, err := ca.Client(link.HostName + "test")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	hub := link.NewHub(log)
	run("the hub", func() error { return hub.Serve(ctx, l, ca.Demand(serverName)) })
	config := &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, ServerName: serverName, MinVersion: tls.VersionTLS13}
	run("the link", func() error { return link.Dialled(ctx, l.Addr().String(), config, log, link.ServeHost(host)) })
	hosts := map[string]dataplane.Host{"local": link.Local(path), "remote": hub}
	for name, h := range hosts {
		for until := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if _, err := h.Console(ctx, "i-0"); err == nil {
				break
			} else if time.Now().After(until) {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
	return hosts
}

// TestCalls asks a host for what has an answer of its own.
func TestCalls(t *testing.T) {
	fake := awstest.NewHost()
	fake.Fail("vpc-1", "there is no room")
	for name, host := range linked(t, fake) {
		config := &dataplane.Config{Machines: []dataplane.Machine{{ID: "i-1", Boot: 2, Mounts: []dataplane.Mount{{To: "/opt/x"}}}}}
		status, err := host.Set(t.Context(), config)
		if m := status.Machines["i-1"]; err != nil || !m.Running || m.Boot != 2 || status.Failures["vpc-1"] != "there is no room" {
			t.Errorf("%s: Set says %+v, %v", name, status, err)
		}
		if got := fake.Config(); len(got.Machines) != 1 || got.Machines[0].Mounts[0] != config.Machines[0].Mounts[0] {
			t.Errorf("%s: the host was told %+v", name, got)
		}
		fake.Say("i-1", name+"\x00\xff\n")
		text, err := host.Console(t.Context(), "i-1")
		if want, _ := fake.Console(t.Context(), "i-1"); err != nil || string(text) != string(want) {
			t.Errorf("%s: the console says %q, %v", name, text, err)
		}
	}
}

// TestGone fails calls while no daemon is there.
func TestGone(t *testing.T) {
	for name, host := range map[string]dataplane.Host{
		"local": link.Local(filepath.Join(t.TempDir(), "nobody")), "remote": link.NewHub(slog.New(slog.DiscardHandler)),
	} {
		if _, err := host.Console(t.Context(), "i-1"); err == nil {
			t.Errorf("%s: the console of nobody", name)
		}
		if _, err := host.Set(t.Context(), &dataplane.Config{}); err == nil {
			t.Errorf("%s: set by nobody", name)
		}
	}
}
