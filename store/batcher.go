package store

import (
	"context"
	"errors"
)

// Batcher gathers items of many goroutines into few transactions, for ingestion at a high rate. It is the same on both engines.
type Batcher[T any] struct {
	db    *DB
	most  int
	apply func(tx *Tx, items []T) error
	queue chan request[T] // unbuffered: what waits is in the hands of those who wait
	ended chan struct{}   // closed when Run returns
}

// request is an item and whoever waits for it.
type request[T any] struct {
	item   T
	answer chan error // holds one
}

// NewBatcher returns a Batcher that gives at most most items at a time to apply, within one Update; so apply may run twice on the same items.
func NewBatcher[T any](db *DB, most int, apply func(tx *Tx, items []T) error) *Batcher[T] {
	return &Batcher[T]{db: db, most: max(most, 1), apply: apply, queue: make(chan request[T]), ended: make(chan struct{})}
}

// Run commits batches until ctx is done, which returns nil, or the database can no longer be written.
func (b *Batcher[T]) Run(ctx context.Context) error {
	defer close(b.ended)
	for {
		var batch []request[T]
		select {
		case <-ctx.Done():
			return nil
		case r := <-b.queue:
			batch = append(batch, r)
		}
	gather:
		for len(batch) < b.most {
			select {
			case r := <-b.queue:
				batch = append(batch, r)
			default:
				break gather
			}
		}
		b.commit(ctx, batch)
		if err := b.db.ended(); err != nil {
			return err
		}
	}
}

// commit applies batch and answers. If many fail together they are tried in halves, so that only those that fail alone get an error; the order stays.
func (b *Batcher[T]) commit(ctx context.Context, batch []request[T]) {
	items := make([]T, len(batch))
	for i, r := range batch {
		items[i] = r.item
	}
	err := b.db.Update(ctx, func(tx *Tx) error { return b.apply(tx, items) })
	if err != nil && len(batch) > 1 && ctx.Err() == nil && b.db.ended() == nil {
		b.commit(ctx, batch[:len(batch)/2])
		b.commit(ctx, batch[len(batch)/2:])
		return
	}
	for _, r := range batch {
		r.answer <- err
	}
}

// Add returns nil after item is committed, or the error of applying it alone. If ctx ends while the item is being committed, it may or may not be.
// It waits for Run to begin, and fails with ErrClosed once Run has returned.
func (b *Batcher[T]) Add(ctx context.Context, item T) error {
	r := request[T]{item, make(chan error, 1)}
	select {
	case b.queue <- r:
	case <-b.ended:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-r.answer:
		if errors.Is(err, context.Canceled) && ctx.Err() == nil {
			return ErrClosed // It was Run's context that ended, not the caller's.
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
