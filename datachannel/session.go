package datachannel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// Start is what StartSession gave, and the target that it was asked for.
type Start struct {
	SessionID, Token, StreamURL string
	Target                      string // an encrypted session's key is bound to it
}

// ClientOptions are those of a client. The zero value works.
type ClientOptions struct {
	Dial    DialOptions
	Version string // ClientVersion if empty
	// Resume gets a new token when the connection is lost, as ResumeSession does. An empty one, or ErrEnded,
	// says that the session is over. Without it the first token is used again.
	Resume func(ctx context.Context) (token string, err error)
	Lost   func(error) // the connection is lost, and another is sought
	Back   func()      // there is a connection again
	Keys   KeyService  // without it encrypted sessions are refused
	Log    *slog.Logger

	dial Dial // of tests, in place of a websocket
	pace pace
}

// The limits of a client's end.
const (
	firstDials = 5               // attempts to connect for the first time
	goodbye    = 2 * time.Second // for the word that a session is to end
)

// Session is the client's end of a session: a shell, a command or a port. Read and Write are its terminal or
// the streams of its command. A session over an AWS agent's shell without encryption has no handshake; it is known
// by its first output.
type Session struct {
	ID           string
	Kind         string          // Standard_Stream, InteractiveCommands, NonInteractiveCommands or Port
	Properties   json.RawMessage // of the document, null for all kinds but Port
	AgentVersion string          // empty without a handshake
	Extended     bool            // the agent is ours
	Message      string          // for the user, of the agent

	o       ClientOptions
	channel *Channel
	cancel  context.CancelFunc
	ran     sync.WaitGroup
	started chan struct{} // closed by the first output
	shakes  chan *received
	changed chan struct{} // Wait may be over
	ours    atomic.Bool   // Extended
	ports   ports

	out, err *inbox

	mu      sync.Mutex // guards the rest
	split   bool       // standard error has a reader of its own
	begun   bool       // started is closed
	secret  bool       // the agent has asked for encryption
	exit    *int
	closing bool
	ended   bool // no more input
}

// Exit is how a session has ended.
type Exit struct {
	Code   int    // of the shell or the command
	Known  bool   // there is a code: AWS's agent tells it only of some commands
	Reason string // what the service or the agent said, or why the session cannot go on
}

