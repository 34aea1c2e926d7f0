package fleet

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"errors"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/fleet/internal/rows"
	"github.com/vennel/vennel/service/ssm/tag"
	"github.com/vennel/vennel/store"
)

// RegisterManagedInstance makes a machine a managed node. The request is not signed: the code and
// id of an activation prove that the machine may register, and its new key proves it from then on.
func (f *Fleet) RegisterManagedInstance(ctx context.Context, in *ssm.RegisterManagedInstanceInput) (*ssm.RegisterManagedInstanceOutput, error) {
	call := api.CallFrom(ctx)
	const action = "ssm:RegisterManagedInstance"
	if in.ActivationId == nil || in.ActivationCode == nil {
		if err := iam.AllowUngranted(ctx, action, "unproved"); err != nil {
			return nil, err
		}
		return nil, iam.Refuse(ctx, action, "*", ssm.ErrInvalidActivation("Registration needs the code and id of an activation"))
	}
	key, badKey := decodeKey(in.PublicKey)
	id := newNodeID()
	hash := sha256.Sum256([]byte(*in.ActivationCode))
	now := call.Time.UnixMilli()
	err := f.db.Update(ctx, func(tx *store.Tx) error {
		q := rows.New(tx)
		a, err := q.GetActivation(ctx, *in.ActivationId)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		valid := err == nil && a.Region == call.Region && subtle.ConstantTimeCompare(a.Code, hash[:]) == 1
		var about []iam.About
		if valid {
			call.Account = a.Account
			about = append(about, nodeAccount(a.Account))
		}
		if err := iam.AllowUngranted(ctx, action, "proved by activation "+a.ID, about...); err != nil {
			return err
		}
		if badKey != nil {
			return badKey
		}
		// One answer for all that may be wrong, so that ids cannot be probed. source: model
		if !valid {
			return iam.Refuse(ctx, action, "*", ssm.ErrInvalidActivation(
				"The activation is not valid. The activation might have been deleted, or the ActivationId and the ActivationCode do not match."))
		}
		if a.Expires <= now {
			return iam.Refuse(ctx, action, "*", ssm.ErrActivationExpired("The activation %s has expired", a.ID))
		}
		if n, err := q.CountKey(ctx, key); err != nil {
			return err
		} else if n > 0 {
			return iam.Refuse(ctx, action, "*", ssm.ErrPublicKeyAlreadyRegistered("The public key is already registered"))
		}
		if n, err := q.UseActivation(ctx, a.ID); err != nil {
			return err
		} else if n == 0 {
			return iam.Refuse(ctx, action, "*", ssm.ErrInvalidActivation("The registration limit of %d of the activation %s is reached", a.Most, a.ID))
		}
		err = q.PutNode(ctx, rows.PutNodeParams{
			ID: id, Account: a.Account, Region: a.Region, Activation: a.ID, Role: a.Role, Name: a.Name, Registered: now,
			Fingerprint: in.Fingerprint, PublicKey: key, KeyCreated: now,
		})
		if err != nil {
			return err
		}
		tags, err := tag.Of(ctx, tx, activationTags(a.Account, a.Region, a.ID))
		if err != nil {
			return err
		}
		return tag.Put(ctx, tx, tag.Target{Account: a.Account, Region: a.Region, Kind: KindNode, ID: id}, tags)
	})
	return &ssm.RegisterManagedInstanceOutput{InstanceId: &id}, err
}
