package fleet

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/fleet/internal/rows"
	"github.com/vennel/vennel/service/ssm/tag"
	"github.com/vennel/vennel/store"
)

// principal is the service that assumes the roles of hybrid nodes.
const principal = "ssm.amazonaws.com"

// The life of an activation. source: userguide, "Create a hybrid activation"
const (
	activationLife     = 24 * time.Hour
	mostActivationLife = 30 * 24 * time.Hour
)

// kindActivation is the kind of activations' tags, which their nodes inherit.
const kindActivation = "Activation"

// CreateActivation makes a code and id with which machines register as managed nodes.
func (f *Fleet) CreateActivation(ctx context.Context, in *ssm.CreateActivationInput) (*ssm.CreateActivationOutput, error) {
	call := api.CallFrom(ctx)
	tags, err := tag.Parse(in.Tags)
	if err != nil {
		return nil, err
	}
	if err := iam.Allow(ctx, "ssm:CreateActivation", "*", iam.RequestTags(tags)); err != nil {
		return nil, err
	}
	expires := call.Time.Add(activationLife)
	if in.ExpirationDate != nil {
		expires = *in.ExpirationDate
		if expires.Before(call.Time) || expires.After(call.Time.Add(mostActivationLife)) {
			return nil, ssm.ErrInvalidParameters("The expiration date must be in the future and within 30 days")
		}
	}
	role := roleName(in.IamRole)
	id, code := uuid.NewString(), newCode()
	hash := sha256.Sum256([]byte(code))
	err = f.db.Update(ctx, func(tx *store.Tx) error {
		if err := allowRole(ctx, tx, role); err != nil {
			return err
		}
		err := rows.New(tx).PutActivation(ctx, rows.PutActivationParams{
			ID: id, Account: call.Account, Region: call.Region, Code: hash[:], Description: api.Or(in.Description, ""),
			Name: api.Or(in.DefaultInstanceName, ""), Role: in.IamRole, Most: api.Or(in.RegistrationLimit, 1),
			Created: call.Time.UnixMilli(), Expires: expires.UnixMilli(),
		})
		if err != nil {
			return err
		}
		return tag.Put(ctx, tx, activationTags(call.Account, call.Region, id), tags)
	})
	return &ssm.CreateActivationOutput{ActivationId: &id, ActivationCode: &code}, err
}

// activationTags is where an activation's tags are kept.
func activationTags(account, region, id string) tag.Target {
	return tag.Target{Account: account, Region: region, Kind: kindActivation, ID: id}
}

// allowRole refuses a role that is not there, that Systems Manager may not assume, or that the
// caller may not pass.
func allowRole(ctx context.Context, tx *store.Tx, name string) error {
	call := api.CallFrom(ctx)
	role, ok, err := iam.FindRole(ctx, tx, call.Account, name)
	if err != nil {
		return err
	}
	arn := api.ARN("iam", "", call.Account, "role/"+name)
	if ok {
		arn = role.ARN
	}
	if err := iam.Allow(ctx, "iam:PassRole", arn, iam.Key("iam:passedtoservice", principal)); err != nil {
		return err
	}
	if ok {
		ok, _, err = role.Trusts(principal, ARN(call.Region, call.Account, "*"), call.Account)
	}
	if err == nil && !ok {
		// source: aws
		err = api.Errorf(api.Invalid, "Nonexistent role or missing ssm service principal in trust policy: %s", arn)
	}
	return err
}

// newCode makes an activation code. Agents want at least 20 characters.
func newCode() string {
	b := make([]byte, 15)
	rand.Read(b)
	return strings.NewReplacer("+", "x", "/", "y").Replace(base64.StdEncoding.EncodeToString(b))
}
