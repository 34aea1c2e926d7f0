package wire

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssmmessages"
)

// ServeStreams serves streams over TLS on loopback for a test outside this package, which is told of each with the last
// digit of the channel's name. What it gives opens one, opening message included.
func ServeStreams(t testing.TB, serve func(digit string, s api.Stream) error) (open func(digit string) net.Conn) {
	t.Helper()
	c := newChannel(t, func(ctx context.Context, in *ssmmessages.OpenControlChannelInput, s api.Stream) error {
		return accepting(func(s api.Stream) error { return serve(in.ChannelId[len(in.ChannelId)-1:], s) })(ctx, in, s)
	})
	c.Record, c.Log = nil, slog.New(slog.DiscardHandler)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: c, TLSConfig: newCA(t).Config(served), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.ServeTLS(l, "", "") })
	t.Cleanup(func() {
		c.stop()
		_ = server.Close()
		serving.Wait()
	})
	return func(digit string) net.Conn {
		url := strings.Replace(channelURL, "ef0?", "ef"+digit+"?", 1)
		r := signed(newRequest("GET", strings.Replace(url, "ws", "http", 1), ""), "ssmmessages")
		d := websocket.Dialer{
			NetDialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
			},
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the certificate is proved elsewhere
		}
		conn, _, err := d.DialContext(t.Context(), strings.Replace(url, "ws://", "wss://", 1), r.Header) //nolint:bodyclose // the dialer has read it
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.WriteMessage(websocket.TextMessage, []byte(opening)); err != nil {
			t.Fatal(err)
		}
		return conn.NetConn()
	}
}
