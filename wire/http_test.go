package wire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/s3"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/internal/memnet"
	"github.com/vennel/vennel/wire/sigv4"
)

// readTime is the server's limit of a whole request in these tests.
const readTime = 30 * time.Second

// serveIn serves a world on a network in memory.
func (w *world) serveIn(t testing.TB) *memnet.Listener {
	t.Helper()
	l := memnet.Listen()
	server := &http.Server{Handler: w, ReadTimeout: readTime, ReadHeaderTimeout: readTime}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() { _ = server.Close(); serving.Wait() })
	return l
}

// parameters is a world that answers with the length of the name.
func parameters(t testing.TB) *world {
	return newWorld(t, map[string]api.Operation{
		"ssm:PutParameter": allowed("PutParameter", func(_ context.Context, in *ssm.PutParameterInput) (*ssm.PutParameterOutput, error) {
			return &ssm.PutParameterOutput{Version: new(int64(len(in.Value)))}, nil
		}),
	})
}

// raw is a signed request as bytes, in two parts: before and after the body begins.
func raw(t *testing.T, body string, header ...string) (head, rest string) {
	t.Helper()
	r := jsonRequest("ssm", "PutParameter", body)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if r.Header.Get("Transfer-Encoding") != "" {
		r.ContentLength = -1
	}
	r = signed(r, "ssm")
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST / HTTP/1.1\r\nHost: %s\r\n", r.Host)
	if r.Header.Get("Transfer-Encoding") == "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	if err := r.Header.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String() + "\r\n", body
}

// TestExpectContinue waits to be told before it sends its body; one that is too large is never asked
// for.
func TestExpectContinue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := parameters(t).serveIn(t)
		conn, err := l.Dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		answers := bufio.NewReader(conn)
		head, body := raw(t, `{"Name":"n","Value":"12345"}`, "Expect", "100-continue")
		write(t, conn, head)
		if line, _ := answers.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("the server said %q", line)
		}
		_, _ = answers.ReadString('\n')
		go write(t, conn, body)
		answer := read(t, answers)
		if answer.StatusCode != 200 || answer.body != `{"Version":5}` {
			t.Errorf("%d %s", answer.StatusCode, answer.body)
		}

		conn, err = l.Dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		head, _ = raw(t, `{"Name":"n","Value":"`+strings.Repeat("x", mostBody)+`"}`, "Expect", "100-continue")
		write(t, conn, head)
		if answer := read(t, bufio.NewReader(conn)); answer.StatusCode != 413 {
			t.Errorf("%d %s", answer.StatusCode, answer.body)
		}
	})
}

// write writes to a connection.
func write(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Error(err)
	}
}

// answered is an answer with its body read.
type answered struct {
	*http.Response
	body string
}

// read reads an answer.
func read(t *testing.T, r *bufio.Reader) answered {
	t.Helper()
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Error(err)
	}
	return answered{answer, string(body)}
}

// TestChunkedBodies sends bodies without announcing their length, as agents do for their token.
func TestChunkedBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := parameters(t).serveIn(t)
		for body, want := range map[string]int{
			`{"Name":"n","Value":"12345"}`:                                    200,
			`{"Name":"n","Value":"` + strings.Repeat("x", 100_000) + `"}`:     200,
			`{"Name":"n","Value":"` + strings.Repeat("x", mostBody+10) + `"}`: 413,
		} {
			conn, err := l.Dial(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			head, body := raw(t, body, "Transfer-Encoding", "chunked")
			go func() {
				_, _ = io.WriteString(conn, head)
				for len(body) > 0 {
					n := min(len(body), 10_000)
					if _, err := fmt.Fprintf(conn, "%x\r\n%s\r\n", n, body[:n]); err != nil {
						return
					}
					body = body[n:]
				}
				_, _ = io.WriteString(conn, "0\r\n\r\n")
			}()
			if answer := read(t, bufio.NewReader(conn)); answer.StatusCode != want {
				t.Errorf("%d %s, want %d", answer.StatusCode, answer.body, want)
			}
			_ = conn.Close()
		}
	})
}

// TestSlowBodies sends a body that never ends: it is answered when the server's time is over.
func TestSlowBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := parameters(t)
		conn, err := w.serveIn(t).Dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		head, body := raw(t, `{"Name":"n","Value":"12345"}`)
		begin := time.Now()
		go func() {
			_, _ = io.WriteString(conn, head)
			for i := range body {
				if _, err := conn.Write([]byte{body[i]}); err != nil {
					return
				}
				time.Sleep(5 * time.Second)
			}
		}()
		answer := read(t, bufio.NewReader(conn))
		if answer.StatusCode != 400 || !strings.Contains(answer.body, "The request body ended early") || time.Since(begin) != readTime {
			t.Errorf("%d %s after %v", answer.StatusCode, answer.body, time.Since(begin))
		}
		_ = conn.Close()
		time.Sleep(time.Minute) // until the writer notices
	})
}

