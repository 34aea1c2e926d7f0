package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/kms"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/datachannel"
)

// Exit codes of the commands that hold sessions. Anything else is the remote command's, as with ssh.
const (
	exitSession     = 255 // no session, or it ended before its time
	exitInterrupted = 130 // as a shell says of a program that Ctrl-C ended
)

// SessionFlags are what the commands that hold sessions share.
type SessionFlags struct {
	AccountFlags
	Reason string `placeholder:"TEXT" help:"Why the session is held, for its record."`
	Quiet  bool   `short:"q" help:"Say nothing but errors."`
}

// The documents that sessions are started with. source: aws-facts B.14
const (
	commandDocument  = "AWS-StartNonInteractiveCommand"
	terminalDocument = "AWS-StartInteractiveCommand"
	portDocument     = "AWS-StartPortForwardingSession"
	hostDocument     = "AWS-StartPortForwardingSessionToRemoteHost"
	sshDocument      = "AWS-StartSSHSession"
)

// holding is a session with a node, and what the user sees of it.
type holding struct {
	*datachannel.Session
	node    string
	account *account
	notes   *notes
}

// notes are the lines that a command says about its session on standard error.
type notes struct {
	terminal bool
	quiet    bool

	mu   sync.Mutex
	out  io.Writer // guarded by mu
	raw  bool      // whether the terminal is in raw mode; guarded by mu
	lost time.Time // when the connection was lost; guarded by mu
	told bool      // why it cannot be made again; guarded by mu
}

// newNotes gives the notes of a command.
func newNotes(s Streams, quiet bool) *notes {
	return &notes{out: s.Err, terminal: isTerminal(s.Err), quiet: quiet}
}

// isTerminal says whether a stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// say says a line, unless nothing but errors is wanted.
func (n *notes) say(format string, args ...any) {
	if !n.quiet {
		n.warn(format, args...)
	}
}

// warn says a line that is always said. What it tells may be a peer's words.
func (n *notes) warn(format string, args ...any) {
	n.line("vennel: " + clean(fmt.Sprintf(format, args...)))
}

// line writes a line, also where the terminal is in raw mode.
func (n *notes) line(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.raw {
		text = "\r" + strings.ReplaceAll(text, "\n", "\r\n") + "\r"
	}
	fmt.Fprintln(n.out, text)
}

// setRaw says whether the terminal is in raw mode.
func (n *notes) setRaw(raw bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.raw = raw
}

// clean takes from a text of others what would control a terminal.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return '�'
		}
		return r
	}, strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n")))
}

// inWords is an error as AWS's own command says it.
func inWords(operation string, err error) error {
	if e, ok := errors.AsType[*api.Error](err); ok {
		return fmt.Errorf("an error occurred (%s) when calling the %s operation: %s", e.Code, operation, e.Message)
	}
	return err
}

// mend says what to do about an error of StartSession.
func mend(node string, err error) error {
	e, ok := errors.AsType[*api.Error](err)
	if !ok {
		return err
	}
	hint := ""
	switch e.Code {
	case "TargetNotConnected":
		hint = fmt.Sprintf("The node holds no control channel: is its agent running, and do its network, its endpoints and its role let it reach ssmmessages? "+
			"Ask the server with vennel audit --user %s --denied, and for its state with aws ssm get-connection-status --target %s.", quote(node), quote(node))
	case "AccessDeniedException":
		hint = "Which policy decided is in vennel audit --operation StartSession --denied."
	case "InvalidDocument":
		hint = "A session needs a document of type Session: aws ssm list-documents --filters Key=DocumentType,Values=Session."
	case "ExpiredTokenException", "ExpiredToken":
		hint = "Get new credentials; those in a file are read again at once."
	case "UnrecognizedClientException", "InvalidClientTokenId":
		hint = "The endpoint does not know this access key: does AWS_ENDPOINT_URL, --endpoint-url or --data name the server that it belongs to?"
	}
	if err = inWords("StartSession", err); hint != "" {
		err = fmt.Errorf("%w\n%s", err, hint)
	}
	return err
}

// hangup gives a context that ends also when the terminal goes away. A reader of the output that is gone is an error, and not this program's end.
func hangup(ctx context.Context) (context.Context, context.CancelFunc) {
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP)
	return ctx, func() { stop(); signal.Stop(broken) }
}

// readerGone is an error of copying the output; nothing is said of a reader that has seen enough.
func readerGone(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return &ExitError{Code: exitSession}
	}
	return err
}

// failed is an error of a command that holds a session.
func failed(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*ExitError](err); ok {
		return err
	}
	return &ExitError{exitSession, err}
}

// parameters reads parameters of a document as they are given: each NAME=VALUE, or JSON as with AWS's own command.
func parameters(given []string) (map[string][]string, error) {
	all := map[string][]string{}
	for _, text := range given {
		if !strings.HasPrefix(strings.TrimSpace(text), "{") {
			name, value, ok := strings.Cut(text, "=")
			if !ok || name == "" {
				return nil, &ExitError{exitUsage, fmt.Errorf("--parameters must be NAME=VALUE or JSON, not %q", text)}
			}
			all[name] = append(all[name], value)
			continue
		}
		var object map[string]any
		if err := json.Unmarshal([]byte(text), &object); err != nil {
			return nil, &ExitError{exitUsage, fmt.Errorf("--parameters: %w", err)}
		}
		for name, value := range object {
			list, ok := value.([]any)
			if !ok {
				list = []any{value}
			}
			for _, element := range list {
				text, ok := element.(string)
				if !ok {
					return nil, &ExitError{exitUsage, fmt.Errorf("--parameters: %s must be a string or a list of strings", name)}
				}
				all[name] = append(all[name], text)
			}
		}
	}
	return all, nil
}

