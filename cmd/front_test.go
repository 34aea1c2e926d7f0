package cmd

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/service/ec2/endpoint"
	"github.com/vennel/vennel/service/ec2/metadata"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
	"github.com/vennel/vennel/store/storetest"
)

// known are instances by their addresses.
type known map[netip.Addr]string

// Find gives one.
func (k known) Find(_ context.Context, _ string, address netip.Addr) (metadata.Instance, bool) {
	id, ok := k[address]
	return metadata.Instance{ID: id}, ok
}

// TestCarriedInstances tells nobody of an instance at whose address the host has another still.
func TestCarriedInstances(t *testing.T) {
	first, second, third := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3")
	host := map[netip.Addr]string{first: "i-1", second: "i-1", third: "i-3"}
	c := carriedInstances{known{first: "i-1", second: "i-2"}, func(_ string, a netip.Addr) string { return host[a] }}
	for address, want := range map[netip.Addr]bool{first: true, second: false, third: false} {
		if i, ok := c.Find(t.Context(), "vpc-1", address); ok != want {
			t.Errorf("%s: %v, %v", address, i.ID, ok)
		}
	}
}

// at is a connection to an address.
type at struct {
	net.Conn
	address string
}

// LocalAddr is that address.
func (c at) LocalAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.address))
}

// TestArrivals takes connections to endpoints only, and cuts those whose endpoint goes together with the socket.
func TestArrivals(t *testing.T) {
	ctx, db := t.Context(), storetest.New(t)
	vpce := &resource.Record[resource.Endpoint]{ID: "vpce-a", Account: "123456789012", Region: "us-east-1", VPC: "vpc-a", Data: resource.Endpoint{VpcEndpoint: ec2.VpcEndpoint{
		VpcEndpointId: new("vpce-a"), VpcEndpointType: new(ec2.VpcEndpointTypeInterface), ServiceName: new("com.amazonaws.us-east-1.ssm"), State: new("available"),
		PolicyDocument: new(`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`),
	}}}
	eni := &resource.Record[resource.NetworkInterface]{ID: "eni-a", VPC: "vpc-a", Data: resource.NetworkInterface{
		Holder: dataplane.Endpoint, Owner: "vpce-a", NetworkInterface: ec2.NetworkInterface{PrivateIpAddress: new("10.0.0.9")},
	}}
	err := db.Update(ctx, func(tx *store.Tx) error {
		return errors.Join(resource.Endpoints.Put(ctx, tx, vpce), resource.NetworkInterfaces.Put(ctx, tx, eni))
	})
	if err != nil {
		t.Fatal(err)
	}
	local := &resource.Record[resource.NetworkInterface]{ID: "eni-b", VPC: "vpc-a", Data: eni.Data}
	local.Data.PrivateIpAddress = new("127.0.0.1")
	if err := db.Update(ctx, func(tx *store.Tx) error { return resource.NetworkInterfaces.Put(ctx, tx, local) }); err != nil {
		t.Fatal(err)
	}
	queue := &carried{conns: make(chan net.Conn, 2), done: make(chan struct{})}
	in := &arrivals{Listener: queue, ctx: ctx, endpoints: endpoint.New(db), vpc: "vpc-a", open: map[*arrived]struct{}{}}
	ours, theirs := net.Pipe()
	stranger, lost := net.Pipe()
	queue.put(at{lost, "10.0.0.8:443"})
	queue.put(at{theirs, "10.0.0.9:443"})
	conn, err := in.Accept()
	if err != nil || conn.(*arrived).endpoint != "vpce-a" {
		t.Fatalf("have %v, %v", conn, err)
	}
	if n, err := stranger.Read(make([]byte, 1)); err == nil {
		t.Errorf("an address of nobody: %d bytes", n)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	socket, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	queue.put(socket)
	parked, err := in.Accept()
	if err != nil {
		t.Fatal(err)
	}
	changed := db.Subscribe(resource.Topic)
	changed.Close() // as if the socket had gone before anybody was told
	in.cut(ctx, changed)
	if len(in.open) != 2 {
		t.Error("a connection to an endpoint that is there was cut")
	}
	err = db.Update(ctx, func(tx *store.Tx) error {
		return errors.Join(resource.NetworkInterfaces.Delete(ctx, tx, eni), resource.NetworkInterfaces.Delete(ctx, tx, local))
	})
	if err != nil {
		t.Fatal(err)
	}
	ended, stop := context.WithCancel(ctx)
	stop()
	in.cut(ended, changed)
	if _, err := parked.Read(make([]byte, 1)); !errors.Is(err, io.EOF) { // which an epoll sees, too; not that it was closed
		t.Errorf("who waits for the socket hears %v", err)
	}
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the client hears %v", err)
	}
	_ = parked.Close()
	if n, err := ours.Read(make([]byte, 1)); err == nil || len(in.open) != 0 {
		t.Errorf("after the endpoint: %d bytes, %d connections", n, len(in.open))
	}
}
