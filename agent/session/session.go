// Package session holds sessions of Session Manager on a node: shells, commands and forwarded ports. What a session is, its document says,
// which the package reads; what passes over its data channel is the business of the package datachannel. A session does not notice when its
// connection breaks, and ends when the service says so, when its client does, or when its program has ended.
//
// To any client it does what the official agent does. For one of ours it does more: a command has an input that ends, every program has
// an exit code, and forwarded connections end one direction at a time.
//
// It uses document for the parameters of documents. It knows neither how a session is announced nor how its end is told.
package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/vennel/vennel/agent/plugin"
	"github.com/vennel/vennel/datachannel"
)

// Statuses of sessions that have ended. source: agent
const (
	Success = "Success"
	Failed  = "Failed"
)

// Result is how a session ended. A session that was ended on purpose is one that succeeded, whatever the exit code. source: agent
type Result struct {
	Status string
	Output string // for the user
}

// Session is one session that is to be held.
type Session struct {
	Task     Task
	NodeID   string
	Version  string // of the agent
	Dial     datachannel.Dial
	Keys     datachannel.KeyService
	SSM      plugin.Caller                                   // for the stored parameters that documents refer to
	User     string                                          // who sessions run as in place of DefaultUser
	Reserved func(ctx context.Context) ([]netip.Addr, error) // more addresses to which nothing is forwarded; nil when there are none
	Patience time.Duration                                   // without a connection, until the session ends; 10 minutes if zero
	Log      *slog.Logger
}

// The times of a session.
const (
	patience   = 10 * time.Minute
	firstTime  = time.Minute     // for the first connection
	failedTime = 5 * time.Second // for the client to get what a session that has failed says; the result says it as well
)

// ErrClosed is the cause of a context with which the service has ended a session.
var ErrClosed = errors.New("the service has ended the session")

// errOver is the cause of the end of a session that ended itself.
var errOver = errors.New("the session is over")

// title begins the output of a session that could not begin. source: agent
const title = "\n----------ERROR-------\n"

// Run holds the session until it ends, or ctx does.
func (s *Session) Run(ctx context.Context) Result {
	if s.Patience == 0 {
		s.Patience = patience
	}
	p, err := resolve(ctx, &s.Task, s.SSM)
	if err == nil {
		err = p.unlogged()
	}
	if err != nil {
		return Result{Failed, err.Error()}
	}
	if p.kind != datachannel.Port && (p.inputs.S3BucketName != "" || p.inputs.CloudWatchLogGroupName != "") {
		s.Log.Warn("this agent does not deliver session logs yet; this session has none", "bucket", p.inputs.S3BucketName, "log_group", p.inputs.CloudWatchLogGroupName)
	}
	l := &line{dial: s.Dial, patience: s.Patience, lost: time.Now()}
	h := &hold{Session: s, plan: p, channel: datachannel.NewAgent(l.connect, datachannel.AgentOptions{
		SessionID: s.Task.SessionID, InstanceID: s.NodeID, Kind: p.kind, Properties: p.told(), Version: s.Version,
		KMSKeyID: p.inputs.KMSKeyID, Keys: s.Keys, Separate: p.kind == datachannel.NonInteractiveCommands && bool(p.command.SeparateOutputStream), Log: s.Log,
		Lost: func(err error) { l.broken(); s.Log.Info("connection lost", "error", err) }, Back: func() { s.Log.Info("connected again") },
	})}
	held, end := context.WithCancelCause(ctx)
	defer end(nil)
	var broken error
	h.parts.Go(func() {
		broken = h.channel.Run(context.WithoutCancel(ctx)) // Finish ends it
		end(errOver)
	})
	h.parts.Go(func() {
		<-h.channel.Ended()
		end(errOver)
	})
	defer context.AfterFunc(held, func() { h.finish(held, 0, h.channel.Finish) })() // whoever waits for the client does no more
	result := h.run(held)
	if held.Err() == nil {
		within := s.Patience
		leave := h.channel.Finish
		if result.Status == Failed {
			within, leave = min(within, failedTime), h.channel.Fail
		}
		h.finish(held, within, leave)
	}
	end(errOver)
	h.finish(held, 0, h.channel.Finish)
	h.parts.Wait()
	switch cause := context.Cause(ctx); {
	case broken != nil && result.Status == Success && !l.connected():
		return Result{Failed, fmt.Sprintf("%sSetting up data channel with id %s failed: %v", title, s.Task.SessionID, broken)} // source: agent
	case broken != nil && result.Status == Success && errors.Is(broken, errSilence):
		return Result{Failed, broken.Error()}
	case cause != nil && !errors.Is(cause, ErrClosed) && result.Status == Success:
		return Result{Failed, "The session was ended because the node, or the session's process on it, was told to stop."}
	}
	return result
}

// hold is a session that is held.
type hold struct {
	*Session
	plan     *plan
	channel  *datachannel.AgentSession
	extended bool // the client is one of ours
	finished sync.Once
	parts    sync.WaitGroup // that end with the channel
}

// finish ends the channel, when the client has got everything, the time has passed, or ctx ends.
func (h *hold) finish(ctx context.Context, within time.Duration, leave func(context.Context) error) {
	h.finished.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		if err := leave(ctx); err != nil && within > 0 {
			h.Log.Warn("the client did not get all", "error", err)
		}
	})
}

// run does the handshake and then what the session is for.
func (h *hold) run(ctx context.Context) Result {
	shake, cancel := context.WithTimeout(ctx, h.Patience)
	version, extended, err := h.channel.Handshake(shake)
	late := shake.Err() != nil
	cancel()
	switch {
	case ctx.Err() != nil:
		return Result{Status: Success}
	case err != nil && late:
		err = errors.New("Handshake timed out. Please ensure that you have the latest version of the session manager plugin.") //nolint:staticcheck,revive // the official agent's words, which the user is shown
		fallthrough
	case err != nil:
		return Result{Failed, fmt.Sprintf("%sEncountered error while initiating handshake. %v", title, err)} // source: agent
	}
	h.extended = extended
	h.Log.Info("session begins", "kind", h.plan.kind, "client", version, "extended", extended)
	switch h.plan.kind {
	case datachannel.StandardStream:
		return h.ran(ctx, func() (int, error) { return h.shell(ctx, "sh") })
	case datachannel.InteractiveCommands:
		return h.ran(ctx, func() (int, error) { return h.shell(ctx, "sh", "-c", h.plan.command.Commands) })
	case datachannel.NonInteractiveCommands:
		return h.ran(ctx, func() (int, error) { return h.command(ctx) })
	}
	return h.forward(ctx)
}

// ran runs a program and tells the client how it has ended, or that it could not begin.
func (h *hold) ran(ctx context.Context, run func() (int, error)) Result {
	result := Result{Status: Success}
	code, err := run()
	if ctx.Err() != nil {
		return result // whoever ended it knows
	}
	if err != nil {
		text := fmt.Sprintf("Unable to start command: %v\n", err) // source: agent
		h.Log.Error("the session's program could not be started", "error", err)
		if h.plan.kind == datachannel.NonInteractiveCommands || h.extended {
			_, _ = h.channel.Stderr().Write([]byte(text)) // the result says it as well
		}
		code, result = failure(err), Result{Failed, title + text}
	}
	if err := h.channel.Exit(code); err != nil {
		h.Log.Info("nobody was told the exit code", "error", err)
	}
	h.Log.Info("the session's program has ended", "code", code)
	return result
}

// told are the properties as clients are told them: for ports only, since those of commands may be secret. source: agent
func (p *plan) told() any {
	if p.kind == datachannel.Port {
		return p.properties
	}
	return nil
}