// start starts a session and opens its data channel. An empty document is the account's preferences.
func (f *SessionFlags) start(ctx context.Context, a *account, n *notes, node, document string, parameters map[string][]string) (*holding, error) {
	oneAtATime()
	in := &ssm.StartSessionInput{Target: node, Parameters: parameters}
	if document != "" {
		in.DocumentName = &document
	}
	if f.Reason != "" {
		in.Reason = &f.Reason
	}
	client, out := a.client("ssm"), new(ssm.StartSessionOutput)
	if err := client.Call(ctx, "StartSession", in, out); err != nil {
		return nil, mend(node, err)
	}
	s := &holding{node: node, account: a, notes: n}
	id := api.Or(out.SessionId, "")
	opened, err := datachannel.Open(ctx, datachannel.Start{SessionID: id, Token: api.Or(out.TokenValue, ""), StreamURL: api.Or(out.StreamUrl, ""), Target: node},
		datachannel.ClientOptions{
			Dial:   datachannel.DialOptions{TLS: a.tls(), UserAgent: "vennel"},
			Resume: func(ctx context.Context) (string, error) { return resume(ctx, a, n, id) },
			Lost:   n.connectionLost, Back: n.connectionBack,
			Keys: dataKeys{a},
		})
	if err != nil {
		terminate(ctx, a, id)
		return nil, fmt.Errorf("session %s: %w", id, err)
	}
	s.Session = opened
	if opened.Message != "" {
		n.say("%s", opened.Message)
	}
	return s, nil
}

// connectionLost says that the connection was lost, to somebody who is there, and what the server said about it.
func (n *notes) connectionLost(err error) {
	n.mu.Lock()
	n.lost, n.told = time.Now(), false
	n.mu.Unlock()
	why := ""
	if e, ok := errors.AsType[*datachannel.Refusal](err); ok && e.Reason != "" {
		why = ": " + e.Reason
	}
	if n.terminal {
		n.say("the connection is lost%s; it is being made again", why)
	}
}

// expired says, once, that the connection comes back only when there are new credentials.
func (n *notes) expired(err error) {
	n.mu.Lock()
	told := n.told
	n.told = true
	n.mu.Unlock()
	if n.terminal && !told {
		n.say("%v\nGet new credentials; those in a file are read again at once.", err)
	}
}

// connectionBack says that it is there again.
func (n *notes) connectionBack() {
	n.mu.Lock()
	away := time.Since(n.lost).Round(100 * time.Millisecond)
	n.mu.Unlock()
	if n.terminal {
		n.say("connected again after %s", away)
	}
}

// dataKeys makes the keys of encrypted sessions.
type dataKeys struct{ account *account }

// GenerateDataKey asks kms for a key, with the account's own credentials.
func (k dataKeys) GenerateDataKey(ctx context.Context, keyID string, size int, encryptionContext map[string]string) (plain, encrypted []byte, err error) {
	out := new(kms.GenerateDataKeyOutput)
	err = k.account.client("kms").Call(ctx, "GenerateDataKey",
		&kms.GenerateDataKeyInput{KeyId: keyID, NumberOfBytes: new(int64(size)), EncryptionContext: encryptionContext}, out)
	return out.Plaintext, out.CiphertextBlob, inWords("GenerateDataKey", err)
}

// Decrypt has kms decrypt a key.
func (k dataKeys) Decrypt(ctx context.Context, keyID string, encrypted []byte, encryptionContext map[string]string) (plain []byte, err error) {
	out := new(kms.DecryptOutput)
	err = k.account.client("kms").Call(ctx, "Decrypt", &kms.DecryptInput{KeyId: &keyID, CiphertextBlob: encrypted, EncryptionContext: encryptionContext}, out)
	return out.Plaintext, inWords("Decrypt", err)
}

// resume gives a new token of a session; none says that it is over. It is over also for a caller who may not resume it, or whom the server
// does not know; credentials that have expired may be renewed.
func resume(ctx context.Context, a *account, n *notes, id string) (string, error) {
	out := new(ssm.ResumeSessionOutput)
	err := a.client("ssm").Call(ctx, "ResumeSession", &ssm.ResumeSessionInput{SessionId: id}, out)
	e, ok := errors.AsType[*api.Error](err)
	if err = inWords("ResumeSession", err); !ok {
		return api.Or(out.TokenValue, ""), err
	}
	switch e.Code {
	case "DoesNotExistException":
		return "", nil
	case "AccessDeniedException", "UnrecognizedClientException", "InvalidClientTokenId":
		return "", fmt.Errorf("%w: %w", datachannel.ErrEnded, err)
	case "ExpiredTokenException", "ExpiredToken":
		n.expired(err)
	}
	return "", err
}

// goodbye is how long a session that is left may take to be told so.
const goodbye = 3 * time.Second

// terminate ends a session on the server, which may have ended already.
func terminate(ctx context.Context, a *account, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
	defer cancel()
	_ = a.client("ssm").Call(ctx, "TerminateSession", &ssm.TerminateSessionInput{SessionId: id}, nil) // its idle timeout ends it otherwise
}

// leave ends a session that is not over: the agent is told on the data channel, and the server as AWS's console tells it, because an
// official agent does not listen to the first in every kind of session.
func (s *holding) leave(ctx context.Context) {
	_ = s.Close() // what it could not tell the agent, the server does
	terminate(ctx, s.account, s.ID)
}
