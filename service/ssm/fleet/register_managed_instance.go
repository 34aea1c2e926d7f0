package fleet

import (
	"bytes"
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
// An EC2 instance registers a key with its instance identity role.
func (f *Fleet) RegisterManagedInstance(ctx context.Context, in *ssm.RegisterManagedInstanceInput) (*ssm.RegisterManagedInstanceOutput, error) {
	call := api.CallFrom(ctx)
	const action = "ssm:RegisterManagedInstance"
	if p, ok := call.Principal.(*iam.Principal); ok && in.ActivationId == nil && in.ActivationCode == nil {
		return f.registerInstance(ctx, p, in)
	}
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
		if n, err := q.CountKey(ctx, rows.CountKeyParams{PublicKey: key}); err != nil {
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

// registerInstance keeps the key of an EC2 instance, with which it can prove itself when it asks for the credentials of the account's
// default role. Nobody but the instance itself can do so, and only once; the same key again is a request whose answer was lost.
func (f *Fleet) registerInstance(ctx context.Context, p *iam.Principal, in *ssm.RegisterManagedInstanceInput) (*ssm.RegisterManagedInstanceOutput, error) {
	const action = "ssm:RegisterManagedInstance"
	call := api.CallFrom(ctx)
	if err := iam.AllowUngranted(ctx, action, "proved by the instance identity role", nodeAccount(call.Account)); err != nil {
		return nil, err
	}
	if err := identified(ctx, action, p, in.Fingerprint); err != nil {
		return nil, err
	}
	key, err := decodeKey(in.PublicKey)
	if err != nil {
		return nil, err
	}
	err = f.db.Update(ctx, func(tx *store.Tx) error {
		if _, ok, err := f.instance(ctx, tx, call.Account, call.Region, in.Fingerprint); err != nil {
			return err
		} else if !ok {
			return noInstance(in.Fingerprint)
		}
		q := rows.New(tx)
		if n, err := q.CountKey(ctx, rows.CountKeyParams{PublicKey: key, Besides: in.Fingerprint}); err != nil {
			return err
		} else if n > 0 {
			return ssm.ErrPublicKeyAlreadyRegistered("The public key is already registered")
		}
		n, err := q.PutInstanceKey(ctx, rows.PutInstanceKeyParams{Instance: in.Fingerprint, PublicKey: key})
		if err != nil || n > 0 {
			return err
		}
		old, err := q.GetInstanceKey(ctx, in.Fingerprint)
		if err == nil && !bytes.Equal(old, key) {
			err = ssm.ErrInstanceAlreadyRegistered("The instance %s is already registered", in.Fingerprint)
		}
		return err
	})
	return &ssm.RegisterManagedInstanceOutput{InstanceId: &in.Fingerprint}, err
}

// identified refuses a caller who has not the identity role of the very instance that it speaks of.
func identified(ctx context.Context, action string, p *iam.Principal, id string) error {
	call := api.CallFrom(ctx)
	arn := ARN(call.Region, call.Account, id)
	if p.Identity() && p.Source() == arn {
		return nil
	}
	return iam.Refuse(ctx, action, "*", api.Errorf(api.AccessDenied, "User: %s is not authorized to perform: %s on resource: %s because it is not the identity role of that instance", p.ARN(), action, arn))
}
