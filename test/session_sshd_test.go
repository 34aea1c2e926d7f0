//go:build unix

package test

import (
	"crypto/md5"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sshd is an OpenSSH server of the test's own.
type sshd struct {
	folder, user string
	port         int
}

// newSSHD starts a server on a port of loopback that lets in the user that runs the tests.
func newSSHD(t testing.TB) *sshd {
	t.Helper()
	path, err := exec.LookPath("sshd")
	if err != nil {
		path = "/usr/sbin/sshd"
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	who, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	d := &sshd{folder: t.TempDir(), user: who.Username, port: l.Addr().(*net.TCPAddr).Port}
	_ = l.Close() // the server takes it
	if os.Geteuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"host", "user"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", d.file(key)).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	config := fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nHostKey %s\nAuthorizedKeysFile %s\nPidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"+
		"PasswordAuthentication no\nSubsystem sftp internal-sftp\nMaxStartups 100\n", d.port, d.file("host"), d.file("user.pub"))
	if err := os.WriteFile(d.file("config"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(path, "-D", "-e", "-f", d.file("config"))
	log, err := os.Create(d.file("log"))
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill() // it has no other end
		_ = c.Wait()
		_ = log.Close()
	})
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		probe, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", d.port))
		if err == nil {
			_ = probe.Close()
			return d
		}
		if time.Since(begin) > sessionPatience {
			text, _ := os.ReadFile(d.file("log")) // what there is
			t.Fatalf("no sshd: %v\n%s", err, text)
		}
	}
}

// file is a file of the server's.
func (d *sshd) file(name string) string { return filepath.Join(d.folder, name) }

// options are those of a client that is let in.
func (d *sshd) options() []string {
	return strings.Fields(fmt.Sprintf("-F /dev/null -i %s -o Port=%d -o UserKnownHostsFile=%s -o StrictHostKeyChecking=accept-new -o BatchMode=yes -o LogLevel=ERROR",
		d.file("user"), d.port, d.file("known")))
}

// md5Of is the MD5 of a text, which every machine has a program for.
func md5Of(text string) [md5.Size]byte { return md5.Sum([]byte(text)) }
