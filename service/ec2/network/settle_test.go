package network

import (
	"net/netip"
	"testing"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
	"github.com/vennel/vennel/store/storetest"
)

// TestMeanwhile turns what the host has heard of, and not what was changed or deleted since.
func TestMeanwhile(t *testing.T) {
	ctx, db := t.Context(), storetest.New(t)
	put := func(id string, subnets ...string) {
		t.Helper()
		r := &resource.Record[resource.Endpoint]{ID: id, Data: resource.Endpoint{VpcEndpoint: ec2.VpcEndpoint{
			State: new("pending"), SubnetIds: subnets, CreationTimestamp: new(time.Now().UTC()), PrivateDnsEnabled: new(true),
		}}}
		if err := db.Update(ctx, func(tx *store.Tx) error { return resource.Endpoints.Put(ctx, tx, r) }); err != nil {
			t.Fatal(err)
		}
	}
	read := func() (list []*resource.Record[resource.Endpoint]) {
		t.Helper()
		if err := db.View(ctx, func(tx *store.Tx) (err error) { list, err = resource.Endpoints.All(ctx, tx); return err }); err != nil {
			t.Fatal(err)
		}
		return list
	}
	put("vpce-1", "subnet-1")
	put("vpce-2", "subnet-1")
	put("vpce-3", "subnet-1")
	step := turn(ctx, resource.Endpoints, read(), func(_ string, v *resource.Endpoint) outcome { return state(&v.State, "") })
	put("vpce-2", "subnet-1", "subnet-2")
	err := db.Update(ctx, func(tx *store.Tx) error {
		return resource.Endpoints.Delete(ctx, tx, &resource.Record[resource.Endpoint]{ID: "vpce-3"})
	})
	if err == nil {
		err = db.Update(ctx, step)
	}
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]string{}
	for _, r := range read() {
		states[r.ID] = api.Or(r.Data.State, "")
	}
	if len(states) != 2 || states["vpce-1"] != "available" || states["vpce-2"] != "pending" {
		t.Errorf("have %v", states)
	}
}

// TestHolder knows whose an address is in a VPC, and not in another one.
func TestHolder(t *testing.T) {
	address := netip.MustParseAddr("10.0.0.9")
	n := new(Network)
	if has := n.Holder("vpc-1", address); has != "" {
		t.Errorf("before the first Set: %q", has)
	}
	n.current = &dataplane.Config{VPCs: []dataplane.VPC{
		{ID: "vpc-1", Interfaces: []dataplane.Interface{{Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.8"), address}, Machine: "i-1"}}},
		{ID: "vpc-2", Interfaces: []dataplane.Interface{{Addresses: []netip.Addr{address}, Kind: dataplane.Endpoint}}},
	}}
	for vpc, want := range map[string]string{"vpc-1": "i-1", "vpc-2": "", "vpc-3": ""} {
		if has := n.Holder(vpc, address); has != want {
			t.Errorf("%s: %q, want %q", vpc, has, want)
		}
	}
}
