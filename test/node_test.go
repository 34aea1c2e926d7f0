package test

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestOurAgent runs the scripts of a node's life with our own agent.
func TestOurAgent(t *testing.T) {
	need(t, "aws")
	scripts(t, "testdata/node", "vennel", nil)
}

// TestOfficialAgent runs the same scripts with the unmodified SSM Agent, which is not ours to ship:
// VENNEL_SSM_AGENT_DIR names the folder with its binaries.
func TestOfficialAgent(t *testing.T) {
	need(t, "aws")
	if os.Getenv("VENNEL_SSM_AGENT_DIR") == "" {
		t.Skip("SKIPPED: VENNEL_SSM_AGENT_DIR does not name the folder of an official agent")
	}
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: the official agent needs root")
	}
	scripts(t, "testdata/node", "official", nil)
}

// runNode makes a node live: node start|stop|kill|clear NAME. The first start registers it, with the
// activation in $ACTIVATION_CODE and $ACTIVATION_ID.
func runNode(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	n := w.nodes[args[1]]
	if n == nil {
		var err error
		if w.agent == "official" {
			n, err = newOfficial(w, args[1], ts.Getenv("ACTIVATION_CODE"), ts.Getenv("ACTIVATION_ID"))
		} else {
			n, err = newOurs(w, args[1], ts.Getenv("ACTIVATION_CODE"), ts.Getenv("ACTIVATION_ID"))
		}
		ts.Check(err)
		w.nodes[args[1]] = n
	}
	var err error
	switch args[0] {
	case "start":
		err = n.start()
	case "stop":
		err = n.stop()
	case "kill":
		err = n.kill()
	case "clear":
		n.clear()
		delete(w.nodes, args[1])
	default:
		ts.Fatalf("a node has no %s", args[0])
	}
	if (err != nil) != neg {
		ts.Fatalf("node %s %s: %v", args[0], args[1], err)
	}
}
