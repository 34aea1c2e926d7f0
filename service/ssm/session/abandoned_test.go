package session_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/internal/awstest"
)

// abandonedSessions is how many sessions TestAbandoned opens.
const abandonedSessions = 10_000

// TestAbandoned opens sessions that nobody goes on with: some agents come, some clients, mostly neither. All end by themselves, a node is given
// no more than it can have, and nothing is left in memory.
func TestAbandoned(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a while")
	}
	inFakeTime(t, func(t *testing.T) {
		w := awstest.New(t)
		client := w.Client("ssm", w.Admin)
		var nodes []*awstest.Node
		for range abandonedSessions/500 + 1 {
			nodes = append(nodes, w.Node(awstest.NodeConfig{}))
		}
		var before, during, after runtime.MemStats
		memory := func(m *runtime.MemStats) {
			runtime.GC()
			runtime.GC()
			runtime.ReadMemStats(m)
		}
		memory(&before)
		for i := range abandonedSessions {
			n := nodes[i%len(nodes)]
			out := new(ssm.StartSessionOutput)
			must(t, client.Call(t.Context(), "StartSession", &ssm.StartSessionInput{Target: n.ID}, out))
			_, err := n.Task()
			must(t, err)
			switch i % 100 {
			case 0:
				d, err := n.OpenData(*out.SessionId)
				must(t, err)
				d.Drop()
			case 1:
				d, err := w.OpenData(out)
				must(t, err)
				d.Drop()
			}
		}
		if n := w.Server().Sessions().Lives(); n != abandonedSessions {
			t.Errorf("%d sessions are live", n)
		}
		memory(&during)
		per := int(during.HeapInuse+during.StackInuse-before.HeapInuse-before.StackInuse) / abandonedSessions
		t.Logf("%d bytes of memory for each", per)
		if per > 8<<10 {
			t.Errorf("each takes %d bytes of memory", per)
		}
		for range 600 { // their nodes hear that they are over, and say nothing
			time.Sleep(100 * time.Millisecond)
			for _, n := range nodes {
				for n.Pending() != nil {
				}
			}
		}
		if n := w.Server().Sessions().Lives(); n != 0 {
			t.Errorf("%d sessions are still live", n)
		}
		memory(&after)
		t.Logf("%d KiB before, %d during, %d after", before.HeapInuse>>10, during.HeapInuse>>10, after.HeapInuse>>10)
		active := awstest.Call[ssm.DescribeSessionsOutput](w, "ssm", "DescribeSessions", &ssm.DescribeSessionsInput{State: "Active"})
		if len(active.Sessions) != 0 {
			t.Errorf("%d sessions are active", len(active.Sessions))
		}
	})
}
