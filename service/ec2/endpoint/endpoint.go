// Package endpoint keeps VPC endpoints, the services they are for, and their policies; and it says through which endpoint a
// connection has come: see [Endpoints.Arrived].
//
// It uses networkinterface.
package endpoint

import (
	"context"
	"crypto/rand"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/iam/policy"
	"github.com/vennel/vennel/store"
)

// Endpoints is the capability.
type Endpoints struct {
	db *store.DB

	mu   sync.Mutex
	seq  uint64                             // of resource.Topic, when ways were read; guarded by mu
	ways map[string]*way                    // by VPC; guarded by mu
	seen map[iam.EndpointSpec]*iam.Endpoint // guarded by mu
}

// New gives the capability.
func New(db *store.DB) *Endpoints {
	return &Endpoints{db: db, ways: map[string]*way{}, seen: map[iam.EndpointSpec]*iam.Endpoint{}}
}

// record is the record of an endpoint.
type record = resource.Record[resource.Endpoint]

// The states of endpoints. source: userguide, "VPC endpoint states"
const (
	pending  = "pending"
	deleting = "deleting"
)

// What there may be of endpoints. source: userguide, "AWS PrivateLink quotas"
var (
	perVPC    = resource.Quota{Most: 50, Code: "VpcEndpointLimitExceeded", Nouns: "VPC endpoints"}
	perRegion = resource.Quota{Most: 20, Code: "VpcEndpointLimitExceeded", Nouns: "VPC endpoints"}
)

// invalid is the error for most that is wrong with a request.
func invalid(format string, args ...any) error {
	return resource.Errorf("InvalidParameter", format, args...)
}

// alphabet is what labels are made of.
const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"

// newLabel makes the random part of an endpoint's names. It is made outside of closures.
func newLabel() string {
	b := make([]byte, 8)
	rand.Read(b)
	for i := range b {
		b[i] = alphabet[int(b[i])%len(alphabet)]
	}
	return string(b)
}

// isGateway says whether an endpoint is a gateway endpoint.
func isGateway(r *record) bool {
	return api.Or(r.Data.VpcEndpointType, "") == ec2.VpcEndpointTypeGateway
}

// isGone says whether an endpoint is being deleted: for requests it is gone.
func isGone(r *record) bool { return api.Or(r.Data.State, "") == deleting }

// find finds an endpoint to which the caller may do an action.
func find(ctx context.Context, tx *store.Tx, action, id string, about ...iam.About) (*record, error) {
	about = append(about, iam.Key("ec2:vpceserviceregion", api.CallFrom(ctx).Region))
	r, err := resource.Endpoints.Find(ctx, tx, id)
	if err != nil {
		return resource.Endpoints.FindFor(ctx, tx, action, id, about...)
	}
	about = append(about, iam.Key("ec2:vpceservicename", *r.Data.ServiceName), iam.Key("ec2:vpceserviceowner", owner))
	if err := resource.Endpoints.Allow(ctx, action, r, about...); err != nil {
		return nil, err
	}
	if isGone(r) {
		return nil, resource.Endpoints.Missing(id)
	}
	return r, nil
}

// others lists the endpoints of a VPC but one, which may be none of it. Those that are being deleted are not among them.
func others(ctx context.Context, tx *store.Tx, vpc, but string) ([]*record, error) {
	list, err := resource.Endpoints.Of(ctx, tx, vpc)
	return slices.DeleteFunc(list, func(r *record) bool { return r.ID == but || isGone(r) }), err
}

// readPolicy checks the policy of a request, as AWS does before it keeps one. Without one everything is allowed.
func readPolicy(text *string, gateway bool) (string, error) {
	if api.Or(text, "") == "" {
		return policy.DefaultEndpointPolicy, nil
	}
	if _, err := policy.Parse([]byte(*text), iam.EndpointPolicy(gateway)); err != nil {
		return "", resource.Errorf("InvalidPolicyDocument", "%s", err.Error())
	}
	return *text, nil
}

// name names an endpoint: its own names, the Regional one first, then one a zone, then the private ones that it takes over.
// source: userguide, "DNS names"
func name(r *record, s *service, zones []string) {
	d := &r.Data
	d.DnsEntries = []ec2.DnsEntry{}
	if isGateway(r) {
		return
	}
	add := func(name, hosted string) {
		d.DnsEntries = append(d.DnsEntries, ec2.DnsEntry{DnsName: &name, HostedZoneId: &hosted})
	}
	own := hostedZone(r.Region)
	suffix := "." + s.name + "." + r.Region + ".vpce.amazonaws.com"
	prefix := ""
	if s.gateway {
		prefix = "*." // a bucket or another word stands before
	}
	add(prefix+r.ID+"-"+d.Label+suffix, own)
	for _, zone := range slices.Sorted(slices.Values(zones)) {
		add(prefix+r.ID+"-"+d.Label+"-"+zone+suffix, own)
	}
	if api.Or(d.PrivateDnsEnabled, false) {
		for _, name := range s.privateNames(r.Region) {
			add(name, hostedZone(r.ID))
		}
	}
}

// hostedZone is the id of a hosted zone: of a Region's endpoints' names, or of one endpoint's private names.
func hostedZone(of string) string {
	if of == "us-east-1" {
		return "Z7HUB22UULQXV" // source: aws
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(of))
	return "Z" + strings.ToUpper(strconv.FormatUint(h.Sum64(), 36))
}

// checkPrivate refuses private names that an endpoint cannot have: in a VPC without the attributes, or that another endpoint
// has. source: aws
func checkPrivate(ctx context.Context, tx *store.Tx, r *record, s *service) error {
	vpc, err := resource.VPCs.Get(ctx, tx, r.VPC)
	if err != nil {
		return err
	}
	if !vpc.Data.DNSSupport || !vpc.Data.DNSHostnames {
		return invalid("Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true for %s", r.VPC)
	}
	list, err := others(ctx, tx, r.VPC, r.ID)
	if err != nil {
		return err
	}
	for _, o := range list {
		if *o.Data.ServiceName == *r.Data.ServiceName && api.Or(o.Data.PrivateDnsEnabled, false) {
			return invalid("private-dns-enabled cannot be set because there is already a conflicting DNS domain for %s in the VPC %s", s.privateNames(r.Region)[0], r.VPC)
		}
	}
	if d := r.Data.DnsOptions; d == nil || !api.Or(d.PrivateDnsOnlyForInboundResolverEndpoint, false) {
		return nil
	}
	if !slices.ContainsFunc(list, func(o *record) bool { return isGateway(o) && *o.Data.ServiceName == *r.Data.ServiceName }) {
		return invalid("To set PrivateDnsOnlyForInboundResolverEndpoint to true, the VPC %s must have a Gateway endpoint for the service.", r.VPC)
	}
	return nil
}
