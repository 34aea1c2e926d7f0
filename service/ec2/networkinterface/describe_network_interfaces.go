package networkinterface

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
)

// association is a filter about the public addresses of an interface.
func association(value func(*ec2.NetworkInterfaceAssociation) *string) func(*record) []string {
	return func(n *record) []string {
		return resource.Each(n.Data.PrivateIpAddresses, func(a *ec2.NetworkInterfacePrivateIpAddress) *string {
			if a.Association == nil {
				return nil
			}
			return value(a.Association)
		})
	}
}

// attachment is a filter about the attachment of an interface.
func attachment(value func(*ec2.NetworkInterfaceAttachment) []string) func(*record) []string {
	return func(n *record) []string {
		if n.Data.Attachment == nil {
			return nil
		}
		return value(n.Data.Attachment)
	}
}

// search is DescribeNetworkInterfaces. source: model, "DescribeNetworkInterfacesRequest"
var search = &resource.Search[resource.NetworkInterface]{
	Kind: resource.NetworkInterfaces, Operation: "DescribeNetworkInterfaces", Complete: Complete,
	Filters: resource.Filters[resource.NetworkInterface]{
		"association.allocation-id":       association(func(a *ec2.NetworkInterfaceAssociation) *string { return a.AllocationId }),
		"association.association-id":      association(func(a *ec2.NetworkInterfaceAssociation) *string { return a.AssociationId }),
		"association.ip-owner-id":         association(func(a *ec2.NetworkInterfaceAssociation) *string { return a.IpOwnerId }),
		"association.public-ip":           association(func(a *ec2.NetworkInterfaceAssociation) *string { return a.PublicIp }),
		"association.public-dns-name":     association(func(a *ec2.NetworkInterfaceAssociation) *string { return a.PublicDnsName }),
		"addresses.association.owner-id":  association(func(a *ec2.NetworkInterfaceAssociation) *string { return a.IpOwnerId }),
		"addresses.association.public-ip": association(func(a *ec2.NetworkInterfaceAssociation) *string { return a.PublicIp }),
		"addresses.primary": func(n *record) []string {
			return resource.Each(n.Data.PrivateIpAddresses, func(a *ec2.NetworkInterfacePrivateIpAddress) *string { return &resource.Bool(a.Primary)[0] })
		},
		"addresses.private-ip-address": func(n *record) []string {
			return resource.Each(n.Data.PrivateIpAddresses, func(a *ec2.NetworkInterfacePrivateIpAddress) *string { return a.PrivateIpAddress })
		},
		"attachment.attachment-id": attachment(func(a *ec2.NetworkInterfaceAttachment) []string { return resource.One(a.AttachmentId) }),
		"attachment.attach-time": attachment(func(a *ec2.NetworkInterfaceAttachment) []string {
			if a.AttachTime == nil {
				return nil
			}
			return []string{a.AttachTime.UTC().Format("2006-01-02T15:04:05.000Z")}
		}),
		"attachment.delete-on-termination": attachment(func(a *ec2.NetworkInterfaceAttachment) []string { return resource.Bool(a.DeleteOnTermination) }),
		"attachment.device-index":          attachment(func(a *ec2.NetworkInterfaceAttachment) []string { return resource.One(resource.Int(a.DeviceIndex)) }),
		"attachment.instance-id":           attachment(func(a *ec2.NetworkInterfaceAttachment) []string { return resource.One(a.InstanceId) }),
		"attachment.instance-owner-id":     attachment(func(a *ec2.NetworkInterfaceAttachment) []string { return resource.One(a.InstanceOwnerId) }),
		"attachment.status":                attachment(func(a *ec2.NetworkInterfaceAttachment) []string { return resource.One(a.Status) }),
		"availability-zone":                func(n *record) []string { return resource.One(n.Data.AvailabilityZone) },
		"availability-zone-id":             func(n *record) []string { return resource.One(n.Data.AvailabilityZoneId) },
		"description":                      func(n *record) []string { return resource.One(n.Data.Description) },
		"group-id": func(n *record) []string {
			return resource.Each(n.Data.Groups, func(g *ec2.GroupIdentifier) *string { return g.GroupId })
		},
		"group-name": func(n *record) []string {
			return resource.Each(n.Data.Groups, func(g *ec2.GroupIdentifier) *string { return g.GroupName })
		},
		"interface-type":              func(n *record) []string { return resource.One(n.Data.InterfaceType) },
		"ipv6-addresses.ipv6-address": func(*record) []string { return nil },
		"mac-address":                 func(n *record) []string { return resource.One(n.Data.MacAddress) },
		"network-interface-id":        func(n *record) []string { return []string{n.ID} },
		"operator.managed":            func(*record) []string { return []string{"false"} },
		"operator.principal":          func(*record) []string { return nil },
		"owner-id":                    func(n *record) []string { return []string{n.Account} },
		"private-dns-name":            func(n *record) []string { return resource.One(n.Data.PrivateDnsName) },
		"private-ip-address":          func(n *record) []string { return resource.One(n.Data.PrivateIpAddress) },
		"requester-id":                func(n *record) []string { return resource.One(n.Data.RequesterId) },
		"requester-managed":           func(n *record) []string { return resource.Bool(n.Data.RequesterManaged) },
		"source-dest-check":           func(n *record) []string { return resource.Bool(n.Data.SourceDestCheck) },
		"status":                      func(n *record) []string { return resource.One(n.Data.Status) },
		"subnet-id":                   func(n *record) []string { return resource.One(n.Data.SubnetId) },
		"vpc-id":                      func(n *record) []string { return []string{n.VPC} },
	},
}

// DescribeNetworkInterfaces lists interfaces.
func (n *NetworkInterfaces) DescribeNetworkInterfaces(ctx context.Context, in *ec2.DescribeNetworkInterfacesInput) (*ec2.DescribeNetworkInterfacesOutput, error) {
	page, next, err := search.Run(ctx, n.db, resource.Query{
		DryRun: in.DryRun, IDs: in.NetworkInterfaceIds, Filters: in.Filters, Max: in.MaxResults, After: in.NextToken,
	})
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeNetworkInterfacesOutput{NextToken: next, NetworkInterfaces: []ec2.NetworkInterface{}}
	for _, r := range page {
		out.NetworkInterfaces = append(out.NetworkInterfaces, r.Data.NetworkInterface)
	}
	return out, nil
}
