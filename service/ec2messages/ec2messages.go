// Package ec2messages is the older line on which agents ask for work: long polls and replies. It
// keeps nothing; what waits is in fleet's mailboxes. It uses iam and fleet.
package ec2messages

import (
	"context"
	"strings"

	vocabulary "github.com/vennel/vennel/api/ec2messages"
	"github.com/vennel/vennel/service/ssm/fleet"
)

// Inbox takes what nodes send back about a job; ssmmessages has the same.
type Inbox interface {
	Accepted(ctx context.Context, node, job, code, message string) error
	Reply(ctx context.Context, node, job, topic string, content []byte) error
}

// Messages is the service.
type Messages struct {
	unclaimed
	fleet *fleet.Fleet
	inbox Inbox
}

// unclaimed holds the operations that are not built.
type unclaimed struct{ vocabulary.Unimplemented }

var _ vocabulary.Server = (*Messages)(nil)

// New gives the service.
func New(f *fleet.Fleet, inbox Inbox) *Messages { return &Messages{fleet: f, inbox: inbox} }

// nodeOf is the node that a message was sent to: the last part of its id, aws.ssm.COMMAND.NODE.
func nodeOf(messageID string) (string, error) {
	i := strings.LastIndexByte(messageID, '.')
	if i < 0 || i == len(messageID)-1 {
		return "", vocabulary.ErrInvalidMessageIdException("The message id %s is not valid", messageID)
	}
	return messageID[i+1:], nil
}

// allow asks whether the caller may do an action on a message, and gives its node. Whether there is a
// message of that name is not said to whom it may not concern.
func allow(ctx context.Context, action, messageID string) (node string, err error) {
	node, malformed := nodeOf(messageID)
	if err := fleet.AllowNode(ctx, action, "*", node); err != nil {
		return "", err
	}
	return node, malformed
}
