package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssmmessages"
	"github.com/vennel/vennel/datachannel"
)

// The life of a control channel. source: agent
const (
	pingEvery    = 54 * time.Second
	firstSilence = 114 * time.Second // without a pong, after the connect
	nextSilence  = 60 * time.Second  // and after a pong
)

// connect creates and opens the control channel.
func (n *node) connect(ctx context.Context) (*websocket.Conn, error) {
	transport := n.transport()
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, 2*callPatience)
	defer cancel()
	created := new(ssmmessages.CreateControlChannelOutput)
	if err := n.client("ssmmessages", transport).Call(ctx, "CreateControlChannel", &ssmmessages.CreateControlChannelInput{
		ChannelId: n.id, MessageSchemaVersion: "1.0", RequestId: uuid.NewString(),
	}, created); err != nil {
		return nil, err
	}
	host := n.fleet.name("ssmmessages")
	path := "/v1/control-channel/" + n.id + "?role=subscribe&stream=input"
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	if err := n.sign("ssmmessages")(ctx, r, nil); err != nil {
		return nil, err
	}
	dial := dialer(n.fleet.order.Address, n.number)
	d := websocket.Dialer{
		NetDialTLSContext: func(ctx context.Context, network, name string) (net.Conn, error) {
			raw, err := dial(ctx, network, name)
			if err != nil {
				return nil, err
			}
			secure := tls.Client(raw, n.fleet.tls(host)) // no ALPN, as the agent's
			if err := secure.HandshakeContext(ctx); err != nil {
				_ = raw.Close()
				return nil, err
			}
			return secure, nil
		},
		ReadBufferSize: 512, WriteBufferSize: 4096, WriteBufferPool: &writeBuffers,
	}
	conn, answer, err := d.DialContext(ctx, "wss://"+host+path, r.Header)
	if answer != nil && answer.Body != nil {
		defer answer.Body.Close()
	}
	if err != nil {
		if answer != nil {
			err = fmt.Errorf("upgrade refused with %d", answer.StatusCode)
		}
		return nil, err
	}
	err = conn.WriteJSON(map[string]any{
		"Cookie": nil, "MessageSchemaVersion": "1.0", "RequestId": uuid.NewString(), "TokenValue": created.TokenValue,
		"AgentVersion": agentVersion, "PlatformType": "linux",
	})
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// writeBuffers are shared by all connections.
var writeBuffers sync.Pool

// converse answers what comes on the control channel until it ends.
func (n *node) converse(ctx context.Context, conn *websocket.Conn) {
	n.mu.Lock()
	n.conn = conn
	n.mu.Unlock()
	defer n.hangUp()
	defer context.AfterFunc(ctx, n.hangUp)()
	_ = conn.SetReadDeadline(time.Now().Add(firstSilence))
	conn.SetPongHandler(func(string) error { return conn.SetReadDeadline(time.Now().Add(nextSilence)) })
	var pings *time.Timer
	pings = time.AfterFunc(pingEvery, func() {
		if conn.WriteControl(websocket.PingMessage, []byte("keepalive"), time.Now().Add(time.Second)) == nil {
			n.resend()
			pings.Reset(pingEvery)
		}
	})
	defer pings.Stop()
	for {
		_, frame, err := conn.ReadMessage()
		if err != nil {
			return
		}
		m, err := datachannel.ParseFrame(frame)
		if err != nil {
			n.fleet.stats.fail("frame", err)
			return
		}
		if err := n.receive(ctx, m); err != nil {
			n.fleet.stats.fail("receive", err)
			return
		}
	}
}

// hangUp ends the control channel, if there is one.
func (n *node) hangUp() {
	n.mu.Lock()
	conn := n.conn
	n.conn = nil
	n.mu.Unlock()
	if conn != nil {
		_ = conn.Close()
	}
}

// send sends a message of a type; id is that of an earlier one that is sent again, or zero.
func (n *node) send(kind string, id uuid.UUID, payload []byte) error {
	frame, err := datachannel.AppendFrame(nil, &api.Message{Type: kind, Schema: 1, Created: time.Now(), ID: id, Payload: payload})
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conn == nil {
		return errEnded
	}
	return n.conn.WriteMessage(websocket.BinaryMessage, frame)
}
