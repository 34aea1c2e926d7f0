//go:build unix

package plugin

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/agent/platform"
)

// newStep makes a step with folders of its own.
func newStep(t *testing.T, inputs map[string]any) *Step {
	t.Helper()
	work := t.TempDir()
	s := &Step{
		Command: "11111111-2222-3333-4444-555555555555", Inputs: inputs, Dir: filepath.Join(work, "0.step"), Downloads: filepath.Join(work, "downloads"),
		Node: Node{InstanceID: "mi-1", Region: "home-lab-1", Platform: platform.Facts{Name: "Testix", Version: "7"}, Credentials: "/state/credentials"},
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	open(t, s)
	return s
}

// open opens a step's streams, as after a reboot.
func open(t *testing.T, s *Step) {
	t.Helper()
	for name, at := range map[string]**Stream{"stdout": &s.Stdout, "stderr": &s.Stderr} {
		stream, err := OpenStream(filepath.Join(s.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = stream.Close() })
		*at = stream
	}
}

// streams reads what a step wrote.
func streams(t *testing.T, s *Step) (stdout, stderr string) {
	t.Helper()
	var err error
	if stdout, err = s.Stdout.Head(1 << 20); err != nil {
		t.Fatal(err)
	}
	if stderr, err = s.Stderr.Head(1 << 20); err != nil {
		t.Fatal(err)
	}
	return stdout, stderr
}

// TestRunShellScript runs scripts and looks at how they end. source: agent, but for the code 137,
// which the official agent takes for a time-out of its own
func TestRunShellScript(t *testing.T) {
	for _, tt := range []struct {
		name           string
		inputs         map[string]any
		want           Result
		stdout, stderr string
	}{
		{"lines", map[string]any{"runCommand": []any{"echo a", "echo b >&2"}}, Result{Success, 0}, "a\n", "b\n"},
		{"one text", map[string]any{"runCommand": "echo a\necho b"}, Result{Success, 0}, "a\nb\n", ""},
		{"lines that are no text", map[string]any{"runCommand": []any{":", true, 5.0}}, Result{Failed, 127}, "", "not found"},
		{"an interpreter of its own", map[string]any{"runCommand": []any{"#!/usr/bin/env cat", "x"}}, Result{Success, 0}, "#!/usr/bin/env cat\nx\n", ""},
		{"a failure", map[string]any{"runCommand": []any{"echo why >&2", "exit 3"}}, Result{Failed, 3}, "", "why\nfailed to run commands: exit status 3"},
		{"a failure without newline", map[string]any{"runCommand": []any{"printf why >&2; exit 3"}}, Result{Failed, 3}, "", "whyfailed to run commands: exit status 3"},
		{"a kill from outside", map[string]any{"runCommand": []any{"kill -9 $$"}}, Result{Failed, 137}, "", "failed to run commands: exit status 137"},
		{"the code of a kill", map[string]any{"runCommand": []any{"exit 137"}}, Result{Failed, 137}, "", "exit status 137"},
		{"a reboot", map[string]any{"runCommand": []any{"exit 194"}}, Result{SuccessAndReboot, 194}, "", ""},
		{"output from the background", map[string]any{"runCommand": []any{"(sleep 0.2; echo late) &", "echo soon"}}, Result{Success, 0}, "soon\nlate\n", ""},
		{"no input waits", map[string]any{"runCommand": []any{"cat; read x || echo none"}}, Result{Success, 0}, "none\n", ""},
		{"an empty script", map[string]any{"runCommand": []any{}}, Result{Success, 0}, "", ""},
		{"no script", map[string]any{}, Result{Failed, 1}, "", "runCommand must be given"},
		{"a script that is an object", map[string]any{"runCommand": map[string]any{}}, Result{Failed, 1}, "", "runCommand must be a list of lines"},
		{"a folder that does not exist", map[string]any{"runCommand": []any{"pwd"}, "workingDirectory": "/no/such/folder"}, Result{Failed, 1}, "", "the working directory /no/such/folder does not exist"},
		{"the environment", map[string]any{
			"runCommand":  []any{`echo "$A $B $SSM_COMMAND_ID $AWS_SSM_INSTANCE_ID $AWS_SSM_REGION_NAME $AWS_SSM_PLATFORM_NAME $AWS_SSM_PLATFORM_VERSION $AWS_SHARED_CREDENTIALS_FILE"`},
			"environment": map[string]any{"A": "a b", "B": 5.0, "AWS_SSM_INSTANCE_ID": "forged"},
		}, Result{Success, 0}, "a b 5 11111111-2222-3333-4444-555555555555 mi-1 home-lab-1 Testix 7 /state/credentials\n", ""},
		{"an environment that is a list", map[string]any{"runCommand": []any{":"}, "environment": []any{}}, Result{Failed, 1}, "", "malformed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStep(t, tt.inputs)
			if got := runShellScript(t.Context(), s); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			stdout, stderr := streams(t, s)
			if diff := cmp.Diff(tt.stdout, stdout); diff != "" {
				t.Error(diff)
			}
			if !strings.Contains(stderr, tt.stderr) || tt.stderr == "" && stderr != "" {
				t.Errorf("stderr %q, want %q", stderr, tt.stderr)
			}
		})
	}
}

