package cmd

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRunnable says what user data is that is no script.
func TestRunnable(t *testing.T) {
	for text, want := range map[string]string{
		"#!/bin/sh\n": "", "#cloud-config\npackages: []\n": "it is cloud-config;", "MIME-Version: 1.0\n": "it is a MIME archive;", "echo hello\n": "it is no script;",
		"\x1f\x8b\x08": "it is compressed;", "": "it is no script;",
	} {
		got := ""
		if err := runnable(text); err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, want) || (got == "") != (want == "") {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestKeepAgent registers once and starts an agent again that has ended.
func TestKeepAgent(t *testing.T) {
	folder := t.TempDir()
	ran := filepath.Join(folder, "ran")
	agent := "#!/bin/sh\necho \"$@\" >> " + ran + "\n[ \"$1\" != -register ] || [ -e " + ran + ".well ] || { touch " + ran + ".well; exit 3; }\n"
	if err := os.WriteFile(filepath.Join(folder, "amazon-ssm-agent"), []byte(agent), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	b := &Boot{Agent: "official", Folder: folder, State: t.TempDir(), ID: "id", Code: "code", Region: "us-east-1"}
	ended := make(chan error, 1)
	var said bytes.Buffer
	go func() { ended <- b.Run(ctx, Streams{Out: &said, Err: &said}) }()
	const register = "-register -code code -id id -region us-east-1 -y\n"
	want, text := register+register+"\n\n", []byte(nil)
	for until := time.Now().Add(20 * time.Second); string(text) != want; time.Sleep(10 * time.Millisecond) {
		text, _ = os.ReadFile(ran) // not yet there at first
		if time.Now().After(until) || len(text) > len(want) {
			t.Fatalf("it ran %q, want %q", text, want)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if !strings.Contains(said.String(), "the agent has ended (exit status 3); it starts again in 1s\n") || !strings.Contains(said.String(), "(<nil>); it starts again in 2s\n") {
		t.Errorf("it said %q", said.String())
	}
}
