package datachannel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// GenerateDataKey makes a key that is bound to the context.
func (k *testKeys) GenerateDataKey(_ context.Context, keyID string, bytes int, encryptionContext map[string]string) (plain, encrypted []byte, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fail != nil {
		return nil, nil, k.fail
	}
	b, err := json.Marshal([]any{keyID, encryptionContext})
	if err != nil {
		return nil, nil, err
	}
	if k.plain == nil {
		k.plain = map[string][]byte{}
	}
	k.plain[string(b)] = noise(uint64(len(k.plain)+77), bytes)
	return k.plain[string(b)], b, nil
}

// Decrypt gives the key for the same context only.
func (k *testKeys) Decrypt(_ context.Context, keyID string, encrypted []byte, encryptionContext map[string]string) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fail != nil {
		return nil, k.fail
	}
	b, err := json.Marshal([]any{keyID, encryptionContext})
	if err != nil {
		return nil, err
	}
	if string(b) != string(encrypted) {
		return nil, errors.New("InvalidCiphertextException")
	}
	return k.plain[string(b)], nil
}

// TestEncryption agrees on a key, and encrypts what AWS's peers encrypt. source: agent
func TestEncryption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := &testKeys{}
		r := &relay{t: t, record: true}
		s, a := pair(t, r, ClientOptions{Keys: keys}, AgentOptions{Kind: StandardStream, KMSKeyID: "key", Keys: keys, InstanceID: "mi-1", Message: "welcome"})
		if s.Message != "This session is encrypted using AWS KMS.\nwelcome" || !s.Extended {
			t.Errorf("%q, %t", s.Message, s.Extended)
		}
		for context := range keys.plain {
			for _, want := range []string{`"aws:ssm:SessionId":"session"`, `"aws:ssm:TargetId":"mi-1"`, `"aws:ssm:RandomChallenge":"`} {
				if !strings.Contains(context, want) {
					t.Errorf("%s has no %s", context, want)
				}
			}
		}
		_, _ = s.Write([]byte("input"))
		b := make([]byte, 16)
		if n, err := a.Read(b); err != nil || string(b[:n]) != "input" {
			t.Errorf("%q, %v", b[:n], err)
		}
		_, _ = a.Write([]byte("output"))
		_, _ = a.Stderr().Write([]byte("warning"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := errors.Join(a.Exit(3), a.channel.Flush(ctx)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("all was acknowledged before it was read: %v", err)
		}
		got, err := io.ReadAll(s)
		if err != nil || string(got) != "outputwarning" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// TestEncryptionOfficial is bound to no challenge when AWS's client does not know it. source: agent
func TestEncryptionOfficial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := &testKeys{}
		r := &relay{t: t, rewrite: func(m *Message) {
			if m.Type == typeOutput {
				m.Payload = []byte(strings.Replace(string(m.Payload), `"Challenge":"`, `"Unknown__":"`, 1))
			}
		}}
		a := NewAgent(r.dial(Agent), AgentOptions{SessionID: "session", Kind: StandardStream, KMSKeyID: "key", Keys: keys, InstanceID: "mi-1"})
		run(t, a.channel)
		shaken := make(chan error)
		go func() {
			_, _, err := a.Handshake(t.Context())
			shaken <- err
		}()
		go func() {
			s, err := Open(t.Context(), Start{SessionID: "session", Target: "mi-1"}, ClientOptions{Keys: keys, dial: r.dial(Client)})
			if err == nil {
				t.Cleanup(func() { _ = s.Close() })
			}
		}()
		time.Sleep(5 * time.Second) // whichever end was first has tried again
		for context := range keys.plain {
			if strings.Contains(context, "RandomChallenge") {
				t.Error(context)
			}
		}
		if len(keys.plain) != 1 {
			t.Errorf("%d keys", len(keys.plain))
		}
		r.close("")
		if err := <-shaken; err == nil {
			t.Error("the handshake has come to an end")
		}
		synctest.Wait()
	})
}

