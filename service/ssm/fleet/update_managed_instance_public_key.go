package fleet

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/fleet/internal/rows"
	"github.com/vennel/vennel/store"
)

// UpdateManagedInstancePublicKey changes a node's key. The request is signed with the old one, and
// the old one must still be the node's when the new one takes its place.
func (f *Fleet) UpdateManagedInstancePublicKey(ctx context.Context, in *ssm.UpdateManagedInstancePublicKeyInput) (*ssm.UpdateManagedInstancePublicKeyOutput, error) {
	const action = "ssm:UpdateManagedInstancePublicKey"
	call := api.CallFrom(ctx)
	c, ok := call.Principal.(*caller)
	if !ok {
		return nil, iam.Refuse(ctx, action, "*", api.Errorf(api.AccessDenied, "This call must be signed with the key of a managed node"))
	}
	if err := iam.AllowUngranted(ctx, action, "proved by the key of "+c.node.ID, nodeAccount(c.node.Account)); err != nil {
		return nil, err
	}
	key, err := decodeKey(in.NewPublicKey)
	if err != nil {
		return nil, err
	}
	err = f.db.Update(ctx, func(tx *store.Tx) error {
		n, err := rows.New(tx).SetNodeKey(ctx, rows.SetNodeKeyParams{
			PublicKey: key, KeyCreated: call.Time.UnixMilli(), ID: c.node.ID, Old: c.node.PublicKey,
		})
		if err == nil && n == 0 {
			err = api.Errorf(api.BadToken, "The key that signed this request is no longer the key of %s", c.node.ID)
		}
		return err
	})
	return &ssm.UpdateManagedInstancePublicKeyOutput{}, err
}
