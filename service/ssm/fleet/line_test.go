package fleet_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/vennel/vennel/api/ec2messages"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/internal/awstest"
)

// answer is what came of a poll.
type answer struct {
	jobs []ec2messages.Message
	took time.Duration
	err  error
}

// poll asks for messages once, as an agent does while it also holds, or does not hold, its control
// channel. It returns when the server holds the poll.
func poll(w *awstest.World, n *awstest.Node) <-chan answer {
	out := make(chan answer, 1)
	go func() {
		begun := time.Now()
		got := new(ec2messages.GetMessagesOutput)
		err := w.Client("ec2messages", n.Keys()).Call(w.T.Context(), "GetMessages", &ec2messages.GetMessagesInput{
			Destination: n.ID, MessagesRequestId: uuid.NewString(), VisibilityTimeoutInSeconds: new(int64(10)),
		}, got)
		out <- answer{got.Messages, time.Since(begun), err}
	}()
	synctest.Wait()
	return out
}

// run sends a node a command, and gives the name of the job.
func run(w *awstest.World, n *awstest.Node) (job string) {
	w.T.Helper()
	sent := awstest.Call[ssm.SendCommandOutput](w, "ssm", "SendCommand", &ssm.SendCommandInput{DocumentName: "AWS-Noop", InstanceIds: []string{n.ID}})
	return "aws.ssm." + *sent.Command.CommandId + "." + n.ID
}

// inFakeTime runs a test in fake time, which does not reach PostgreSQL.
func inFakeTime(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	if awstest.RealTime() {
		t.Skip("fake time does not reach PostgreSQL")
	}
	synctest.Test(t, test)
}

// TestNeverBothLines polls beside an open control channel, as agents do in their first minute: jobs
// come by the channel alone, and by the poll as soon as the channel is gone. source: agent
func TestNeverBothLines(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		w := awstest.New(t)
		n := w.Node(awstest.NodeConfig{})
		polled := poll(w, n)
		want := run(w, n)
		if job, err := n.Next(); err != nil || job.ID != want {
			t.Fatalf("by the channel came %q, %v; want %s", job.ID, err, want)
		}
		if err := n.Ack("200"); err != nil {
			t.Fatal(err)
		}
		if got := <-polled; got.err != nil || len(got.jobs) != 0 {
			t.Errorf("the poll gave %d jobs, %v", len(got.jobs), got.err)
		}
		polled = poll(w, n)
		n.Drop()
		synctest.Wait()
		want = run(w, n)
		got := <-polled
		if got.err != nil || len(got.jobs) != 1 || got.jobs[0].MessageId != want || got.took > time.Second {
			t.Errorf("the channel is gone, and the poll gave %v after %v, %v; want %s at once", got.jobs, got.took, got.err, want)
		}
	})
}

// TestDeregisteredNodeIsHungUp ends the lines of a node that is deregistered. source: guess
func TestDeregisteredNodeIsHungUp(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		w := awstest.New(t)
		n := w.Node(awstest.NodeConfig{})
		polled := poll(w, n)
		awstest.Call[ssm.DeregisterManagedInstanceOutput](w, "ssm", "DeregisterManagedInstance", &ssm.DeregisterManagedInstanceInput{InstanceId: n.ID})
		if err := n.Ended(); err != nil {
			t.Error(err)
		}
		if got := <-polled; got.err != nil || got.took > time.Second {
			t.Errorf("the poll ended after %v, %v", got.took, got.err)
		}
	})
}

// TestRefusalsOfJobsThatWereNotSent lets a node have no room for jobs that it was never sent: they
// take no place from those that it is sent.
func TestRefusalsOfJobsThatWereNotSent(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		w := awstest.New(t)
		n := w.Node(awstest.NodeConfig{})
		for _, code := range []string{"51401", "51402"} {
			for i := range 5 { // as many as it may have
				if err := n.AckJob(awstest.Job{ID: fmt.Sprintf("aws.ssm.%s-%d.%s", code, i, n.ID)}, code); err != nil {
					t.Fatal(err)
				}
			}
		}
		begun := time.Now()
		want := run(w, n)
		if job, err := n.Next(); err != nil || job.ID != want || time.Since(begun) > time.Second {
			t.Errorf("%q came after %v, %v; want %s at once", job.ID, time.Since(begun), err, want)
		}
	})
}