// TestEncryptionRefused says on both sides why there is no session.
func TestEncryptionRefused(t *testing.T) {
	good := &testKeys{}
	for name, c := range map[string]struct {
		client, agent     KeyService
		target            string
		wantClient, wants string
	}{
		"client without KMS":  {nil, good, "mi-1", "this client has no access to KMS", "KMSEncryption failed on client with status 2 error: Failed to process action KMSEncryption: the session is encrypted with a KMS key, and this client has no access to KMS"},
		"client is denied":    {&testKeys{fail: errors.New("AccessDeniedException")}, good, "mi-1", "the session's data key: AccessDeniedException", "AccessDeniedException"},
		"another target":      {good, good, "web-1", "", "Fetching data key failed: InvalidCiphertextException"},
		"agent without KMS":   {good, nil, "mi-1", "", "this node has no access to KMS"},
		"agent is denied":     {good, &testKeys{fail: errors.New("AccessDeniedException")}, "mi-1", "", "Fetching data key failed: AccessDeniedException"},
		"another key":         {good, &testKeys{}, "mi-1", "", "bytes, not 64"},
		"keys are not secret": {wrongKeys{good}, good, "mi-1", "", "by the client during the handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &relay{t: t}
				a := NewAgent(r.dial(Agent), AgentOptions{SessionID: "session", Kind: StandardStream, KMSKeyID: "key", Keys: c.agent, InstanceID: "mi-1"})
				run(t, a.channel)
				failed := make(chan error, 1)
				go func() {
					_, _, err := a.Handshake(t.Context())
					failed <- err
					r.close(fmt.Sprint(strings.ReplaceAll(fmt.Sprint(err), `"`, "'"))) // as the service does
				}()
				_, err := Open(t.Context(), Start{SessionID: "session", Target: c.target}, ClientOptions{Keys: c.client, dial: r.dial(Client)})
				if err == nil || !strings.Contains(err.Error(), c.wantClient) {
					t.Errorf("client: %v", err)
				}
				if err := <-failed; err == nil || !strings.Contains(err.Error(), c.wants) {
					t.Errorf("agent: %v", err)
				}
			})
		})
	}
}

// wrongKeys gives another key than it encrypts.
type wrongKeys struct{ *testKeys }

// GenerateDataKey lies.
func (w wrongKeys) GenerateDataKey(ctx context.Context, keyID string, bytes int, encryptionContext map[string]string) (plain, encrypted []byte, err error) {
	plain, encrypted, err = w.testKeys.GenerateDataKey(ctx, keyID, bytes, encryptionContext)
	return noise(99, len(plain)), encrypted, err
}

// TestVersions compares versions as numbers.
func TestVersions(t *testing.T) {
	for version, want := range map[string]bool{
		"1.1.70": true, "1.1.70.0": true, "1.2": true, "1.10.0.0": true, "2": true, "1.1.69.9": false, "1.1": false, "": false, "x": false, "1.1.x": false,
		"1.1.70-beta": false, "-1.2": false, "99999999999.0": false, "1.2.3.4.5.6.7.8.9": false, "+1.2": false,
	} {
		if got := atLeast(version, clientMux); got != want {
			t.Errorf("%q: %t", version, got)
		}
	}
}

// TestExitCode reads the payload of an exit code. source: agent
func TestExitCode(t *testing.T) {
	got := map[string]int{}
	for _, payload := range []string{"EXIT_CODE: 0", "EXIT_CODE: 255", "EXIT_CODE: -1", "EXIT_CODE: x", "EXIT_CODE:", "0", "", "EXIT_CODE: 99999999999"} {
		if code, ok := exitCode([]byte(payload)); ok {
			got[payload] = code
		}
	}
	if diff := cmp.Diff(map[string]int{"EXIT_CODE: 0": 0, "EXIT_CODE: 255": 255, "EXIT_CODE: -1": -1}, got); diff != "" {
		t.Error(diff)
	}
}

