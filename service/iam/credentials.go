package iam

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"database/sql"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/service/iam/policy"
	"github.com/vennel/vennel/store"
)

// Prefixes of unique ids. source: userguide, "IAM identifiers"
const (
	prefixGroup     = "AGPA"
	prefixUser      = "AIDA"
	prefixProfile   = "AIPA"
	prefixKey       = "AKIA"
	prefixPolicy    = "ANPA"
	prefixRole      = "AROA"
	prefixTemporary = "ASIA"
)

// newID makes a unique id: a prefix and n letters and digits. It must be called outside of
// transactions, which may run twice.
func newID(prefix string, n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return prefix + base32.StdEncoding.EncodeToString(b)[:n]
}

// newSecret makes a secret access key of 40 characters.
func newSecret() string {
	b := make([]byte, 30)
	rand.Read(b)
	return base64.StdEncoding.EncodeToString(b)
}

// accessKey is a user's key as the cache holds it.
type accessKey struct {
	seq     uint64
	secret  string
	account string
	user    string // the user's key
	active  bool
}

// Credentials are what a session is given.
type Credentials struct {
	AccessKeyID, SecretAccessKey, SessionToken string
	Expiration                                 time.Time
}

// session is what a session token holds, sealed: everything but the policies of the role, so that
// no row is needed for it and a deleted role ends it at once.
type session struct {
	KeyID    string            `json:"k"`
	Secret   string            `json:"s"`
	Account  string            `json:"a"`
	Kind     string            `json:"t"`           // role or user
	Owner    string            `json:"o"`           // the key of the role or user
	ID       string            `json:"i"`           // its unique id: one of the same name made later is another
	Name     string            `json:"n,omitempty"` // of the session
	Policies []string          `json:"p,omitempty"` // session policies
	Tags     map[string]string `json:"g,omitempty"`
	Source   string            `json:"r,omitempty"` // ARN of the node it was issued to
	Issued   int64             `json:"b"`           // seconds
	Expires  int64             `json:"e"`
}

