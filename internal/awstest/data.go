package awstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/ssmmessages"
	"github.com/vennel/vennel/datachannel"
)

// Task is what a node is told of a session.
type Task struct {
	DocumentName    string
	DocumentContent map[string]any
	SessionID       string `json:"SessionId"`
	Parameters      map[string]any
	RunAsUser       string
	SessionOwner    string
}

// Data is one end of a session's data channel. It acknowledges nothing by itself.
type Data struct {
	w      *World
	conn   *websocket.Conn
	frames chan *api.Message
	done   chan struct{} // closed when the reader has ended
	pongs  chan struct{}
	next   int64 // the number of the next frame that is sent
}

// Message waits for the next message on the node's control channel that is no job.
func (n *Node) Message() (*api.Message, error) {
	select {
	case m := <-n.frames:
		return m, nil
	case <-time.After(patience):
		return nil, errors.New("no message came")
	}
}

// Told waits for a message of a type on the node's control channel, and reads its payload.
func (n *Node) Told(kind string, into any) error {
	m, err := n.Message()
	if err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	if m.Type != kind {
		return fmt.Errorf("the server sent %s %s, not %s", m.Type, m.Payload, kind)
	}
	return json.Unmarshal(m.Payload, into)
}

// Pending gives a message that has come on the node's control channel and is no job; nil when there is none.
func (n *Node) Pending() *api.Message {
	select {
	case m := <-n.frames:
		return m
	default:
		return nil
	}
}

// Task waits for the next session that the node is told of.
func (n *Node) Task() (*Task, error) {
	var envelope struct {
		Content       string
		TaskID        string `json:"TaskId"`
		SchemaVersion int
	}
	if err := n.Told("interactive_shell", &envelope); err != nil {
		return nil, err
	}
	t := new(Task)
	if err := json.Unmarshal([]byte(envelope.Content), t); err != nil {
		return nil, err
	}
	if envelope.TaskID != t.SessionID || envelope.SchemaVersion != 1 {
		return nil, fmt.Errorf("the envelope is %+v", envelope)
	}
	return t, nil
}

// Complete says that a session is over on the node, and waits until that is acknowledged.
func (n *Node) Complete(session, status, output string) error {
	return n.CompleteWith(map[string]any{"TaskId": session, "FinalTaskStatus": status, "Output": output})
}

// CompleteWith is Complete with members of its own.
func (n *Node) CompleteWith(members map[string]any) error {
	members["SchemaVersion"], members["Topic"], members["InstanceId"] = 1, "agent_task_complete", n.ID
	if err := n.Send("agent_task_complete", members); err != nil {
		return err
	}
	for {
		select {
		case m := <-n.frames:
			if m.Type == "agent_task_acknowledge" {
				return nil
			}
			if m.Type != "channel_closed" { // which may have been on its way
				return fmt.Errorf("the server answered a completion with %s", m.Type)
			}
		case <-n.done:
			return errors.New("the server ended the channel")
		case <-time.After(patience):
			return errors.New("the completion was not acknowledged")
		}
	}
}

// DataToken gets the node a token for the data channel of a session.
func (n *Node) DataToken(session string) (string, error) {
	out := new(ssmmessages.CreateDataChannelOutput)
	err := n.w.Client("ssmmessages", n.keys).Call(n.w.T.Context(), "CreateDataChannel", &ssmmessages.CreateDataChannelInput{
		SessionId: session, MessageSchemaVersion: "1.0", RequestId: uuid.NewString(), ClientId: new(""),
	}, out)
	return out.TokenValue, err
}

// OpenData opens the node's end of a session.
func (n *Node) OpenData(session string) (*Data, error) {
	token, err := n.DataToken(session)
	if err != nil {
		return nil, err
	}
	return n.OpenDataWith(session, token, n.ID)
}

// OpenDataWith opens an end of a session as the node, with a token and the name that it gives itself.
func (n *Node) OpenDataWith(session, token, instance string) (*Data, error) {
	address := "ws://ssmmessages." + Region + ".amazonaws.com/v1/data-channel/" + session + "?role=publish_subscribe"
	return n.w.openData(address, n.keys, map[string]any{
		"MessageSchemaVersion": "1.0", "RequestId": uuid.NewString(), "TokenValue": token, "ClientInstanceId": instance, "ClientId": "",
	})
}

// OpenData opens a client's end of a session.
func (w *World) OpenData(started *ssm.StartSessionOutput) (*Data, error) {
	return w.OpenDataWith(*started.StreamUrl, *started.TokenValue)
}

// OpenDataWith opens a client's end of a session with a token.
func (w *World) OpenDataWith(address, token string) (*Data, error) {
	return w.openData(address, Keys{}, map[string]any{
		"MessageSchemaVersion": "1.0", "RequestId": uuid.NewString(), "TokenValue": token, "ClientId": uuid.NewString(), "ClientVersion": "1.2.707.0",
	})
}

