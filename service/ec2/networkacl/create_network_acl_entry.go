package networkacl

import (
	"context"
	"strconv"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// CreateNetworkAclEntry adds an entry under a number that is free.
func (n *NetworkAcls) CreateNetworkAclEntry(ctx context.Context, in *ec2.CreateNetworkAclEntryInput) (*ec2.CreateNetworkAclEntryOutput, error) {
	err := n.db.Update(ctx, func(tx *store.Tx) error {
		r, err := resource.NetworkAcls.FindFor(ctx, tx, "ec2:CreateNetworkAclEntry", in.NetworkAclId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		e, err := entry(in)
		if err != nil {
			return err
		}
		if _, ok := find(r, in.RuleNumber, in.Egress); ok {
			return resource.Errorf("NetworkAclEntryAlreadyExists", "The network acl entry identified by %d already exists.", in.RuleNumber) // source: aws
		}
		others := -1 // the final one
		for i := range r.Data.Entries {
			if *r.Data.Entries[i].Egress == in.Egress {
				others++
			}
		}
		if err := entries.Check(others); err != nil {
			return err
		}
		r.Data.Entries = append(r.Data.Entries, *e)
		sort(r)
		return resource.NetworkAcls.Put(ctx, tx, r)
	})
	return new(ec2.CreateNetworkAclEntryOutput), err
}

// The protocols whose entries say more than their number. source: userguide, "Network ACL rules"
const (
	icmp   = 1
	tcp    = 6
	udp    = 17
	icmpv6 = 58
)

// protocols are those that may be given by name.
var protocols = map[string]int{"all": -1, "icmp": icmp, "tcp": tcp, "udp": udp}

// entry checks an entry that is to be made.
func entry(in *ec2.CreateNetworkAclEntryInput) (*ec2.NetworkAclEntry, error) {
	invalid := func(format string, args ...any) (*ec2.NetworkAclEntry, error) {
		return nil, resource.Errorf("InvalidParameterValue", format, args...)
	}
	if in.RuleNumber < firstNumber || in.RuleNumber > lastNumber {
		return invalid("Value (%d) for parameter ruleNumber is invalid. It must be between %d and %d.", in.RuleNumber, firstNumber, lastNumber)
	}
	if in.RuleAction != ec2.RuleActionAllow && in.RuleAction != ec2.RuleActionDeny {
		return invalid("Value (%s) for parameter ruleAction is invalid. Valid values are allow, deny.", in.RuleAction)
	}
	switch {
	case in.Ipv6CidrBlock != nil:
		return nil, resource.NoIPv6()
	case in.CidrBlock == nil:
		return nil, api.Errorf(api.Missing, "The request must contain the parameter cidrBlock")
	}
	cidr, err := resource.Range(*in.CidrBlock, "cidrBlock")
	if err != nil {
		return nil, err
	}
	protocol, ok := protocols[in.Protocol]
	if !ok {
		if protocol, err = strconv.Atoi(in.Protocol); err != nil || protocol < -1 || protocol > 255 {
			return invalid("Value (%s) for parameter protocol is invalid. Unknown protocol", in.Protocol)
		}
	}
	e := &ec2.NetworkAclEntry{
		RuleNumber: &in.RuleNumber, Egress: &in.Egress, RuleAction: &in.RuleAction, CidrBlock: new(cidr.String()), Protocol: new(strconv.Itoa(protocol)),
	}
	switch protocol {
	case icmpv6:
		return nil, resource.NoIPv6()
	case icmp:
		if c := in.IcmpTypeCode; c == nil || c.Type == nil || c.Code == nil {
			return invalid("Invalid value for IcmpTypeCode. Must specify both type and code with ICMP.")
		} else if *c.Type < -1 || *c.Type > 255 || *c.Code < -1 || *c.Code > 255 {
			return invalid("Invalid value for IcmpTypeCode. Type and code must be between -1 and 255.")
		}
		e.IcmpTypeCode = in.IcmpTypeCode
	case tcp, udp:
		p := in.PortRange
		if p == nil || p.From == nil || p.To == nil {
			return invalid("Invalid value for portRange. Must specify both from and to ports with TCP/UDP.")
		} else if *p.From < 0 || *p.To > 65535 || *p.From > *p.To {
			return invalid("Invalid value for portRange. Ports must be between 0 and 65535, from before to.")
		}
		e.PortRange = p
	}
	return e, nil
}
