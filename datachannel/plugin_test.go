package datachannel

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestSessionManagerPlugin runs AWS's own client, if VENNEL_SESSION_PLUGIN names it, against our agent's end: a port, and a shell
// with an exit.
func TestSessionManagerPlugin(t *testing.T) {
	binary := os.Getenv("VENNEL_SESSION_PLUGIN")
	if binary == "" {
		t.Skip("VENNEL_SESSION_PLUGIN names no session-manager-plugin")
	}
	start := func(t *testing.T, o AgentOptions) (*AgentSession, *exec.Cmd, io.Reader, io.Writer) {
		g := &gateway{}
		g.both = sync.NewCond(&g.mu)
		g.Server = httptest.NewServer(http.HandlerFunc(g.serve))
		t.Cleanup(g.Close)
		url := "ws" + strings.TrimPrefix(g.URL, "http")
		a := NewAgent(func(ctx context.Context) (Conn, error) {
			return DialWebsocket(ctx, url+"/agent", nil, Opening{ClientInstanceID: "mi-1"}, DialOptions{})
		}, o)
		ctx, cancel := context.WithCancel(context.Background())
		var all sync.WaitGroup
		all.Go(func() { _ = a.Run(ctx) })
		cmd := exec.Command(binary, fmt.Sprintf(`{"SessionId":"session","TokenValue":"t","StreamUrl":"%s/client"}`, url), "us-east-1", "StartSession", "", `{"Target":"mi-1"}`, "http://127.0.0.1:1")
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "TMPDIR="+t.TempDir()) // it leaves a socket there
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			cancel()
			all.Wait()
		})
		version, extended, err := a.Handshake(t.Context())
		if err != nil || extended {
			t.Fatal(version, extended, err)
		}
		t.Logf("plugin %s", version)
		return a, cmd, out, in
	}
	t.Run("port", func(t *testing.T) {
		a, _, out, _ := start(t, AgentOptions{SessionID: "session", Kind: Port, Properties: map[string]string{"portNumber": "80", "localPortNumber": "0", "type": forwarding}})
		data := noise(1, 64<<20)
		go func() {
			for {
				conn, _, err := a.Accept(t.Context())
				if err != nil {
					return
				}
				go func() {
					what := make([]byte, 1)
					if _, err := io.ReadFull(conn, what); err == nil && what[0] == 'd' {
						_, _ = conn.Write(data)
					} else if err == nil {
						_, _ = io.Copy(conn, conn)
					}
					_ = conn.Close()
				}()
			}
		}()
		var address string
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if m := regexp.MustCompile(`Port (\d+) opened`).FindStringSubmatch(lines.Text()); m != nil {
				address = "localhost:" + m[1]
				break
			}
		}
		conn := ask(t, address, "d")
		begun := time.Now()
		got, err := io.ReadAll(conn)
		if err != nil || sha256.Sum256(got) != sha256.Sum256(data) {
			t.Errorf("%d of %d bytes: %v", len(got), len(data), err)
		}
		t.Logf("download of %.0f MB/s", float64(len(got))/1e6/time.Since(begun).Seconds())
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() { echoed(t, ask(t, address, "e"), noise(uint64(i), 10_000)) })
		}
		all.Wait()
	})
	t.Run("shell", func(t *testing.T) {
		a, cmd, out, _ := start(t, AgentOptions{SessionID: "session", Kind: StandardStream, Message: "welcome"})
		if size := <-a.Sizes(); size.Cols == 0 {
			t.Error(size)
		}
		shown := make(chan []byte)
		go func() {
			got, _ := io.ReadAll(out) // up to the kill
			shown <- got
		}()
		text := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
		if _, err := a.Write(text); err != nil {
			t.Error(err)
		}
		if err := errors.Join(a.Exit(3), a.channel.Flush(t.Context())); err != nil {
			t.Error(err)
		}
		_ = cmd.Process.Kill()
		got := <-shown
		if !bytes.Contains(got, text) || !bytes.Contains(got, []byte("welcome")) || bytes.Contains(got, []byte("EXIT_CODE")) {
			t.Errorf("%d bytes were shown: %q…", len(got), got[:min(len(got), 200)])
		}
	})
}
