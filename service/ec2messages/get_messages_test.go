package ec2messages_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2messages"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/internal/awstest"
	"github.com/vennel/vennel/service/iam"
)

// ask is a node's request for messages.
func ask(n *awstest.Node) *ec2messages.GetMessagesInput {
	return &ec2messages.GetMessagesInput{Destination: n.ID, MessagesRequestId: uuid.NewString(), VisibilityTimeoutInSeconds: new(int64(10))}
}

// TestGetMessagesEmpty holds a poll that gets nothing until shortly before agents give it up, which
// is after 20 seconds. source: agent
func TestGetMessagesEmpty(t *testing.T) {
	if awstest.RealTime() {
		t.Skip("fake time does not reach PostgreSQL")
	}
	synctest.Test(t, func(t *testing.T) {
		w := awstest.New(t)
		n := w.Register(awstest.NodeConfig{})
		begun := time.Now()
		out := new(ec2messages.GetMessagesOutput)
		err := w.Client("ec2messages", n.Keys()).Call(t.Context(), "GetMessages", ask(n), out)
		if took := time.Since(begun); err != nil || len(out.Messages) != 0 || took < 15*time.Second || took > 19*time.Second {
			t.Errorf("an empty poll took %v and gave %v, %v", took, out.Messages, err)
		}
	})
}

// TestGetMessagesDestination tells a node that it is not registered only when that is so: an agent
// takes other failures for what they are, and tries again. source: guess
func TestGetMessagesDestination(t *testing.T) {
	w := awstest.New(t)
	n := w.Register(awstest.NodeConfig{})
	servers := map[string]any{}
	for _, s := range w.Services() {
		servers[s.Name] = s.Server
	}
	_, principal, err := servers["iam"].(*iam.IAM).Lookup(t.Context(), n.Keys().ID, n.Keys().Token)
	if err != nil {
		t.Fatal(err)
	}
	call := &api.Call{Time: time.Now(), Region: awstest.Region, Account: awstest.Account, Principal: principal}
	ctx, cancel := context.WithCancel(api.WithCall(t.Context(), call))
	cancel()
	_, err = servers["ec2messages"].(ec2messages.Server).GetMessages(ctx, ask(n))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a poll that was given up: %v", err)
	}
	awstest.Call[ssm.DeregisterManagedInstanceOutput](w, "ssm", "DeregisterManagedInstance", &ssm.DeregisterManagedInstanceInput{InstanceId: n.ID})
	err = w.Client("ec2messages", n.Keys()).Call(t.Context(), "GetMessages", ask(n), &ec2messages.GetMessagesOutput{})
	if awstest.Code(err) != "InvalidDestinationException" {
		t.Errorf("the poll of a node that is not registered: %v", err)
	}
}
