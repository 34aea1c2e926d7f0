package iam

import (
	"context"

	"github.com/vennel/vennel/api"
	vocabulary "github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/store"
)

// mostAttached is how many managed policies an entity may have. source: userguide, quotas
const mostAttached = 10

// attach attaches a managed policy to an entity; one that is attached already stays so.
func attach(ctx context.Context, tx *store.Tx, e *rows.IamEntity, arn string) error {
	q := rows.New(tx)
	if _, err := document(ctx, q, e.Account, arn); err != nil {
		return missingPolicy(arn)
	}
	list, err := q.ListAttachments(ctx, rows.ListAttachmentsParams{Account: e.Account, Kind: e.Kind, Owner: e.Key})
	if err != nil {
		return err
	}
	for _, a := range list {
		if a.Policy == arn {
			return nil
		}
	}
	if len(list) >= mostAttached {
		return vocabulary.ErrLimitExceededException("Cannot exceed quota for PoliciesPer%s: %d", kindWords[e.Kind], mostAttached)
	}
	tx.Notify(topic, e.Account)
	_, err = q.Attach(ctx, rows.AttachParams{
		Account: e.Account, Kind: e.Kind, Owner: e.Key, Policy: arn, Attached: api.CallFrom(ctx).Time.UnixMilli(),
	})
	return err
}
