//go:build unix

package agent_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vennel/vennel/agent"
	"github.com/vennel/vennel/agent/agenttest"
	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
)

// files are the contents of all files in a folder.
func files(t *testing.T, folder string) map[string]string {
	t.Helper()
	all := map[string]string{}
	if err := filepath.WalkDir(folder, func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all[strings.TrimPrefix(name, folder)] = content(t, name)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestRegisterKeepsTheOld fails to register in every way: the registration that is there stays, byte
// for byte, and works. The official agent loses it.
func TestRegisterKeepsTheOld(t *testing.T) {
	w := newWorld(t)
	before := files(t, w.state)
	id, code := w.Activation()
	good := agent.Activation{State: w.state, ID: id, Code: code, Region: agenttest.Region, Endpoint: w.URL(), CA: w.CA(), Force: true, Log: slog.New(slog.DiscardHandler)}
	for _, tt := range []struct {
		name   string
		change func(*agent.Activation)
		want   string
	}{
		{"no force", func(a *agent.Activation) { a.Force = false }, "already registered as " + w.node.ID},
		{"a wrong code", func(a *agent.Activation) { a.Code = "WRONG-CODE-WRONG-CODE" }, "InvalidActivation"},
		{"a wrong CA", func(a *agent.Activation) {
			a.CA = agenttest.New(t).CA()
			a.Log = nil
			a.Log = slog.New(slog.DiscardHandler)
		}, "certificate"},
		{"no CA", func(a *agent.Activation) { a.CA = "none" }, "holds no certificate"},
		{"a server's refusal", func(*agent.Activation) { w.Fail("RegisterManagedInstance", 1, agenttest.Denied) }, "AccessDenied"},
		{"a Region that is none", func(a *agent.Activation) { a.Region = "../x" }, "is not a Region"},
		{"an endpoint that is none", func(a *agent.Activation) { a.Endpoint = "ftp://x" }, "is not a URL"},
		{"no code", func(a *agent.Activation) { a.Code = "" }, "has a code and an id"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := good
			tt.change(&a)
			if _, err := agent.Register(t.Context(), a); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want something with %q", err, tt.want)
			}
			if fmt.Sprint(files(t, w.state)) != fmt.Sprint(before) {
				t.Error("the state has changed")
			}
		})
	}
	w.start()
	w.node.Online(t)
}

