package fleet

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/fleet/internal/rows"
	"github.com/vennel/vennel/store"
)

// KindNode is the resource type of managed nodes' tags.
const KindNode = "ManagedInstance"

// Node is a managed node as siblings see it.
type Node struct {
	ID, Account, Region, Name, ComputerName string
	Platform                                string // Linux, Windows, MacOS; "" before the first ping
	PlatformName, PlatformVersion           string
	AgentVersion                            string
	IPAddress                               string
	Registered                              time.Time
}

// fromRow makes a Node of its row.
func fromRow(r *rows.SsmNode) Node {
	return Node{
		ID: r.ID, Account: r.Account, Region: r.Region, Name: r.Name, ComputerName: r.ComputerName, Platform: r.PlatformType,
		PlatformName: r.PlatformName, PlatformVersion: r.PlatformVersion, AgentVersion: r.AgentVersion, IPAddress: r.IpAddress,
		Registered: time.UnixMilli(r.Registered).UTC(),
	}
}

// ARN is the name of a node as policies know it.
func ARN(region, account, id string) string {
	if isInstance(id) {
		return api.ARN("ec2", region, account, "instance/"+id)
	}
	return api.ARN("ssm", region, account, "managed-instance/"+id)
}

// find reads a node's row.
func find(ctx context.Context, q *rows.Queries, id string) (*rows.SsmNode, bool, error) {
	r, err := q.GetNode(ctx, id)
	if errors.Is(err, sql.ErrNoRows) {
		return &r, false, nil
	}
	return &r, err == nil, err
}

// Find gives the node of an account and Region, inside the caller's transaction.
func Find(ctx context.Context, tx *store.Tx, account, region, id string) (Node, bool, error) {
	r, ok, err := find(ctx, rows.New(tx), id)
	return fromRow(r), ok && r.Account == account && r.Region == region, err
}

// Exists is what the operations on tags ask. The tags of an instance are EC2's.
func Exists(ctx context.Context, tx *store.Tx, account, region, id string) (bool, error) {
	_, ok, err := Find(ctx, tx, account, region, id)
	return ok && !isInstance(id), err
}

// After gives the nodes of an account and Region in order of their ids, after an id.
func After(ctx context.Context, tx *store.Tx, account, region, after string, most int) ([]Node, error) {
	list, err := rows.New(tx).ListNodes(ctx, rows.ListNodesParams{Account: account, Region: region, After: after, Most: int32(most)})
	out := make([]Node, len(list))
	for i := range list {
		out[i] = fromRow(&list[i])
	}
	return out, err
}

// newNodeID makes the id of a hybrid node.
func newNodeID() string {
	var b [9]byte
	rand.Read(b[:])
	return "mi-" + hex.EncodeToString(b[:])[:17]
}

// noInstance is AWS's error for a node that is not there. source: aws
func noInstance(id string) error { return ssm.ErrInvalidInstanceId("%s", id) }

// caller is a node that has proved itself with its own key. It is no principal of IAM: nothing
// grants it anything, but the few calls that it may make are its own.
type caller struct {
	node *rows.SsmNode
}

// ARN is the node's.
func (c *caller) ARN() string { return ARN(c.node.Region, c.node.Account, c.node.ID) }

// AccountID is the node's account.
func (c *caller) AccountID() string { return c.node.Account }

// UserID is the node's id.
func (c *caller) UserID() string { return c.node.ID }

// KeyID is the node's id, under which it signs.
func (c *caller) KeyID() string { return c.node.ID }

// Type is the audit trail's word.
func (c *caller) Type() string { return "ManagedNode" }

// Key gives the public key with which a node signs, and the node as a caller. A node that is not
// registered gets AccessDenied: of all errors it makes an agent wait longest before it tries again.
func (f *Fleet) Key(ctx context.Context, id string) (*rsa.PublicKey, api.Principal, error) {
	var node rows.SsmNode
	err := f.db.View(ctx, func(tx *store.Tx) (err error) {
		node, err = rows.New(tx).GetNode(ctx, id)
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil, api.Errorf(api.AccessDenied, "The managed node %s is not registered; register it again with an activation", id)
	} else if err != nil {
		return nil, nil, err
	}
	key, err := parseKey(node.PublicKey)
	return key, &caller{&node}, err
}

// parseKey reads a node's public key.
func parseKey(der []byte) (*rsa.PublicKey, error) {
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("the key is not an RSA key")
	}
	return key, nil
}

// decodeKey reads the public key of a request.
func decodeKey(text string) ([]byte, error) {
	der, err := base64.StdEncoding.DecodeString(text)
	if err == nil {
		var key *rsa.PublicKey
		if key, err = parseKey(der); err == nil && key.Size() < 256 {
			err = errors.New("the key is shorter than 2048 bits")
		}
	}
	if err != nil {
		return nil, ssm.ErrInvalidPublicKey("The public key is not valid: %v", err)
	}
	return der, nil
}

// Registered says whether there is a node in the caller's account and Region.
func (f *Fleet) Registered(ctx context.Context, id string) (ok bool, err error) {
	call := api.CallFrom(ctx)
	err = f.db.View(ctx, func(tx *store.Tx) (err error) {
		_, ok, err = Find(ctx, tx, call.Account, call.Region, id)
		return err
	})
	return ok, err
}

// own refuses a session that was issued to a node when it speaks for another: a node's credentials
// are good for that node, whatever its role allows.
func own(ctx context.Context, action, id string) error {
	call := api.CallFrom(ctx)
	p, ok := call.Principal.(*iam.Principal)
	if !ok || p.Source() == "" || p.Source() == ARN(call.Region, call.Account, id) {
		return nil
	}
	return iam.Refuse(ctx, action, ARN(call.Region, call.Account, id),
		api.Errorf(api.AccessDenied, "The credentials of %s cannot be used for %s", p.Source(), id))
}

// nodeAccount is the condition key that tells the policy of a VPC endpoint whose node a call is about which no principal of
// that account has signed. source: userguide, "Condition keys for AWS Systems Manager"
func nodeAccount(account string) iam.About { return iam.Key("ssm:nodeaccountid", account) }

// AllowNode asks whether the caller may do one of a node's own actions for a node.
func AllowNode(ctx context.Context, action, resource, id string) error {
	if err := iam.Allow(ctx, action, resource); err != nil {
		return err
	}
	return own(ctx, action, id)
}
