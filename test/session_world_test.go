//go:build unix

package test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/api/ssm"
)

// The kinds of agents and of clients.
const (
	oursKind     = "vennel"
	officialKind = "official"
)

// station is a server with a node, for sessions. The operator and the node reach the server by paths of their own.
type station struct {
	*server
	t         testing.TB
	folder    string
	agent     string // vennel or official
	node      node
	id        string // of the node
	near, far *path  // the operator's, the node's
	straight  bool   // neither uses its path
	quay      *quay
	log       func() string // what the agent has logged
}

// lacks says why there is no agent or client of a kind, or "".
func lacks(what, kind string) string {
	switch {
	case kind == oursKind:
		return ""
	case what == "agent" && os.Getenv("VENNEL_SSM_AGENT_DIR") == "":
		return "VENNEL_SSM_AGENT_DIR does not name the folder of an official agent"
	case what == "agent" && os.Geteuid() != 0:
		return "the official agent needs root"
	case what == "client" && os.Getenv("VENNEL_SESSION_PLUGIN") == "":
		return "VENNEL_SESSION_PLUGIN does not name an official session-manager-plugin"
	}
	return ""
}

// newStation starts a server and a node with an agent of a kind, and waits until a session can begin.
func newStation(t testing.TB, agent string) *station { return stationAt(t, agent, false) }

// stationAt is newStation; straight says that the node does not use its path.
func stationAt(t testing.TB, agent string, straight bool) *station {
	t.Helper()
	if why := lacks("agent", agent); why != "" {
		t.Skip("SKIPPED: " + why)
	}
	s := &station{t: t, folder: t.TempDir(), agent: agent}
	var err error
	if s.server, err = startServer(filepath.Join(s.folder, "data")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the server:\n%s", lastOf([]byte(s.logged())))
			t.Logf("the agent:\n%s", lastOf([]byte(s.log())))
		}
	})
	secure := strings.TrimPrefix(s.HTTPS, "https://")
	s.near, s.far = newPath(t, secure), newPath(t, secure)
	s.quay = newQuay(t)
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ssm.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	s.call("iam", "CreateRole", &iam.CreateRoleInput{RoleName: "NodeRole", AssumeRolePolicyDocument: trust}, nil)
	s.call("iam", "AttachRolePolicy", &iam.AttachRolePolicyInput{RoleName: "NodeRole", PolicyArn: "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"}, nil)
	activation := new(ssm.CreateActivationOutput)
	s.call("ssm", "CreateActivation", &ssm.CreateActivationInput{IamRole: "NodeRole"}, activation)
	far := *s.server // as the node sees it
	if !straight {
		far.HTTPS = "https://" + s.far.address()
	}
	w := &world{server: &far, folder: s.folder, agent: agent}
	if agent == officialKind {
		s.node, err = newOfficial(w, "node", *activation.ActivationCode, *activation.ActivationId)
		s.log = func() string {
			text, _ := os.ReadFile(filepath.Join(s.folder, ".node-node", "log", "ssm", "amazon-ssm-agent.log")) // what there is
			return string(text)
		}
	} else {
		s.node, err = newOurs(w, "node", *activation.ActivationCode, *activation.ActivationId)
		s.log = func() string {
			text, _ := os.ReadFile(filepath.Join(s.folder, ".node-node.log")) // what there is
			return string(text)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := s.node.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.node.clear)
	s.await("the node to connect", func() bool {
		out := new(ssm.DescribeInstanceInformationOutput)
		s.call("ssm", "DescribeInstanceInformation", &ssm.DescribeInstanceInformationInput{}, out)
		if len(out.InstanceInformationList) == 0 {
			return false
		}
		s.id = *out.InstanceInformationList[0].InstanceId
		return s.connected()
	})
	return s
}

// connected says whether a session can begin.
func (s *station) connected() bool {
	status := new(ssm.GetConnectionStatusOutput)
	s.call("ssm", "GetConnectionStatus", &ssm.GetConnectionStatusInput{Target: s.id}, status)
	return *status.Status == ssm.ConnectionStatusConnected
}

// ask calls an operation as the administrator.
func (s *station) ask(service, operation string, in, out any) error {
	to := &target{"vennel", strings.TrimPrefix(s.HTTP, "http://"), administrator(s.t, s.server), 0}
	return to.client(service).Call(context.Background(), operation, in, out)
}

