package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"github.com/vennel/vennel/agent/platform"
	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssmmessages"
	"github.com/vennel/vennel/datachannel"
)

// The limits of a control channel.
const (
	createTime  = 15 * time.Second // source: agent
	writeTime   = 10 * time.Second
	mostMessage = 1<<20 + 4096 // a frame of wire's with its header
	mostRefusal = 64 << 10     // of the body of a refused upgrade
)

// errGone says that a control channel has ended.
var errGone = errors.New("the control channel is gone")

// channel is a control channel: a websocket on which messages go both ways.
type channel struct {
	conn *websocket.Conn
	pace pace

	writing sync.Mutex // guards writes on conn

	mu    sync.Mutex
	acks  map[uuid.UUID]chan struct{} // closed when a reply is acknowledged; guarded by mu
	ended chan struct{}               // closed when the channel is gone
}

// opening is the first message on a control channel. source: agent
type opening struct {
	Cookie               *string
	MessageSchemaVersion string
	RequestID            string `json:"RequestId"`
	TokenValue           string
	AgentVersion         string
	PlatformType         string
}

// openChannel creates and opens a control channel. The error is an *api.Error when the server
// refuses it.
func openChannel(ctx context.Context, n *node, c *calls, creds *credentials, p pace) (*channel, error) {
	var created ssmmessages.CreateControlChannelOutput
	err := c.signed("ssmmessages", createTime, creds).Call(ctx, "CreateControlChannel", &ssmmessages.CreateControlChannelInput{
		ChannelId: n.InstanceID, MessageSchemaVersion: ssmmessages.SchemaVersion10, RequestId: uuid.NewString(),
	}, &created)
	if err != nil {
		return nil, err
	}
	if created.TokenValue == "" {
		return nil, errors.New("the server has created a control channel without a token")
	}
	ctx, cancel := context.WithTimeout(ctx, createTime)
	defer cancel()
	url := n.endpoint("ssmmessages") + "/v1/control-channel/" + n.InstanceID + "?role=subscribe&stream=input"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if err := creds.sign(ctx, request, nil, "ssmmessages"); err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", userAgent)
	dialer := &websocket.Dialer{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: c.tls.Clone(), HandshakeTimeout: createTime,
		ReadBufferSize: 1024, WriteBufferSize: 1024, // an idle node holds them all the time
	}
	conn, answer, err := dialer.DialContext(ctx, "ws"+strings.TrimPrefix(url, "http"), request.Header) //nolint:bodyclose // there is none, or the dialer has read it
	if err != nil {
		if answer != nil {
			body, _ := io.ReadAll(io.LimitReader(answer.Body, mostRefusal)) // what there is of it
			return nil, refusal(answer.StatusCode, body)
		}
		return nil, err
	}
	ch := &channel{conn: conn, pace: p, acks: map[uuid.UUID]chan struct{}{}, ended: make(chan struct{})}
	conn.SetReadLimit(mostMessage)
	conn.SetPongHandler(func(string) error { return ch.alive() })
	if err := ch.alive(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	hello, err := json.Marshal(opening{
		MessageSchemaVersion: ssmmessages.SchemaVersion10, RequestID: uuid.NewString(), TokenValue: created.TokenValue,
		AgentVersion: Version, PlatformType: strings.ToLower(platform.Type()),
	})
	if err == nil {
		err = ch.write(websocket.TextMessage, hello)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return ch, nil
}

// refusal reads why an upgrade was refused.
func refusal(status int, body []byte) error {
	e := &api.Error{Code: http.StatusText(status), Message: strings.TrimSpace(string(body[:min(len(body), 512)])), Status: status}
	if accessDenied(string(body)) {
		e.Code = "AccessDeniedException"
	}
	return e
}

// accessDenied says whether a text is a refusal that lets agents fall back to the other line.
// source: agent
func accessDenied(text string) bool { return strings.Contains(text, "<AccessDeniedException>") }

// deniesChannel says whether an error is such a refusal.
func deniesChannel(err error) bool {
	e, ok := errors.AsType[*api.Error](err)
	return ok && (e.Code == "AccessDeniedException" || accessDenied(e.Message))
}

// alive puts the end of a silent channel off.
func (ch *channel) alive() error { return ch.conn.SetReadDeadline(time.Now().Add(ch.pace.silence)) }

// ping pings until the channel ends. Without answers the reader gives up. source: agent
func (ch *channel) ping() {
	each := time.NewTicker(ch.pace.ping)
	defer each.Stop()
	for {
		select {
		case <-ch.ended:
			return
		case <-each.C:
			if ch.conn.WriteControl(websocket.PingMessage, []byte("keepalive"), time.Now().Add(writeTime)) != nil {
				return // the reader notices as well
			}
		}
	}
}

// receive returns the next message that can be read; it skips what cannot. The error is the end of
// the channel.
func (ch *channel) receive(skipped func(error)) (*api.Message, error) {
	for {
		kind, b, err := ch.conn.ReadMessage()
		if err != nil {
			return nil, err
		}
		if err := ch.alive(); err != nil {
			return nil, err
		}
		if kind != websocket.BinaryMessage {
			skipped(errors.New("a text message"))
			continue
		}
		m, err := datachannel.ParseFrame(b)
		if err != nil {
			skipped(err)
			continue
		}
		return m, nil
	}
}

// close ends the channel and wakes whoever waits for an acknowledgement.
func (ch *channel) close() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	select {
	case <-ch.ended:
		return
	default:
	}
	close(ch.ended)
	_ = ch.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second)) // a courtesy
	_ = ch.conn.Close()
}

