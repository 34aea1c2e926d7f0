package networkinterface_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/internal/awstest"
	"github.com/vennel/vennel/service/ec2/networkinterface"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/ec2/securitygroup"
	"github.com/vennel/vennel/store"
	"github.com/vennel/vennel/store/storetest"
)

// The VPC and its instances.
const (
	vpc      = "vpc-0000000a"
	instance = "i-0000000a"
)

// lan is a VPC with a subnet in two zones each, and an instance.
type lan struct {
	t    *testing.T
	db   *store.DB
	ctx  context.Context //nolint:containedctx // of the test
	n    *networkinterface.NetworkInterfaces
	a, b *resource.Record[resource.Subnet]
}

// newLAN makes one.
func newLAN(t *testing.T) *lan {
	t.Helper()
	l := &lan{t: t, db: storetest.New(t)}
	l.ctx, l.n = awstest.As(t, l.db, awstest.Account, awstest.Region), networkinterface.New(l.db)
	sub := func(id, cidr, zone string) *resource.Record[resource.Subnet] {
		return &resource.Record[resource.Subnet]{ID: id, Account: awstest.Account, Region: awstest.Region, VPC: vpc, Data: resource.Subnet{Subnet: ec2.Subnet{
			SubnetId: &id, VpcId: new(vpc), CidrBlock: &cidr, AvailabilityZone: &zone,
		}}}
	}
	l.a, l.b = sub("subnet-0000000a", "10.0.0.0/27", "us-east-1a"), sub("subnet-0000000b", "10.0.1.0/24", "us-east-1b")
	ids := securitygroup.NewIDs()
	l.update(func(tx *store.Tx) error {
		v := &resource.Record[resource.VPC]{ID: vpc, Account: awstest.Account, Region: awstest.Region, VPC: vpc}
		i := &resource.Record[resource.Instance]{ID: instance, Account: awstest.Account, Region: awstest.Region, VPC: vpc}
		i.Data.Instance = ec2.Instance{State: &ec2.InstanceState{Name: new("running")}, Placement: &ec2.Placement{AvailabilityZone: new("us-east-1a")}}
		return errors.Join(
			resource.VPCs.Put(l.ctx, tx, v), resource.Subnets.Put(l.ctx, tx, l.a), resource.Subnets.Put(l.ctx, tx, l.b), resource.Instances.Put(l.ctx, tx, i),
			securitygroup.CreateDefault(l.ctx, tx, vpc, awstest.Account, awstest.Region, ids),
		)
	})
	return l
}

// update changes the database.
func (l *lan) update(change func(tx *store.Tx) error) {
	l.t.Helper()
	if err := l.db.Update(l.ctx, change); err != nil {
		l.t.Fatal(err)
	}
}

// make makes an interface.
func (l *lan) make(s *networkinterface.Spec) *resource.Record[resource.NetworkInterface] {
	l.t.Helper()
	s.ID, s.Attachment = resource.NetworkInterfaces.NewID(), networkinterface.NewAttachment(s.Owner != "")
	var made *resource.Record[resource.NetworkInterface]
	l.update(func(tx *store.Tx) (err error) {
		made, err = networkinterface.Make(l.ctx, tx, s)
		return err
	})
	return made
}

// of lists an instance's interfaces.
func (l *lan) of(id string) (ids []string) { //nolint:unparam // it says whose they are
	l.t.Helper()
	l.update(func(tx *store.Tx) error {
		list, err := networkinterface.OfInstance(l.ctx, tx, vpc, id)
		ids = nil
		for _, n := range list {
			ids = append(ids, n.ID)
		}
		return err
	})
	return ids
}

