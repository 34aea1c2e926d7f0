package awstest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2messages"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/ssmmessages"
	"github.com/vennel/vennel/datachannel"
	"github.com/vennel/vennel/wire/sigv4"
)

// NodeConfig says what a simulated node is.
type NodeConfig struct {
	Tags     map[string]string
	Platform string // Linux
	Older    bool   // speaks ec2messages only
}

// Node is a simulated managed node: it registers, connects and converses as an agent does, but it
// runs nothing. Tests decide what it answers.
type Node struct {
	ID string

	w       *World
	role    string // of an instance's profile
	config  NodeConfig
	key     *rsa.PrivateKey
	keys    Keys
	conn    *websocket.Conn
	polling context.CancelFunc
	done    chan struct{} // closed when the reader of the line has ended
	frames  chan *api.Message
	jobs    chan Job
	last    Job
	session string // the last that it was told of

	sending sync.Mutex
	pongs   chan struct{}
}

// Job is a job that a node was sent.
type Job struct {
	ID, Topic, Content string
	message            uuid.UUID
	created            time.Time
}

// nodeRole is the role of simulated nodes.
const nodeRole = "NodeRole"

// Node registers a simulated node and brings it online.
func (w *World) Node(c NodeConfig) *Node {
	w.T.Helper()
	if c.Platform == "" {
		c.Platform = ssm.PlatformTypeLinux
	}
	n := w.Register(c)
	n.Ping()
	n.Connect()
	return n
}

// Register registers a simulated node, which then has credentials but is not heard of.
func (w *World) Register(c NodeConfig) *Node {
	w.T.Helper()
	if !w.nodeRole {
		w.Role(nodeRole, "ssm.amazonaws.com", "AmazonSSMManagedInstanceCore")
		w.nodeRole = true
	}
	in := &ssm.CreateActivationInput{IamRole: nodeRole, DefaultInstanceName: new("test")}
	for name, value := range c.Tags {
		in.Tags = append(in.Tags, ssm.Tag{Key: name, Value: value})
	}
	activation := Call[ssm.CreateActivationOutput](w, "ssm", "CreateActivation", in)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		w.T.Fatal(err)
	}
	n := newNode(w, c, key)
	out := new(ssm.RegisterManagedInstanceOutput)
	err = w.Client("ssm", Keys{}).Call(w.T.Context(), "RegisterManagedInstance", &ssm.RegisterManagedInstanceInput{
		ActivationCode: activation.ActivationCode, ActivationId: activation.ActivationId, Fingerprint: fingerprint, PublicKey: publicKey(key),
		PublicKeyType: new("Rsa"),
	}, out)
	if err != nil {
		w.T.Fatal(err)
	}
	n.ID = *out.InstanceId
	n.Token()
	w.T.Cleanup(n.Drop)
	return n
}

// newNode is a node that has no id yet.
func newNode(w *World, c NodeConfig, key *rsa.PrivateKey) *Node {
	return &Node{w: w, config: c, key: key, frames: make(chan *api.Message, 64), jobs: make(chan Job, 64), pongs: make(chan struct{}, 1)}
}

// fingerprint is that of all simulated nodes.
const fingerprint = "11111111-2222-4333-8444-555555555555"