// write writes one websocket message.
func (ch *channel) write(kind int, b []byte) error {
	ch.writing.Lock()
	defer ch.writing.Unlock()
	if err := ch.conn.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return err
	}
	return ch.conn.WriteMessage(kind, b)
}

// send sends a message with a payload in JSON.
func (ch *channel) send(kind string, id uuid.UUID, payload any) error {
	b, err := json.Marshal(payload)
	if err != nil {
		return err
	}
	frame, err := datachannel.AppendFrame(nil, &api.Message{Type: kind, Schema: 1, Created: time.Now(), ID: id, Payload: b})
	if err != nil {
		return err
	}
	return ch.write(websocket.BinaryMessage, frame)
}

// jobReply is the payload of an agent_job_reply. source: agent
type jobReply struct {
	SchemaVersion int    `json:"schemaVersion"`
	JobID         string `json:"jobId"`
	Content       string `json:"content"`
	Topic         string `json:"topic"`
}

// tell sends a reply and does not wait for an acknowledgement.
func (ch *channel) tell(r *reply) error {
	content, err := r.content(nil)
	if err != nil {
		return err
	}
	return ch.send("agent_job_reply", r.ID, jobReply{SchemaVersion: 1, JobID: r.JobID, Content: string(content), Topic: r.Topic})
}

// post sends a reply and waits until the server has acknowledged it.
func (ch *channel) post(ctx context.Context, r *reply) error {
	acked := make(chan struct{})
	ch.mu.Lock()
	ch.acks[r.ID] = acked
	ch.mu.Unlock()
	defer func() {
		ch.mu.Lock()
		delete(ch.acks, r.ID)
		ch.mu.Unlock()
	}()
	if err := ch.tell(r); err != nil {
		return err
	}
	late := time.NewTimer(ch.pace.ack)
	defer late.Stop()
	select {
	case <-acked:
		return nil
	case <-ch.ended:
		return errGone
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-late.C:
		return fmt.Errorf("no acknowledgement within %v", ch.pace.ack)
	}
}

// replyAck is the payload of an agent_job_reply_ack.
type replyAck struct {
	AcknowledgedMessageID uuid.UUID `json:"acknowledgedMessageId"`
}

// acknowledged takes an acknowledgement. One that nobody waits for is of a reply that was told, or
// of one that is on its way a second time, which makes no difference.
func (ch *channel) acknowledged(payload []byte) error {
	var a replyAck
	if err := json.Unmarshal(payload, &a); err != nil {
		return err
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if acked := ch.acks[a.AcknowledgedMessageID]; acked != nil {
		close(acked)
		delete(ch.acks, a.AcknowledgedMessageID)
	}
	return nil
}
