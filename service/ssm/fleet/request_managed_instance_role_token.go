package fleet

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/fleet/internal/rows"
	"github.com/vennel/vennel/service/ssm/setting"
	"github.com/vennel/vennel/store"
)

// tokenLife is how long a node's credentials are good. Agents renew them at half of it.
const tokenLife = time.Hour

// RequestManagedInstanceRoleToken gives a node credentials of its role. The request is signed with
// the node's own key; that of an EC2 instance by its identity role as well.
func (f *Fleet) RequestManagedInstanceRoleToken(ctx context.Context, in *ssm.RequestManagedInstanceRoleTokenInput) (*ssm.RequestManagedInstanceRoleTokenOutput, error) {
	const action = "ssm:RequestManagedInstanceRoleToken"
	if p, ok := api.CallFrom(ctx).Principal.(*iam.Principal); ok && p.Identity() {
		return f.defaultToken(ctx, p, in)
	}
	c, ok := api.CallFrom(ctx).Principal.(*caller)
	if !ok {
		return nil, iam.Refuse(ctx, action, "*", api.Errorf(api.AccessDenied, "This call must be signed with the key of a managed node"))
	}
	node := c.node
	if err := iam.AllowUngranted(ctx, action, "proved by the key of "+node.ID, nodeAccount(node.Account)); err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(node.Fingerprint), []byte(in.Fingerprint)) != 1 {
		return nil, iam.Refuse(ctx, action, c.ARN(), ssm.ErrMachineFingerprintDoesNotMatch(
			"The fingerprint of %s is not the one that it registered with: the machine has changed, or another one uses its registration", node.ID))
	}
	out, err := f.token(ctx, node.Account, node.ID, c.ARN(), node.Role)
	if err != nil {
		return nil, err
	}
	age := time.Since(time.UnixMilli(node.KeyCreated))
	out.UpdateKeyPair = f.cfg.RotateKeysAfter > 0 && age > f.cfg.RotateKeysAfter
	return out, nil
}

// token makes credentials of a role for a node that has proved itself, if Systems Manager can assume the role.
func (f *Fleet) token(ctx context.Context, account, id, arn, role string) (*ssm.RequestManagedInstanceRoleTokenOutput, error) {
	const action = "ssm:RequestManagedInstanceRoleToken"
	name := roleName(role)
	var found *iam.Role
	var ok bool
	err := f.db.View(ctx, func(tx *store.Tx) (err error) {
		found, ok, err = iam.FindRole(ctx, tx, account, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	why := fmt.Sprintf("The role %s does not exist", name)
	if ok {
		if ok, why, err = found.Trusts(principal, arn, account); err != nil {
			return nil, err
		}
	}
	if !ok {
		return nil, iam.Refuse(ctx, action, arn, api.Errorf(api.AccessDenied, "Systems Manager cannot assume the role %s of %s. %s", name, id, why))
	}
	session, err := f.iam.NewSession(found, iam.SessionSpec{
		Name: id, Source: arn, Keys: map[string]string{"ssm:sourceinstancearn": arn}, Duration: min(tokenLife, found.MaxSession),
	})
	if err != nil {
		return nil, err
	}
	return &ssm.RequestManagedInstanceRoleTokenOutput{
		AccessKeyId: session.AccessKeyID, SecretAccessKey: session.SecretAccessKey, SessionToken: session.SessionToken, TokenExpirationDate: session.Expiration,
	}, nil
}

// defaultToken gives an EC2 instance credentials of the account's default role for instances, where one is set: Default Host Management.
func (f *Fleet) defaultToken(ctx context.Context, p *iam.Principal, in *ssm.RequestManagedInstanceRoleTokenInput) (*ssm.RequestManagedInstanceRoleTokenOutput, error) {
	const action = "ssm:RequestManagedInstanceRoleToken"
	call := api.CallFrom(ctx)
	if err := iam.AllowUngranted(ctx, action, "proved by the key of "+in.Fingerprint, nodeAccount(call.Account)); err != nil {
		return nil, err
	}
	if err := identified(ctx, action, p, in.Fingerprint); err != nil {
		return nil, err
	}
	var der []byte
	var role string
	var on bool
	err := f.db.View(ctx, func(tx *store.Tx) error {
		_, ok, err := f.instance(ctx, tx, call.Account, call.Region, in.Fingerprint)
		if err != nil {
			return err
		}
		der, err = rows.New(tx).GetInstanceKey(ctx, in.Fingerprint)
		if !ok || errors.Is(err, sql.ErrNoRows) {
			return iam.Refuse(ctx, action, p.Source(), ssm.ErrInvalidInstanceId("%s", in.Fingerprint))
		} else if err != nil {
			return err
		}
		role, on, err = setting.Value(ctx, tx, call.Account, call.Region, DefaultRole)
		return err
	})
	if err != nil {
		return nil, err
	}
	key, err := parseKey(der)
	if err == nil {
		err = call.Countersigned(key)
	}
	if err != nil {
		return nil, err
	}
	if !on || role == noRole { // source: aws
		return nil, iam.Refuse(ctx, action, p.Source(), api.Errorf(api.AccessDenied, "Systems Manager's instance management role is not configured for account: %s", call.Account))
	}
	return f.token(ctx, call.Account, in.Fingerprint, p.Source(), role)
}

// DefaultRole is the setting that names the role of EC2 instances whose own role does not make them nodes. source: userguide
const DefaultRole = "/ssm/managed-instance/default-ec2-instance-management-role"

// noRole is its default. source: userguide
const noRole = "$None"

// DefaultRoleSetting is what the setting can be: a role that Systems Manager may assume and the caller may pass.
func DefaultRoleSetting() setting.Kind {
	return setting.Kind{Default: noRole, Check: func(ctx context.Context, tx *store.Tx, value string) error {
		return allowRole(ctx, tx, roleName(value))
	}}
}
