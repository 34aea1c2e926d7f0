package test

import "testing"

// TestCommandLine runs what a keeper of a server does at the shell.
func TestCommandLine(t *testing.T) {
	need(t, "aws", "python3")
	scripts(t, "testdata/cli", "vennel", nil)
}
