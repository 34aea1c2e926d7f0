package resource

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/service/ec2/resource/internal/rows"
	"github.com/vennel/vennel/store"
)

// tokenLife is how long a client token is remembered. source: userguide, "Ensuring idempotency"
const tokenLife = 24 * time.Hour

// Once gives the id of what the same request with the same client token has made, or "" when it is the first. A token that
// another request came with is refused. The caller then makes the resource and calls Made in the same transaction.
func Once(ctx context.Context, tx *store.Tx, operation string, token *string, in any) (id string, err error) {
	if api.Or(token, "") == "" {
		return "", nil
	}
	call, q := api.CallFrom(ctx), rows.New(tx)
	if err := q.ExpireTokens(ctx, call.Time.Add(-tokenLife).UnixMilli()); err != nil {
		return "", err
	}
	row, err := q.GetToken(ctx, rows.GetTokenParams{Account: call.Account, Region: call.Region, Operation: operation, Token: *token})
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	request, err := digest(in)
	if err != nil {
		return "", err
	}
	if row.Request != request {
		// source: userguide, "Ensuring idempotency"
		return "", Errorf("IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).")
	}
	return row.ID, nil
}

// Made remembers what a request with a client token has made.
func Made(ctx context.Context, tx *store.Tx, operation string, token *string, in any, id string) error {
	if api.Or(token, "") == "" {
		return nil
	}
	request, err := digest(in)
	if err != nil {
		return err
	}
	call := api.CallFrom(ctx)
	return rows.New(tx).PutToken(ctx, rows.PutTokenParams{
		Account: call.Account, Region: call.Region, Operation: operation, Token: *token, Request: request, ID: id, Created: call.Time.UnixMilli(),
	})
}

// digest is a hash of a request's parameters.
func digest(in any) (string, error) {
	text, err := json.Marshal(in, json.OmitZeroStructFields(true), json.Deterministic(true))
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), err
}