// publicKey is a key as registrations carry it.
func publicKey(key *rsa.PrivateKey) string {
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

// Key is the key that the node signs with; a test may give it another.
func (n *Node) Key() *rsa.PrivateKey { return n.key }

// SetKey makes the node sign with another key.
func (n *Node) SetKey(key *rsa.PrivateKey) { n.key = key }

// PublicKey is a key as registrations carry it.
func PublicKey(key *rsa.PrivateKey) string { return publicKey(key) }

// Fingerprint is that of all simulated nodes.
const Fingerprint = fingerprint

// SignedByKey calls an operation that is signed with the node's own key.
func (n *Node) SignedByKey(operation string, in, out any) error {
	c := n.w.Client("ssm", Keys{})
	c.Sign = func(_ context.Context, r *http.Request, body []byte) error {
		sum := sha256.Sum256(body)
		return sigv4.SignRSA(r, hex.EncodeToString(sum[:]), n.ID, n.key, Region, "ssm", time.Now())
	}
	return c.Call(n.w.T.Context(), operation, in, out)
}

// Token gets the node its credentials.
func (n *Node) Token() {
	n.w.T.Helper()
	if strings.HasPrefix(n.ID, "i-") {
		n.keys = n.profileToken()
		return
	}
	out := new(ssm.RequestManagedInstanceRoleTokenOutput)
	if err := n.SignedByKey("RequestManagedInstanceRoleToken", &ssm.RequestManagedInstanceRoleTokenInput{Fingerprint: fingerprint}, out); err != nil {
		n.w.T.Fatal(err)
	}
	n.keys = Keys{ID: out.AccessKeyId, Secret: out.SecretAccessKey, Token: out.SessionToken}
}

// Keys are the node's credentials.
func (n *Node) Keys() Keys { return n.keys }

// Ping sends a full heartbeat.
func (n *Node) Ping() {
	n.w.T.Helper()
	err := n.w.Client("ssm", n.keys).Call(n.w.T.Context(), "UpdateInstanceInformation", &ssm.UpdateInstanceInformationInput{
		InstanceId: n.ID, AgentName: new("amazon-ssm-agent"), AgentVersion: new("3.3.987.0"), AgentStatus: new("Active"),
		PlatformType: &n.config.Platform, PlatformName: new("Debian GNU/Linux"), PlatformVersion: new("12"), ComputerName: new("node.test"),
		IPAddress: new("10.0.0.7"),
	}, &ssm.UpdateInstanceInformationOutput{})
	if err != nil {
		n.w.T.Fatal(err)
	}
}

// Connect opens the node's line, and reads what comes on it.
func (n *Node) Connect() {
	n.w.T.Helper()
	if n.config.Older {
		n.done = make(chan struct{})
		ctx, cancel := context.WithCancel(context.WithoutCancel(n.w.T.Context()))
		n.polling = cancel
		go n.poll(ctx, n.done)
		return
	}
	token, err := n.ChannelToken(n.ID)
	if err == nil {
		err = n.ConnectWith(token)
	}
	if err != nil {
		n.w.T.Fatal(err)
	}
}

// ConnectWith opens the node's control channel with a token, and reads what comes on it. It fails
// when the server ends the channel.
func (n *Node) ConnectWith(token string) error {
	if err := n.Open(n.ID, token); err != nil {
		return err
	}
	n.done = make(chan struct{})
	go n.read(n.conn, n.done)
	go n.keepAlive(n.conn, n.done)
	return n.settled()
}

// keepAlive pings as an agent does, until the line has ended.
func (n *Node) keepAlive(conn *websocket.Conn, done chan struct{}) {
	tick := time.NewTicker(54 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			_ = conn.WriteControl(websocket.PingMessage, []byte("keepalive"), time.Now().Add(time.Second))
		}
	}
}

// settled waits until the server has done with everything that the node has sent: messages are read
// in order, and a pong comes after them.
func (n *Node) settled() error {
	if err := n.conn.WriteControl(websocket.PingMessage, []byte(settle), time.Now().Add(time.Second)); err != nil {
		return err
	}
	select {
	case <-n.pongs:
		return nil
	case <-n.done:
		return errors.New("the server ended the channel")
	case <-time.After(patience):
		return errors.New("the server does not answer")
	}
}

// settle is the payload of the pings of settled.
const settle = "settle"

// ChannelToken gets a token for the control channel of an id, which should be the node's own.
func (n *Node) ChannelToken(id string) (string, error) {
	out := new(ssmmessages.CreateControlChannelOutput)
	err := n.w.Client("ssmmessages", n.keys).Call(n.w.T.Context(), "CreateControlChannel", &ssmmessages.CreateControlChannelInput{
		ChannelId: id, MessageSchemaVersion: "1.0", RequestId: uuid.NewString(),
	}, out)
	return out.TokenValue, err
}

// Open opens the control channel of an id with a token. Whether the server likes the token is not
// known yet when it returns.
func (n *Node) Open(id, token string) error {
	ctx := context.WithoutCancel(n.w.T.Context())
	address := "ssmmessages." + Region + ".amazonaws.com/v1/control-channel/" + id + "?role=subscribe&stream=input"
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address, http.NoBody)
	if err != nil {
		return err
	}
	if err := n.keys.Sign("ssmmessages")(ctx, r, nil); err != nil {
		return err
	}
	d := websocket.Dialer{NetDialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		return n.w.listener.Dial(ctx, network, address)
	}}
	conn, answer, err := d.DialContext(ctx, "ws://"+address, r.Header)
	if answer != nil && answer.Body != nil {
		defer answer.Body.Close()
	}
	if err != nil {
		return err
	}
	n.conn = conn
	conn.SetPongHandler(func(data string) error {
		if data == settle {
			n.pongs <- struct{}{}
		}
		return nil
	})
	return conn.WriteJSON(map[string]any{
		"Cookie": nil, "MessageSchemaVersion": "1.0", "RequestId": uuid.NewString(), "TokenValue": token,
		"AgentVersion": "3.3.987.0", "PlatformType": "linux",
	})
}

// read takes messages off the channel.
func (n *Node) read(conn *websocket.Conn, done chan struct{}) {
	defer close(done)
	for {
		_, frame, err := conn.ReadMessage()
		if err != nil {
			return
		}
		m, err := datachannel.ParseFrame(frame)
		if err != nil {
			n.w.T.Errorf("the server sent a bad frame: %v", err)
			return
		}
		if m.Type != "agent_job" {
			n.frames <- m
			continue
		}
		var job struct{ JobID, Topic, Content string }
		if err := json.Unmarshal(bytes.Replace(m.Payload, []byte(`"JobId"`), []byte(`"JobID"`), 1), &job); err != nil {
			n.w.T.Errorf("the server sent a bad job: %v", err)
			return
		}
		n.jobs <- Job{ID: job.JobID, Topic: job.Topic, Content: job.Content, message: m.ID, created: m.Created}
	}
}

