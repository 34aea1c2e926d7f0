package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/vennel/vennel/api/ssm"
)

// rotate replaces the node's key. The new key is written down beside the old before the server
// hears of it, so that whatever happens the node has the key that the server has.
func (c *credentials) rotate(ctx context.Context) error {
	next, err := newKey()
	if err != nil {
		return err
	}
	public, err := next.public()
	if err != nil {
		return err
	}
	c.node.NextKey = next
	if err := c.node.save(); err != nil {
		c.node.NextKey = nil
		return fmt.Errorf("the new key cannot be kept: %w", err)
	}
	old, err := c.withKey(&c.node.Key)
	if err != nil {
		return err
	}
	err = old.Call(ctx, "UpdateManagedInstancePublicKey", &ssm.UpdateManagedInstancePublicKeyInput{NewPublicKey: public, NewPublicKeyType: "Rsa"}, new(ssm.UpdateManagedInstancePublicKeyOutput))
	if err == nil {
		c.promote()
		return nil
	}
	// The server may have replaced the key all the same: its answer may have been lost.
	out, probe := c.token(ctx, &c.node.Key)
	if _, probe = c.resume(ctx, out, probe); probe != nil {
		return errors.Join(err, probe) // the next refresh finds out
	}
	if c.node.Key == *next {
		return nil
	}
	return err
}

// resume finds out how a rotation ended, from what the server answered to a request with the old
// key: if it took the old key, the new one is forgotten; if it takes the new key, that replaces the
// old. Where it takes neither both are kept. It returns what the server answered to the right key.
func (c *credentials) resume(ctx context.Context, out *ssm.RequestManagedInstanceRoleTokenOutput, err error) (*ssm.RequestManagedInstanceRoleTokenOutput, error) {
	if err == nil {
		c.node.NextKey = nil
		if err := c.node.save(); err != nil {
			c.log.Warn("an unused key stays in the registration", "error", err)
		}
		return out, nil
	}
	out, next := c.token(ctx, c.node.NextKey)
	if next != nil {
		return nil, errors.Join(err, next)
	}
	c.promote()
	return out, nil
}

// promote makes the new key the node's key. If that cannot be kept, the file still has both.
func (c *credentials) promote() {
	c.node.Key, c.node.NextKey = *c.node.NextKey, nil
	if err := c.node.save(); err != nil {
		c.log.Warn("the new key is not yet kept as the only one", "error", err)
	}
}
