// Package iam is AWS Identity and Access Management: users, groups, roles, policies, instance
// profiles and access keys, and what the other services ask of it: who holds a key (Lookup), and
// whether a caller may do something (Allow).
//
// It keeps entities, their policies, attachments, members, tags and access keys. What the policy
// language means is in the subpackage policy; AWS's own policies are in managed. It uses no other
// service.
package iam

import (
	"context"
	"log/slog"
	"sync"

	api "github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/internal/seal"
	"github.com/vennel/vennel/service/iam/policy"
	"github.com/vennel/vennel/store"
)

// topic wakes the caches after every change.
const topic = "iam"

// IAM is the service.
type IAM struct {
	unclaimed
	db     *store.DB
	keys   *seal.Box // access keys' secrets in the database
	tokens *seal.Box // session tokens in clients' hands
	log    *slog.Logger

	mu       sync.Mutex
	known    map[string]accessKey      // by id; guarded by mu
	granted  map[string]*grants        // by id of a user or role; guarded by mu
	parsed   map[string]*policy.Policy // by kind and text; guarded by mu
	lastUses map[string]use            // by id of an access key or role, not yet written; guarded by mu
}

// unclaimed holds the operations that are not built, one level deeper, so that Go prefers ours.
type unclaimed struct{ api.Unimplemented }

var _ api.Server = (*IAM)(nil)

// New gives the service.
func New(db *store.DB, master seal.Master, log *slog.Logger) *IAM {
	return &IAM{
		db: db, log: log, keys: master.Box("access keys"), tokens: master.Box("session tokens"),
		known: map[string]accessKey{}, granted: map[string]*grants{}, parsed: map[string]*policy.Policy{}, lastUses: map[string]use{},
	}
}

// Run writes down when access keys and roles were last used, until ctx ends.
func (i *IAM) Run(ctx context.Context) error { return i.keepUses(ctx) }
