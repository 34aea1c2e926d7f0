// Package ssmmessages is the message gateway: the websockets on which agents wait for work. It keeps
// nothing; what waits is in fleet's mailboxes, what comes back goes by its topic to the capability
// that the composer names, and the data channels are those of sessions. It uses iam, fleet and session.
package ssmmessages

import (
	"context"
	"log/slog"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	vocabulary "github.com/vennel/vennel/api/ssmmessages"
	"github.com/vennel/vennel/internal/seal"
	"github.com/vennel/vennel/service/ssm/fleet"
	"github.com/vennel/vennel/service/ssm/session"
)

// Inbox takes what nodes send back about a job. An error means that it is not safe yet: it is not
// acknowledged, and the node sends it again.
type Inbox interface {
	// Accepted is told that a node has taken a job, or that it never will: code is the agent's.
	Accepted(ctx context.Context, node, job, code, message string) error
	// Reply is told what a node says about a job.
	Reply(ctx context.Context, node, job, topic string, content []byte) error
}

// Messages is the service.
type Messages struct {
	fleet    *fleet.Fleet
	inbox    Inbox
	sessions *session.Sessions
	tokens   *seal.Box
	log      *slog.Logger
}

var _ vocabulary.Server = (*Messages)(nil)

// New gives the service.
func New(f *fleet.Fleet, inbox Inbox, sessions *session.Sessions, master seal.Master, log *slog.Logger) *Messages {
	return &Messages{fleet: f, inbox: inbox, sessions: sessions, tokens: master.Box("channel tokens"), log: log}
}

// registered refuses a node that there is not, in the words of ssm.
func (m *Messages) registered(ctx context.Context, node string) error {
	ok, err := m.fleet.Registered(ctx, node)
	if err == nil && !ok {
		err = ssm.ErrInvalidInstanceId("%s", node)
	}
	return err
}

// denied is the refusal of a token.
func denied() error { return api.Errorf(api.AccessDenied, "The channel token is not valid") }
