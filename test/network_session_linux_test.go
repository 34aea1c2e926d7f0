package test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/dataplane/linux/netns"
)

// client prepares our client: where from is nil it reaches the control plane as the administrator does, otherwise it is somewhere in the
// network and knows nothing but AWS's names, or the name of an endpoint if that is not "".
func (e *estate) client(from *place, endpoint string, args ...string) *exec.Cmd {
	if from == nil {
		return exec.Command(program, append(args[:1:1], append([]string{"--data", e.serve.data}, args[1:]...)...)...)
	}
	resolv := filepath.Join(e.folder, "resolv-"+from.name)
	_ = os.WriteFile(resolv, fmt.Appendf(nil, "nameserver %s\n", from.dns), 0o644) // without it nothing resolves, which the test sees
	c := exec.Command("unshare", append([]string{"--mount", "bash", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, resolv, program}, args...)...)
	c.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + e.folder, "AWS_ACCESS_KEY_ID=" + e.keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + e.keys.SecretAccessKey,
		"AWS_REGION=" + from.region, "AWS_CA_BUNDLE=" + e.serve.CA, "NO_PROXY=*", "no_proxy=*",
	}
	if endpoint != "" {
		c.Env = append(c.Env, "AWS_ENDPOINT_URL=https://"+endpoint)
	}
	return c
}

// ssh runs a command on a node by a session, and gives what it prints.
func (e *estate) ssh(t testing.TB, from *place, endpoint, node, command string) string {
	t.Helper()
	var out, complaint bytes.Buffer
	c := e.client(from, endpoint, "ssh", node, "--", command)
	c.Stdout, c.Stderr = &out, &complaint
	start := c.Start
	if from != nil {
		start = func() error {
			ns, err := from.open()
			if err != nil {
				return err
			}
			defer func() { _ = ns.Close() }() // the program stays in it
			return netns.Do(ns, c.Start)
		}
	}
	if err := start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { _ = c.Process.Kill() }) // it may have ended
	defer late.Stop()
	if err := c.Wait(); err != nil {
		t.Fatalf("vennel ssh: %v\n%s\n%s", err, out.String(), complaint.String())
	}
	return strings.TrimSpace(out.String())
}

// sessions: a session and a forwarded port need no ingress rule of the node's group.
func (s *seed) sessions(t *testing.T) {
	t.Helper()
	if got := s.ssh(t, nil, "", s.node.id, "hostname -I"); got != "10.0.1.50" {
		t.Errorf("the session was with %q", got)
	}
	s.node.must(t, "cd /tmp && echo inside > page && (setsid python3 -m http.server 7001 --bind 127.0.0.1 >/dev/null 2>&1 &)")
	x := onTerminal(t, s.client(nil, "", "forward", s.node.id, "7001"))
	local := x.expect(`Forwarding (127\.0\.0\.1:\d+)`)
	await(t, "the page over a forwarded port", func() (string, bool) {
		answer, err := http.Get("http://" + local + "/page")
		if err != nil {
			return err.Error(), false
		}
		defer func() { _ = answer.Body.Close() }() // all was read
		text, _ := io.ReadAll(answer.Body)         // what there is
		return string(text), string(text) == "inside\n"
	})
	x.say("\x03")
	x.exit(sessionPatience)
	s.node.must(t, "pkill -f 'http.server 7001'")
}

// s51: without the endpoint of ssmmessages a session is refused as one with a node that is not there; it is called by n3 while there is none.
func s51(t *testing.T, s *seed) {
	t.Helper()
	s.channel(t, s.node.id, "notconnected")
	message := s.page.refuses(t, "TargetNotConnected", "ssm", "StartSession", &ssm.StartSessionInput{Target: s.node.id}, new(ssm.StartSessionOutput))
	if !strings.Contains(message, s.node.id) {
		t.Errorf("it is said that %s", message)
	}
}