// Open connects to a session and does the handshake. The session outlives ctx.
func Open(ctx context.Context, start Start, o ClientOptions) (*Session, error) {
	s := newSession(start, o)
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.ran.Go(func() {
		if err := s.channel.Run(run); err != nil {
			s.o.Log.Debug("session ended", "session_id", s.ID, "error", err)
		}
		s.ports.close(s.failed())
		s.out.end(s.outEnd())
		s.err.end(io.EOF)
		notify(s.changed)
	})
	if err := s.handshake(ctx, start); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// newSession makes a session, which does nothing until its channel runs.
func newSession(start Start, o ClientOptions) *Session {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Version == "" {
		o.Version = ClientVersion
	}
	s := &Session{ID: start.SessionID, o: o, started: make(chan struct{}), shakes: make(chan *received, mostHandshakes), changed: make(chan struct{}, 1)}
	dial := o.dial
	if dial == nil {
		dial = s.dialer(start)
	}
	s.channel = NewChannel(Client, dial, Options{SessionID: start.SessionID, Log: o.Log, Lost: o.Lost, Back: o.Back, deliver: s.deliver, pace: o.pace})
	s.out, s.err = newInbox(s.channel, s.changed), newInbox(s.channel, s.changed)
	return s
}

// dialer makes connections with the tokens in their turn.
func (s *Session) dialer(start Start) Dial {
	client, opened, attempts := uuid.NewString(), false, 0
	return func(ctx context.Context) (Conn, error) {
		token := start.Token
		if opened && s.o.Resume != nil {
			var err error
			if token, err = s.o.Resume(ctx); err != nil {
				return nil, err
			}
			if token == "" {
				return nil, ErrEnded
			}
		}
		conn, err := DialWebsocket(ctx, start.StreamURL, nil, Opening{
			MessageSchemaVersion: "1.0", RequestID: uuid.NewString(), TokenValue: token, ClientID: client, ClientVersion: s.o.Version,
		}, s.o.Dial)
		if err == nil {
			opened = true
			return conn, nil
		}
		if _, refused := errors.AsType[*Refusal](err); !opened {
			if attempts++; refused || attempts == firstDials {
				return nil, errors.Join(ErrEnded, err)
			}
		}
		return nil, err
	}
}

// deliver takes what comes, in order.
func (s *Session) deliver(r *received) {
	switch r.kind {
	case PayloadOutput, PayloadStderr, PayloadExitCode:
		if !s.open(r) {
			return
		}
		s.begin()
	}
	switch r.kind {
	case PayloadOutput:
		s.ports.arrived(s.out, r)
		return
	case PayloadStderr:
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.split {
			s.err.put(r)
		} else {
			s.out.put(r)
		}
		return
	case PayloadExitCode:
		if code, ok := exitCode(r.payload); ok {
			s.exited(code)
		}
	case PayloadHandshakeRequest, PayloadEncryptionRequest, PayloadHandshakeComplete:
		if r.kind == PayloadHandshakeRequest && !s.asked(r.payload) {
			return
		}
		r.keep()
		select {
		case s.shakes <- &received{kind: r.kind, payload: r.payload}:
		default: // nobody waits for so many
		}
	case PayloadFlag:
		if isFlag(r.payload, flagRefused) {
			s.ports.refused()
		}
	}
	s.channel.consume(r)
}

// asked notes whether a handshake asks for encryption. Output that came before was not encrypted, which ends the session.
func (s *Session) asked(payload []byte) bool {
	var request handshakeRequest
	if json.Unmarshal(payload, &request) != nil || !slices.ContainsFunc(request.RequestedClientActions, func(a requestedAction) bool { return a.ActionType == actionEncryption }) {
		return true
	}
	s.mu.Lock()
	s.secret = true
	begun := s.begun
	s.mu.Unlock()
	if begun {
		s.channel.end(errDecrypt)
	}
	return !begun
}

// open decrypts what is encrypted. What cannot be decrypted ends the session, and what should be encrypted and is not.
func (s *Session) open(r *received) bool {
	s.channel.mu.Lock()
	seal := s.channel.seal
	s.channel.mu.Unlock()
	if seal == nil {
		s.mu.Lock()
		secret := s.secret
		s.mu.Unlock()
		if secret {
			s.channel.end(errDecrypt)
		}
		return !secret
	}
	plain, err := seal.open(r.payload)
	if err != nil {
		s.channel.end(err)
		return false
	}
	r.payload = plain
	return true
}

// begin notes the first output.
func (s *Session) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.begun {
		s.begun = true
		close(s.started)
	}
}

// exited takes the exit code. From an agent of ours nothing follows it.
func (s *Session) exited(code int) {
	s.mu.Lock()
	s.exit = &code
	s.mu.Unlock()
	if s.ours.Load() {
		s.out.end(io.EOF)
		s.err.end(io.EOF)
	}
	notify(s.changed)
}

