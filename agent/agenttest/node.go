package agenttest

import (
	"crypto/rsa"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/ssmmessages"
)

// Node is what the plane knows of a node. Its exported fields are to be touched within Plane.Do or
// Plane.Wait only.
type Node struct {
	ID            string
	Fingerprint   string
	Heartbeats    []ssm.UpdateInstanceInformationInput
	Tokens        int  // credentials given
	KeyUpdates    int  // keys replaced
	UpdateKeyPair bool // asks for a new key with the next credentials
	Refuse        bool // refuses the control channel with AccessDenied
	Polls         int  // of ec2messages
	Opened        []ssmmessages.OpenControlChannelInput
	Commands      map[string]*Command // by id
	Order         []*Command          // as they were sent
	DropAcks      int                 // replies that will not be acknowledged
	LoseReplies   int                 // replies that will not even be seen
	Sessions      map[string]*Session // by id
	HangsUp       bool                // ends each control channel as soon as it is open
	Others        []api.Message       // messages of other types
	Failed        []string            // messages that FailMessage was called for
	RoleDenied    bool                // an instance's role does not make it a node
	HostManaged   bool                // an instance has Default Host Management

	plane  *Plane
	key    *rsa.PublicKey
	stream api.Stream // of the open control channel, or nil
	token  string     // of the control channel that was created last
}

// Command is a job and what became of it.
type Command struct {
	ID, JobID, Topic, Content string
	Acks                      []string // status codes, in their order
	Replies                   []Reply  // in their order
	Acknowledged              bool     // on ec2messages
	Before                    int      // replies that came before it was acknowledged
	Sent                      int      // deliveries

	message uuid.UUID // of the last delivery on the control channel
	waiting bool      // to be delivered
	visible time.Time // on ec2messages
}

// Reply is one reply to a job.
type Reply struct {
	ID      string
	Line    string
	Topic   string
	Content string
	Parsed  Content
}

// Content is a reply's content.
type Content struct {
	AdditionalInfo struct {
		Agent                   map[string]string `json:"agent"`
		DateTime                string            `json:"dateTime"`
		RuntimeStatusCounts     map[string]int    `json:"runtimeStatusCounts"`
		AbleToOpenMGSConnection *bool             `json:"ableToOpenMGSConnection"`
	} `json:"additionalInfo"`
	DocumentStatus      string          `json:"documentStatus"`
	DocumentTraceOutput string          `json:"documentTraceOutput"`
	RuntimeStatus       map[string]Step `json:"runtimeStatus"`
}

// Step is what a reply tells of a step.
type Step struct {
	Status         string `json:"status"`
	Code           int    `json:"code"`
	Name           string `json:"name"`
	Output         string `json:"output"`
	StartDateTime  string `json:"startDateTime"`
	EndDateTime    string `json:"endDateTime"`
	StandardOutput string `json:"standardOutput"`
	StandardError  string `json:"standardError"`
}

// terminal are the statuses after which no reply may come.
var terminal = []string{"Success", "Failed", "TimedOut", "Cancelled"}

// Status is the last status that a reply gave; "" before there is one.
func (c *Command) Status() string {
	status := ""
	for _, r := range c.Replies {
		status = r.Parsed.DocumentStatus
	}
	return status
}

// Done says whether a terminal reply has come.
func (c *Command) Done() bool { return slices.Contains(terminal, c.Status()) }

// Step is the last that was told of a step.
func (c *Command) Step(name string) Step {
	var last Step
	for _, r := range c.Replies {
		if s, ok := r.Parsed.RuntimeStatus[name]; ok {
			last = s
		}
	}
	return last
}

// SendJob sends a job of any topic and content.
func (n *Node) SendJob(id, topic, content string) *Command {
	n.plane.mu.Lock()
	defer n.plane.mu.Unlock()
	c := &Command{ID: id, JobID: "aws.ssm." + id + "." + n.ID, Topic: topic, Content: content, waiting: true}
	n.Commands[c.ID] = c
	n.Order = append(n.Order, c)
	n.deliver()
	n.plane.change()
	return c
}

// Redeliver sends a job once more, whatever became of it.
func (n *Node) Redeliver(c *Command) {
	n.plane.mu.Lock()
	defer n.plane.mu.Unlock()
	c.waiting = true
	n.deliver()
}