// SessionSpec says what a new session is to be.
type SessionSpec struct {
	Name     string
	Policies []string // session policies that have been parsed
	Tags     map[string]string
	Source   string
	Duration time.Duration
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

// errToken says that a key or token is not known.
var errToken = &api.Error{Reason: api.BadToken}

// Lookup finds who holds a key: a user, or the session of a token. It gives the secret that the
// request must have been signed with.
func (i *IAM) Lookup(ctx context.Context, keyID, token string) (secret string, p *Principal, err error) {
	if strings.HasPrefix(keyID, prefixTemporary) {
		return i.lookupSession(ctx, keyID, token)
	}
	k, err := i.accessKey(ctx, keyID)
	if err != nil {
		return "", nil, err
	}
	if !k.active {
		return "", nil, errToken
	}
	g, err := i.grantsOf(ctx, owner{k.account, kindUser, k.user})
	if err != nil {
		return "", nil, err
	}
	if !g.exists {
		return "", nil, errToken
	}
	i.noteUse(keyID, api.CallFrom(ctx))
	return k.secret, i.userPrincipal(g, keyID), nil
}

// userPrincipal is a user as a caller.
func (i *IAM) userPrincipal(g *grants, keyID string) *Principal {
	e := &g.entity
	return &Principal{
		Principal: policy.Principal{Type: policy.User, ARN: entityARN(e), Account: e.Account, ID: e.ID},
		keyID:     keyID, name: e.Name, tags: g.tags, grants: g,
	}
}

// lookupSession finds the session of a token.
func (i *IAM) lookupSession(ctx context.Context, keyID, token string) (string, *Principal, error) {
	s, err := i.unseal(keyID, token)
	if err != nil {
		return "", nil, err
	}
	if time.Now().Unix() >= s.Expires {
		return "", nil, &api.Error{Reason: api.ExpiredToken}
	}
	g, err := i.grantsOf(ctx, owner{s.Account, s.Kind, s.Owner})
	if err != nil {
		return "", nil, err
	}
	if !g.exists || subtle.ConstantTimeCompare([]byte(g.entity.ID), []byte(s.ID)) != 1 {
		return "", nil, errToken
	}
	p, err := i.sessionPrincipal(g, s)
	return s.Secret, p, err
}

// sessionPrincipal is the session of a user or role as a caller.
func (i *IAM) sessionPrincipal(g *grants, s *session) (*Principal, error) {
	var p *Principal
	if s.Kind == kindUser {
		p = i.userPrincipal(g, s.KeyID)
	} else {
		p = i.rolePrincipal(g, s.KeyID, s)
	}
	if s.Issued != 0 {
		p.issued = time.Unix(s.Issued, 0)
	}
	p.source, p.sessionName, p.policies = s.Source, s.Name, s.Policies
	for n, text := range s.Policies {
		parsed, err := i.parse(text, policy.Session)
		if err != nil {
			return nil, err
		}
		p.session.Present = true
		p.session.Policies = append(p.session.Policies, policy.Attached{Name: fmt.Sprintf("#%d of the session", n+1), Policy: parsed})
	}
	return p, nil
}

// rolePrincipal is a session of a role as a caller. The session's tags win over the role's.
func (i *IAM) rolePrincipal(g *grants, keyID string, s *session) *Principal {
	e := &g.entity
	tags := g.tags
	if len(s.Tags) > 0 {
		tags = map[string]string{}
		for name, value := range g.tags {
			tags[name] = value
		}
		for name, value := range s.Tags {
			tags[name] = value
		}
	}
	return &Principal{
		Principal: policy.Principal{
			Type: policy.AssumedRole, ARN: api.ARN("sts", "", e.Account, "assumed-role/"+e.Name+"/"+s.Name), RoleARN: entityARN(e),
			Account: e.Account, ID: e.ID + ":" + s.Name,
		},
		keyID: keyID, tags: tags, grants: g,
	}
}

// accessKey reads a user's key, from the cache while nothing in IAM has changed.
func (i *IAM) accessKey(ctx context.Context, id string) (accessKey, error) {
	seq := i.db.Seq(topic)
	i.mu.Lock()
	k, ok := i.known[id]
	i.mu.Unlock()
	if ok && k.seq == seq {
		return k, nil
	}
	var row rows.IamAccessKey
	err := i.db.View(ctx, func(tx *store.Tx) (err error) {
		row, err = rows.New(tx).GetAccessKey(ctx, id)
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return k, errToken
	} else if err != nil {
		return k, err
	}
	secret, err := i.keys.Open(row.Secret, row.ID)
	if err != nil {
		return k, err
	}
	k = accessKey{seq: seq, secret: string(secret), account: row.Account, user: row.Owner, active: row.Status == "Active"}
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.known) >= mostCached {
		clear(i.known)
	}
	i.known[id] = k
	return k, nil
}

// use is when and for what a key was last used.
type use struct {
	at              time.Time
	service, region string
}

// usesEvery is how often the last uses of keys are written down: nobody needs them by the second,
// and a write for each request would cost more than the request.
const usesEvery = time.Minute

// noteUse remembers the use of a key.
func (i *IAM) noteUse(keyID string, call *api.Call) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.lastUses[keyID] = use{call.Time, call.Service, call.Region}
}

// keepUses writes the last uses down from time to time.
func (i *IAM) keepUses(ctx context.Context) error {
	tick := time.NewTicker(usesEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return i.flushUses(context.WithoutCancel(ctx))
		case <-tick.C:
			if err := i.flushUses(ctx); err != nil {
				i.log.Warn("last uses of access keys not written", "error", err)
			}
		}
	}
}

// flushUses writes the uses noted since the last time.
func (i *IAM) flushUses(ctx context.Context) error {
	i.mu.Lock()
	uses := i.lastUses
	i.lastUses = map[string]use{}
	i.mu.Unlock()
	if len(uses) == 0 {
		return nil
	}
	return i.db.Update(ctx, func(tx *store.Tx) error {
		for id, u := range uses {
			err := rows.New(tx).SetAccessKeyUse(ctx, rows.SetAccessKeyUseParams{
				ID: id, Used: u.at.UnixMilli(), UsedService: u.service, UsedRegion: u.region,
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}
