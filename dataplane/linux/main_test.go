package linux_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/vennel/vennel/dataplane/linux/machine"
	"github.com/vennel/vennel/dataplane/linux/netns"
	"github.com/vennel/vennel/dataplane/linux/netns/netnstest"
)

// rootless is set for the test binary that runs as root of a user namespace with one user.
const rootless = "VENNEL_TEST_ROOTLESS"

// helper names what the test binary does instead of testing, when a test has started it.
const helper = "VENNEL_TEST_HELPER"

// TestMain is a machine's first process, a helper of a test, or the tests.
func TestMain(m *testing.M) {
	machine.Init()
	switch os.Getenv(helper) {
	case "set":
		setForever()
	}
	// Tests wait more than they work.
	if err := flag.Set("test.parallel", "10"); err != nil {
		panic(err)
	}
	netnstest.Main(m)
}

// need skips, aloud, what cannot be tested without network namespaces. With REQUIRE=1 it fails.
func need(t testing.TB) {
	t.Helper()
	ns, err := netns.New()
	if err == nil {
		if err := ns.Close(); err != nil {
			t.Fatal(err)
		}
		return
	}
	why := fmt.Sprintf("no network namespaces here: %v", err)
	if os.Getenv("REQUIRE") == "1" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// prefixes counts the prefixes given out.
var prefixes atomic.Int64

// newPrefix is one that no other test has.
func newPrefix() string {
	return "t" + strconv.FormatInt(int64(os.Getpid()), 36) + "x" + strconv.FormatInt(prefixes.Add(1), 36) + "-"
}

// TestRootless runs the conformance suite as root of a user namespace that has one user, as `unshare -U -r -m -n` makes it.
func TestRootless(t *testing.T) {
	if os.Getenv(rootless) != "" {
		t.Skip("it is running")
	}
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^(TestConformance|TestAdopt|TestDrift)$", "-test.v=true")
	cmd.Env = append(os.Environ(), rootless+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"TestConformance", "TestAdopt", "TestDrift"} {
		if !bytes.Contains(out, []byte("--- PASS: "+name+" ")) {
			t.Errorf("%s has not passed:\n%s", name, out)
		}
	}
}
