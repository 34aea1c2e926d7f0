package iam

import (
	"encoding/base64"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/vennel/vennel/api"
)

// Credentials are what a session is given.
type Credentials struct {
	AccessKeyID, SecretAccessKey, SessionToken string
	Expiration                                 time.Time
}

// session is what a session token holds, sealed: everything but the policies of the role or user, so
// that no row is needed for it and a deleted role ends it at once.
type session struct {
	KeyID    string            `json:"k"`
	Secret   string            `json:"s"`
	Owner    string            `json:"o"`           // the unique id of the role or user: one of the same name made later is another
	Name     string            `json:"n,omitempty"` // of the session
	Policies []string          `json:"p,omitempty"` // session policies
	Managed  []string          `json:"m,omitempty"` // ARNs of managed session policies, whose texts would be too long for a token
	Tags     map[string]string `json:"g,omitempty"`
	Lasting  []string          `json:"l,omitempty"` // the names of the tags that sessions made by this one inherit
	Identity string            `json:"d,omitempty"` // the source identity
	Source   string            `json:"r,omitempty"` // ARN of the node it was issued to
	Keys     map[string]string `json:"c,omitempty"` // condition keys, in lower case, that every call with it has
	Issued   int64             `json:"b"`           // seconds
	Expires  int64             `json:"e"`
}

// SessionSpec says what a new session is to be.
type SessionSpec struct {
	Name     string
	Policies []string // session policies that have been parsed
	Managed  []string // ARNs of managed policies that limit it too; CheckManaged has seen them
	Tags     map[string]string
	Lasting  []string          // the names of the tags that are transitive
	Identity string            // the source identity
	Source   string            // ARN of the node it is issued to
	Keys     map[string]string // condition keys that every call with it has; names in lower case
	Duration time.Duration
}

// NewSession makes credentials for a session of a role. Whether the role may be assumed is the
// caller's question.
func (i *IAM) NewSession(r *Role, spec SessionSpec) (*Credentials, error) {
	s := session{
		Owner: r.ID, Name: spec.Name, Policies: spec.Policies, Managed: spec.Managed, Tags: spec.Tags, Lasting: spec.Lasting, Identity: spec.Identity,
		Source: spec.Source, Keys: spec.Keys,
	}
	return i.seal(s, time.Now(), spec.Duration)
}

// NewUserSession makes credentials for a session of the calling user, as GetSessionToken does.
func (i *IAM) NewUserSession(p *Principal, life time.Duration) (*Credentials, error) {
	return i.seal(session{Owner: p.ID}, time.Now(), life)
}

// seal makes the credentials of a session.
func (i *IAM) seal(s session, now time.Time, life time.Duration) (*Credentials, error) {
	s.KeyID, s.Secret = newID(prefixTemporary, 16), newSecret()
	s.Issued, s.Expires = now.Unix(), now.Add(life).Unix()
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return &Credentials{
		AccessKeyID: s.KeyID, SecretAccessKey: s.Secret, Expiration: time.Unix(s.Expires, 0).UTC(),
		SessionToken: base64.StdEncoding.EncodeToString(i.tokens.Seal(text, s.KeyID)),
	}, nil
}

// mostToken bounds a session token.
const mostToken = 16 << 10

// errToken says that a key or token is not known.
var errToken = &api.Error{Reason: api.BadToken}

// unseal opens a session token that belongs to a key.
func (i *IAM) unseal(keyID, token string) (*session, error) {
	if token == "" || len(token) > mostToken {
		return nil, errToken
	}
	sealed, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return nil, errToken
	}
	text, err := i.tokens.Open(sealed, keyID)
	if err != nil {
		return nil, errToken
	}
	s := new(session)
	if err := json.Unmarshal(text, s); err != nil {
		return nil, err
	}
	return s, nil
}