// TestAck reads acknowledgements of any form, and writes those of AWS's peers. source: agent
func TestAck(t *testing.T) {
	m := ack{typeOutput, [16]byte{0x8a, 0x83, 0x1d, 0xd4, 0xdd, 0x66, 0x42, 0xd7, 0xb7, 0x25, 0xc3, 0x09, 0x44, 0xe1, 0xc1, 0x1d}, 0}.message()
	want := `{"AcknowledgedMessageType":"output_stream_data","AcknowledgedMessageId":"8a831dd4-dd66-42d7-b725-c30944e1c11d","AcknowledgedMessageSequenceNumber":0,"IsSequentialMessage":true}`
	if string(m.Payload) != want || m.Flags != 3 || m.Type != "acknowledge" {
		t.Errorf("%+v", m)
	}
	for text, want := range map[string]int64{
		want: 0,
		strings.Replace(want, `:0,`, `:12345,`, 1):                             12345,
		strings.Replace(want, "output", "input", 1):                            0,
		`{"IsSequentialMessage":true, "AcknowledgedMessageSequenceNumber": 5}`: 5,
		`{"acknowledgedmessagesequencenumber":6}`:                              6,
	} {
		if seq, ok := AcknowledgedSequence([]byte(text)); !ok || seq != want {
			t.Errorf("%s: %d, %t", text, seq, ok)
		}
	}
	for _, text := range []string{"", "{}", "[]", "5", `{"AcknowledgedMessageSequenceNumber":-1}`, `{"AcknowledgedMessageSequenceNumber":"1"}`, strings.Replace(want, ":0,", ":-3,", 1), strings.Replace(want, ":0,", ":99999999999999999999,", 1)} {
		if seq, ok := AcknowledgedSequence([]byte(text)); ok {
			t.Errorf("%s: %d", text, seq)
		}
	}
}

// TestEncryptionPlain takes nothing that is not encrypted in a session that is to be, also before the key is agreed. source: guess
func TestEncryptionPlain(t *testing.T) {
	plain := func(kind uint32) *received { return &received{kind: kind, payload: []byte("plain")} }
	a := NewAgent(nowhere, AgentOptions{SessionID: "session", Kind: StandardStream, KMSKeyID: "key", Keys: &testKeys{}})
	a.deliver(plain(PayloadOutput))
	if !errors.Is(a.channel.reason(), errDecrypt) || !a.in.empty() {
		t.Errorf("the agent goes on: %v", a.channel.reason())
	}
	a = NewAgent(nowhere, AgentOptions{SessionID: "session", Kind: StandardStream})
	a.deliver(plain(PayloadOutput))
	if a.channel.isClosed() || a.in.empty() {
		t.Errorf("a session without encryption has ended: %v", a.channel.reason())
	}
	request := func() *received {
		return &received{kind: PayloadHandshakeRequest, payload: []byte(`{"RequestedClientActions":[{"ActionType":"KMSEncryption","ActionParameters":{"KMSKeyId":"key"}}]}`)}
	}
	for _, kind := range []uint32{PayloadOutput, PayloadStderr, PayloadExitCode} {
		s := newSession(Start{SessionID: "session", Target: "mi-1"}, ClientOptions{Keys: &testKeys{}, dial: nowhere})
		s.deliver(request())
		s.deliver(plain(kind))
		if !errors.Is(s.channel.reason(), errDecrypt) || !s.out.empty() {
			t.Errorf("payload %d: the client goes on: %v", kind, s.channel.reason())
		}
	}
	s := newSession(Start{SessionID: "session", Target: "mi-1"}, ClientOptions{Keys: &testKeys{}, dial: nowhere})
	s.deliver(plain(PayloadOutput))
	if s.channel.isClosed() {
		t.Errorf("a session without a handshake has ended: %v", s.channel.reason())
	}
	s.deliver(request())
	if !errors.Is(s.channel.reason(), errDecrypt) {
		t.Errorf("output before the handshake: the client goes on: %v", s.channel.reason())
	}
}

// TestEncryptionStays does not give a key up because of a second handshake that asks for none.
func TestEncryptionStays(t *testing.T) {
	s := newSession(Start{SessionID: "session", Target: "mi-1"}, ClientOptions{Keys: &testKeys{}, dial: nowhere})
	for _, actions := range [][]requestedAction{{{ActionType: actionEncryption, ActionParameters: json.RawMessage(`{"KMSKeyId":"key"}`)}}, nil} {
		if err := s.respond(t.Context(), Start{SessionID: "session", Target: "mi-1"}, &handshakeRequest{RequestedClientActions: actions}); err != nil {
			t.Fatal(err)
		}
		if s.channel.seal == nil {
			t.Error("there is no key")
		}
	}
}
