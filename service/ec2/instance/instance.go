// Package instance keeps instances, their disks, images, types and instance profiles. What becomes of them is the host's: the
// states follow the machines, see [Settle].
//
// It uses networkinterface, routing and securitygroup, and of the other services iam.
package instance

import (
	"context"
	"sync"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/service/ec2/metadata"
	"github.com/vennel/vennel/service/ec2/networkinterface"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// Instances is the capability.
type Instances struct {
	db     *store.DB
	host   dataplane.Host
	images []Image

	mu    sync.Mutex
	seq   uint64                      // of resource.Topic, since which known is good; guarded by mu
	known map[place]metadata.Instance // what has been read; guarded by mu
}

// New gives the capability, with the host whose machines have consoles, nil for none, and the images that instances can be
// made of.
func New(db *store.DB, host dataplane.Host, images ...Image) *Instances {
	return &Instances{db: db, host: host, images: images}
}

// record is the record of an instance.
type record = resource.Record[resource.Instance]

// The codes of states. source: model, "InstanceState"
var codes = map[string]int64{
	ec2.InstanceStateNamePending: 0, ec2.InstanceStateNameRunning: 16, ec2.InstanceStateNameShuttingDown: 32,
	ec2.InstanceStateNameTerminated: 48, ec2.InstanceStateNameStopping: 64, ec2.InstanceStateNameStopped: 80,
}

// state is a state with its code.
func state(name string) *ec2.InstanceState {
	return &ec2.InstanceState{Name: &name, Code: new(codes[name])}
}

// stateOf is the name of an instance's state.
func stateOf(i *resource.Instance) string {
	if i.State == nil {
		return ""
	}
	return api.Or(i.State.Name, "")
}

// visible is how long a terminated instance is still described. source: userguide, "Terminate Amazon EC2 instances"
const visible = time.Hour

// missingParameter is the error for a parameter that a request must have. source: aws
func missingParameter(name string) error {
	return resource.Errorf("MissingParameter", "The request must contain the parameter %s", name)
}

// invalid is the error for most that is wrong with a request.
func invalid(format string, args ...any) error {
	return resource.Errorf("InvalidParameterValue", format, args...)
}

// complete works out what follows of instances from their interfaces.
func complete(ctx context.Context, tx *store.Tx, list []*record) error {
	for _, r := range list {
		if err := completeOne(ctx, tx, r); err != nil {
			return err
		}
	}
	return nil
}

// completeOne is complete for one instance.
func completeOne(ctx context.Context, tx *store.Tx, r *record) error {
	i := &r.Data.Instance
	i.Tags = resource.TagList(r.Tags)
	i.PublicDnsName, i.PublicIpAddress, i.IamInstanceProfile = new(""), nil, nil
	i.NetworkInterfaces, i.SecurityGroups = []ec2.InstanceNetworkInterface{}, []ec2.GroupIdentifier{}
	if is(r, ec2.InstanceStateNameTerminated) {
		i.PrivateIpAddress, i.PrivateDnsName, i.SubnetId, i.VpcId = nil, new(""), nil, nil
		return nil
	}
	if a := r.Data.Association; a != nil {
		i.IamInstanceProfile = a.IamInstanceProfile
	}
	list, err := networkinterface.OfInstance(ctx, tx, r.VPC, r.ID)
	if err != nil {
		return err
	}
	for at, n := range list {
		i.NetworkInterfaces = append(i.NetworkInterfaces, interfaceOf(n))
		if at > 0 {
			continue
		}
		i.SecurityGroups, i.SourceDestCheck = n.Data.Groups, n.Data.SourceDestCheck
		i.PrivateIpAddress = n.Data.PrivateIpAddress
		i.PrivateDnsName = new(networkinterface.PrivateName(n.Region, resource.Addr(n.Data.PrivateIpAddress))) // whatever the VPC's attributes are. source: aws
		if a := n.Data.Association; a != nil {
			i.PublicIpAddress, i.PublicDnsName = a.PublicIp, a.PublicDnsName
		}
	}
	return nil
}

// interfaceOf is an interface as its instance shows it.
func interfaceOf(n *resource.Record[resource.NetworkInterface]) ec2.InstanceNetworkInterface {
	d := &n.Data
	out := ec2.InstanceNetworkInterface{
		NetworkInterfaceId: &n.ID, OwnerId: &n.Account, VpcId: &n.VPC, SubnetId: d.SubnetId, Description: d.Description, Groups: d.Groups,
		MacAddress: d.MacAddress, PrivateDnsName: d.PrivateDnsName, PrivateIpAddress: d.PrivateIpAddress, SourceDestCheck: d.SourceDestCheck,
		Status: d.Status, InterfaceType: d.InterfaceType, Ipv6Addresses: []ec2.InstanceIpv6Address{}, Association: associationOf(d.Association),
	}
	if a := d.Attachment; a != nil {
		out.Attachment = &ec2.InstanceNetworkInterfaceAttachment{
			AttachmentId: a.AttachmentId, AttachTime: a.AttachTime, DeleteOnTermination: a.DeleteOnTermination, DeviceIndex: a.DeviceIndex,
			NetworkCardIndex: a.NetworkCardIndex, Status: a.Status,
		}
	}
	for _, p := range d.PrivateIpAddresses {
		out.PrivateIpAddresses = append(out.PrivateIpAddresses, ec2.InstancePrivateIpAddress{
			Primary: p.Primary, PrivateDnsName: p.PrivateDnsName, PrivateIpAddress: p.PrivateIpAddress, Association: associationOf(p.Association),
		})
	}
	return out
}

// associationOf is a public address as an instance shows it.
func associationOf(a *ec2.NetworkInterfaceAssociation) *ec2.InstanceNetworkInterfaceAssociation {
	if a == nil {
		return nil
	}
	return &ec2.InstanceNetworkInterfaceAssociation{IpOwnerId: a.IpOwnerId, PublicDnsName: a.PublicDnsName, PublicIp: a.PublicIp}
}
