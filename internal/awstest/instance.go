package awstest

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	iamapi "github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/fleet"
	"github.com/vennel/vennel/store"
	"github.com/vennel/vennel/wire/sigv4"
)

// Instances are EC2's instances as a test writes them down.
type Instances struct {
	mu   sync.Mutex
	list map[string]fleet.Instance // by id; guarded by mu
}

var _ fleet.Instances = (*Instances)(nil)

// Put adds an instance or changes it.
func (i *Instances) Put(n fleet.Instance) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.list == nil {
		i.list = map[string]fleet.Instance{}
	}
	i.list[n.ID] = n
}

// Find is the fleet's.
func (i *Instances) Find(_ context.Context, _ *store.Tx, id string) (fleet.Instance, bool, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	n, ok := i.list[id]
	return n, ok, nil
}

// Tagged is the fleet's.
func (i *Instances) Tagged(_ context.Context, _ *store.Tx, account, region, name string, value *string, after string, most int) (ids []string, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(i.list)) {
		n := i.list[id]
		has, ok := n.Tags[name]
		if ok && (value == nil || *value == has) && n.Account == account && n.Region == region && id > after && len(ids) < most {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// instanceRole is the role of simulated instances.
const instanceRole = "InstanceRole"

// Instance makes a running EC2 instance with a role in its profile, "" for none. It is no node yet: it has a key that is not registered, and
// credentials of its role if it may have them.
func (w *World) Instance(role string, tags map[string]string) *Node {
	w.T.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		w.T.Fatal(err)
	}
	w.made++
	n := newNode(w, NodeConfig{Platform: ssm.PlatformTypeLinux}, key)
	n.ID, n.role = fmt.Sprintf("i-%017x", w.made), role
	w.Instances.Put(fleet.Instance{
		ID: n.ID, Account: Account, Region: Region, State: "running", Type: "t3.micro", Architecture: "x86_64",
		Profile: "arn:aws:iam::" + Account + ":instance-profile/web", Launched: time.Now().UTC(), Tags: tags,
	})
	n.Token()
	w.T.Cleanup(n.Drop)
	return n
}

// InstanceNode gives an instance that EC2 has in a world with a host the part of a node, with the role in its profile.
func (w *World) InstanceNode(id, role string) *Node {
	w.T.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		w.T.Fatal(err)
	}
	n := newNode(w, NodeConfig{Platform: ssm.PlatformTypeLinux}, key)
	n.ID, n.role = id, role
	n.Token()
	w.T.Cleanup(n.Drop)
	return n
}

// InstanceRole makes a role for instances, once, and gives its name.
func (w *World) InstanceRole() string {
	w.T.Helper()
	if !w.instanceRole {
		w.Role(instanceRole, "ec2.amazonaws.com", "AmazonSSMManagedInstanceCore")
		w.instanceRole = true
	}
	return instanceRole
}

// instance is the node as its credentials know it.
func (n *Node) instance() iam.Instance {
	return iam.Instance{ID: n.ID, Account: Account, Region: Region, VPC: "vpc-1", Address: netip.MustParseAddr("10.0.0.7"), Delivery: "2.0"}
}

// profileToken gets the credentials of the role in an instance's profile, none if it cannot be assumed.
func (n *Node) profileToken() (k Keys) {
	n.w.T.Helper()
	if n.role == "" {
		return Keys{}
	}
	err := n.w.server.Update(n.w.T.Context(), func(tx *store.Tx) error {
		role, ok, err := iam.FindRole(n.w.T.Context(), tx, Account, n.role)
		if !ok {
			return err
		}
		c, _, err := n.w.server.IAM.InstanceCredentials(n.instance(), role)
		if c != nil {
			k = Keys{ID: c.AccessKeyID, Secret: c.SecretAccessKey, Token: c.SessionToken}
		}
		return err
	})
	if err != nil {
		n.w.T.Fatal(err)
	}
	return k
}

// Identity are the credentials that say which instance the node is.
func (n *Node) Identity() Keys {
	n.w.T.Helper()
	c, err := n.w.server.IAM.IdentityCredentials(n.instance())
	if err != nil {
		n.w.T.Fatal(err)
	}
	return Keys{ID: c.AccessKeyID, Secret: c.SecretAccessKey, Token: c.SessionToken}
}

// RegisterKey registers a key for an instance with somebody's credentials.
func (n *Node) RegisterKey(k Keys, key *rsa.PrivateKey) error {
	return n.w.Client("ssm", k).Call(n.w.T.Context(), "RegisterManagedInstance", &ssm.RegisterManagedInstanceInput{
		Fingerprint: n.ID, PublicKey: publicKey(key), PublicKeyType: new("Rsa"),
	}, new(ssm.RegisterManagedInstanceOutput))
}

// DefaultToken asks for the credentials of Default Host Management with somebody's credentials and the node's key; without a key there is no
// second signature.
func (n *Node) DefaultToken(k Keys, key *rsa.PrivateKey) (Keys, error) {
	c := n.w.Client("ssm", k)
	if key != nil {
		c.Sign = func(ctx context.Context, r *http.Request, body []byte) error {
			if err := k.Sign("ssm")(ctx, r, body); err != nil {
				return err
			}
			return sigv4.SignAsymmetricKey(r, key)
		}
	}
	out := new(ssm.RequestManagedInstanceRoleTokenOutput)
	err := c.Call(n.w.T.Context(), "RequestManagedInstanceRoleToken", &ssm.RequestManagedInstanceRoleTokenInput{Fingerprint: n.ID}, out)
	return Keys{ID: out.AccessKeyId, Secret: out.SecretAccessKey, Token: out.SessionToken}, err
}

// SetKeys gives the node other credentials.
func (n *Node) SetKeys(k Keys) { n.keys = k }

// SetState changes the state of an instance, as EC2 does: one that is terminated is forgotten.
func (n *Node) SetState(state string) {
	n.w.T.Helper()
	i, _, _ := n.w.Instances.Find(n.w.T.Context(), nil, n.ID)
	i.State = state
	n.w.Instances.Put(i)
	if state != "terminated" {
		return
	}
	err := n.w.server.Update(n.w.T.Context(), func(tx *store.Tx) error {
		_, err := fleet.Forget(n.w.T.Context(), tx, n.ID)
		return err
	})
	if err != nil {
		n.w.T.Fatal(err)
	}
}

// DefaultHostManagement makes a role that Systems Manager may assume and sets it for instances.
func (w *World) DefaultHostManagement() {
	w.T.Helper()
	const name = "AWSSystemsManagerDefaultEC2InstanceManagementRole"
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ssm.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	Call[iamapi.CreateRoleOutput](w, "iam", "CreateRole", &iamapi.CreateRoleInput{RoleName: name, Path: new("/service-role/"), AssumeRolePolicyDocument: trust})
	Call[iamapi.AttachRolePolicyOutput](w, "iam", "AttachRolePolicy", &iamapi.AttachRolePolicyInput{RoleName: name, PolicyArn: "arn:aws:iam::aws:policy/AmazonSSMManagedEC2InstanceDefaultPolicy"})
	Call[ssm.UpdateServiceSettingOutput](w, "ssm", "UpdateServiceSetting", &ssm.UpdateServiceSettingInput{
		SettingId: "arn:aws:ssm:" + Region + ":" + Account + ":servicesetting" + fleet.DefaultRole, SettingValue: "service-role/" + name,
	})
}
