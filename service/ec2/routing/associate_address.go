package routing

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/networkinterface"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// AssociateAddress maps an Elastic IP address to an interface, or to the first one of an instance.
func (o *Routing) AssociateAddress(ctx context.Context, in *ec2.AssociateAddressInput) (*ec2.AssociateAddressOutput, error) {
	const action = "ec2:AssociateAddress"
	id := newAddressAssociationID()
	out := new(ec2.AssociateAddressOutput)
	err := o.db.Update(ctx, func(tx *store.Tx) error {
		a, err := addressFor(ctx, tx, action, in.AllocationId, in.PublicIp)
		if err != nil {
			return err
		}
		n, err := holder(ctx, tx, action, in.InstanceId, in.NetworkInterfaceId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		if api.Or(n.Data.RequesterManaged, false) {
			return managed()
		}
		private := api.Or(in.PrivateIpAddress, api.Or(n.Data.PrivateIpAddress, ""))
		if !slices.Contains(resource.Each(n.Data.PrivateIpAddresses, func(p *ec2.NetworkInterfacePrivateIpAddress) *string { return p.PrivateIpAddress }), private) {
			return resource.Errorf("InvalidParameterValue", "The private IP address %s is not assigned to the network interface %s", private, n.ID) // source: guess
		}
		if gateways, err := resource.InternetGateways.Of(ctx, tx, n.VPC); err != nil {
			return err
		} else if len(gateways) == 0 {
			return resource.Errorf("Gateway.NotAttached", "Network %s is not attached to any internet gateway", n.VPC) // source: aws
		}
		if err := takeOver(ctx, tx, a, n, private, api.Or(in.AllowReassociation, true), id); err != nil {
			return err
		}
		out.AssociationId = a.Data.AssociationId
		return nil
	})
	return out, err
}

// takeOver maps an address to where it is wanted. What it was mapped to loses it, unless the caller forbids that; so does
// another address that is mapped there. source: userguide, the operation's page
func takeOver(ctx context.Context, tx *store.Tx, a *address, n *resource.Record[resource.NetworkInterface], private string, allowed bool, id string) error {
	if a.Data.AssociationId != nil {
		if *a.Data.NetworkInterfaceId == n.ID && *a.Data.PrivateIpAddress == private {
			return nil // it is so already
		}
		if !allowed {
			return resource.Errorf("Resource.AlreadyAssociated", "resource %s is already associated with associate-id %s", a.ID, *a.Data.AssociationId) // source: aws
		}
		if err := releasable(ctx, tx, a); err != nil {
			return err
		}
		if err := unbind(ctx, tx, a); err != nil {
			return err
		}
	}
	mapped, err := resource.Addresses.Of(ctx, tx, n.VPC)
	if err != nil {
		return err
	}
	if other := at(mapped, n.ID, private); other != nil {
		if err := unbind(ctx, tx, other); err != nil {
			return err
		}
	}
	bind(a, n, private, id)
	return resource.Addresses.Put(ctx, tx, a)
}

// releasable refuses to take an address from an interface that a service holds.
func releasable(ctx context.Context, tx *store.Tx, a *address) error {
	n, err := resource.NetworkInterfaces.Get(ctx, tx, api.Or(a.Data.NetworkInterfaceId, ""))
	if err == nil && n != nil && api.Or(n.Data.RequesterManaged, false) {
		err = managed()
	}
	return err
}

// managed is the error for what belongs to a service. source: aws
func managed() error {
	return resource.Errorf("AuthFailure", "You do not have permission to access the specified resource.")
}

// addressFor finds an Elastic IP address by its allocation or the address itself, for a caller who may do an action to it.
func addressFor(ctx context.Context, tx *store.Tx, action string, allocation, public *string) (*address, error) {
	if allocation != nil {
		a, err := resource.Addresses.FindFor(ctx, tx, action, *allocation)
		if err == nil && a.Data.Automatic {
			err = resource.Addresses.Missing(a.ID)
		}
		return a, err
	}
	a, err := byPublic(ctx, tx, public)
	if err != nil {
		if denied := iam.Allow(ctx, action, "*"); denied != nil {
			return nil, denied
		}
		return nil, err
	}
	return a, resource.Addresses.Allow(ctx, action, a)
}

// byPublic finds an Elastic IP address of the caller's.
func byPublic(ctx context.Context, tx *store.Tx, public *string) (*address, error) {
	if public == nil {
		return nil, api.Errorf(api.Missing, "Either public IP or allocation id must be specified") // source: aws
	}
	if !resource.Addr(public).Is4() {
		return nil, badAddress(*public)
	}
	own, err := resource.Addresses.List(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, a := range visible(own) {
		if *a.Data.PublicIp == resource.Addr(public).String() {
			return a, nil
		}
	}
	used, err := taken(ctx, tx)
	if err != nil {
		return nil, err
	}
	if other := used[resource.Addr(public)]; other != nil && !other.Data.Automatic {
		return nil, foreign(*public)
	}
	return nil, noAddress(*public)
}

// holder finds the interface that an address is to be mapped to, for a caller who may do an action to it.
func holder(ctx context.Context, tx *store.Tx, action string, instance, interfaceID *string) (*resource.Record[resource.NetworkInterface], error) {
	switch {
	case instance != nil && interfaceID != nil:
		return nil, resource.Errorf("InvalidParameterCombination", "You may specify an instance or a network interface, but not both") // source: guess
	case interfaceID != nil:
		return resource.NetworkInterfaces.FindFor(ctx, tx, action, *interfaceID)
	case instance == nil:
		return nil, api.Errorf(api.Missing, "Either 'InstanceId' or 'NetworkInterfaceId' must be specified") // source: aws
	}
	i, err := resource.Instances.FindFor(ctx, tx, action, *instance)
	if err != nil {
		return nil, err
	}
	list, err := networkinterface.OfInstance(ctx, tx, i.VPC, i.ID)
	switch {
	case err != nil:
		return nil, err
	case len(list) == 0:
		return nil, resource.Errorf("InvalidInstanceID", "The instance '%s' has no network interface", i.ID) // source: guess
	case len(list) > 1:
		// source: aws
		return nil, resource.Errorf("InvalidInstanceID", "There are multiple interfaces attached to instance '%s'. Please specify an interface ID for the operation instead.", i.ID)
	}
	return list[0], nil
}
