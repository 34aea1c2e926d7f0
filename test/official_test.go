package test

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// official is a node that runs the unmodified SSM Agent, in mount and process namespaces of its own:
// its paths are fixed, and everything of it ends with its first process.
type official struct {
	w        *world
	folder   string // binaries, configuration, state
	code, id string
	cmd      *exec.Cmd
}

// officialLife is what happens inside the namespaces. The folders that the agent writes are the
// node's own, and so are the users that it makes for sessions; the reboot that it may order is harmless.
const officialLife = `
set -e
mkdir -p /var/lib/amazon /var/log/amazon
mount -t tmpfs none "$NODE/over"
for each in etc home; do
	mkdir -p "$NODE/over/$each" "$NODE/over/$each.work"
	mount -t overlay none -o "lowerdir=/$each,upperdir=$NODE/over/$each,workdir=$NODE/over/$each.work" "/$each"
done
mount --bind "$NODE/lib" /var/lib/amazon
mount --bind "$NODE/log" /var/log/amazon
mount --bind "$NODE/hosts" /etc/hosts
if [ -e /sbin/shutdown ]; then mount --bind /bin/true /sbin/shutdown; fi
run() { env -i PATH="$PATH" HOME="$NODE/home" SSL_CERT_FILE="$CA" "$@"; }
if [ -n "$CODE" ]; then
	run "$NODE/bin/amazon-ssm-agent" -register -code "$CODE" -id "$ID" -region "$REGION" -y
	exit
fi
trap 'kill -TERM $child' TERM
run "$NODE/bin/amazon-ssm-agent" &
child=$!
wait $child || wait $child || true
`

// newOfficial prepares a node.
func newOfficial(w *world, name, code, id string) (node, error) {
	n := &official{w: w, folder: filepath.Join(w.folder, ".node-"+name), code: code, id: id}
	for _, sub := range []string{"bin/configuration", "lib", "log", "home", "over"} {
		if err := os.MkdirAll(filepath.Join(n.folder, sub), 0o755); err != nil {
			return nil, err
		}
	}
	binaries, err := filepath.Glob(filepath.Join(os.Getenv("VENNEL_SSM_AGENT_DIR"), "*"))
	if err != nil || len(binaries) == 0 {
		return nil, fmt.Errorf("no agent in VENNEL_SSM_AGENT_DIR: %w", err)
	}
	for _, from := range binaries {
		if info, err := os.Stat(from); err != nil || !info.Mode().IsRegular() {
			continue
		}
		to := filepath.Join(n.folder, "bin", filepath.Base(from))
		if os.Link(from, to) == nil {
			continue
		}
		content, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, content, 0o755)
		}
		if err != nil {
			return nil, err
		}
	}
	secure, err := url.Parse(w.HTTPS)
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(secure.Host)
	if err != nil {
		return nil, err
	}
	hosts := "127.0.0.1 localhost\n"
	for _, service := range []string{"ssm", "ssmmessages", "ec2messages", "s3", "logs", "kms", "sts"} {
		hosts += fmt.Sprintf("127.0.0.1 %s.%s.vennel.test\n", service, w.Region)
	}
	for file, text := range map[string]string{
		"hosts": hosts,
		"bin/configuration/amazon-ssm-agent.json": fmt.Sprintf(`{"Agent":{"ServiceDomain":"vennel.test:%s"}}`, port),
	} {
		if err := os.WriteFile(filepath.Join(n.folder, file), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// life runs officialLife; with a code it registers and ends.
func (n *official) life(code string) *exec.Cmd {
	c := exec.Command("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL", "bash", "-c", officialLife)
	c.Env = []string{
		"PATH=" + os.Getenv("PATH"), "NODE=" + n.folder, "CA=" + n.w.CA, "REGION=" + n.w.Region, "CODE=" + code, "ID=" + n.id,
	}
	return c
}

// start registers the node the first time, and runs it.
func (n *official) start() error {
	if n.code != "" {
		if out, err := n.life(n.code).CombinedOutput(); err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		n.code = ""
	}
	n.cmd = n.life("")
	log, err := os.OpenFile(filepath.Join(n.folder, "console.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the agent writes to its own
	n.cmd.Stdout, n.cmd.Stderr = log, log
	return n.cmd.Start()
}

// stop tells the agent to stop; it takes some seconds.
func (n *official) stop() error {
	if n.cmd == nil {
		return nil
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", n.cmd.Process.Pid, n.cmd.Process.Pid))
	if err != nil {
		return err
	}
	var inner int
	if _, err := fmt.Sscan(strings.TrimSpace(string(children)), &inner); err != nil {
		return err
	}
	if err := syscall.Kill(inner, syscall.SIGTERM); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { _ = n.cmd.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		_ = n.cmd.Process.Kill()
		<-ended
	}
	n.cmd = nil
	return nil
}

// kill ends everything of the node at once.
func (n *official) kill() error {
	if n.cmd == nil {
		return errors.New("it does not run")
	}
	err := n.cmd.Process.Kill()
	_ = n.cmd.Wait()
	n.cmd = nil
	return err
}

// clear stops the node.
func (n *official) clear() {
	if n.cmd != nil {
		_ = n.kill()
	}
}
