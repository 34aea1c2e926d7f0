package fleet

import (
	"context"
	"crypto/subtle"
	"fmt"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// tokenLife is how long a node's credentials are good. Agents renew them at half of it.
const tokenLife = time.Hour

// RequestManagedInstanceRoleToken gives a node credentials of its role. The request is signed with
// the node's own key.
func (f *Fleet) RequestManagedInstanceRoleToken(ctx context.Context, in *ssm.RequestManagedInstanceRoleTokenInput) (*ssm.RequestManagedInstanceRoleTokenOutput, error) {
	const action = "ssm:RequestManagedInstanceRoleToken"
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
	name := roleName(node.Role)
	var role *iam.Role
	err := f.db.View(ctx, func(tx *store.Tx) (err error) {
		role, ok, err = iam.FindRole(ctx, tx, node.Account, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	why := fmt.Sprintf("The role %s does not exist", name)
	if ok {
		if ok, why, err = role.Trusts(principal, c.ARN(), node.Account); err != nil {
			return nil, err
		}
	}
	if !ok {
		return nil, iam.Refuse(ctx, action, c.ARN(), api.Errorf(api.AccessDenied, "Systems Manager cannot assume the role %s of %s. %s", name, node.ID, why))
	}
	session, err := f.iam.NewSession(role, iam.SessionSpec{Name: node.ID, Source: c.ARN(), Duration: min(tokenLife, role.MaxSession)})
	if err != nil {
		return nil, err
	}
	age := time.Since(time.UnixMilli(node.KeyCreated))
	return &ssm.RequestManagedInstanceRoleTokenOutput{
		AccessKeyId: session.AccessKeyID, SecretAccessKey: session.SecretAccessKey, SessionToken: session.SessionToken,
		TokenExpirationDate: session.Expiration, UpdateKeyPair: f.cfg.RotateKeysAfter > 0 && age > f.cfg.RotateKeysAfter,
	}, nil
}
