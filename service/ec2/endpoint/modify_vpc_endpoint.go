package endpoint

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/networkinterface"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// ModifyVpcEndpoint changes an endpoint: its policy, subnets, groups, route tables or names. Everything takes effect, or
// nothing.
func (e *Endpoints) ModifyVpcEndpoint(ctx context.Context, in *ec2.ModifyVpcEndpointInput) (*ec2.ModifyVpcEndpointOutput, error) {
	const action = "ec2:ModifyVpcEndpoint"
	interfaces := newInterfaces(len(in.AddSubnetIds) + len(in.SubnetConfigurations))
	err := e.db.Update(ctx, func(tx *store.Tx) error {
		r, err := find(ctx, tx, action, in.VpcEndpointId)
		if err != nil {
			return err
		}
		if err := allowAll(ctx, tx, action, slices.Concat(in.AddSubnetIds, in.RemoveSubnetIds), slices.Concat(in.AddSecurityGroupIds, in.RemoveSecurityGroupIds),
			slices.Concat(in.AddRouteTableIds, in.RemoveRouteTableIds)); err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		s, err := findService(r.Region, *r.Data.ServiceName)
		if err != nil {
			return err
		}
		if err := modify(ctx, tx, r, s, in, interfaces); err != nil {
			return err
		}
		return resource.Endpoints.Put(ctx, tx, r)
	})
	return &ec2.ModifyVpcEndpointOutput{Return: new(true)}, err
}

// modify makes the changes of a request.
func modify(ctx context.Context, tx *store.Tx, r *record, s *service, in *ec2.ModifyVpcEndpointInput, interfaces []spare) error {
	gateway := isGateway(r)
	switch reset := api.Or(in.ResetPolicy, false); {
	case reset && in.PolicyDocument != nil:
		// source: guess
		return resource.Errorf("InvalidParameterCombination", "The parameter policyDocument cannot be used with the parameter resetPolicy")
	case reset || in.PolicyDocument != nil:
		text, err := readPolicy(in.PolicyDocument, gateway)
		if err != nil {
			return err
		}
		r.Data.PolicyDocument = &text
	}
	if err := checkFamily(in.IpAddressType, in.DnsOptions); err != nil {
		return err
	}
	if gateway {
		return modifyGateway(ctx, tx, r, in)
	}
	if len(in.AddRouteTableIds)+len(in.RemoveRouteTableIds) > 0 {
		return invalid("Route table IDs are only supported for Gateway type VPC Endpoint.") // source: aws
	}
	if err := modifyGroups(ctx, tx, r, in); err != nil {
		return err
	}
	if in.PrivateDnsEnabled != nil || in.DnsOptions != nil {
		r.Data.PrivateDnsEnabled = new(api.Or(in.PrivateDnsEnabled, *r.Data.PrivateDnsEnabled))
		setOptions(r, s, in.DnsOptions)
		if *r.Data.PrivateDnsEnabled {
			if err := checkPrivate(ctx, tx, r, s); err != nil {
				return err
			}
		}
	}
	if err := removeSubnets(ctx, tx, r, in.RemoveSubnetIds); err != nil {
		return err
	}
	configured, err := newAddresses(ctx, tx, r, in)
	if err != nil {
		return err
	}
	return addSubnets(ctx, tx, r, s, in.AddSubnetIds, configured, interfaces)
}

// modifyGateway changes which route tables lead to a gateway endpoint.
func modifyGateway(ctx context.Context, tx *store.Tx, r *record, in *ec2.ModifyVpcEndpointInput) error {
	switch {
	case len(in.AddSubnetIds)+len(in.RemoveSubnetIds)+len(in.SubnetConfigurations) > 0:
		return invalid("Subnet IDs are only supported for Interface and GatewayLoadBalancer type VPC Endpoints.") // source: aws
	case len(in.AddSecurityGroupIds)+len(in.RemoveSecurityGroupIds) > 0:
		return invalid("Security group IDs are only supported for Interface type VPC Endpoint.") // source: guess
	case api.Or(in.PrivateDnsEnabled, false):
		return invalid("Private DNS is only supported for Interface type VPC Endpoints.") // source: guess
	}
	for _, table := range in.RemoveRouteTableIds {
		i := slices.Index(r.Data.RouteTableIds, table)
		if i < 0 {
			return invalid("Route table %s is not associated with %s", table, r.ID) // source: guess
		}
		r.Data.RouteTableIds = slices.Delete(r.Data.RouteTableIds, i, i+1)
	}
	return addTables(ctx, tx, r, in.AddRouteTableIds)
}

// modifyGroups changes the groups of an interface endpoint, which has one at least.
func modifyGroups(ctx context.Context, tx *store.Tx, r *record, in *ec2.ModifyVpcEndpointInput) error {
	if len(in.AddSecurityGroupIds)+len(in.RemoveSecurityGroupIds) == 0 {
		return nil
	}
	var ids []string
	for _, g := range r.Data.Groups {
		ids = append(ids, *g.GroupId)
	}
	for _, id := range in.RemoveSecurityGroupIds {
		i := slices.Index(ids, id)
		if i < 0 {
			return invalid("Security group %s is not associated with %s", id, r.ID) // source: guess
		}
		ids = slices.Delete(ids, i, i+1)
	}
	for _, id := range in.AddSecurityGroupIds {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return invalid("%s must have at least one security group", r.ID) // source: guess
	}
	return setGroups(ctx, tx, r, ids)
}

// removeSubnets removes an endpoint's interfaces in some subnets.
func removeSubnets(ctx context.Context, tx *store.Tx, r *record, subnets []string) error {
	list, err := networkinterface.OfOwner(ctx, tx, r.VPC, r.ID)
	if err != nil {
		return err
	}
	for _, id := range subnets {
		i := slices.Index(r.Data.SubnetIds, id)
		if i < 0 {
			return invalid("Subnet %s is not associated with %s", id, r.ID) // source: guess
		}
		r.Data.SubnetIds = slices.Delete(r.Data.SubnetIds, i, i+1)
		for _, n := range list {
			if *n.Data.SubnetId != id {
				continue
			}
			r.Data.NetworkInterfaceIds = slices.DeleteFunc(r.Data.NetworkInterfaceIds, func(eni string) bool { return eni == n.ID })
			if err := networkinterface.Remove(ctx, tx, n.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// newAddresses are the configurations of a request for subnets that the endpoint has not yet. The address of an interface
// never changes. source: userguide, "Access an AWS service using an interface VPC endpoint"
func newAddresses(ctx context.Context, tx *store.Tx, r *record, in *ec2.ModifyVpcEndpointInput) ([]ec2.SubnetConfiguration, error) {
	list, err := networkinterface.OfOwner(ctx, tx, r.VPC, r.ID)
	if err != nil {
		return nil, err
	}
	address := map[string]string{}
	for _, n := range list {
		address[*n.Data.SubnetId] = *n.Data.PrivateIpAddress
	}
	var added []ec2.SubnetConfiguration
	for _, c := range in.SubnetConfigurations {
		has, ok := address[api.Or(c.SubnetId, "")]
		switch {
		case !ok:
			added = append(added, c)
		case c.Ipv4 != nil && *c.Ipv4 != has:
			return nil, invalid("The address of %s in subnet %s is %s and cannot be changed", r.ID, *c.SubnetId, has) // source: guess
		}
	}
	return added, nil
}
