package ssmmessages_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	vocabulary "github.com/vennel/vennel/api/ssmmessages"
	"github.com/vennel/vennel/datachannel"
	"github.com/vennel/vennel/internal/awstest"
	"github.com/vennel/vennel/internal/seal"
	"github.com/vennel/vennel/service/ssm/fleet"
	"github.com/vennel/vennel/service/ssmmessages"
	"github.com/vennel/vennel/store/storetest"
)

// frame is a good message, for spoiling.
func frame(t *testing.T, kind, payload string) []byte {
	t.Helper()
	b, err := datachannel.AppendFrame(nil, &api.Message{Type: kind, Schema: 1, Created: time.Now(), ID: uuid.New(), Payload: []byte(payload)})
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
		"NoSuchJob": func(t *testing.T) []byte {
			return frame(t, "agent_job_reply", `{"jobId":"","topic":"aws.ssm.sendCommand","content":"{}"}`)
		},
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

// TestNodesFault has what a node says wrong be its own fault, which is not worth an error in the server's log.
func TestNodesFault(t *testing.T) {
	for _, kind := range []string{"agent_job_ack", "agent_job_reply", "agent_task_complete", "start_publication_of_all"} {
		err := ssmmessages.Refused(&api.Message{Type: kind, Payload: []byte("{")})
		if e, ok := errors.AsType[*api.Error](err); !ok || e.Reason != api.Unserializable {
			t.Errorf("%s is refused with %v", kind, err)
		}
	}
}

// TestChannelToken opens a control channel with all kinds of tokens: only one that was made for the
// node, and not long ago, is good. source: guess
func TestChannelToken(t *testing.T) {
	if awstest.RealTime() {
		t.Skip("fake time does not reach PostgreSQL")
	}
	synctest.Test(t, func(t *testing.T) {
		w := awstest.New(t)
		n, other := w.Node(awstest.NodeConfig{}), w.Node(awstest.NodeConfig{})
		n.Drop()
		get := func(n *awstest.Node) string {
			token, err := n.ChannelToken(n.ID)
			if err != nil {
				t.Fatal(err)
			}
			return token
		}
		for _, c := range []struct {
			name, token string
			wait        time.Duration
			good        bool
		}{
			{"a fresh one", get(n), 0, true},
			{"none", "", 0, false},
			{"no base64", "opaque-token", 0, false},
			{"a wrong one", base64.StdEncoding.EncodeToString(make([]byte, 64)), 0, false},
			{"another node's", get(other), 0, false},
			{"one of four minutes", get(n), 4 * time.Minute, true},
			{"one of six minutes", get(n), 2 * time.Minute, false},
		} {
			n.Token() // its credentials are not to be what is refused
			time.Sleep(c.wait)
			err := n.ConnectWith(c.token)
			if (err == nil) != c.good {
				t.Errorf("%s: %v", c.name, err)
			}
			synctest.Wait()
			status := awstest.Call[ssm.GetConnectionStatusOutput](w, "ssm", "GetConnectionStatus", &ssm.GetConnectionStatusInput{Target: n.ID}).Status
			if want := map[bool]string{true: "connected", false: "notconnected"}[c.good]; *status != want {
				t.Errorf("%s: the node is %s", c.name, *status)
			}
			n.Drop()
			synctest.Wait()
		}
	})
}

// TestTokenOfNodeThatIsGone refuses the channel of a node that was deregistered after it got its
// token.
func TestTokenOfNodeThatIsGone(t *testing.T) {
	w := awstest.New(t)
	n := w.Register(awstest.NodeConfig{})
	token, err := n.ChannelToken(n.ID)
	if err != nil {
		t.Fatal(err)
	}
	awstest.Call[ssm.DeregisterManagedInstanceOutput](w, "ssm", "DeregisterManagedInstance", &ssm.DeregisterManagedInstanceInput{InstanceId: n.ID})
	if err := n.ConnectWith(token); err == nil {
		t.Error("the node has its channel")
	}
}

// TestReplyIsAcknowledgedAtOnce holds the answer to a reply to the second that agents wait for it,
// after which they keep the reply and send it again for two hours. source: agent
func TestReplyIsAcknowledgedAtOnce(t *testing.T) {
	if awstest.RealTime() {
		t.Skip("fake time does not reach PostgreSQL")
	}
	synctest.Test(t, func(t *testing.T) {
		w := awstest.New(t)
		n := w.Node(awstest.NodeConfig{})
		awstest.Call[ssm.SendCommandOutput](w, "ssm", "SendCommand", &ssm.SendCommandInput{DocumentName: "AWS-Noop", InstanceIds: []string{n.ID}})
		if _, err := n.Next(); err != nil {
			t.Fatal(err)
		}
		for _, status := range []string{"InProgress", "Success", "Success"} { // the last comes once more
			begun := time.Now()
			if err := n.Reply([]byte(`{"documentStatus":"` + status + `","runtimeStatus":{}}`)); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begun); took >= time.Second {
				t.Errorf("%s was acknowledged after %v", status, took)
			}
		}
	})
}

// watched keeps the last answer of a transport.
type watched struct {
	http.RoundTripper
	answer *http.Response
}

// RoundTrip asks the transport.
func (w *watched) RoundTrip(r *http.Request) (answer *http.Response, err error) {
	w.answer, err = w.RoundTripper.RoundTrip(r)
	return w.answer, err
}

// TestCreateControlChannelEndsConnection ends the connection on which a channel was asked for, for nothing else will come on it, and no other.
func TestCreateControlChannelEndsConnection(t *testing.T) {
	w := awstest.New(t)
	n := w.Node(awstest.NodeConfig{})
	seen := &watched{RoundTripper: w.HTTP.Transport}
	w.HTTP = &http.Client{Transport: seen}
	if _, err := n.ChannelToken(n.ID); err != nil {
		t.Fatal(err)
	}
	if !seen.answer.Close {
		t.Error("the connection of CreateControlChannel stays open")
	}
	awstest.Call[ssm.DescribeInstanceInformationOutput](w, "ssm", "DescribeInstanceInformation", &ssm.DescribeInstanceInformationInput{})
	if seen.answer.Close {
		t.Error("the connection of DescribeInstanceInformation is ended")
	}
}

// broken is a stream that is accepted, after which the context of its request is good for nothing.
type broken struct {
	api.Stream
	context.Context //nolint:containedctx // of the request
	accepted        bool
}

// Accept accepts.
func (b *broken) Accept(any, func(context.Context) error) (context.Context, error) {
	b.accepted = true
	return b.Context, nil
}

// Value panics when the stream is accepted.
func (b *broken) Value(key any) any {
	if b.accepted {
		panic("broken")
	}
	return b.Context.Value(key)
}

// TestPanicDetaches leaves no node connected whose channel has ended with a panic while it was opened.
func TestPanicDetaches(t *testing.T) {
	db, log := storetest.New(t), slog.New(slog.DiscardHandler)
	nodes := fleet.New(db, nil, nil, fleet.Config{}, log)
	b := &broken{Context: awstest.As(t, db, "123456789012", "us-east-1")}
	defer func() {
		if recover() == nil || !b.accepted {
			t.Error("there was no panic")
		}
		if nodes.Connected("mi-0123456789abcdef0") {
			t.Error("the node is connected")
		}
	}()
	_ = ssmmessages.New(nodes, nil, nil, seal.Master{}, log).OpenControlChannel(b, &vocabulary.OpenControlChannelInput{ChannelId: "mi-0123456789abcdef0"}, b)
}
