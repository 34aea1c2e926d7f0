package fleet

import (
	"context"

	"github.com/vennel/vennel/service/ssm/fleet/internal/rows"
	"github.com/vennel/vennel/service/ssm/tag"
	"github.com/vennel/vennel/store"
)

// goneTopic wakes whoever ends the lines of nodes that are gone; its keys are nodes.
const goneTopic = "ssm node gone"

// Gone wakes whoever keeps something of nodes elsewhere; its keys are nodes that have been forgotten.
func Gone(db *store.DB) *store.Subscription { return db.Subscribe(goneTopic) }

// Forget removes a node with its key, its tags and its mail, inside the caller's transaction, and ends its lines after that. It says whether
// there was a node. An instance that is terminated is forgotten.
func Forget(ctx context.Context, tx *store.Tx, id string) (was bool, err error) {
	q := rows.New(tx)
	if err := q.DeleteInstanceKey(ctx, id); err != nil {
		return false, err
	}
	node, ok, err := find(ctx, q, id)
	if !ok {
		return false, err
	}
	if err := q.DeleteNode(ctx, id); err != nil {
		return false, err
	}
	if err := q.DeletePresence(ctx, id); err != nil {
		return false, err
	}
	if err := q.DeleteMailbox(ctx, id); err != nil {
		return false, err
	}
	tx.Notify(goneTopic, id)
	return true, tag.Drop(ctx, tx, tag.Target{Account: node.Account, Region: node.Region, Kind: KindNode, ID: id})
}

// endGone ends the lines of nodes that are gone.
func (f *Fleet) endGone(ctx context.Context) error {
	defer f.gone.Close()
	for {
		nodes, err := f.gone.Next(ctx)
		if ctx.Err() != nil {
			return nil
		} else if err != nil {
			return err
		}
		if nodes[0] == store.Everything { // too many to name
			if nodes, err = f.strangers(ctx); err != nil {
				f.log.Error("lines of nodes that are gone not found", "error", err)
			}
		}
		for _, node := range nodes {
			f.presence.forget(node)
			f.hangUp(node, "the managed node has been deregistered")
		}
	}
}

// strangers are those who hold a line and are no nodes.
func (f *Fleet) strangers(ctx context.Context) (list []string, err error) {
	f.mu.Lock()
	held := make([]string, 0, len(f.posts))
	for node := range f.posts {
		held = append(held, node)
	}
	f.mu.Unlock()
	err = f.db.View(ctx, func(tx *store.Tx) error {
		list = nil
		for _, node := range held {
			if _, ok, err := find(ctx, rows.New(tx), node); err != nil {
				return err
			} else if !ok {
				list = append(list, node)
			}
		}
		return nil
	})
	return list, err
}