// openData opens a data channel. It fails when the server ends it at once.
func (w *World) openData(address string, k Keys, opening map[string]any) (*Data, error) {
	ctx := context.WithoutCancel(w.T.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.Replace(address, "ws", "http", 1), http.NoBody)
	if err != nil {
		return nil, err
	}
	if sign := k.Sign("ssmmessages"); sign != nil {
		if err := sign(ctx, r, nil); err != nil {
			return nil, err
		}
	}
	d := websocket.Dialer{NetDialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		return w.listener.Dial(ctx, network, address)
	}}
	conn, answer, err := d.DialContext(ctx, address, r.Header)
	if answer != nil && answer.Body != nil {
		defer answer.Body.Close()
	}
	if err != nil {
		if answer != nil {
			text, _ := io.ReadAll(answer.Body)
			err = fmt.Errorf("%w: %s", err, text)
		}
		return nil, err
	}
	c := &Data{w: w, conn: conn, frames: make(chan *api.Message, 1024), done: make(chan struct{}), pongs: make(chan struct{}, 1)}
	conn.SetPongHandler(func(data string) error {
		if data == settle {
			c.pongs <- struct{}{}
		}
		return nil
	})
	if err := conn.WriteJSON(opening); err != nil {
		return nil, err
	}
	go c.read()
	w.T.Cleanup(c.Drop)
	return c, c.Settled()
}

// read takes frames off the channel.
func (c *Data) read() {
	defer close(c.done)
	for {
		_, frame, err := c.conn.ReadMessage()
		if err != nil {
			return
		}
		m, err := datachannel.ParseFrame(frame)
		if err != nil {
			c.w.T.Errorf("the server sent a bad frame: %v", err)
			return
		}
		select {
		case c.frames <- m:
		case <-time.After(patience):
			c.w.T.Errorf("nobody takes the frames of a data channel")
			return
		}
	}
}

// Settled waits until the server has taken everything that was sent.
func (c *Data) Settled() error {
	if err := c.conn.WriteControl(websocket.PingMessage, []byte(settle), time.Now().Add(time.Second)); err != nil {
		return err
	}
	select {
	case <-c.pongs:
		return nil
	case <-c.done:
		return errors.New("the server ended the channel")
	case <-time.After(patience):
		return errors.New("the server does not answer")
	}
}

// Stream sends the next frame of a stream: input_stream_data or output_stream_data.
func (c *Data) Stream(kind string, payloadType uint32, payload string) error {
	m := &api.Message{Type: kind, Schema: 1, Created: time.Now(), ID: uuid.New(), Sequence: c.next, PayloadType: payloadType, Payload: []byte(payload)}
	c.next++
	return c.send(m)
}

// From goes on with the numbers of an end that has been dropped, as one that comes back does.
func (c *Data) From(old *Data) { c.next = old.next }

// Again has the frames of a stream begin with the last one of another, which was not acknowledged.
func (c *Data) Again(old *Data) { c.next = old.next - 1 }

// State says what has become of the agent's end.
func (c *Data) State(session, state string) error {
	text := fmt.Sprintf(`{"SchemaVersion":1,"SessionState":%q,"SessionId":%q}`, state, session)
	return c.send(&api.Message{Type: "agent_session_state", Schema: 1, Created: time.Now(), ID: uuid.New(), Flags: 3, Payload: []byte(text)})
}

// Acknowledge acknowledges a frame.
func (c *Data) Acknowledge(m *api.Message) error {
	text := fmt.Sprintf(`{"AcknowledgedMessageType":%q,"AcknowledgedMessageId":%q,"AcknowledgedMessageSequenceNumber":%d,"IsSequentialMessage":true}`,
		m.Type, m.ID, m.Sequence)
	return c.send(&api.Message{Type: "acknowledge", Schema: 1, Created: time.Now(), ID: uuid.New(), Flags: 3, Payload: []byte(text)})
}

// send sends a message.
func (c *Data) send(m *api.Message) error {
	frame, err := datachannel.AppendFrame(nil, m)
	if err != nil {
		return err
	}
	return c.conn.WriteMessage(websocket.BinaryMessage, frame)
}

// Next waits for the next message of a type, passing over others.
func (c *Data) Next(kind string) (*api.Message, error) {
	for {
		select {
		case m := <-c.frames:
			if m.Type == kind {
				return m, nil
			}
			continue
		default:
		}
		select {
		case m := <-c.frames:
			if m.Type == kind {
				return m, nil
			}
		case <-c.done:
			if len(c.frames) == 0 {
				return nil, fmt.Errorf("the server ended the channel before a %s came", kind)
			}
		case <-time.After(patience):
			return nil, fmt.Errorf("no %s came", kind)
		}
	}
}

// Closed waits until the end is told that the session is over, and gives what is said about that.
func (c *Data) Closed() (output string, err error) {
	m, err := c.Next("channel_closed")
	if err != nil {
		return "", err
	}
	var closed struct{ Output string }
	return closed.Output, json.Unmarshal(m.Payload, &closed)
}

// Ended waits until the server has ended the channel.
func (c *Data) Ended() error {
	select {
	case <-c.done:
		return nil
	case <-time.After(patience):
		return errors.New("the channel is still open")
	}
}

// Drop ends the channel as a network does.
func (c *Data) Drop() {
	_ = c.conn.Close()
	<-c.done
}
