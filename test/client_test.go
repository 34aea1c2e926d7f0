package test

import (
	"os"
	"testing"
)

// TestOurClient runs the scripts of vennel ssh, forward and cp against a node with our own agent.
func TestOurClient(t *testing.T) {
	need(t, "aws", "python3", "tar")
	scripts(t, "testdata/client", "vennel", nil)
}

// TestOurClientOfficialAgent runs them against a node with the unmodified SSM Agent.
func TestOurClientOfficialAgent(t *testing.T) {
	need(t, "aws", "python3", "tar")
	if os.Getenv("VENNEL_SSM_AGENT_DIR") == "" {
		t.Skip("SKIPPED: VENNEL_SSM_AGENT_DIR does not name the folder of an official agent")
	}
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: the official agent needs root")
	}
	scripts(t, "testdata/client", "official", nil)
}
