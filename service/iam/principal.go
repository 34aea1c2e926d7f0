package iam

import (
	"sync/atomic"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/service/iam/policy"
)

// Principal is a caller whose signature has been verified, with what it is granted.
type Principal struct {
	policy.Principal
	iam      *IAM
	noted    atomic.Bool // its use has been remembered
	keyID    string
	name     string    // of the user, for aws:username
	issued   time.Time // of the session; zero for a user's own key
	tags     map[string]string
	lasting  map[string]string // the transitive tags of a session
	identity string            // the source identity of a session
	source   string            // ARN of the node that a session was issued to
	session  policy.Layer
	made     *session // what the session's token holds; nil for a user's own key
	grants   *grants
}

var _ api.Principal = (*Principal)(nil)

// ARN is the caller's: arn:aws:iam::ACCOUNT:user/NAME or arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION.
func (p *Principal) ARN() string { return p.Principal.ARN }

// AccountID is the caller's account.
func (p *Principal) AccountID() string { return p.Account }

// UserID is the caller's unique id.
func (p *Principal) UserID() string { return p.ID }

// KeyID is the access key that the request was signed with.
func (p *Principal) KeyID() string { return p.keyID }

// Type is CloudTrail's word.
func (p *Principal) Type() string {
	switch p.Principal.Type {
	case policy.User:
		return "IAMUser"
	case policy.AssumedRole:
		return "AssumedRole"
	case policy.FederatedUser:
		return "FederatedUser"
	case policy.Root:
		return "Root"
	}
	return "Unknown"
}

// Source is the ARN of the managed node that the caller's session was issued to, or empty.
func (p *Principal) Source() string { return p.source }

// Tag is the value of one of the caller's tags, those of a session before those of its role; empty for none.
func (p *Principal) Tag(name string) string {
	for _, value := range tagValue(p.tags, name) {
		return value
	}
	return ""
}

// Lasting are the tags of a session that those which it makes inherit.
func (p *Principal) Lasting() map[string]string { return p.lasting }

// SourceIdentity is the name that a session and those which it makes keep, or empty.
func (p *Principal) SourceIdentity() string { return p.identity }

// RoleARN is the role of a session, with its path.
func (p *Principal) RoleARN() string { return p.Principal.RoleARN }

// Issued is when the caller's session began, zero for a user's own key.
func (p *Principal) Issued() time.Time { return p.issued }

// Temporary says whether the caller uses the credentials of a session.
func (p *Principal) Temporary() bool { return !p.issued.IsZero() }
