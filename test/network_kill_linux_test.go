package test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vennel/vennel/api/ec2"
)

// talk is a connection that was established before all that happens, and goes on.
type talk struct {
	conn  net.Conn
	lines *bufio.Reader
	said  int
}

// talkTo opens one; the other side says where it comes from, and then the same again.
func talkTo(t *testing.T, from *guest, to string) *talk {
	t.Helper()
	c, err := from.dial("tcp", to, patience/6)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	k := &talk{conn: c, lines: bufio.NewReader(c)}
	if line, err := k.lines.ReadString('\n'); err != nil || !strings.HasPrefix(line, from.address.String()+":") {
		t.Fatalf("greeted with %q, %v", line, err)
	}
	return k
}

// lives sees that the other side still answers.
func (k *talk) lives(t *testing.T, when string) {
	t.Helper()
	k.said++
	_ = k.conn.SetDeadline(time.Now().Add(patience / 6))
	_, err := fmt.Fprintln(k.conn, k.said)
	line := ""
	if err == nil {
		line, err = k.lines.ReadString('\n')
	}
	if err != nil || strings.TrimSpace(line) != fmt.Sprint(k.said) {
		t.Fatalf("%s the connection is dead: %q, %v", when, line, err)
	}
}

// kernel is what the kernel has of an estate's networks, as text: links, addresses, rules, routes, neighbours and packet filters.
func (e *estate) kernel(t *testing.T) string {
	t.Helper()
	names, err := filepath.Glob("/run/netns/" + e.prefix + "*")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, path := range names {
		name := filepath.Base(path)
		for _, args := range [][]string{
			{"ip", "-n", name, "-o", "-4", "address"}, {"ip", "-n", name, "rule"}, {"ip", "-n", name, "route", "show", "table", "all"},
			{"ip", "-n", name, "neighbour", "show", "nud", "permanent"}, {"ip", "netns", "exec", name, "nft", "-t", "list", "ruleset"},
		} {
			out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %v: %s", args, err, out)
			}
			lines := strings.Split(string(out), "\n")
			slices.Sort(lines) // what was made first is no difference; the name of a chain is a digest of all rules in their order
			fmt.Fprintf(&all, "%v\n%s", args, strings.Join(lines, "\n"))
		}
	}
	return all.String()
}

// The rounds of the test, and of one that is to find what is rare. That one waits between rounds until the agent takes its control
// channel for a good one, because its pauses grow as long as none is.
const (
	networkRounds = 3
	soakRounds    = 40
	soakPause     = 11 * time.Second
)

