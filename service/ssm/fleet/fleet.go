// Package fleet is the fleet of managed nodes: hybrid activations and the nodes that registered with
// them, EC2 instances, the keys and roles of both, what they say of themselves, whether they are
// there, and the mailbox in which messages wait for them.
//
// It keeps activations, nodes, presence and mailboxes. It uses setting and tag, and of the other
// services iam; EC2 it knows through Instances.
// A node's connections are lines (see Line), which the message services attach; the mailbox is
// emptied by whichever line a node holds, and a message is never on two.
package fleet

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// Config is what may be chosen. The zero value is what a server uses.
type Config struct {
	// LostAfter is how long a node may be silent before it counts as lost. An agent pings every five
	// minutes, and one ping may go missing.
	LostAfter time.Duration
	// RotateKeysAfter makes nodes whose key is older change it; 0 leaves that to them.
	RotateKeysAfter time.Duration
}

// lostAfter is the default of Config.LostAfter: two pings and a little. source: guess
const lostAfter = 11 * time.Minute

// Fleet is the capability.
type Fleet struct {
	db        *store.DB
	iam       *iam.IAM
	instances Instances // nil where there is no EC2
	cfg       Config
	log       *slog.Logger

	presence presence
	mail     *store.Subscription
	gone     *store.Subscription

	mu    sync.Mutex
	posts map[string]*post // by node, while it holds a line; guarded by mu
}

// New gives the capability. Without instances there are hybrid nodes only.
func New(db *store.DB, identity *iam.IAM, instances Instances, cfg Config, log *slog.Logger) *Fleet {
	if cfg.LostAfter == 0 {
		cfg.LostAfter = lostAfter
	}
	return &Fleet{
		db: db, iam: identity, instances: instances, cfg: cfg, log: log, posts: map[string]*post{},
		presence: presence{seen: map[string]int64{}, changed: map[string]bool{}},
		mail:     db.Subscribe(mailTopic), gone: db.Subscribe(goneTopic),
	}
}

// Run delivers mail, ends the lines of nodes that are gone and writes presence down, until ctx ends.
func (f *Fleet) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return f.deliverMail(ctx) })
	g.Go(func() error { return f.redeliver(ctx) })
	g.Go(func() error { return f.endGone(ctx) })
	g.Go(func() error { return f.keepPresence(ctx) })
	return g.Wait()
}
