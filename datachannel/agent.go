package datachannel

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"time"
)

// AgentOptions are those of an agent's end.
type AgentOptions struct {
	SessionID  string
	InstanceID string // an encrypted session's key is bound to it
	Kind       string // Standard_Stream, InteractiveCommands, NonInteractiveCommands or Port
	Properties any    // of the document, for Port
	Version    string // AgentVersion if empty
	Message    string // for the user, after the handshake

	KMSKeyID string     // encrypts the session, unless it is a port
	Keys     KeyService // for KMSKeyID

	// Separate is for commands whose document asks for it: a client of AWS's is sent standard error and the exit code
	// as such. One of ours always is.
	Separate bool

	Lost func(error) // the connection is lost, and another is sought
	Back func()      // there is a connection again
	Log  *slog.Logger

	pace pace
}

// The limits of an agent's end.
const (
	challengeSize = 64 // source: agent
	randomSize    = 16 // of the challenge in the encryption context. source: agent
	encryptedText = "This session is encrypted using AWS KMS."
)

// AgentSession is the agent's end of a session. Run keeps it connected; Handshake comes first of all others. Read is the
// client's input, Write the session's output.
type AgentSession struct {
	o       AgentOptions
	channel *Channel
	shakes  chan *received
	sizes   chan Size
	ended   chan struct{}
	ports   ports
	in      *inbox

	clientVersion string // after the handshake
	extended      bool
	port          json.RawMessage // the properties of a port

	mu   sync.Mutex // guards the rest
	over bool       // ended is closed
}

// NewAgent makes an agent's end of a session.
func NewAgent(dial Dial, o AgentOptions) *AgentSession {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Version == "" {
		o.Version = AgentVersion
	}
	a := &AgentSession{o: o, shakes: make(chan *received, mostHandshakes), sizes: make(chan Size, 1), ended: make(chan struct{})}
	a.channel = NewChannel(Agent, dial, Options{SessionID: o.SessionID, Log: o.Log, Lost: o.Lost, Back: o.Back, deliver: a.deliver, pace: o.pace})
	a.in = newInbox(a.channel, nil)
	return a
}

// Run keeps the session connected until it ends. It returns nil when the service or Finish has ended it.
func (a *AgentSession) Run(ctx context.Context) error {
	if err := a.channel.State(StateConnected); err != nil {
		return err
	}
	err := a.channel.Run(ctx)
	a.end()
	a.in.end(io.EOF)
	a.ports.close(a.channel.reason())
	if errors.Is(err, errFinished) {
		return nil
	}
	return err
}

// end notes that the session is to end.
func (a *AgentSession) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.over {
		a.over = true
		close(a.ended)
	}
}

// Ended is closed when the session is to end: the service has closed it, the client has ended it, or its connection is lost
// for good.
func (a *AgentSession) Ended() <-chan struct{} { return a.ended }

// deliver takes what comes, in order.
func (a *AgentSession) deliver(r *received) {
	switch r.kind {
	case PayloadOutput:
		a.channel.mu.Lock()
		seal := a.channel.seal
		a.channel.mu.Unlock()
		if seal == nil && a.o.KMSKeyID != "" && a.o.Kind != Port { // whoever sends this has not shown that it has the key
			a.channel.end(errDecrypt)
			return
		}
		if seal != nil {
			plain, err := seal.open(r.payload)
			if err != nil {
				a.channel.end(err)
				return
			}
			r.payload = plain
		}
		a.ports.arrived(a.in, r)
		return
	case PayloadSize:
		var size Size
		if json.Unmarshal(r.payload, &size) == nil && size.Cols > 0 && size.Rows > 0 {
			select {
			case <-a.sizes: // the latest counts
			default:
			}
			a.sizes <- size
		}
	case PayloadHandshakeResponse, PayloadEncryptionResponse:
		r.keep()
		select {
		case a.shakes <- &received{kind: r.kind, payload: r.payload}:
		default: // nobody waits for so many
		}
	case PayloadFlag:
		switch {
		case isFlag(r.payload, flagTerminate):
			a.end()
		case isFlag(r.payload, flagInputEnd):
			a.in.end(io.EOF)
		case isFlag(r.payload, flagDisconnect):
			a.ports.disconnected()
		}
	}
	a.channel.consume(r)
}

