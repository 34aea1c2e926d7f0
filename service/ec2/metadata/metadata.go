// Package metadata is the instance metadata service, 169.254.169.254: what an EC2 instance can learn about itself, its user data, its identity
// document with signatures, and the credentials of its role and of its identity. One handler serves one VPC; who asks is told by the address.
//
// It keeps nothing but caches and the key that signs documents. Tokens are sealed, not stored, so that no guest can fill a memory with them and a
// restart does not void them. It uses iam; instances it knows through Instances, and credentials it gets through Issuer.
package metadata

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/vennel/vennel/service/iam"
)

// Instance is all that the service tells an instance of itself. What is empty is not told.
type Instance struct {
	ID, Account, Region  string
	Zone, ZoneID         string
	Type, Image          string
	Architecture         string
	Reservation          string
	LaunchIndex          int
	Launched             time.Time
	Lifecycle            string // on-demand
	RootDevice           string // /dev/xvda
	KeyName, PublicKey   string // the public key in OpenSSH's form
	PublicHostname       string
	Profile, ProfileID   string // ARN and id of the instance profile; "" for none
	UserData             []byte // nil for none
	Tags                 map[string]string
	Interfaces           []Interface // the primary one first
	Options              Options
	Domain               string // of the service names; amazonaws.com
	Placement, Partition string // the name of the placement group, the number of the partition
}

// Interface is a network interface of an instance.
type Interface struct {
	ID, MAC           string
	Device            int
	Hostname          string       // private
	Addresses         []netip.Addr // private, the primary one first; IPv6 may be among them
	Public            []Association
	Subnet, VPC       string
	SubnetBlock       netip.Prefix
	VPCBlocks         []netip.Prefix // the primary one first
	SubnetBlocks6     []netip.Prefix
	VPCBlocks6        []netip.Prefix
	Groups, GroupsIDs []string // names and ids, in the same order
}

// Association is a public address in front of a private one.
type Association struct {
	Public, Private netip.Addr
	Hostname        string
}

// Options are an instance's metadata options. The zero value is version 2 optional, tags not told.
type Options struct {
	Disabled       bool // HttpEndpoint
	TokensRequired bool // HttpTokens
	HopLimit       int  // HttpPutResponseHopLimit, 1 to 64; 0 is 1
	Tags           bool // InstanceMetadataTags
}

// primary is the primary interface; an instance without one has an empty one.
func (n *Instance) primary() *Interface {
	if len(n.Interfaces) == 0 {
		return new(Interface)
	}
	return &n.Interfaces[0]
}

// address is the primary private address.
func (i *Interface) address() netip.Addr {
	if len(i.Addresses) == 0 {
		return netip.Addr{}
	}
	return i.Addresses[0]
}

// identity is the instance as its credentials know it.
func (n *Instance) identity(delivery string) iam.Instance {
	return iam.Instance{
		ID: n.ID, Account: n.Account, Region: n.Region, VPC: n.primary().VPC, Address: n.primary().address(), Delivery: delivery,
	}
}

// Instances knows who has an address.
type Instances interface {
	// Find gives the instance that has a private address in a VPC.
	Find(ctx context.Context, vpc string, address netip.Addr) (Instance, bool)
}

// Issuer gives the credentials of instances; iam does.
type Issuer interface {
	// InstanceProfile reads an instance profile as it is now.
	InstanceProfile(ctx context.Context, arn string) (*iam.Profile, bool, error)
	// InstanceCredentials makes credentials of a role; they are nil when EC2 cannot assume it, and why says what is missing.
	InstanceCredentials(n iam.Instance, role *iam.Role) (c *iam.Credentials, why string, err error)
	// IdentityCredentials makes credentials that say which instance their bearer is.
	IdentityCredentials(n iam.Instance) (*iam.Credentials, error)
}

var _ Issuer = (*iam.IAM)(nil)

// Config is what the service needs.
type Config struct {
	Instances Instances
	Issuer    Issuer
	Signer    *Signer
	TokenKey  []byte // seals tokens; 32 bytes
	Log       *slog.Logger
}

// Service is the metadata service of all VPCs.
type Service struct {
	Config
	issued *issued
}

// New gives the service.
func New(cfg Config) *Service { return &Service{Config: cfg, issued: newIssued()} }