// TestInstanceInterfaces makes, attaches, detaches and releases the interfaces of an instance.
func TestInstanceInterfaces(t *testing.T) {
	l := newLAN(t)
	first := l.make(&networkinterface.Spec{Subnet: l.a, Kind: dataplane.Guest, Instance: instance, Delete: true, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.8")}})
	second := l.make(&networkinterface.Spec{Subnet: l.a, Kind: dataplane.Guest, Instance: instance, Device: 1})
	if a := first.Data.Attachment; *first.Data.Status != "in-use" || *a.InstanceId != instance || *a.DeviceIndex != 0 || !*a.DeleteOnTermination || *a.Status != "attached" {
		t.Errorf("%+v", first.Data)
	}
	if ids := l.of(instance); !slices.Equal(ids, []string{first.ID, second.ID}) {
		t.Errorf("%v, want %s and %s in the order of their devices", ids, first.ID, second.ID)
	}
	free, far := l.make(&networkinterface.Spec{Subnet: l.a}), l.make(&networkinterface.Spec{Subnet: l.b})
	owned := l.make(&networkinterface.Spec{Subnet: l.a, Kind: dataplane.NAT, Owner: "nat-0000000a", Ungrouped: true, Unchecked: true})
	if d := &owned.Data; d.Owner != "nat-0000000a" || d.Holder != dataplane.NAT || *d.InterfaceType != "nat_gateway" || *d.SourceDestCheck || len(d.Groups) != 0 || !*d.RequesterManaged {
		t.Errorf("%+v", d)
	}
	attach := func(id string, device int64) (string, error) {
		out, err := l.n.AttachNetworkInterface(l.ctx, &ec2.AttachNetworkInterfaceInput{NetworkInterfaceId: id, InstanceId: instance, DeviceIndex: device})
		if err != nil {
			return "", err
		}
		return *out.AttachmentId, nil
	}
	for _, c := range []struct {
		what, id, code string
		device         int64
	}{
		{"a device that is taken", free.ID, "InvalidParameterValue", 1},
		{"no device", free.ID, "InvalidParameterValue", -1},
		{"another zone", far.ID, "InvalidParameterCombination", 2},
		{"one that is attached", second.ID, "InvalidNetworkInterface.InUse", 2},
		{"a service's", owned.ID, "AuthFailure", 2},
	} {
		if _, err := attach(c.id, c.device); code(err) != c.code {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	third, err := attach(free.ID, 2)
	if err != nil {
		t.Fatal(err)
	}
	if ids := l.of(instance); !slices.Equal(ids, []string{first.ID, second.ID, free.ID}) {
		t.Errorf("attached: %v", ids)
	}
	for id, want := range map[string]string{*first.Data.Attachment.AttachmentId: "OperationNotPermitted", *owned.Data.Attachment.AttachmentId: "OperationNotPermitted", "eni-attach-00000000": "InvalidAttachmentID.NotFound"} {
		if _, err := l.n.DetachNetworkInterface(l.ctx, &ec2.DetachNetworkInterfaceInput{AttachmentId: id}); code(err) != want {
			t.Errorf("detaching %s: %v", id, err)
		}
	}
	if _, err := l.n.DetachNetworkInterface(l.ctx, &ec2.DetachNetworkInterfaceInput{AttachmentId: third}); err != nil {
		t.Error(err)
	}
	if ids := l.of(instance); !slices.Equal(ids, []string{first.ID, second.ID}) {
		t.Errorf("detached: %v", ids)
	}

	// The end of the instance takes the first with it and frees the second.
	l.update(func(tx *store.Tx) error { return networkinterface.Release(l.ctx, tx, vpc, instance) })
	if ids := l.of(instance); len(ids) != 0 {
		t.Errorf("released: %v", ids)
	}
	out, err := l.n.DescribeNetworkInterfaces(l.ctx, &ec2.DescribeNetworkInterfacesInput{Filters: []ec2.Filter{{Name: new("network-interface-id"), Values: []string{first.ID, second.ID}}}})
	if err != nil || len(out.NetworkInterfaces) != 1 || *out.NetworkInterfaces[0].NetworkInterfaceId != second.ID || *out.NetworkInterfaces[0].Status != "available" || out.NetworkInterfaces[0].Attachment != nil {
		t.Errorf("%+v, %v", out, err)
	}
}

// TestPublicAddresses tells an interface's public addresses, and frees them with it; one that was given with its birth goes.
func TestPublicAddresses(t *testing.T) {
	l := newLAN(t)
	n := l.make(&networkinterface.Spec{Subnet: l.a, Secondary: 1})
	address := func(id, public, private string, automatic bool) *resource.Record[resource.Address] {
		return &resource.Record[resource.Address]{ID: id, Account: awstest.Account, Region: awstest.Region, VPC: vpc, Data: resource.Address{Automatic: automatic, Address: ec2.Address{
			AllocationId: &id, AssociationId: new("eipassoc-0000000a"), PublicIp: &public, PrivateIpAddress: &private, NetworkInterfaceId: &n.ID, NetworkInterfaceOwnerId: new(awstest.Account),
		}}}
	}
	own, lent := address("eipalloc-0000000a", "198.19.0.5", *n.Data.PrivateIpAddresses[1].PrivateIpAddress, false), address("eipalloc-0000000b", "198.19.0.6", *n.Data.PrivateIpAddress, true)
	l.update(func(tx *store.Tx) error {
		v, err := resource.VPCs.Get(l.ctx, tx, vpc)
		if err != nil {
			return err
		}
		v.Data.DNSHostnames = true
		return errors.Join(resource.VPCs.Put(l.ctx, tx, v), resource.Addresses.Put(l.ctx, tx, own), resource.Addresses.Put(l.ctx, tx, lent))
	})
	for name, value := range map[string]string{
		"association.public-ip": "198.19.0.5", "association.allocation-id": "eipalloc-0000000a", "association.association-id": "eipassoc-0000000a", "association.ip-owner-id": "amazon",
		"addresses.association.public-ip": "198.19.0.6", "association.public-dns-name": "ec2-198-19-0-6.compute-1.amazonaws.com",
	} {
		out, err := l.n.DescribeNetworkInterfaces(l.ctx, &ec2.DescribeNetworkInterfacesInput{Filters: []ec2.Filter{{Name: &name, Values: []string{value}}}})
		if err != nil || len(out.NetworkInterfaces) != 1 || *out.NetworkInterfaces[0].PublicDnsName != "ec2-198-19-0-6.compute-1.amazonaws.com" {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
	}
	l.update(func(tx *store.Tx) error { return networkinterface.Remove(l.ctx, tx, n.ID) })
	l.update(func(tx *store.Tx) error {
		left, err := resource.Addresses.List(l.ctx, tx)
		if err == nil && (len(left) != 1 || left[0].ID != own.ID || left[0].Data.NetworkInterfaceId != nil || left[0].Data.AssociationId != nil || left[0].VPC != "") {
			t.Errorf("%+v", left)
		}
		return err
	})
}

// TestAddressesAreSpread gives other addresses to other interfaces, all of the subnet's in the end, and the same to a closure
// that runs again.
func TestAddressesAreSpread(t *testing.T) {
	l := newLAN(t)
	seen := map[string]bool{}
	for range networkinterface.Addresses(netip.MustParsePrefix("10.0.0.0/27")) {
		a := *l.make(&networkinterface.Spec{Subnet: l.a}).Data.PrivateIpAddress
		if seen[a] {
			t.Fatalf("%s twice", a)
		}
		seen[a] = true
	}
	if seen["10.0.0.3"] || !seen["10.0.0.4"] || !seen["10.0.0.30"] || seen["10.0.0.31"] {
		t.Error("not those that a subnet has")
	}
	err := l.db.Update(l.ctx, func(tx *store.Tx) error {
		_, err := networkinterface.Make(l.ctx, tx, &networkinterface.Spec{ID: resource.NetworkInterfaces.NewID(), Subnet: l.a})
		return err
	})
	if code(err) != "InsufficientFreeAddressesInSubnet" {
		t.Errorf("one more: %v", err)
	}
}

// TestNames writes the names of addresses. source: userguide, "DNS attributes for your VPC"
func TestNames(t *testing.T) {
	private, public := netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("198.19.0.5")
	for _, c := range [][2]string{
		{networkinterface.PrivateName("us-east-1", private), "ip-10-0-0-5.ec2.internal"},
		{networkinterface.PrivateName("eu-west-1", private), "ip-10-0-0-5.eu-west-1.compute.internal"},
		{networkinterface.PublicName("us-east-1", public), "ec2-198-19-0-5.compute-1.amazonaws.com"},
		{networkinterface.PublicName("eu-west-1", public), "ec2-198-19-0-5.eu-west-1.compute.amazonaws.com"},
	} {
		if c[0] != c[1] {
			t.Errorf("%s, want %s", c[0], c[1])
		}
	}
}

// code is the code of an error.
func code(err error) string {
	if e, ok := errors.AsType[*api.Error](err); ok {
		return e.Code
	}
	return ""
}
