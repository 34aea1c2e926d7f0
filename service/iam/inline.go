package iam

import (
	"context"
	"net/url"
	"strings"
	"unicode/utf8"

	vocabulary "github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/service/iam/policy"
	"github.com/vennel/vennel/store"
)

// missingInline is the error for an inline policy that there is not. source: aws
func missingInline(e *entity, name string) error {
	return vocabulary.ErrNoSuchEntityException("The %s policy with name %s cannot be found.", e.Kind, name)
}

// putInline does a Put…Policy operation: an inline policy is added or replaced.
func (i *IAM) putInline(ctx context.Context, action, kind, name, inline, text string) error {
	return i.change(ctx, action, kind, name, func(tx *store.Tx, e *entity) error {
		most := kinds[kind].inline
		if err := check(text, policy.Identity, "", mostText); err != nil {
			return err
		}
		q := rows.New(tx)
		list, err := q.ListInlinePolicies(ctx, e.ID)
		if err != nil {
			return err
		}
		size := weight(text)
		for _, p := range list {
			if p.Name != inline {
				size += weight(p.Document)
			}
		}
		if size > most {
			// source: aws
			return vocabulary.ErrLimitExceededException("Maximum policy size of %d bytes exceeded for %s %s", most, e.Kind, e.Name)
		}
		return q.PutInlinePolicy(ctx, rows.PutInlinePolicyParams{Owner: e.ID, Name: inline, Document: text})
	})
}

// getInline does a Get…Policy operation: it gives the name of the owner and the text as answers
// have it.
func (i *IAM) getInline(ctx context.Context, action, kind, name, inline string) (owner, text string, err error) {
	err = i.read(ctx, action, kind, name, func(tx *store.Tx, e *entity) error {
		list, err := rows.New(tx).ListInlinePolicies(ctx, e.ID)
		if err != nil {
			return err
		}
		for _, p := range list {
			if p.Name == inline {
				owner, text = e.Name, encode(p.Document)
				return nil
			}
		}
		return missingInline(e, inline)
	})
	return owner, text, err
}

// deleteInline does a Delete…Policy operation.
func (i *IAM) deleteInline(ctx context.Context, action, kind, name, inline string) error {
	return i.change(ctx, action, kind, name, func(tx *store.Tx, e *entity) error {
		n, err := rows.New(tx).DeleteInlinePolicy(ctx, rows.DeleteInlinePolicyParams{Owner: e.ID, Name: inline})
		if err == nil && n == 0 {
			err = missingInline(e, inline)
		}
		return err
	})
}

// listInline does a List…Policies operation.
func (i *IAM) listInline(ctx context.Context, action, kind, name string, marker *string, most *int64) (names []string, next *string, truncated *bool, err error) {
	err = i.read(ctx, action, kind, name, func(tx *store.Tx, e *entity) error {
		list, err := rows.New(tx).ListInlinePolicies(ctx, e.ID)
		all := each(list, func(p *rows.IamInlinePolicy) string { return p.Name })
		names, next, truncated = page(newPager(marker, most), all, itself)
		return err
	})
	return names, next, truncated, err
}

// mostText is the longest policy text that any quota lets through. source: model
const mostText = 131072

// weight is a policy's size as quotas count it: without white space.
func weight(text string) int { return utf8.RuneCountInString(strings.Join(strings.Fields(text), "")) }

// encode writes a policy text as answers have it: URL-encoded as RFC 3986 says. source: model
func encode(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }
