package iam

import (
	"context"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/store"
)

// use is when and for what an access key or a role was last used.
type use struct {
	at              time.Time
	service, region string
}

// usesEvery is how often last uses are written down: nobody needs them by the second, and a write
// for each request would cost more than the request.
const usesEvery = time.Minute

// noteUse remembers that the caller has used its key or its role. It is called when something is
// decided, and so only after the signature has been verified.
func (p *Principal) noteUse(call *api.Call) {
	if p.noted.Swap(true) {
		return
	}
	id := p.keyID
	if p.Temporary() {
		id = p.grants.entity.ID
	}
	p.iam.mu.Lock()
	defer p.iam.mu.Unlock()
	p.iam.lastUses[id] = use{call.Time, call.Service, call.Region}
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
				i.log.Warn("last uses not written", "error", err)
			}
		}
	}
}

// flushUses writes the uses noted since the last time. An id is that of an access key or of a role;
// a user's session is neither, and leaves no trace here.
func (i *IAM) flushUses(ctx context.Context) error {
	i.mu.Lock()
	uses := i.lastUses
	i.lastUses = map[string]use{}
	i.mu.Unlock()
	if len(uses) == 0 {
		return nil
	}
	return i.db.Update(ctx, func(tx *store.Tx) error {
		q := rows.New(tx)
		for id, u := range uses {
			err := q.SetAccessKeyUse(ctx, rows.SetAccessKeyUseParams{ID: id, Used: u.at.UnixMilli(), UsedService: u.service, UsedRegion: u.region})
			if err == nil {
				err = q.SetEntityUse(ctx, rows.SetEntityUseParams{ID: id, Used: u.at.UnixMilli(), UsedRegion: u.region})
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}