// TestScriptFile checks the file's mode and that a second run adds to the streams.
func TestScriptFile(t *testing.T) {
	s := newStep(t, map[string]any{"runCommand": []any{"echo x"}})
	if err := os.WriteFile(filepath.Join(s.Dir, "_script.sh"), []byte("old"), 0o666); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		runShellScript(t.Context(), s)
		open(t, s)
	}
	info, err := os.Stat(filepath.Join(s.Dir, "_script.sh"))
	if err != nil || info.Mode() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if stdout, _ := streams(t, s); stdout != "x\nx\n" {
		t.Errorf("got %q", stdout)
	}
}

// TestWorkingDirectory starts scripts in the downloads when there are some.
func TestWorkingDirectory(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	tmp, err := filepath.EvalSymlinks(os.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		given     string
		downloads bool
		want      func(*Step) string
	}{
		{"", false, func(*Step) string { return here }},
		{"", true, func(s *Step) string { return s.Downloads }},
		{"sub", false, func(*Step) string { return here }},
		{"sub", true, func(s *Step) string { return filepath.Join(s.Downloads, "sub") }},
		{"none", true, func(*Step) string { return here }},
		{tmp, true, func(*Step) string { return tmp }},
	} {
		s := newStep(t, map[string]any{"runCommand": []any{"pwd -P"}, "workingDirectory": tt.given})
		if tt.downloads {
			if err := os.MkdirAll(filepath.Join(s.Downloads, "sub"), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		runShellScript(t.Context(), s)
		if got, _ := streams(t, s); got != tt.want(s)+"\n" {
			t.Errorf("%q with downloads %v: got %q, want %q", tt.given, tt.downloads, got, tt.want(s))
		}
	}
}

// TestTimeout reads timeoutSeconds in all its spellings. source: agent
func TestTimeout(t *testing.T) {
	for text, want := range map[string]int{
		"": 3600, "x": 3600, "4": 3600, "5": 5, "5.9": 5, " 60 ": 60, "172800": 172800, "172801": 3600, "-1": 3600, "NaN": 3600, "1e3": 1000,
	} {
		if got := timeout(text); got != time.Duration(want)*time.Second {
			t.Errorf("timeout(%q) = %v, want %ds", text, got, want)
		}
	}
}

// TestStopKillsTheGroup ends the context for each cause: the script and what it started must be
// gone, and what was written before must be kept.
func TestStopKillsTheGroup(t *testing.T) {
	for _, tt := range []struct {
		cause error
		want  Status
	}{{ErrCancelled, Cancelled}, {ErrShutdown, Failed}, {context.DeadlineExceeded, TimedOut}} {
		t.Run(string(tt.want), func(t *testing.T) {
			s := newStep(t, map[string]any{"runCommand": []any{"sleep 1000 & echo $!", "echo $$", "sleep 1000"}})
			ctx, stop := context.WithCancelCause(t.Context())
			go func() {
				for {
					if out, _ := s.Stdout.Head(100); strings.Count(out, "\n") == 2 || ctx.Err() != nil {
						stop(tt.cause)
						return
					}
				}
			}()
			if got := runShellScript(ctx, s); got != (Result{tt.want, 137}) {
				t.Errorf("got %v", got)
			}
			stdout, stderr := streams(t, s)
			if stderr != "" {
				t.Errorf("stderr %q", stderr)
			}
			for pid := range strings.FieldsSeq(stdout) {
				n, err := strconv.Atoi(pid)
				if err != nil {
					t.Fatal(err)
				}
				waitGone(t, n)
			}
		})
	}
}

// waitGone waits for the end of a process. A process that nobody has waited for is as good as gone.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			return
		}
		if stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); err == nil && strings.Contains(string(stat), ") Z ") {
			return
		}
	}
	t.Errorf("process %d lives", pid)
}