// TestCutBodies sends a part of a body and no more.
func TestCutBodies(t *testing.T) {
	w := parameters(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: w}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	defer func() { _ = server.Close(); serving.Wait() }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	head, body := raw(t, `{"Name":"n","Value":"12345"}`)
	write(t, conn, head+body[:10])
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if answer := read(t, bufio.NewReader(conn)); answer.StatusCode != 400 || !strings.Contains(answer.body, "SerializationException") {
		t.Errorf("%d %s", answer.StatusCode, answer.body)
	}
}

// TestUploadsTakeTheirTime uploads over a slow line for longer than the server gives a request, as
// long as something comes; and then nothing.
func TestUploadsTakeTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read := make(chan int, 1)
		w := newWorld(t, map[string]api.Operation{
			"s3:PutObject": allowed("PutObject", func(_ context.Context, in *s3.PutObjectInput) (*s3.PutObjectOutput, error) {
				n, err := io.Copy(io.Discard, in.Body)
				read <- int(n)
				return &s3.PutObjectOutput{}, err
			}),
		})
		l := w.serveIn(t)
		client := &http.Client{Transport: &http.Transport{DialContext: l.Dial, DisableKeepAlives: true}}
		upload := func(pause time.Duration) (*http.Response, error) {
			r, err := http.NewRequestWithContext(t.Context(), "PUT", "http://b.s3.us-east-1.amazonaws.com/k", &slowly{left: 20, pause: pause})
			if err != nil {
				t.Fatal(err)
			}
			r.ContentLength = 20
			if err := sigv4.Sign(r, sigv4.UnsignedPayload, sigv4.Credentials{AccessKeyID: testKeyID, SecretAccessKey: testSecret}, testRegion, "s3", time.Now()); err != nil {
				t.Fatal(err)
			}
			return client.Do(r)
		}
		answer, err := upload(pieceWait - time.Second)
		if err != nil || answer.StatusCode != 200 || <-read != 20 {
			t.Fatalf("%v, %v", answer, err)
		}
		_ = answer.Body.Close()
		if answer, err := upload(pieceWait + time.Second); err == nil {
			if answer.StatusCode == 200 {
				t.Error("a line that is dead was waited for")
			}
			_ = answer.Body.Close()
		}
		<-read
		time.Sleep(2 * pieceWait) // until the client notices
	})
}

// slowly reads as one letter at a time, with a pause before each.
type slowly struct {
	left  int
	pause time.Duration
}

// Read gives a letter.
func (s *slowly) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	time.Sleep(s.pause)
	s.left--
	p[0] = 'x'
	return 1, nil
}

// breaking is a stream that fails after some letters, and knows whether it was closed.
type breaking struct {
	io.Reader
	closed bool
}

// Close closes.
func (b *breaking) Close() error {
	b.closed = true
	return nil
}

// TestStreamedAnswers downloads: whole, and with a source that fails half way, of which the client
// must not think that it is whole.
func TestStreamedAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var source *breaking
		w := newWorld(t, map[string]api.Operation{
			"s3:GetObject": allowed("GetObject", func(_ context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
				return &s3.GetObjectOutput{Body: source, Metadata: map[string]string{"a": "b"}}, nil
			}),
		})
		client := &http.Client{Transport: &http.Transport{DialContext: w.serveIn(t).Dial, DisableKeepAlives: true}}
		get := func() (string, error) {
			r, err := http.NewRequestWithContext(t.Context(), "GET", "http://b.s3.us-east-1.amazonaws.com/k", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := client.Do(r) // unsigned: the operation lets everybody in
			if err != nil {
				return "", err
			}
			defer answer.Body.Close()
			if got := answer.Header.Get("x-amz-meta-a"); got != "b" {
				t.Errorf("the metadata is %q", got)
			}
			body, err := io.ReadAll(answer.Body)
			return string(body), err
		}
		large := strings.Repeat("x", 1<<20)
		source = &breaking{Reader: strings.NewReader(large)}
		if body, err := get(); err != nil || body != large || !source.closed {
			t.Errorf("%d bytes, %v, closed: %v", len(body), err, source.closed)
		}
		source = &breaking{Reader: io.MultiReader(strings.NewReader(large[:500_000]), failing{})}
		if body, err := get(); err == nil || !source.closed {
			t.Errorf("%d bytes, %v, closed: %v", len(body), err, source.closed)
		}
		synctest.Wait()
		if len(w.records) != 2 {
			t.Errorf("%d records", len(w.records))
		}
	})
}

// failing fails to read.
type failing struct{}

// Read fails.
func (failing) Read([]byte) (int, error) { return 0, errors.New("the disk is gone") }
