package iam

import (
	"context"
	"strings"

	vocabulary "github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/service/iam/policy"
	"github.com/vennel/vennel/store"
)

// mostInline is the size of all inline policies of an entity, white space not counted. source: userguide, quotas
var mostInline = map[string]int{kindUser: 2048, kindGroup: 5120, kindRole: 10240}

// putInline gives an entity an inline policy, or changes one.
func putInline(ctx context.Context, tx *store.Tx, e *rows.IamEntity, name, text string) error {
	if err := check(text, policy.Identity); err != nil {
		return err
	}
	q := rows.New(tx)
	list, err := q.ListInlinePolicies(ctx, rows.ListInlinePoliciesParams{Account: e.Account, Kind: e.Kind, Owner: e.Key})
	if err != nil {
		return err
	}
	size := weight(text)
	for _, p := range list {
		if p.Name != name {
			size += weight(p.Document)
		}
	}
	if most := mostInline[e.Kind]; size > most {
		return vocabulary.ErrLimitExceededException("Maximum policy size of %d bytes exceeded for %s %s", most, e.Kind, e.Name)
	}
	tx.Notify(topic, e.Account)
	return q.PutInlinePolicy(ctx, rows.PutInlinePolicyParams{Account: e.Account, Kind: e.Kind, Owner: e.Key, Name: name, Document: text})
}

// weight is a policy's size as quotas count it: without white space.
func weight(text string) int { return len(strings.Join(strings.Fields(text), "")) }