// Handshake tells the client what the session is and agrees on the rest. It waits for a client as long as ctx lets it. It
// returns the client's version, and whether the client is ours.
func (a *AgentSession) Handshake(ctx context.Context) (clientVersion string, extended bool, err error) {
	begun := time.Now()
	request := handshakeRequest{AgentVersion: a.o.Version}
	ask := func(action string, parameters any) {
		b, e := json.Marshal(parameters)
		request.RequestedClientActions = append(request.RequestedClientActions, requestedAction{action, b})
		err = errors.Join(err, e)
	}
	properties, err := json.Marshal(a.o.Properties)
	if err != nil {
		return "", false, err
	}
	a.port = properties
	ask(actionSessionType, sessionType{a.o.Kind, properties})
	encrypted := a.o.KMSKeyID != "" && a.o.Kind != Port
	random := make([]byte, randomSize)
	_, _ = rand.Read(random) // which has no errors
	challenge := base64.StdEncoding.EncodeToString(random)
	if encrypted {
		if a.o.Keys == nil {
			return "", false, errors.New("the session is to be encrypted with a KMS key, and this node has no access to KMS")
		}
		ask(actionEncryption, encryptionRequest{a.o.KMSKeyID, challenge})
	}
	ask(actionExtensions, our)
	if err != nil {
		return "", false, err
	}
	payload, err := a.exchange(ctx, PayloadHandshakeRequest, request, PayloadHandshakeResponse)
	if err != nil {
		return "", false, err
	}
	var response handshakeResponse
	if err := json.Unmarshal(payload, &response); err != nil {
		return "", false, fmt.Errorf("the client's handshake cannot be read: %w", err)
	}
	seal, err := a.responded(ctx, &response, encrypted, challenge)
	if err != nil {
		return response.ClientVersion, false, err
	}
	message := a.o.Message
	if seal != nil {
		if err := a.prove(ctx, seal); err != nil {
			return response.ClientVersion, false, err
		}
		if message != "" {
			message = "\n" + message
		}
		message = encryptedText + message
	}
	a.clientVersion = response.ClientVersion
	a.beginPorts()
	complete, err := json.Marshal(handshakeComplete{int64(time.Since(begun)), message})
	if err == nil {
		err = a.channel.SendUrgent(PayloadHandshakeComplete, complete)
	}
	return a.clientVersion, a.extended, err
}

