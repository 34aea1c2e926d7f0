package test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/vennel/vennel/cmd"
)

// TestLabHostKilled kills the host daemon of a lab. The lab says so and ends, since nothing that it is asked would be done any more. The next one
// with the same folder goes on with the same nodes, and leaves nothing.
func TestLabHostKilled(t *testing.T) {
	t.Parallel()
	privileged(t)
	folder, err := os.MkdirTemp("", "vn-*") // short, for the sockets in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) }) // the test has said what matters
	first, told := startLab(t, folder)
	killed := 0
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", first.Process.Pid)) // each thread has its own
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		children, err := os.ReadFile(list)
		if err != nil {
			continue // a thread that has ended
		}
		for child := range strings.FieldsSeq(string(children)) {
			pid, err := strconv.Atoi(child)
			if err != nil {
				t.Fatal(err)
			}
			line, err := os.ReadFile(filepath.Join("/proc", child, "cmdline"))
			if err == nil && slices.Contains(strings.Split(string(line), "\x00"), "host") {
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				killed++
			}
		}
	}
	if killed != 1 {
		t.Fatalf("the lab has %d host daemons", killed)
	}
	err = first.Wait()
	said := first.Stderr.(*bytes.Buffer).String()
	if err == nil || !strings.Contains(said, "host daemon has ended (signal: killed)") {
		t.Fatalf("a lab without its host ended with %v: %s", err, said)
	}
	second, again := startLab(t, folder)
	if !slices.Equal(told.Nodes, again.Nodes) {
		t.Errorf("the nodes were %q and are %q", told.Nodes, again.Nodes)
	}
	if err := second.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := second.Wait(); err != nil {
		t.Errorf("%v: %s", err, second.Stderr)
	}
	left, err := os.ReadDir(filepath.Join(folder, "host", "machines"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, entry := range left {
		t.Errorf("%s is left", entry.Name())
	}
}

// startLab starts a lab with a private network and waits until its nodes are online.
func startLab(t *testing.T, folder string) (*exec.Cmd, cmd.Ready) {
	t.Helper()
	lab := exec.Command(program, "lab", "--data", folder, "--http", "127.0.0.1:0", "--https", "127.0.0.1:0")
	lab.Stderr = new(bytes.Buffer)
	out, err := lab.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := lab.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if lab.ProcessState == nil {
			_ = lab.Process.Signal(syscall.SIGINT) // the host ends with it
			_ = lab.Wait()
		}
	})
	var ready cmd.Ready
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &ready)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, lab.Stderr)
	}
	return lab, ready
}