// TestStopDoesNotWaitForOutsiders has a process outside of the group hold the output: the step must
// end all the same.
func TestStopDoesNotWaitForOutsiders(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip("no setsid")
	}
	s := newStep(t, map[string]any{"runCommand": []any{"setsid sleep 30 & echo $!", "sleep 1000"}})
	ctx, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer stop()
	begin := time.Now()
	if got := runShellScript(ctx, s); got != (Result{TimedOut, 137}) {
		t.Errorf("got %v", got)
	}
	if took := time.Since(begin); took > lastWords+5*time.Second {
		t.Errorf("took %v", took)
	}
	stdout, _ := streams(t, s)
	if pid, err := strconv.Atoi(strings.TrimSpace(stdout)); err == nil {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
}

// TestStreamIsBounded writes more than is kept: the script must not notice, and the file must not
// grow.
func TestStreamIsBounded(t *testing.T) {
	s := newStep(t, map[string]any{"runCommand": []any{"head -c 20000000 /dev/zero", "echo done >&2"}})
	if got := runShellScript(t.Context(), s); got.Status != Success {
		t.Errorf("got %v", got)
	}
	info, err := os.Stat(filepath.Join(s.Dir, "stdout"))
	if err != nil || info.Size() != mostStream {
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
	if _, stderr := streams(t, s); stderr != "done\n" {
		t.Errorf("stderr %q", stderr)
	}
}

// TestRunPowerShellScript runs a script where there is PowerShell, and says so where there is none.
func TestRunPowerShellScript(t *testing.T) {
	s := newStep(t, map[string]any{"runCommand": []any{"Write-Output a"}})
	got := runPowerShellScript(t.Context(), s)
	stdout, stderr := streams(t, s)
	if powerShell() == nil {
		if got != (Result{Failed, 1}) || !strings.Contains(stderr, "PowerShell is not installed") {
			t.Errorf("%v %q", got, stderr)
		}
	} else if got.Status != Success || stdout != "a\n" {
		t.Errorf("%v %q %q", got, stdout, stderr)
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "pwsh"), []byte("#!/bin/sh\ncat \"$2\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder+":"+os.Getenv("PATH"))
	s = newStep(t, map[string]any{"runCommand": []any{"Write-Output a"}})
	if got := runPowerShellScript(t.Context(), s); got.Status != Success {
		t.Errorf("%v", got)
	}
	if stdout, _ := streams(t, s); stdout != "\ufeffWrite-Output a\n" {
		t.Errorf("%q", stdout)
	}
}

// TestFind knows what is built, and for which platform.
func TestFind(t *testing.T) {
	for name, want := range map[string]bool{
		"aws:runShellScript": true, "aws:runPowerShellScript": true, "aws:downloadContent": true,
		"aws:updateSsmAgent": true, "aws:configurePackage": false, "aws:psModule": false, "aws:makeCoffee": false, "": false,
	} {
		if got := Find(name) != nil; got != want {
			t.Errorf("Find(%q): %v", name, got)
		}
	}
}