// exchange sends a payload of the handshake and waits for the answer.
func (a *AgentSession) exchange(ctx context.Context, kind uint32, v any, answer uint32) ([]byte, error) {
	payload, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if err := a.channel.SendUrgent(kind, payload); err != nil {
		return nil, err
	}
	for {
		select {
		case r := <-a.shakes:
			if r.kind == answer {
				return r.payload, nil
			}
		case <-a.channel.Done():
			return nil, a.channel.reason()
		case <-a.ended:
			return nil, fmt.Errorf("%w by the client during the handshake", ErrEnded)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// responded takes the outcome of the actions. Those of AWS must have succeeded.
func (a *AgentSession) responded(ctx context.Context, response *handshakeResponse, encrypted bool, challenge string) (*sealer, error) {
	var seal *sealer
	for _, action := range response.ProcessedClientActions {
		switch action.ActionType {
		case actionExtensions:
			var theirs extensions
			a.extended = action.ActionStatus == statusSuccess && json.Unmarshal(action.ActionResult, &theirs) == nil && theirs.extended()
			a.channel.bare.Store(a.extended)
		case actionSessionType, actionEncryption:
			if action.ActionStatus != statusSuccess { // source: agent
				return nil, fmt.Errorf("%s failed on client with status %d error: %s", action.ActionType, action.ActionStatus, action.Error[:min(len(action.Error), 1024)])
			}
			if action.ActionType == actionSessionType || !encrypted || seal != nil {
				continue
			}
			var answer encryptionResponse
			if err := json.Unmarshal(action.ActionResult, &answer); err != nil {
				return nil, fmt.Errorf("the client's data key cannot be read: %w", err)
			}
			if !answer.ChallengeAcknowledgement {
				challenge = "" // AWS's client does not know it
			}
			key, err := a.o.Keys.Decrypt(ctx, a.o.KMSKeyID, answer.KMSCipherTextKey, encryptionContext(a.o.SessionID, a.o.InstanceID, challenge))
			if err != nil {
				return nil, fmt.Errorf("Fetching data key failed: %w", err) //nolint:staticcheck // source: agent
			}
			if seal, err = newSealer(Agent, key); err != nil {
				return nil, err
			}
		}
	}
	if encrypted && seal == nil {
		return nil, errors.New("the client has not answered with a data key, and the session must be encrypted")
	}
	return seal, nil
}

// prove lets the client show that it has the key. From then on everything is encrypted.
func (a *AgentSession) prove(ctx context.Context, seal *sealer) error {
	secret := make([]byte, challengeSize)
	_, _ = rand.Read(secret) // which has no errors
	payload, err := a.exchange(ctx, PayloadEncryptionRequest, challenge{seal.sealed(secret)}, PayloadEncryptionResponse)
	if err != nil {
		return err
	}
	var answer challenge
	if err := json.Unmarshal(payload, &answer); err != nil {
		return fmt.Errorf("the client's answer to the challenge cannot be read: %w", err)
	}
	plain, err := seal.open(answer.Challenge)
	if err != nil || !bytes.Equal(plain, secret) {
		return errors.New("Encryption challenge does not match") //nolint:staticcheck // source: agent
	}
	a.channel.mu.Lock()
	a.channel.seal = seal
	a.channel.mu.Unlock()
	return nil
}

// Read reads the client's input. It ends with io.EOF when a client of ours has ended it, or with the session.
func (a *AgentSession) Read(p []byte) (int, error) { return a.in.read(nil, p) }

// WriteTo writes all that Read would give, without copying it.
func (a *AgentSession) WriteTo(w io.Writer) (int64, error) { return a.in.writeTo(w) }

// Write sends output. It waits while the path or the client is full, and for a lost connection.
func (a *AgentSession) Write(p []byte) (int, error) { return a.channel.append(nil, PayloadOutput, p) }

// Stderr sends standard error, as such if the client can tell it from other output.
func (a *AgentSession) Stderr() io.Writer {
	if a.extended || a.o.Separate {
		return agentStderr{a.channel}
	}
	return a
}

// agentStderr writes the standard error of a command.
type agentStderr struct{ c *Channel }

// Write writes to it.
func (s agentStderr) Write(p []byte) (int, error) { return s.c.append(nil, PayloadStderr, p) }

// Sizes gives the size of the client's terminal whenever it changes; only the latest one waits.
func (a *AgentSession) Sizes() <-chan Size { return a.sizes }

// Exit tells the exit code of the shell or the command, after all its output, to a client that can tell it from output.
func (a *AgentSession) Exit(code int) error {
	if !a.extended && !a.o.Separate {
		return nil
	}
	_, err := a.channel.sendLast(PayloadExitCode, strconv.AppendInt([]byte(exitPrefix), int64(code), 10))
	return err
}

// errFinished ends a channel whose agent has nothing more to say.
var errFinished = errors.New("the session is finished")

// Finish waits until everything that was sent has been acknowledged, tells the service that the session terminates, and ends
// the channel. When ctx ends first, the rest is not waited for.
func (a *AgentSession) Finish(ctx context.Context) error { return a.leave(ctx, true) }

// Fail is Finish for a session that has failed: the service is not told here that it terminates, for it would tell the client before it
// hears the reason, which goes another way.
func (a *AgentSession) Fail(ctx context.Context) error { return a.leave(ctx, false) }

// leave ends the channel when everything has been acknowledged.
func (a *AgentSession) leave(ctx context.Context, terminating bool) error {
	err := a.channel.Flush(ctx)
	if terminating {
		if e := a.channel.State(StateTerminating); e == nil {
			a.channel.written(goodbye)
		}
	}
	a.channel.end(errFinished)
	a.end()
	if e := a.channel.Close(); err == nil {
		err = e
	}
	if _, closed := a.channel.Ended(); closed {
		return nil
	}
	return err
}