// Send sends a command with a document and parameters.
func (n *Node) Send(t testing.TB, document string, parameters map[string]any) *Command {
	t.Helper()
	if parameters == nil {
		parameters = map[string]any{}
	}
	id := uuid.NewString()
	b, err := json.Marshal(map[string]any{
		"Parameters": parameters, "DocumentContent": json.RawMessage(document), "CommandId": id, "DocumentName": "Test",
		"OutputS3KeyPrefix": "", "OutputS3BucketName": "", "CloudWatchLogGroupName": "", "CloudWatchOutputEnabled": "false",
	})
	if err != nil {
		t.Fatal(err)
	}
	return n.SendJob(id, "aws.ssm.sendCommand."+Region+".Test", string(b))
}

// Script sends a command of one step that runs lines of shell.
func (n *Node) Script(t testing.TB, lines ...string) *Command {
	t.Helper()
	return n.Send(t, ScriptDocument(lines...), nil)
}

// ScriptDocument is a document of one step, named runShellScript.
func ScriptDocument(lines ...string) string {
	b, err := json.Marshal(map[string]any{"schemaVersion": "2.2", "mainSteps": []any{map[string]any{
		"action": "aws:runShellScript", "name": "runShellScript", "inputs": map[string]any{"runCommand": lines},
	}}})
	if err != nil {
		panic(err) // texts can always be written
	}
	return string(b)
}

// Cancel cancels a command and gives the job that does.
func (n *Node) Cancel(c *Command) *Command {
	return n.SendJob(uuid.NewString(), "aws.ssm.cancelCommand", `{"CancelMessageId":"`+c.JobID+`"}`)
}

// Wait waits for a command's terminal reply and gives its status.
func (n *Node) Wait(t testing.TB, c *Command) string {
	t.Helper()
	status := ""
	n.plane.Wait(t, "the end of "+c.ID, func() bool { status = c.Status(); return c.Done() })
	return status
}

// Online waits until the node has an open control channel.
func (n *Node) Online(t testing.TB) {
	t.Helper()
	n.plane.Wait(t, n.ID+" to be online", func() bool { return n.stream != nil })
}

// Offline waits until the plane has noticed that the node has no control channel.
func (n *Node) Offline(t testing.TB) {
	t.Helper()
	n.plane.Wait(t, n.ID+" to be offline", func() bool { return n.stream == nil })
}

// HangUp closes the node's control channel.
func (n *Node) HangUp() {
	n.plane.mu.Lock()
	s := n.stream
	n.plane.mu.Unlock()
	if s != nil {
		_ = s.Close("a test hangs up")
	}
}

// SendMessage sends any message on the control channel.
func (n *Node) SendMessage(m *api.Message) error {
	n.plane.mu.Lock()
	defer n.plane.mu.Unlock()
	return n.stream.Send(m)
}

// deliver sends the jobs that wait over the control channel, if it is open. p.mu is held.
func (n *Node) deliver() {
	if n.stream == nil {
		return
	}
	for _, c := range n.Order {
		if !c.waiting {
			continue
		}
		payload, err := json.Marshal(map[string]any{"SchemaVersion": 1, "JobId": c.JobID, "Topic": c.Topic, "Content": c.Content})
		if err != nil {
			panic(err)
		}
		c.message = uuid.New()
		if n.stream.Send(&api.Message{Type: "agent_job", Schema: 1, Created: time.Now(), ID: c.message, Payload: payload}) != nil {
			return
		}
		c.waiting = false
		c.Sent++
	}
}

// reply takes a reply and says whether to acknowledge it. p.mu is held.
func (n *Node) reply(jobID, line, id, topic, content string) bool {
	if n.LoseReplies > 0 {
		n.LoseReplies--
		return false
	}
	parts := strings.Split(jobID, ".")
	if len(parts) < 2 {
		return false
	}
	if c := n.Commands[parts[len(parts)-2]]; c != nil {
		r := Reply{ID: id, Line: line, Topic: topic, Content: content}
		if json.Unmarshal([]byte(content), &r.Parsed) == nil {
			c.Replies = append(c.Replies, r)
		}
		if c.Done() {
			n.deliver() // there may be room now
		}
	}
	n.plane.change()
	if n.DropAcks > 0 {
		n.DropAcks--
		return false
	}
	return true
}
