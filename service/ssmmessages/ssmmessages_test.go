package ssmmessages_test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/internal/awstest"
	"github.com/vennel/vennel/wire"
)

// frame is a good message, for spoiling.
func frame(t *testing.T, kind, payload string) []byte {
	t.Helper()
	b, err := wire.AppendFrame(nil, &api.Message{Type: kind, Schema: 1, Created: time.Now(), ID: uuid.New(), Payload: []byte(payload)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestMalformedMessages ends a channel on which something comes that is no message of an agent, and
// loses nothing: the job that was on its way comes again on the next channel, and its result counts.
func TestMalformedMessages(t *testing.T) {
	const ack = `{"jobId":"x","statusCode":"51401"}`
	spoiled := func(at int, value uint32) func(*testing.T) []byte {
		return func(t *testing.T) []byte {
			b := frame(t, "agent_job_ack", ack)
			binary.BigEndian.PutUint32(b[at:], value)
			return b
		}
	}
	for name, message := range map[string]func(*testing.T) []byte{
		"Empty":          func(*testing.T) []byte { return nil },
		"Short":          func(t *testing.T) []byte { return frame(t, "agent_job_ack", ack)[:119] },
		"HeaderLength":   spoiled(0, 4),
		"PayloadLength":  spoiled(116, 1<<31),
		"PayloadShorter": spoiled(116, 3),
		"Version":        spoiled(36, 2),
		"Digest":         spoiled(80, 0),
		"Type":           func(t *testing.T) []byte { return frame(t, "start_publication_of_all", ack) },
		"NoJSON":         func(t *testing.T) []byte { return frame(t, "agent_job_reply", "{") },
		"NoSuchJob":      func(t *testing.T) []byte { return frame(t, "agent_job_reply", `{"jobId":"","topic":"aws.ssm.sendCommand","content":"{}"}`) },
	} {
		t.Run(name, func(t *testing.T) {
			w := awstest.New(t)
			n := w.Node(awstest.NodeConfig{})
			sent := awstest.Call[ssm.SendCommandOutput](w, "ssm", "SendCommand", &ssm.SendCommandInput{DocumentName: "AWS-Noop", InstanceIds: []string{n.ID}})
			job, err := n.Next()
			if err != nil {
				t.Fatal(err)
			}
			if err := n.SendBytes(message(t)); err != nil {
				t.Fatal(err)
			}
			if err := n.Ended(); err != nil {
				t.Fatal(err)
			}
			n.Drop()
			n.Connect()
			again, err := n.Next()
			if err != nil || again.ID != job.ID {
				t.Fatalf("%s came after %s: %v", again.ID, job.ID, err)
			}
			if err := n.Ack("51401"); err != nil {
				t.Fatal(err)
			}
			if err := n.Reply([]byte(`{"documentStatus":"Success","runtimeStatus":{}}`)); err != nil {
				t.Fatal(err)
			}
			got := awstest.Call[ssm.ListCommandsOutput](w, "ssm", "ListCommands", &ssm.ListCommandsInput{CommandId: sent.Command.CommandId})
			if *got.Commands[0].Status != "Success" {
				t.Errorf("the command is %s", *got.Commands[0].Status)
			}
		})
	}
}