// call is ask for what must succeed.
func (s *station) call(service, operation string, in, out any) {
	s.t.Helper()
	if err := s.ask(service, operation, in, out); err != nil {
		s.t.Fatalf("%s: %v", operation, err)
	}
}

// await waits until something holds.
func (s *station) await(what string, holds func() bool) {
	s.t.Helper()
	for begin := time.Now(); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Since(begin) > patience {
			s.t.Fatalf("waited %v for %s\n%s\n%s", patience, what, lastOf([]byte(s.logged())), lastOf([]byte(s.log())))
		}
	}
}

// sessions lists the sessions that are active, newest first.
func (s *station) sessions() []ssm.Session {
	s.t.Helper()
	out := new(ssm.DescribeSessionsOutput)
	s.call("ssm", "DescribeSessions", &ssm.DescribeSessionsInput{State: ssm.SessionStateActive}, out)
	return out.Sessions
}

// quiet waits until no session is active.
func (s *station) quiet() {
	s.t.Helper()
	s.await("all sessions to end", func() bool { return len(s.sessions()) == 0 })
}

// operator is a client of a kind at a station.
type operator struct {
	*station
	kind string
}

// operator gives a client, for a test after which no session is left.
func (s *station) operator(t testing.TB, kind string) *operator {
	at := *s
	at.t = t
	t.Cleanup(at.tidy)
	return &operator{&at, kind}
}

// tidy ends what a test has left.
func (s *station) tidy() {
	for _, left := range s.sessions() {
		s.call("ssm", "TerminateSession", &ssm.TerminateSessionInput{SessionId: *left.SessionId}, nil)
	}
	s.quiet()
}

// env is the environment of the client's programs.
func (o *operator) env() []string {
	address := o.near.address()
	if o.straight {
		address = o.near.to
	}
	return append(os.Environ(), append(o.server.env(), "AWS_ENDPOINT_URL=https://"+address, "HOME="+o.folder, "TERM=xterm-256color",
		"SSL_CERT_FILE="+o.CA, "PATH="+filepath.Dir(program)+":"+filepath.Dir(os.Getenv("VENNEL_SESSION_PLUGIN"))+":"+os.Getenv("PATH"))...)
}

// run prepares a program of the client's.
func (o *operator) run(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	if name == "vennel" {
		c = exec.Command(program, args...)
	}
	c.Env, c.Dir = o.env(), o.folder
	return c
}

// start prepares a session with a document and its parameters, by the stock CLI.
func (o *operator) start(document string, parameters map[string]string) *exec.Cmd {
	args := []string{"ssm", "start-session", "--target", o.id}
	if document != "" {
		args = append(args, "--document-name", document)
	}
	if parameters != nil {
		lists := map[string][]string{}
		for name, value := range parameters {
			lists[name] = []string{value}
		}
		text, err := json.Marshal(lists)
		if err != nil {
			o.t.Fatal(err)
		}
		args = append(args, "--parameters", string(text))
	}
	return o.run("aws", args...)
}

// shell prepares a shell.
func (o *operator) shell() *exec.Cmd {
	if o.kind == oursKind {
		return o.run("vennel", "ssh", o.id)
	}
	return o.start("", nil)
}

// interactive prepares a command on a terminal.
func (o *operator) interactive(command string) *exec.Cmd {
	if o.kind == oursKind {
		return o.run("vennel", "ssh", "-t", o.id, "--", command)
	}
	return o.start("AWS-StartInteractiveCommand", map[string]string{"command": command})
}

// command prepares a command without a terminal.
func (o *operator) command(command string) *exec.Cmd {
	if o.kind == oursKind {
		return o.run("vennel", "ssh", o.id, "--", command)
	}
	command = "sh -c '" + command + "'" // the document runs a program, not a shell
	return o.start("AWS-StartNonInteractiveCommand", map[string]string{"command": command, "separateOutputStream": "true"})
}

// forwarding is a running port session.
type forwarding struct {
	local string // address
	said  func() string
	x     *terminal
}

// end ends it as a user does.
func (f *forwarding) end() {
	f.x.t.Helper()
	f.x.say("\x03")
	f.x.exit(sessionPatience)
}

