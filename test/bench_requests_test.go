package test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/cmd"
	"github.com/vennel/vennel/wire"
	"github.com/vennel/vennel/wire/sigv4"
)

// target is a server under load.
type target struct {
	name    string
	address string // host:port
	keys    sigv4.Credentials
	process process
}

// documents is how many different documents are asked for.
const documents = 100

// Each repetition of a load, and what of it is not counted.
const (
	loadTime = 3 * time.Second
	loadWarm = 500 * time.Millisecond
	loadReps = 5
)

// requests compares the signed request path with that of moto.
func (b *bench) requests(t *testing.T) {
	need(t, "moto_server")
	s, err := startServer(t.TempDir() + "/data")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	ours := &target{"vennel", strings.TrimPrefix(s.HTTP, "http://"), administrator(t, s), process(s.cmd.Process.Pid)}
	theirs := startMoto(t)
	for _, to := range []*target{ours, theirs} {
		to.makeDocuments(t)
	}
	for _, load := range []struct {
		name string
		make func(t *testing.T, to *target) [][]byte
	}{
		{"ssm GetDocument", getDocuments},
		{"sts GetCallerIdentity", getCallerIdentity},
	} {
		for _, connections := range []int{1, 8, 32} {
			b.compare(t, load.name, connections, ours, theirs, load.make)
		}
	}
}

// compare measures one load on both servers in turn.
func (b *bench) compare(t *testing.T, name string, connections int, ours, theirs *target, requests func(*testing.T, *target) [][]byte) {
	pairs, foreign := repeat(loadReps, func() ([2]loaded, float64) {
		a := ours.load(t, connections, requests(t, ours))
		c := theirs.load(t, connections, requests(t, theirs))
		return [2]loaded{a, c}, max(a.foreign, c.foreign)
	})
	of := func(i int, f func(loaded) float64) float64 {
		return median(pairs, func(p [2]loaded) float64 { return f(p[i]) })
	}
	rate := func(l loaded) float64 { return l.rate }
	p50 := func(l loaded) float64 { return float64(l.p50.Microseconds()) }
	p99 := func(l loaded) float64 { return float64(l.p99.Microseconds()) }
	cpu := func(l loaded) float64 { return float64(l.cpu.Nanoseconds()) / 1000 }
	what := fmt.Sprintf("%s, %d connections", name, connections)
	b.add(t, row{
		what: what, ours: fmt.Sprintf("%.0f/s", of(0, rate)), neighbours: fmt.Sprintf("%.0f/s", of(1, rate)),
		ratio: fmt.Sprintf("%.0f×", of(0, rate)/of(1, rate)), target: "≥ 50×", met: of(0, rate) >= 50*of(1, rate), foreign: foreign,
	})
	b.add(t, row{
		what: "  p50", ours: fmt.Sprintf("%.0f µs", of(0, p50)), neighbours: fmt.Sprintf("%.0f µs", of(1, p50)),
		ratio: fmt.Sprintf("1/%.0f", of(1, p50)/of(0, p50)), foreign: foreign,
	})
	b.add(t, row{
		what: "  p99", ours: fmt.Sprintf("%.0f µs", of(0, p99)), neighbours: fmt.Sprintf("%.0f µs", of(1, p99)),
		ratio: fmt.Sprintf("1/%.0f", of(1, p99)/of(0, p99)), target: "≤ 1/10", met: of(1, p99) >= 10*of(0, p99), foreign: foreign,
	})
	b.add(t, row{
		what: "  server CPU a request", ours: fmt.Sprintf("%.0f µs", of(0, cpu)), neighbours: fmt.Sprintf("%.0f µs", of(1, cpu)),
		ratio: fmt.Sprintf("1/%.0f", of(1, cpu)/of(0, cpu)), target: "≤ 60 µs", met: of(0, cpu) <= 60, foreign: foreign,
	})
}

// startMoto starts moto's server.
func startMoto(t *testing.T) *target {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("moto_server", "-H", "127.0.0.1", "-p", port)
	c.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY=example")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	for deadline := time.Now().Add(patience); ; {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("moto does not answer")
		}
		time.Sleep(50 * time.Millisecond)
	}
	return &target{"moto", address, sigv4.Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "example"}, process(c.Process.Pid)}
}

