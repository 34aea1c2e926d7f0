package wire

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
)

// lastName is the name that the clients of this test ask for.
const lastName = "ssm.us-east-1.amazonaws.com"

// TestLastCall ends a connection with the answer to a call after which there are no more, in both versions of HTTP, and no other.
func TestLastCall(t *testing.T) {
	var last atomic.Bool
	w := newWorld(t, lastOperations(&last))
	ca := newCA(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{TLSConfig: w.TLS(ca), Handler: w}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.ServeTLS(l, "", "") })
	defer func() { _ = server.Close(); serving.Wait() }()
	for _, version := range []string{"HTTP/2.0", "HTTP/1.1"} {
		dialled, call := lastClient(t, ca, l.Addr().String(), version)
		for i, want := range []int32{1, 1, 1, 2, 3, 3} { // connections after each call; the third and fourth are last ones
			last.Store(i == 2 || i == 3)
			call()
			if n := dialled.Load(); n != want {
				t.Errorf("%s: %d connections after call %d, want %d", version, n, i+1, want)
			}
		}
	}
}

// lastOperations is an operation whose calls are the last of their connections when last says so.
func lastOperations(last *atomic.Bool) map[string]api.Operation {
	return map[string]api.Operation{
		"ssm:GetParameter": allowed("GetParameter", func(ctx context.Context, _ *ssm.GetParameterInput) (*ssm.GetParameterOutput, error) {
			api.CallFrom(ctx).Last = last.Load()
			return &ssm.GetParameterOutput{}, nil
		}),
	}
}

// lastClient calls that operation in a version of HTTP, and counts its connections.
func lastClient(t *testing.T, ca *CA, address, version string) (dialled *atomic.Int32, call func()) {
	dialled = new(atomic.Int32)
	transport := &http.Transport{
		TLSClientConfig: trusting(ca), ForceAttemptHTTP2: version == "HTTP/2.0",
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			dialled.Add(1)
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	client := &Client{Service: "ssm", Endpoint: "https://" + lastName, HTTP: &http.Client{Transport: transport}, Sign: signer("ssm")}
	return dialled, func() {
		t.Helper()
		if err := client.Call(t.Context(), "GetParameter", &ssm.GetParameterInput{Name: "n"}, &ssm.GetParameterOutput{}); err != nil {
			t.Errorf("%s: %v", version, err)
		}
	}
}