// handshake does what the agent asks for, until it says that this is all or sends output.
func (s *Session) handshake(ctx context.Context, start Start) error {
	for {
		select {
		case r := <-s.shakes:
			done, err := s.shake(ctx, start, r)
			if done || err != nil {
				return err
			}
		case <-s.started:
			if s.Kind == "" {
				s.Kind = StandardStream
			}
			return nil
		case <-s.channel.Done():
			return s.failed()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// outEnd is what reading gives at the end of the session. The connection of a port that is one at a time has no other end than the
// session's, which is broken unless the agent has ended it itself: then no reason is given. source: agent
func (s *Session) outEnd() error {
	if output, said := s.channel.Ended(); s.Kind != Port || said && output == "" {
		return io.EOF
	}
	return s.failed()
}

// failed is why a session has ended before it began, or before its connections did.
func (s *Session) failed() error {
	if output, ok := s.channel.Ended(); ok {
		if output == "" {
			output = "no reason was given"
		}
		return fmt.Errorf("%w: %s", ErrEnded, output)
	}
	return s.channel.reason()
}

// shake does one step of the handshake, and says whether it was the last.
func (s *Session) shake(ctx context.Context, start Start, r *received) (done bool, err error) {
	switch r.kind {
	case PayloadHandshakeRequest:
		var request handshakeRequest
		if err := json.Unmarshal(r.payload, &request); err != nil {
			return false, fmt.Errorf("the agent's handshake cannot be read: %w", err)
		}
		return false, s.respond(ctx, start, &request)
	case PayloadEncryptionRequest:
		var c challenge
		if err := json.Unmarshal(r.payload, &c); err != nil {
			return false, fmt.Errorf("the agent's challenge cannot be read: %w", err)
		}
		s.channel.mu.Lock()
		seal := s.channel.seal
		s.channel.mu.Unlock()
		if seal == nil {
			return false, errors.New("the agent has sent a challenge for a key that was not agreed")
		}
		plain, err := seal.open(c.Challenge)
		if err != nil {
			return false, err
		}
		return false, s.answer(PayloadEncryptionResponse, challenge{seal.sealed(plain)})
	}
	var complete handshakeComplete
	if err := json.Unmarshal(r.payload, &complete); err != nil {
		return false, fmt.Errorf("the agent's handshake cannot be read: %w", err)
	}
	s.Message = complete.CustomerMessage
	s.beginPorts()
	if s.Kind == "" {
		return false, errors.New("the agent has ended the handshake without saying what the session is")
	}
	return true, nil
}

// answer sends a payload of the handshake.
func (s *Session) answer(kind uint32, v any) error {
	payload, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.channel.SendUrgent(kind, payload)
}

// mostActions is how many actions of a handshake are looked at.
const mostActions = 32

// respond does the actions of a handshake and answers. The error is that of an action that the session cannot do
// without; the agent has been told.
func (s *Session) respond(ctx context.Context, start Start, request *handshakeRequest) error {
	s.AgentVersion = request.AgentVersion
	response := handshakeResponse{ClientVersion: s.o.Version, ProcessedClientActions: []processedAction{}}
	var failure error
	var seal *sealer
	for _, action := range request.RequestedClientActions[:min(len(request.RequestedClientActions), mostActions)] {
		done := processedAction{ActionType: action.ActionType, ActionStatus: statusSuccess}
		var err error
		switch action.ActionType {
		case actionSessionType:
			err = s.is(action.ActionParameters)
		case actionEncryption:
			var answer encryptionResponse
			if seal, answer, err = s.key(ctx, start, action.ActionParameters); err == nil {
				done.ActionResult, err = json.Marshal(answer)
			}
		case actionExtensions:
			var theirs extensions
			if err = json.Unmarshal(action.ActionParameters, &theirs); err == nil {
				s.Extended = theirs.extended()
				s.ours.Store(s.Extended)
				s.channel.bare.Store(s.Extended)
				done.ActionResult, err = json.Marshal(our)
			}
		default:
			done.ActionStatus, done.Error = statusUnsupported, "Unsupported action "+action.ActionType
			response.Errors = append(response.Errors, done.Error)
		}
		if err != nil {
			done.ActionStatus, done.ActionResult = statusFailed, nil
			done.Error = fmt.Sprintf("Failed to process action %s: %v", action.ActionType, err)
			response.Errors = append(response.Errors, done.Error)
			failure = errors.Join(failure, err)
		}
		response.ProcessedClientActions = append(response.ProcessedClientActions, done)
	}
	if failure == nil && seal != nil { // a key that was agreed is not given up again
		s.channel.mu.Lock()
		s.channel.seal = seal
		s.channel.mu.Unlock()
	}
	if err := s.answer(PayloadHandshakeResponse, response); err != nil {
		return err
	}
	if failure != nil {
		ctx, cancel := context.WithTimeout(ctx, goodbye)
		defer cancel()
		_ = s.channel.Flush(ctx) // the agent can tell why it ends the session
	}
	return failure
}

// is takes what the session is.
func (s *Session) is(parameters json.RawMessage) error {
	var t sessionType
	if err := json.Unmarshal(parameters, &t); err != nil {
		return err
	}
	switch t.SessionType {
	case StandardStream, InteractiveCommands, NonInteractiveCommands, Port:
		s.Kind, s.Properties = t.SessionType, t.Properties
		return nil
	}
	return fmt.Errorf("unknown session type %q", t.SessionType)
}

// key gets the session's data key. It is bound to the agent's challenge if there is one.
func (s *Session) key(ctx context.Context, start Start, parameters json.RawMessage) (*sealer, encryptionResponse, error) {
	var request encryptionRequest
	if err := json.Unmarshal(parameters, &request); err != nil {
		return nil, encryptionResponse{}, err
	}
	if s.o.Keys == nil {
		return nil, encryptionResponse{}, errors.New("the session is encrypted with a KMS key, and this client has no access to KMS")
	}
	plain, encrypted, err := s.o.Keys.GenerateDataKey(ctx, request.KMSKeyID, dataKey, encryptionContext(start.SessionID, start.Target, request.Challenge))
	if err != nil {
		return nil, encryptionResponse{}, fmt.Errorf("the session's data key: %w", err)
	}
	seal, err := newSealer(Client, plain)
	return seal, encryptionResponse{KMSCipherTextKey: encrypted, ChallengeAcknowledgement: request.Challenge != ""}, err
}

// Read reads what the session writes. As long as Stderr has not been called, that includes standard error, in the
// order in which it came. It ends with io.EOF.
func (s *Session) Read(p []byte) (int, error) { return s.out.read(nil, p) }

// WriteTo writes all that Read would give, without copying it.
func (s *Session) WriteTo(w io.Writer) (int64, error) { return s.out.writeTo(w) }

// Stderr is the standard error of a command that has one of its own. Both it and Read are to be read: what is not
// holds up the other.
func (s *Session) Stderr() io.Reader {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.split {
		s.split = true
		for _, r := range s.out.without(PayloadStderr) {
			s.err.put(r)
		}
	}
	return (*stderr)(s)
}

// stderr reads the standard error of a session.
type stderr Session

// Read reads from it.
func (s *stderr) Read(p []byte) (int, error) { return s.err.read(nil, p) }

// WriteTo writes all of it.
func (s *stderr) WriteTo(w io.Writer) (int64, error) { return s.err.writeTo(w) }

// Write sends input. It waits while the path or the node is full, and for a lost connection.
func (s *Session) Write(p []byte) (int, error) {
	s.mu.Lock()
	ended := s.ended
	s.mu.Unlock()
	if ended {
		return 0, io.ErrClosedPipe
	}
	return s.channel.append(nil, PayloadOutput, p)
}

// CloseWrite ends the input of a command, which then reads its end. The error is errors.ErrUnsupported when the
// agent does not know this.
func (s *Session) CloseWrite() error {
	if !s.Extended || s.Kind == Port {
		return errors.ErrUnsupported
	}
	s.mu.Lock()
	was := s.ended
	s.ended = true
	s.mu.Unlock()
	if was {
		return nil
	}
	_, err := s.channel.sendLast(PayloadFlag, flag(flagInputEnd))
	return err
}

// Resize tells the size of the terminal.
func (s *Session) Resize(cols, rows int) error {
	payload, err := json.Marshal(Size{cols, rows})
	if err != nil {
		return err
	}
	return s.channel.SendUrgent(PayloadSize, payload)
}

// Size is that of a terminal.
type Size struct {
	Cols int `json:"cols"`
	Rows int `json:"rows"`
}

// Done is closed when the session has no connection any more and gets no other. What it has written may still have
// to be read.
func (s *Session) Done() <-chan struct{} { return s.channel.Done() }

// Wait waits until the session has ended and everything that it wrote has been read. The error is that of ctx, or nil.
func (s *Session) Wait(ctx context.Context) (Exit, error) {
	for {
		if exit, over := s.over(); over && s.out.empty() && s.err.empty() {
			notify(s.changed) // another may wait
			return exit, nil
		}
		select {
		case <-s.changed:
		case <-ctx.Done():
			return Exit{}, context.Cause(ctx)
		}
	}
}

// over says whether the session has ended, and how. The exit code of an agent of ours is the end.
func (s *Session) over() (exit Exit, over bool) {
	s.mu.Lock()
	if s.exit != nil {
		exit = Exit{Code: *s.exit, Known: true}
		over = s.ours.Load()
	}
	s.mu.Unlock()
	if !s.channel.isClosed() {
		return exit, over
	}
	output, said := s.channel.Ended()
	if !said && !exit.Known {
		output = s.channel.reason().Error()
	}
	exit.Reason = output
	return exit, true
}

// Close ends the session. An AWS agent notices that only of a port; its shell is to be ended by TerminateSession. An agent of ours that has told
// its exit code is given a moment to hear that it was heard: otherwise it would wait for a client that does not come back.
func (s *Session) Close() error {
	s.mu.Lock()
	was := s.closing
	s.closing = true
	s.mu.Unlock()
	if was {
		return nil
	}
	if _, over := s.over(); over {
		t := time.NewTimer(goodbye)
		defer t.Stop()
		select {
		case <-s.channel.Done(): // it is told so once the agent has heard
		case <-t.C:
		}
	} else if s.channel.SendUrgent(PayloadFlag, flag(flagTerminate)) == nil {
		s.channel.written(goodbye)
	}
	return s.abandon()
}

// abandon leaves the session without a word.
func (s *Session) abandon() error {
	err := s.channel.Close()
	s.cancel()
	s.ran.Wait()
	s.out.drop()
	s.err.drop()
	notify(s.changed)
	return err
}