// poll asks for messages until it is stopped.
func (n *Node) poll(ctx context.Context, done chan struct{}) {
	defer close(done)
	for ctx.Err() == nil {
		out := new(ec2messages.GetMessagesOutput)
		err := n.w.Client("ec2messages", n.keys).Call(ctx, "GetMessages", &ec2messages.GetMessagesInput{
			Destination: n.ID, MessagesRequestId: uuid.NewString(), VisibilityTimeoutInSeconds: new(int64(10)),
		}, out)
		if err != nil {
			if ctx.Err() == nil {
				n.w.T.Errorf("GetMessages: %v", err)
			}
			return
		}
		for _, m := range out.Messages {
			n.jobs <- Job{ID: m.MessageId, Topic: m.Topic, Content: m.Payload}
		}
	}
}

// Drop ends the node's line.
func (n *Node) Drop() {
	if n.conn != nil {
		_ = n.conn.Close()
		<-n.done
		n.conn = nil
	}
	if n.polling != nil {
		n.polling()
		<-n.done
		n.polling = nil
	}
}

// gone waits until the server has noticed that the node's line has ended.
func (n *Node) gone() error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		out := new(ssm.GetConnectionStatusOutput)
		err := n.w.Client("ssm", n.w.Admin).Call(n.w.T.Context(), "GetConnectionStatus", &ssm.GetConnectionStatusInput{Target: n.ID}, out)
		if err != nil || *out.Status == ssm.ConnectionStatusNotconnected {
			return err
		}
	}
	return errors.New("the server still holds the node's line")
}

// patience is how long a node waits for what should be on its way.
const patience = 30 * time.Second

// Next waits for the next job.
func (n *Node) Next() (Job, error) {
	select {
	case n.last = <-n.jobs:
		return n.last, nil
	case <-time.After(patience):
		return Job{}, errors.New("no job came")
	}
}

// Quiet says whether nothing comes for a while.
func (n *Node) Quiet() error {
	select {
	case job := <-n.jobs:
		return fmt.Errorf("a job came: %s", job.ID)
	case <-time.After(time.Second):
		return nil
	}
}

// Ack acknowledges the last job with a code of the agent's.
func (n *Node) Ack(code string) error { return n.AckJob(n.last, code) }

// AckJob acknowledges a job.
func (n *Node) AckJob(job Job, code string) error {
	if n.config.Older {
		return n.w.Client("ec2messages", n.keys).Call(n.w.T.Context(), "AcknowledgeMessage",
			&ec2messages.AcknowledgeMessageInput{MessageId: job.ID}, &ec2messages.AcknowledgeMessageOutput{})
	}
	err := n.Send("agent_job_ack", map[string]string{
		"jobId": job.ID, "acknowledgedMessageId": job.message.String(), "createdDate": job.created.Format("2006-01-02T15:04:05.000Z"),
		"statusCode": code, "errorMessage": "said by a test",
	})
	if err != nil {
		return err
	}
	return n.settled()
}

// Reply says something about the last job, and waits until it is acknowledged.
func (n *Node) Reply(content []byte) error { return n.ReplyTo(n.last.ID, content) }

// ReplyTo says something about a job, and waits until it is acknowledged.
func (n *Node) ReplyTo(job string, content []byte) error {
	if n.config.Older {
		return n.w.Client("ec2messages", n.keys).Call(n.w.T.Context(), "SendReply", &ec2messages.SendReplyInput{
			MessageId: job, Payload: string(content), ReplyId: uuid.NewString(),
		}, &ec2messages.SendReplyOutput{})
	}
	err := n.Send("agent_job_reply", map[string]any{"schemaVersion": 1, "jobId": job, "topic": "aws.ssm.sendCommand", "content": string(content)})
	if err != nil {
		return err
	}
	select {
	case m := <-n.frames:
		if m.Type != "agent_job_reply_ack" {
			return fmt.Errorf("the server answered a reply with %s", m.Type)
		}
		return nil
	case <-n.done:
		return errors.New("the server ended the channel")
	case <-time.After(patience):
		return errors.New("the reply was not acknowledged")
	}
}

// Send sends a message of a type.
func (n *Node) Send(kind string, payload any) error {
	text, err := json.Marshal(payload)
	if err != nil {
		return err
	}
	frame, err := datachannel.AppendFrame(nil, &api.Message{Type: kind, Schema: 1, Created: time.Now(), ID: uuid.New(), Payload: text})
	if err != nil {
		return err
	}
	return n.SendBytes(frame)
}

// SendBytes sends bytes as they are.
func (n *Node) SendBytes(frame []byte) error {
	n.sending.Lock()
	defer n.sending.Unlock()
	return n.conn.WriteMessage(websocket.BinaryMessage, frame)
}

// Ended waits until the server has ended the node's line.
func (n *Node) Ended() error {
	select {
	case <-n.done:
		return nil
	case <-time.After(patience):
		return errors.New("the line is still open")
	}
}