// forward starts a port session to a port, of a remote host or, if that is "", of the node, and waits until it listens.
func (o *operator) forward(host string, port int) *forwarding {
	o.t.Helper()
	parameters, document := map[string]string{"portNumber": strconv.Itoa(port)}, "AWS-StartPortForwardingSession"
	pattern, to := `Port (\d+) opened`, strconv.Itoa(port)
	if host != "" {
		document, parameters["host"], to = "AWS-StartPortForwardingSessionToRemoteHost", host, net.JoinHostPort(host, to)
	}
	c := o.start(document, parameters)
	if o.kind == oursKind {
		c, pattern = o.run("vennel", "forward", o.id, to), `Forwarding 127\.0\.0\.1:(\d+)`
	}
	x := onTerminal(o.t, c)
	return &forwarding{local: "127.0.0.1:" + x.expect(pattern), said: x.said, x: x}
}

// proxyCommand is what ssh starts to reach the node.
func (o *operator) proxyCommand() string {
	if o.kind == oursKind {
		return program + " forward %h %p --local -"
	}
	return "aws ssm start-session --target %h --document-name AWS-StartSSHSession --parameters portNumber=%p"
}

// quay is a server on the node's machine, to which ports are forwarded. The first line of a connection says what it is to do.
type quay struct {
	net.Listener
	port int
}

// newQuay opens a quay.
func newQuay(t testing.TB) *quay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	q := &quay{l, l.Addr().(*net.TCPAddr).Port}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { q.serve(c) })
		}
	})
	t.Cleanup(func() { _ = l.Close() }) // connections end with their peers
	return q
}

// serve does what a connection asks for: give N SEED, take N, zeros N, sink N, echo, or turn, which answers when all has come.
func (q *quay) serve(c net.Conn) {
	defer func() { _ = c.Close() }() // the peer has what it asked for, or is gone
	in := bufio.NewReaderSize(c, 64<<10)
	line, err := in.ReadString('\n')
	words := strings.Fields(line)
	if err != nil || len(words) == 0 {
		return
	}
	argument := func(i int) int64 { n, _ := strconv.ParseInt(words[i], 10, 64); return n } // the tests' own
	switch words[0] {
	case "give":
		_, _ = io.Copy(c, noise(argument(1), argument(2)))
	case "zeros":
		_, _ = io.CopyBuffer(struct{ io.Writer }{c}, io.LimitReader(zeros{}, argument(1)), make([]byte, 256<<10))
	case "sink":
		if _, err := io.CopyN(io.Discard, in, argument(1)); err == nil {
			_, _ = c.Write([]byte{1})
		}
	case "take":
		sum := sha256.New()
		if _, err := io.CopyN(sum, in, argument(1)); err == nil {
			_, _ = fmt.Fprintln(c, hex.EncodeToString(sum.Sum(nil)))
		}
	case "echo":
		_, _ = io.Copy(c, in)
	case "turn":
		n, err := io.Copy(io.Discard, in)
		_, _ = fmt.Fprintln(c, n, err)
	}
}

// zeros is bytes that cost nothing.
type zeros struct{}

// Read gives zeros.
func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// noise is so many bytes that cannot be guessed, the same for the same seed.
func noise(n, seed int64) io.Reader {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	return io.LimitReader(rand.NewChaCha8(key), n)
}

// digest is the SHA-256 of all that a reader gives, in hexadecimal, and how much it was.
func digest(r io.Reader) (string, int64, error) {
	sum := sha256.New()
	n, err := io.Copy(sum, r)
	return hex.EncodeToString(sum.Sum(nil)), n, err
}

// download takes bytes of the quay through a forwarded port, and says what is wrong with them.
func download(local string, n, seed int64) error {
	c, err := net.Dial("tcp", local)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // all was read
	if _, err := fmt.Fprintf(c, "give %d %d\n", n, seed); err != nil {
		return err
	}
	got, count, err := digest(c)
	want, _, _ := digest(noise(n, seed)) // which cannot fail
	if err != nil || got != want {
		return fmt.Errorf("%d of %d bytes came, digest %s, want %s: %w", count, n, got, want, err)
	}
	return nil
}

// upload gives bytes to the quay through a forwarded port, and says what is wrong with what arrived.
func upload(local string, n, seed int64) error {
	c, err := net.Dial("tcp", local)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // all was read
	if _, err := fmt.Fprintf(c, "take %d\n", n); err != nil {
		return err
	}
	if _, err := io.Copy(c, noise(n, seed)); err != nil {
		return err
	}
	got, err := bufio.NewReader(c).ReadString('\n')
	want, _, _ := digest(noise(n, seed)) // which cannot fail
	if err != nil || strings.TrimSpace(got) != want {
		return fmt.Errorf("digest %q, want %s: %w", got, want, err)
	}
	return nil
}
