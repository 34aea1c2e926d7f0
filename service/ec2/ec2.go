// Package ec2 is Amazon EC2 as far as private networks and the machines on them need it: the sum of its capabilities. What
// they keep is in resource; plan turns it into what the hosts carry, and network sees to it that they do.
package ec2

import (
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/endpoint"
	"github.com/vennel/vennel/service/ec2/flowlog"
	"github.com/vennel/vennel/service/ec2/instance"
	"github.com/vennel/vennel/service/ec2/networkacl"
	"github.com/vennel/vennel/service/ec2/networkinterface"
	"github.com/vennel/vennel/service/ec2/peering"
	"github.com/vennel/vennel/service/ec2/routing"
	"github.com/vennel/vennel/service/ec2/securitygroup"
	"github.com/vennel/vennel/service/ec2/tag"
	"github.com/vennel/vennel/service/ec2/vpc"
	"github.com/vennel/vennel/service/ec2/vpn"
)

// Service is the sum of the capabilities. An operation that none of them claims is unknown.
type Service struct {
	*endpoint.Endpoints
	*flowlog.FlowLogs
	*instance.Instances
	*networkacl.NetworkAcls
	*networkinterface.NetworkInterfaces
	*peering.Peerings
	*routing.Routing
	*securitygroup.SecurityGroups
	*tag.Tags
	*vpc.VPCs
	*vpn.VPNs
	unclaimed
}

// unclaimed is one level deeper than the capabilities, so that Go prefers their methods.
type unclaimed struct{ ec2.Unimplemented }

// Complete, unique, and with the right signatures: or it does not compile.
var _ ec2.Server = (*Service)(nil)
