package awstest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"

	"github.com/vennel/vennel/internal/memnet"
	"github.com/vennel/vennel/service/ec2/endpoint"
)

// Through gives a client whose connections arrive in a VPC, and come from an address in it. Whether there is an endpoint that
// answers is the server's affair. It lasts until the test or the server ends.
func (w *World) Through(a endpoint.Arrival, from netip.Addr) *http.Client {
	l := memnet.Listen()
	l.From = from
	web := &http.Server{
		Handler:     w.server.Mux,
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context { return endpoint.WithArrival(ctx, a) },
	}
	served := make(chan error, 1)
	go func() { served <- web.Serve(l) }()
	client := &http.Client{Transport: &http.Transport{DialContext: l.Dial}}
	w.T.Cleanup(func() {
		client.CloseIdleConnections()
		err := web.Close()
		if e := <-served; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
		if err != nil {
			w.T.Error(err)
		}
	})
	return client
}