// operatorsWay: the operator is in the office, and reaches the API and the data channel through the endpoints of a VPC, by AWS's names and by
// the endpoint's own; the audit trail says so.
func operatorsWay(t *testing.T, s *seed) {
	if s.hybrid.endpoints["ssmmessages"] == "" { // s1 has made it, and the way from the office
		s.hybrid.endpoint(t, "ssmmessages", "endpoints", endpointAt("ssmmessages"), s.groups[s.hybrid])
	}
	for _, endpoint := range []string{"", s.hybrid.vpceName(t, "ssm")} {
		if got := s.ssh(t, s.office, endpoint, s.node.id, "hostname -I"); got != "10.0.1.50" {
			t.Errorf("by %q the session was with %q", endpoint, got)
		}
	}
	for operation, service := range map[string]string{"StartSession": "ssm", "OpenDataChannel": "ssmmessages"} {
		await(t, operation+" through the endpoint in the audit trail", func() (string, bool) {
			records := s.audited(t, operation)
			for _, r := range records {
				if r.VPCEndpointID == s.hybrid.endpoints[service] && r.SourceIPAddress == officeRouter {
					return "", true
				}
			}
			return fmt.Sprint(records), false
		})
	}
	s.hybrid.policy(t, s.hybrid.endpoints["ssm"], `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"},`+
		`{"Effect":"Deny","Principal":"*","Action":"ssm:StartSession","Resource":"*"}]}`)
	x := onTerminalIn(t, s.office, s.client(s.office, "", "ssh", s.node.id))
	x.expect(regexp.QuoteMeta(s.hybrid.endpoints["ssm"]))
	if status := x.exit(sessionPatience); status != 255 {
		t.Errorf("exit status %d", status)
	}
	s.hybrid.policy(t, s.hybrid.endpoints["ssm"], "")
}

// onTerminalIn starts a program on a terminal somewhere in the network.
func onTerminalIn(t testing.TB, from *place, c *exec.Cmd) (x *terminal) {
	t.Helper()
	ns, err := from.open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ns.Close() }() // the program stays in it
	if err := netns.Do(ns, func() error { x = onTerminal(t, c); return nil }); err != nil {
		t.Fatal(err)
	}
	return x
}

// peeredSession: a node in a peered VPC has its session through the endpoints of the other, whose addresses it was told by its hosts file.
func peeredSession(t *testing.T, s *seed) {
	rule := port("tcp", 443, s.near.cidr)
	s.hybrid.permit(t, s.groups[s.hybrid], rule)
	if s.hybrid.endpoints["ssmmessages"] == "" {
		s.hybrid.endpoint(t, "ssmmessages", "endpoints", endpointAt("ssmmessages"), s.groups[s.hybrid])
	}
	g := s.near.launch(t, agentImage, "nodes", "10.1.1.50", "Node", s.neighbour.groups(t)...)
	running(t, g)
	lines := ""
	for _, service := range []string{"ssm", "ssmmessages", "ec2messages"} {
		lines += fmt.Sprintf("%s %s\n", endpointAt(service), g.host(service))
	}
	g.must(t, fmt.Sprintf("printf '%s' >> /etc/hosts", strings.ReplaceAll(lines, "\n", `\n`)))
	g.must(t, "pkill -f 'agent[ ]run' || [ $? = 1 ]") // it is started again, and asks once more; or it has not begun yet
	s.channel(t, g.id, "connected")
	if got := s.ssh(t, nil, "", g.id, "hostname -I"); got != "10.1.1.50" {
		t.Errorf("the session was with %q", got)
	}
	await(t, "the data channel in the audit trail", func() (string, bool) {
		records := s.audited(t, "OpenDataChannel")
		for _, r := range records {
			if r.VPCEndpointID == s.hybrid.endpoints["ssmmessages"] && r.SourceIPAddress == "10.1.1.50" {
				return "", true
			}
		}
		return fmt.Sprint(records), false
	})
	s.hybrid.forbid(t, s.groups[s.hybrid], rule)
}