// administrator reads the keys that a server gave its administrator.
func administrator(t testing.TB, s *server) sigv4.Credentials {
	t.Helper()
	c, err := cmd.ReadCredentials(s.Credentials)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// benchRegion is where everything happens: the default of both servers.
const benchRegion = "us-east-1"

// client calls a service of a server.
func (to *target) client(service string) *wire.Client {
	return &wire.Client{
		Service: service, Endpoint: "http://" + to.address, HTTP: &http.Client{},
		Sign: func(_ context.Context, r *http.Request, body []byte) error {
			return sigv4.Sign(r, sigv4.HashPayload(body), to.keys, benchRegion, service, time.Now())
		},
	}
}

// documentText is a small Command document.
const documentText = `{"schemaVersion":"2.2","description":"Say hello.","parameters":{"name":{"type":"String","default":"world"}},` +
	`"mainSteps":[{"action":"aws:runShellScript","name":"hello","inputs":{"runCommand":["echo hello {{ name }}"]}}]}`

// documentName is the name of a document.
func documentName(n int) string { return fmt.Sprintf("bench-%03d", n) }

// makeDocuments creates the documents that are asked for.
func (to *target) makeDocuments(t *testing.T) {
	t.Helper()
	for n := range documents {
		err := to.client("ssm").Call(t.Context(), "CreateDocument", &ssm.CreateDocumentInput{
			Name: documentName(n), Content: documentText, DocumentType: new(ssm.DocumentTypeCommand), DocumentFormat: new(ssm.DocumentFormatJSON),
		}, &ssm.CreateDocumentOutput{})
		if err != nil {
			t.Fatalf("%s: %v", to.name, err)
		}
	}
}

// getDocuments are signed requests for all documents.
func getDocuments(t *testing.T, to *target) (out [][]byte) {
	t.Helper()
	for n := range documents {
		out = append(out, to.request(t, "ssm", `{"Name":"`+documentName(n)+`"}`, map[string]string{
			"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "AmazonSSM.GetDocument",
		}))
	}
	return out
}

// getCallerIdentity is the smallest signed request.
func getCallerIdentity(t *testing.T, to *target) [][]byte {
	t.Helper()
	form := url.Values{"Action": {"GetCallerIdentity"}, "Version": {"2011-06-15"}}
	return [][]byte{to.request(t, "sts", form.Encode(), map[string]string{"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"})}
}

// request is a signed request as it goes over the wire. A signature is good for some minutes, so each
// is made once for a repetition: signing is not what is measured.
func (to *target) request(t *testing.T, service, body string, headers map[string]string) []byte {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, "http://"+to.address+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	r.Header.Set("User-Agent", "Boto3/1.42 bench")
	if err := sigv4.Sign(r, sigv4.HashPayload([]byte(body)), to.keys, benchRegion, service, time.Now()); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// loaded is how a server did under a load.
type loaded struct {
	rate     float64
	p50, p99 time.Duration
	cpu      time.Duration // of the server, a request
	foreign  float64
}

// load sends requests over so many connections for a while, on each the next as soon as the last is
// answered.
func (to *target) load(t *testing.T, connections int, requests [][]byte) (l loaded) {
	t.Helper()
	callers := make([]*caller, connections)
	for i := range callers {
		c := &caller{address: to.address, requests: requests, next: i * 7 % len(requests)}
		if err := c.dial(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.conn.Close() }() // everything has been read
		callers[i] = c
	}
	all := func(span time.Duration) {
		var g errgroup.Group
		for _, c := range callers {
			g.Go(func() error { return c.call(span) })
		}
		if err := g.Wait(); err != nil {
			t.Fatalf("%s: %v", to.name, err)
		}
	}
	all(loadWarm)
	u := spend(t, func() { all(loadTime) }, to.process)
	var times []time.Duration
	for _, c := range callers {
		times = append(times, c.times...)
	}
	slices.Sort(times)
	n := len(times)
	return loaded{
		rate: float64(n) / u.took.Seconds(), p50: times[n/2], p99: times[n*99/100], cpu: u.cpu[0] / time.Duration(n), foreign: u.foreign,
	}
}

// caller is one connection. It is kept for as long as the server keeps it, as every SDK does.
type caller struct {
	address  string
	conn     net.Conn
	in       *bufio.Reader
	requests [][]byte
	next     int
	times    []time.Duration // of the last call
}

// dial opens the connection.
func (c *caller) dial() (err error) {
	if c.conn, err = net.Dial("tcp", c.address); err == nil {
		c.in = bufio.NewReader(c.conn)
	}
	return err
}

// call sends requests for a while.
func (c *caller) call(span time.Duration) error {
	c.times = c.times[:0]
	for end := time.Now().Add(span); ; {
		start := time.Now()
		if start.After(end) {
			return nil
		}
		if _, err := c.conn.Write(c.requests[c.next]); err != nil {
			return err
		}
		c.next = (c.next + 1) % len(c.requests)
		if err := c.answer(); err != nil {
			return err
		}
		c.times = append(c.times, time.Since(start))
	}
}

// answer reads an answer, which must be a good one. It knows no more of HTTP than that, so that the
// client takes little of the cores that it shares with the server.
func (c *caller) answer() error {
	status, err := c.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200 ")) {
		line := string(status)
		rest, _ := c.in.Peek(c.in.Buffered())
		return fmt.Errorf("answered %s%s", line, rest)
	}
	length, closes := -1, false
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if bytes.EqualFold(line, []byte("Connection: close\r\n")) {
			closes = true
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if len(name) == len("Content-Length") && bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	if length <= 0 {
		return errors.New("an answer without a length")
	}
	if _, err = c.in.Discard(length); err != nil || !closes {
		return err
	}
	return errors.Join(c.conn.Close(), c.dial())
}
