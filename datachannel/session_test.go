package datachannel

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestShell types into a shell and reads what it says, up to its exit code.
func TestShell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &relay{t: t}
		s, a := pair(t, r, ClientOptions{}, AgentOptions{Kind: StandardStream, Message: "welcome"})
		if s.Kind != StandardStream || !s.Extended || s.Message != "welcome" || s.AgentVersion != AgentVersion {
			t.Errorf("%+v", s)
		}
		if err := s.Resize(80, 24); err != nil {
			t.Error(err)
		}
		if size := <-a.Sizes(); size != (Size{80, 24}) {
			t.Errorf("size %v", size)
		}
		var input [16]byte
		if _, err := s.Write([]byte("ls\n")); err != nil {
			t.Error(err)
		}
		if n, err := a.Read(input[:]); err != nil || string(input[:n]) != "ls\n" {
			t.Errorf("%q, %v", input[:n], err)
		}
		if _, err := a.Write([]byte("file\n$ ")); err != nil {
			t.Error(err)
		}
		if err := a.Exit(3); err != nil {
			t.Error(err)
		}
		go func() {
			if err := a.Finish(t.Context()); err != nil {
				t.Error(err)
			}
		}()
		got, err := io.ReadAll(s)
		if err != nil || string(got) != "file\n$ " {
			t.Errorf("%q, %v", got, err)
		}
		exit, err := s.Wait(t.Context())
		if diff := cmp.Diff(Exit{Code: 3, Known: true}, exit); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
		synctest.Wait()
		if want := []string{`{"SchemaVersion":1,"SessionState":"Connected","SessionId":"session"}`, `{"SchemaVersion":1,"SessionState":"Terminating","SessionId":"session"}`}; !cmp.Equal(r.state, want) { // source: agent
			t.Errorf("states %v", r.state)
		}
	})
}

// TestCommand has standard error apart, and an input that ends.
func TestCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := pair(t, &relay{t: t}, ClientOptions{}, AgentOptions{Kind: NonInteractiveCommands})
		done := make(chan struct{})
		go func() {
			defer close(done)
			input, err := io.ReadAll(a)
			if err != nil {
				t.Error(err)
			}
			_, _ = a.Stderr().Write([]byte("warning\n"))
			_, _ = a.Write(append([]byte("got "), input...))
			if err := errors.Join(a.Exit(0), a.Finish(t.Context())); err != nil {
				t.Error(err)
			}
		}()
		if _, err := s.Write([]byte("input")); err != nil {
			t.Error(err)
		}
		if err := s.CloseWrite(); err != nil {
			t.Error(err)
		}
		if _, err := s.Write([]byte("more")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("after the end: %v", err)
		}
		synctest.Wait()
		faults := s.Stderr()
		out, err := io.ReadAll(s)
		if err != nil || string(out) != "got input" {
			t.Errorf("%q, %v", out, err)
		}
		said, err := io.ReadAll(faults)
		if err != nil || string(said) != "warning\n" {
			t.Errorf("%q, %v", said, err)
		}
		if exit, err := s.Wait(t.Context()); err != nil || exit != (Exit{Known: true}) {
			t.Errorf("%+v, %v", exit, err)
		}
		<-done
	})
}

// TestChannelClosed delivers what came before the end, and says the reason.
func TestChannelClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &relay{t: t}
		s, a := pair(t, r, ClientOptions{}, AgentOptions{Kind: StandardStream})
		if _, err := a.Write([]byte("last words")); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		r.close("your time is up")
		synctest.Wait()
		waited := make(chan Exit)
		go func() {
			exit, err := s.Wait(t.Context())
			if err != nil {
				t.Error(err)
			}
			waited <- exit
		}()
		synctest.Wait()
		select {
		case <-waited:
			t.Error("the wait was over before all was read")
		default:
		}
		if got, err := io.ReadAll(s); err != nil || string(got) != "last words" {
			t.Errorf("%q, %v", got, err)
		}
		if exit := <-waited; exit != (Exit{Reason: "your time is up"}) {
			t.Errorf("%+v", exit)
		}
		<-a.Ended()
		if _, err := a.Write([]byte("x")); !errors.Is(err, ErrEnded) {
			t.Errorf("the agent wrote on: %v", err)
		}
	})
}

// TestClientEnds tells the agent that its client has gone.
func TestClientEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := pair(t, &relay{t: t}, ClientOptions{}, AgentOptions{Kind: StandardStream})
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		<-a.Ended()
	})
}

// TestLastAcknowledgement leaves an agent that has told its exit code only when it has heard that it was heard.
func TestLastAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &relay{t: t}
		s, a := pair(t, r, ClientOptions{}, AgentOptions{Kind: NonInteractiveCommands})
		if _, err := a.Write([]byte("x")); err != nil { // so that the agent knows how long an answer takes
			t.Error(err)
		}
		if _, err := s.Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
		if err := a.channel.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		lost := 0
		r.with(func(m *Message) fault {
			drop := m.Type == typeAck && lost < 1
			if drop {
				lost++
			}
			return fault{drop: drop}
		})
		var all sync.WaitGroup
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := errors.Join(a.Exit(3), a.Finish(ctx)); err != nil {
				t.Error(err)
			}
			r.close("") // as the service does when it is told that the session terminates
		})
		if exit, err := s.Wait(t.Context()); err != nil || exit != (Exit{Code: 3, Known: true}) {
			t.Errorf("%+v, %v", exit, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		all.Wait()
		if lost != 1 {
			t.Errorf("%d acknowledgements were lost", lost)
		}
	})
}

// TestNoHandshake takes an AWS agent's shell for what it is. source: agent
func TestNoHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &relay{t: t}
		c := NewChannel(Agent, r.dial(Agent), Options{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = c.Run(ctx) }()
		if err := c.Send(t.Context(), PayloadOutput, []byte("$ ")); err != nil {
			t.Error(err)
		}
		s, err := Open(t.Context(), Start{SessionID: "session"}, ClientOptions{dial: r.dial(Client)})
		if err != nil {
			t.Fatal(err)
		}
		var prompt [8]byte
		if n, err := s.Read(prompt[:]); s.Kind != StandardStream || s.Extended || err != nil || string(prompt[:n]) != "$ " {
			t.Errorf("%q, %q, %v", s.Kind, prompt[:n], err)
		}
		if err := s.CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		cancel()
		synctest.Wait()
	})
}

// TestEndedBeforeStart says why a session did not begin.
func TestEndedBeforeStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &relay{t: t}
		time.AfterFunc(time.Second, func() { r.close("no such user") })
		_, err := Open(t.Context(), Start{SessionID: "session"}, ClientOptions{dial: r.dial(Client)})
		if !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "no such user") {
			t.Error(err)
		}
		r.refuse = errors.Join(ErrEnded, errors.New("forbidden"))
		if _, err := Open(t.Context(), Start{SessionID: "session"}, ClientOptions{dial: r.dial(Client)}); !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "forbidden") {
			t.Error(err)
		}
	})
}
