package iam

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/store"
)

// instanceLife is how long the credentials of an instance are good, whatever the longest session of the role. source: userguide, "Retrieve
// security credentials from instance metadata"
const instanceLife = 6 * time.Hour

// instanceService is the service that assumes the roles of instances.
const instanceService = "ec2.amazonaws.com"

// identityRole is the name of the role that every instance has and nobody can change: it says which instance makes a call, and no policy
// grants it anything. source: userguide, "Instance identity roles for Amazon EC2 instances"
const identityRole = "aws:ec2-instance"

// Instance is an EC2 instance as its credentials tell of it.
type Instance struct {
	ID, Account, Region string
	VPC                 string
	Address             netip.Addr // the primary private one
	Delivery            string     // the version of the metadata service by which the credentials are fetched, "1.0" or "2.0"
}

// ARN is the instance's.
func (n *Instance) ARN() string { return api.ARN("ec2", n.Region, n.Account, "instance/"+n.ID) }

// keys are the condition keys of the credentials of an instance's role. source: userguide, "AWS global condition context keys"; SAR
func (n *Instance) keys() map[string]string {
	keys := map[string]string{"ec2:sourceinstancearn": n.ARN(), "aws:ec2instancesourcevpc": n.VPC, "ec2:roledelivery": n.Delivery}
	if n.Address.Is4() {
		keys["aws:ec2instancesourceprivateipv4"] = n.Address.String()
	}
	return keys
}

// Profile is an instance profile as other services see it.
type Profile struct {
	Name, ARN, ID string
	Role          *Role // nil when it holds none
}

// FindProfile reads an instance profile of an account by name, inside the caller's transaction.
func FindProfile(ctx context.Context, tx *store.Tx, account, name string) (*Profile, bool, error) {
	e, ok, err := find(ctx, tx, account, kindProfile, name)
	if !ok {
		return nil, false, err
	}
	p := &Profile{Name: e.Name, ARN: entityARN(e), ID: e.ID}
	held, err := members(ctx, tx, e.ID, newPager(nil, nil))
	if err == nil && len(held) > 0 {
		p.Role = newRole(&held[0])
	}
	return p, true, err
}

// InstanceProfile reads the instance profile of an ARN as it is now. One that was made later under the same name has another ID.
func (i *IAM) InstanceProfile(ctx context.Context, arn string) (p *Profile, ok bool, err error) {
	_, _, account, resource, _ := api.SplitARN(arn)
	err = i.db.View(ctx, func(tx *store.Tx) (err error) {
		p, ok, err = FindProfile(ctx, tx, account, resource[strings.LastIndexByte(resource, '/')+1:])
		return err
	})
	return p, ok && p.ARN == arn, err
}

// InstanceCredentials makes credentials of the role in an instance's profile. Without an error they are nil when EC2 cannot assume the
// role, and why says what its trust policy lacks.
func (i *IAM) InstanceCredentials(n Instance, role *Role) (c *Credentials, why string, err error) {
	ok, why, err := role.Trusts(instanceService, n.ARN(), n.Account)
	if err != nil || !ok {
		return nil, why, err
	}
	c, err = i.NewSession(role, SessionSpec{Name: n.ID, Source: n.ARN(), Keys: n.keys(), Duration: instanceLife})
	return c, "", err
}

// IdentityCredentials makes credentials of the role that says which instance its bearer is.
func (i *IAM) IdentityCredentials(n Instance) (*Credentials, error) {
	s := session{Owner: n.Account + ":" + identityRole, Name: n.ID, Source: n.ARN(), Keys: n.keys()}
	return i.seal(s, time.Now(), instanceLife)
}

// identity is the role of an account's instance identities, if an id is that of one. There is no row of it.
func identity(id string) (*entity, bool) {
	account, ok := strings.CutSuffix(id, ":"+identityRole)
	return &entity{ID: id, Account: account, Kind: kindRole, Key: identityRole, Name: identityRole, Path: "/"}, ok
}

// Identity says whether the caller proves nothing but which instance it is: it has the instance identity role, and Source is the instance.
func (p *Principal) Identity() bool { return p.grants.entity.Name == identityRole }