// TestKillNetwork kills the daemon and the control plane at any moment, while the network is being changed. Connections that the kernel
// carries go on, and one start of each brings everything to what was acknowledged. VENNEL_SOAK=1 has it go on for long.
func TestKillNetwork(t *testing.T) {
	privileged(t)
	rounds := networkRounds
	if os.Getenv("VENNEL_SOAK") == "1" {
		rounds = soakRounds
	}
	e := newEstate(t)
	e.role(t, "Node", nodeActions...)
	home := e.in("us-east-1")
	v := home.newVPC(t, "10.0.0.0/16")
	v.subnet(t, "nodes", "10.0.1.0/24", "a")
	group := v.group(t, "endpoints", port("tcp", 443, v.cidr))
	for i, service := range []string{"ssm", "ssmmessages"} {
		v.endpoint(t, service, "nodes", fmt.Sprintf("10.0.1.%d", 10+i), group)
	}
	inside := v.group(t, "inside", port("tcp", 7000, v.cidr))
	node := v.launch(t, agentImage, "nodes", "10.0.1.50", "Node", inside)
	a := v.launch(t, bareImage, "nodes", "10.0.1.60", "Node", inside)
	b := v.launch(t, bareImage, "nodes", "10.0.1.61", "Node", inside)
	running(t, node, a, b)
	a.borrow(t)
	b.listen(t, 7000)
	b.listen(t, 8000)
	home.online(t, node.id)
	k := talkTo(t, a, "10.0.1.61:7000")
	rule := port("tcp", 8000, v.cidr)
	allowed := false
	for round := range rounds {
		if rounds == soakRounds {
			time.Sleep(soakPause)
		}
		what := []string{"host", "control plane", "both"}[round%3]
		before := e.kernel(t)
		changed := make(chan bool, 1)
		flips := round%2 == 0 // every other round nothing changes, and then nothing may differ
		go func() {           // waited for below
			if !flips {
				changed <- allowed
				return
			}
			now, operation := allowed, "AuthorizeSecurityGroupIngress"
			for i := range 1000 {
				if now {
					operation = "RevokeSecurityGroupIngress"
				} else {
					operation = "AuthorizeSecurityGroupIngress"
				}
				if home.call(t.Context(), "ec2", operation, ruleInput(operation, inside, rule), nil) != nil && i > 0 {
					break // it was killed; whether this one was done is seen later
				}
				now = !now
				if i > 20 && what == "host" {
					break
				}
			}
			changed <- now
		}()
		time.Sleep(rand.N(300 * time.Millisecond)) // the moment is to be any
		if what != "control plane" {
			e.killHost()
		}
		if what != "host" {
			e.serve.kill()
		}
		<-changed
		k.lives(t, "without the "+what)
		if what != "control plane" {
			if err := e.startHost(); err != nil {
				t.Fatal(err)
			}
		}
		if what != "host" {
			if err := e.serve.restart(); err != nil {
				t.Fatal(err)
			}
		}
		k.lives(t, "after a start of the "+what)
		allowed = e.allows(t, home, inside, 8000)
		want := silent
		if allowed {
			want = reached
		}
		a.reaches(t, "10.0.1.61:8000", want)
		a.lists(t, reached)
		home.online(t, node.id)
		home.runs(t, fmt.Sprintf("echo round %d", round), fmt.Sprintf("round %d", round), node.id)
		k.lives(t, "at the end")
		if !flips {
			await(t, "the kernel to be as before", func() (string, bool) {
				after := e.kernel(t)
				return difference(before, after), after == before
			})
		}
		names, err := filepath.Glob("/run/netns/" + e.prefix + "*")
		if err != nil || len(names) != 3 { // the VPC, the office, the internet's side
			t.Errorf("the network namespaces are %v, %v", names, err)
		}
	}
}

// ruleInput is the input of an operation on a rule of a group.
func ruleInput(operation, group string, rule ec2.IpPermission) any {
	if operation == "RevokeSecurityGroupIngress" {
		return &ec2.RevokeSecurityGroupIngressInput{GroupId: &group, IpPermissions: []ec2.IpPermission{rule}}
	}
	return &ec2.AuthorizeSecurityGroupIngressInput{GroupId: &group, IpPermissions: []ec2.IpPermission{rule}}
}

// allows says whether a group lets a port in, as the API has it.
func (e *estate) allows(t *testing.T, a *area, group string, number int64) bool {
	t.Helper()
	out := do[ec2.DescribeSecurityGroupsOutput](t, a, "ec2", "DescribeSecurityGroups", &ec2.DescribeSecurityGroupsInput{GroupIds: []string{group}})
	for _, p := range out.SecurityGroups[0].IpPermissions {
		if p.FromPort != nil && *p.FromPort == number {
			return true
		}
	}
	return false
}

// difference is the first lines in which two texts differ.
func difference(before, after string) string {
	was, is := strings.Split(before, "\n"), strings.Split(after, "\n")
	for i := range min(len(was), len(is)) {
		if was[i] != is[i] {
			return fmt.Sprintf("line %d was %q and is %q", i, was[i], is[i])
		}
	}
	return fmt.Sprintf("there were %d lines and are %d", len(was), len(is))
}
