// Package netnstest gives tests network namespaces, as root or, when they run as anybody else, in a user namespace.
package netnstest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vennel/vennel/dataplane/linux/netns"
)

// inside is set in the environment of the second run of a test binary, which is root in a user namespace.
const inside = "NETNSTEST_INSIDE"

// Main is for TestMain. A test binary that may not make network namespaces runs again in a user namespace in which it may.
func Main(m *testing.M) {
	if may() == nil || os.Getenv(inside) != "" {
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		os.Exit(exit.ExitCode())
	}
	if err != nil { // user namespaces are forbidden: what needs one says so
		os.Exit(m.Run())
	}
	os.Exit(0)
}

// may says why this process cannot make network namespaces.
func may() error {
	ns, err := netns.New()
	if err != nil {
		return err
	}
	return ns.Close()
}

// New gives a network namespace for the length of a test, with the loopback up. Where there are none the test is skipped;
// when the environment has REQUIRE=1 it fails.
func New(t testing.TB) *os.File {
	t.Helper()
	ns, err := netns.New()
	if err != nil {
		why := fmt.Sprintf("no network namespaces: %v", err)
		if os.Getenv("REQUIRE") == "1" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	t.Cleanup(func() {
		if err := ns.Close(); err != nil {
			t.Error(err)
		}
	})
	Run(t, ns, "ip", "link", "set", "lo", "up")
	return ns
}

// Run runs a program in a network namespace, and gives what it wrote; the test ends when it fails.
func Run(t testing.TB, ns *os.File, argv ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	out := new(output)
	cmd.Stdout, cmd.Stderr = out, out
	if err := netns.Run(ns, cmd); err != nil {
		t.Fatalf("%v: %v\n%s", argv, err, *out)
	}
	return string(*out)
}

// output is what a program has written.
type output []byte

// Write keeps everything.
func (o *output) Write(p []byte) (int, error) {
	*o = append(*o, p...)
	return len(p), nil
}
