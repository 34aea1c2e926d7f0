package routing

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/service/ec2/networkinterface"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// nat is a NAT gateway as it is kept.
type nat = resource.Record[resource.NatGateway]

// nats limits the NAT gateways of an Availability Zone. source: userguide, "Amazon VPC quotas"
var nats = resource.Quota{Most: 5, Code: "NatGatewayLimitExceeded", Nouns: "NAT gateways"}

// listed is how long a NAT gateway is listed after its end. source: userguide, "Work with NAT gateways"
const listed = time.Hour

// Gone says whether a NAT gateway is only still listed.
func Gone(n *resource.NatGateway) bool {
	return *n.State == ec2.NatGatewayStateDeleted || *n.State == ec2.NatGatewayStateFailed && n.NatGatewayAddresses[0].NetworkInterfaceId == nil
}

// over says whether a NAT gateway is no longer listed.
func over(ctx context.Context, n *nat) bool {
	return n.Data.DeleteTime != nil && n.Data.DeleteTime.Add(listed).Before(api.CallFrom(ctx).Time)
}

// CreateNatGateway makes a NAT gateway with an interface in a subnet. It is pending until a host carries it. What AWS finds
// wrong only after it has answered makes one that has failed, as there. source: userguide, "NAT gateway creation fails"
func (o *Routing) CreateNatGateway(ctx context.Context, in *ec2.CreateNatGatewayInput) (*ec2.CreateNatGatewayOutput, error) {
	const operation = "CreateNatGateway"
	ids := natIDs{resource.NatGateways.NewID(), resource.NetworkInterfaces.NewID(), networkinterface.NewAttachment(true), newAddressAssociationID()}
	out := &ec2.CreateNatGatewayOutput{ClientToken: in.ClientToken}
	err := o.db.Update(ctx, func(tx *store.Tx) error {
		tags, err := resource.TagsFor(in.TagSpecifications, resource.NatGateways.Name)
		if err != nil {
			return err
		}
		if err := resource.NatGateways.AllowNew(ctx, "ec2:"+operation, tags); err != nil {
			return err
		}
		if err := checkNatGateway(in); err != nil {
			return err
		}
		subnet, err := resource.Subnets.FindFor(ctx, tx, "ec2:"+operation, *in.SubnetId)
		if err != nil {
			return err
		}
		var a *address
		if in.AllocationId != nil {
			if a, err = addressFor(ctx, tx, "ec2:"+operation, in.AllocationId, nil); err != nil {
				return err
			}
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		made, err := resource.Once(ctx, tx, operation, in.ClientToken, in)
		if err != nil {
			return err
		}
		var n *nat
		if made != "" {
			if n, err = resource.NatGateways.Find(ctx, tx, made); err != nil {
				return err
			}
		} else {
			if n, err = createNAT(ctx, tx, ids, in, subnet, a, tags); err != nil {
				return err
			}
			if err := resource.Made(ctx, tx, operation, in.ClientToken, in, n.ID); err != nil {
				return err
			}
		}
		out.NatGateway = new(answerNAT(n))
		return nil
	})
	return out, err
}

// natIDs are the ids of a NAT gateway, its interface and the associations of both, which are made outside of closures.
type natIDs struct{ gateway, networkInterface, attachment, association string }

// checkNatGateway refuses a request for a NAT gateway that there cannot be.
func checkNatGateway(in *ec2.CreateNatGatewayInput) error {
	connectivity := api.Or(in.ConnectivityType, ec2.ConnectivityTypePublic)
	public := connectivity == ec2.ConnectivityTypePublic
	switch {
	case api.Or(in.AvailabilityMode, zonal) != zonal || len(in.AvailabilityZoneAddresses) > 0:
		return resource.Unsupported("A regional NAT gateway")
	case len(in.SecondaryAllocationIds) > 0 || len(in.SecondaryPrivateIpAddresses) > 0 || in.SecondaryPrivateIpAddressCount != nil:
		return resource.Unsupported("A secondary address of a NAT gateway")
	case in.SubnetId == nil:
		return api.Errorf(api.Missing, "The request must contain the parameter SubnetId")
	case !public && connectivity != ec2.ConnectivityTypePrivate:
		return resource.Errorf("InvalidParameterValue", "Value (%s) for parameter connectivityType is invalid.", connectivity) // source: guess
	case public && in.AllocationId == nil:
		return api.Errorf(api.Missing, "The request must contain the parameter AllocationId")
	case !public && in.AllocationId != nil:
		return resource.Errorf("InvalidParameterCombination", "The parameter AllocationId cannot be used with the connectivity type private") // source: guess
	case in.PrivateIpAddress != nil && !resource.Addr(in.PrivateIpAddress).Is4():
		return resource.Errorf("InvalidParameterValue", "Value (%s) for parameter privateIpAddress is invalid.", *in.PrivateIpAddress) // source: guess
	}
	return nil
}

// zonal is the mode of NAT gateways that are in one zone. source: model
const zonal = "zonal"

// createNAT makes a NAT gateway.
func createNAT(ctx context.Context, tx *store.Tx, ids natIDs, in *ec2.CreateNatGatewayInput, subnet *resource.Record[resource.Subnet], a *address, tags map[string]string) (*nat, error) {
	if err := forget(ctx, tx); err != nil {
		return nil, err
	}
	if err := roomInZone(ctx, tx, *subnet.Data.AvailabilityZone); err != nil {
		return nil, err
	}
	now := api.CallFrom(ctx).Time
	n := resource.NatGateways.New(ctx, ids.gateway, subnet.VPC, resource.NatGateway{})
	n.Tags = tags
	at := ec2.NatGatewayAddress{IsPrimary: new(true), Status: new(ec2.NatGatewayAddressStatusAssociating)}
	n.Data.NatGateway = ec2.NatGateway{
		NatGatewayId: &n.ID, SubnetId: &subnet.ID, VpcId: &n.VPC, CreateTime: &now, State: new(ec2.NatGatewayStatePending),
		ConnectivityType: new(api.Or(in.ConnectivityType, ec2.ConnectivityTypePublic)), AvailabilityMode: new(zonal),
	}
	code, message, err := obstacle(ctx, tx, n.VPC, a)
	if err != nil {
		return nil, err
	}
	if code == "" {
		code, message, err = natInterface(ctx, tx, ids, in, subnet, n, a, &at)
		if err != nil {
			return nil, err
		}
	}
	if code != "" {
		n.Data.State, n.Data.FailureCode, n.Data.FailureMessage, n.Data.DeleteTime = new(ec2.NatGatewayStateFailed), &code, &message, &now
		at.Status = new(ec2.NatGatewayAddressStatusFailed)
	}
	n.Data.NatGatewayAddresses = []ec2.NatGatewayAddress{at}
	return n, resource.NatGateways.Create(ctx, tx, n)
}

// obstacle says why a NAT gateway fails, if it does.
func obstacle(ctx context.Context, tx *store.Tx, vpcID string, a *address) (code, message string, err error) {
	if a == nil {
		return "", "", nil
	}
	gateways, err := resource.InternetGateways.Of(ctx, tx, vpcID)
	switch {
	case err != nil:
		return "", "", err
	case len(gateways) == 0:
		return "Gateway.NotAttached", "Network " + vpcID + " has no Internet gateway attached", nil // source: userguide
	case a.Data.AssociationId != nil:
		return "Resource.AlreadyAssociated", "Elastic IP address [" + a.ID + "] is already associated", nil // source: userguide
	}
	return "", "", nil
}

// natInterface makes a NAT gateway's interface and maps its public address to it, or says why not.
func natInterface(ctx context.Context, tx *store.Tx, ids natIDs, in *ec2.CreateNatGatewayInput, subnet *resource.Record[resource.Subnet], n *nat, a *address, at *ec2.NatGatewayAddress) (code, message string, err error) {
	spec := &networkinterface.Spec{
		ID: ids.networkInterface, Attachment: ids.attachment, Subnet: subnet, Ungrouped: true, Kind: dataplane.NAT, Owner: n.ID, Unchecked: true,
		Description: "Interface for NAT Gateway " + n.ID, // source: aws
	}
	if in.PrivateIpAddress != nil {
		spec.Addresses = []netip.Addr{resource.Addr(in.PrivateIpAddress)}
	}
	i, err := networkinterface.Make(ctx, tx, spec)
	if e, ok := errors.AsType[*api.Error](err); ok {
		return e.Code, e.Message, nil
	} else if err != nil {
		return "", "", err
	}
	at.NetworkInterfaceId, at.PrivateIp = &i.ID, i.Data.PrivateIpAddress
	if a == nil {
		return "", "", nil
	}
	bind(a, i, *i.Data.PrivateIpAddress, ids.association)
	at.AllocationId, at.PublicIp, at.AssociationId = &a.ID, a.Data.PublicIp, a.Data.AssociationId
	return "", "", resource.Addresses.Put(ctx, tx, a)
}

// forget removes the records of NAT gateways that are no longer listed.
func forget(ctx context.Context, tx *store.Tx) error {
	list, err := resource.NatGateways.List(ctx, tx)
	if err != nil {
		return err
	}
	for _, n := range list {
		if over(ctx, n) {
			if err := resource.NatGateways.Delete(ctx, tx, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// roomInZone refuses a NAT gateway in a zone that has as many as there may be.
func roomInZone(ctx context.Context, tx *store.Tx, zone string) error {
	list, err := resource.NatGateways.List(ctx, tx)
	if err != nil {
		return err
	}
	subnets, err := resource.Subnets.List(ctx, tx)
	if err != nil {
		return err
	}
	n := 0
	for _, other := range list {
		in := func(s *resource.Record[resource.Subnet]) bool {
			return s.ID == *other.Data.SubnetId && *s.Data.AvailabilityZone == zone
		}
		if !Gone(&other.Data) && slices.ContainsFunc(subnets, in) {
			n++
		}
	}
	return nats.Check(n)
}

// answerNAT is a NAT gateway as answers have it.
func answerNAT(n *nat) ec2.NatGateway {
	a := n.Data.NatGateway
	a.Tags = resource.TagList(n.Tags)
	return a
}