// TestRegisterUnkept says so when a registration cannot be kept.
func TestRegisterUnkept(t *testing.T) {
	t.Parallel()
	p := agenttest.New(t)
	state := t.TempDir()
	if err := os.MkdirAll(filepath.Join(state, "registration.json", "x"), 0o700); err != nil { // a folder cannot be replaced
		t.Fatal(err)
	}
	id, code := p.Activation()
	if _, err := agent.Register(t.Context(), agent.Activation{State: state, ID: id, Code: code, Region: agenttest.Region, Endpoint: p.URL(), CA: p.CA(), Force: true, Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "cannot be kept") {
		t.Errorf("got %v", err)
	}
}

// TestRegisterAgain replaces a registration when it is told to; nothing of the old node is left to
// the new.
func TestRegisterAgain(t *testing.T) {
	w := newWorld(t)
	stop := w.start()
	w.node.Online(t)
	w.node.Wait(t, w.node.Script(t, "true"))
	stop()
	id, code := w.Activation()
	next, err := agent.Register(t.Context(), agent.Activation{State: w.state, ID: id, Code: code, Region: agenttest.Region, Endpoint: w.URL(), CA: w.CA(), Force: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil || next == w.node.ID {
		t.Fatal(next, err)
	}
	w.node = w.Node(t, next)
	w.start()
	w.node.Online(t)
	if got := w.node.Wait(t, w.node.Script(t, "true")); got != "Success" {
		t.Errorf("%s", got)
	}
}

// TestRegisterRetries tries again what may pass, and nothing else. source: the protocol sheet of the
// official agent, measured
func TestRegisterRetries(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err   error
		fails int
		calls int
		ok    bool
	}{
		{agenttest.Broken, 1, 2, true},
		{api.Errorf(api.Throttled, "slow down"), 1, 2, true},
		{ssm.ErrTooManyUpdates("slow down"), 1, 2, true},
		{ssm.ErrInstanceAlreadyRegistered(""), 1, 1, false},
		{ssm.ErrInvalidActivationId(""), 1, 1, false},
	} {
		p := agenttest.New(t)
		p.Fail("RegisterManagedInstance", tt.fails, tt.err)
		id, code := p.Activation()
		_, err := agent.Register(t.Context(), agent.Activation{State: t.TempDir(), ID: id, Code: code, Region: agenttest.Region, Endpoint: p.URL(), CA: p.CA(), Log: slog.New(slog.DiscardHandler)})
		if (err == nil) != tt.ok || p.Calls("RegisterManagedInstance") != tt.calls {
			t.Errorf("%v: got %v after %d calls", tt.err, err, p.Calls("RegisterManagedInstance"))
		}
	}
}

// TestStateIsPrivate looks at the modes of everything that is kept.
func TestStateIsPrivate(t *testing.T) {
	w := newWorld(t)
	w.state = filepath.Join(t.TempDir(), "made", "by", "register")
	w.node = w.Node(t, w.register(w.state))
	w.start()
	w.node.Online(t)
	w.node.Wait(t, w.node.Script(t, "true"))
	if err := filepath.WalkDir(w.state, func(name string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
		return nil
	}); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestNoSecretsInLogs runs a node with all that it can log and looks for what it must not.
func TestNoSecretsInLogs(t *testing.T) {
	w := newWorld(t)
	p := w.launch("--log-level", "debug")
	w.node.Online(t)
	w.Do(func() { w.node.UpdateKeyPair = true })
	w.ForgetSessions()
	w.node.Wait(t, w.node.Script(t, "echo hello"))
	logs := p.log.String()
	secrets := strings.Fields(content(t, filepath.Join(w.state, w.node.ID, "credentials")))
	for i, word := range secrets {
		if i > 1 && (secrets[i-2] == "aws_secret_access_key" || secrets[i-2] == "aws_session_token") && strings.Contains(logs, word) {
			t.Errorf("%s is in the log", secrets[i-2])
		}
	}
	for part := range strings.SplitSeq(content(t, filepath.Join(w.state, "registration.json")), `"`) {
		if len(part) > 500 && !strings.HasPrefix(part, "-----BEGIN") && strings.Contains(logs, part[:40]) {
			t.Error("the key is in the log")
		}
	}
	if !strings.Contains(logs, "level=DEBUG") {
		t.Error("nothing was logged in detail")
	}
}

// TestNothingLeaks runs and stops an agent several times: no goroutine of it is left.
func TestNothingLeaks(t *testing.T) {
	p := agenttest.New(t)
	w := &world{Plane: p, t: t, state: t.TempDir()}
	w.node = w.Node(t, w.register(w.state))
	round := func() {
		stop := w.start()
		w.node.Online(t)
		w.node.Wait(t, w.node.Script(t, "true"))
		eventually(t, "the job to be forgotten", func() bool { return len(w.leftovers("jobs")) == 0 })
		opened := 0
		w.Do(func() { opened = len(w.node.Opened) })
		w.node.HangUp()
		w.Wait(t, "another channel", func() bool { return len(w.node.Opened) > opened })
		stop()
	}
	round()
	before := runtime.NumGoroutine()
	for range 5 {
		round()
	}
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; {
		if time.Now().After(end) {
			stack := make([]byte, 1<<20)
			t.Fatalf("%d goroutines became %d\n%s", before, runtime.NumGoroutine(), stack[:runtime.Stack(stack, true)])
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestShortCredentials lives on credentials of two seconds, and replaces its key on the way.
func TestShortCredentials(t *testing.T) {
	w := newWorld(t)
	w.TokenLife(2 * time.Second)
	w.Do(func() { w.node.UpdateKeyPair = true })
	w.start()
	w.node.Online(t)
	w.Wait(t, "three credentials", func() bool { return w.node.Tokens >= 3 && w.node.KeyUpdates == 1 })
	w.AddParameter("p", "String", "value")
	c := w.node.Script(t, "echo {{ssm:p}}") // the worker has credentials, too
	if got := w.node.Wait(t, c); got != "Success" {
		t.Errorf("%s", got)
	}
}

// TestBadStart has the server fail the first reports: the node is online within seconds.
func TestBadStart(t *testing.T) {
	w := newWorld(t)
	w.Fail("RequestManagedInstanceRoleToken", 1, agenttest.Broken)
	w.Fail("UpdateInstanceInformation", 2, agenttest.Broken)
	begin := time.Now()
	w.start()
	w.node.Online(t)
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	w.Wait(t, "a full report", func() bool { return len(w.node.Heartbeats) >= 3 })
	w.Do(func() {
		if h := w.node.Heartbeats[0]; h.AgentStatus != nil || h.ComputerName != nil || *h.AgentName != "amazon-ssm-agent" {
			t.Errorf("%+v", h)
		}
		if h := w.node.Heartbeats[1]; h.AgentStatus == nil || *h.ComputerName == "" {
			t.Errorf("%+v", h)
		}
	})
}
