package networkinterface

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// DescribeNetworkInterfaceAttribute tells one attribute of an interface.
func (n *NetworkInterfaces) DescribeNetworkInterfaceAttribute(ctx context.Context, in *ec2.DescribeNetworkInterfaceAttributeInput) (*ec2.DescribeNetworkInterfaceAttributeOutput, error) {
	if err := iam.Allow(ctx, "ec2:DescribeNetworkInterfaceAttribute", "*"); err != nil {
		return nil, err
	}
	if err := resource.DryRun(in.DryRun); err != nil {
		return nil, err
	}
	var out *ec2.DescribeNetworkInterfaceAttributeOutput
	err := n.db.View(ctx, func(tx *store.Tx) error {
		r, err := resource.NetworkInterfaces.Find(ctx, tx, in.NetworkInterfaceId)
		if err != nil {
			return err
		}
		d := &r.Data.NetworkInterface
		out = &ec2.DescribeNetworkInterfaceAttributeOutput{NetworkInterfaceId: &r.ID}
		switch api.Or(in.Attribute, "") {
		case ec2.NetworkInterfaceAttributeDescription:
			out.Description = &ec2.AttributeValue{Value: d.Description}
		case ec2.NetworkInterfaceAttributeGroupSet:
			out.Groups = d.Groups
		case ec2.NetworkInterfaceAttributeSourceDestCheck:
			out.SourceDestCheck = &ec2.AttributeBooleanValue{Value: d.SourceDestCheck}
		case ec2.NetworkInterfaceAttributeAttachment:
			out.Attachment = d.Attachment
		case "":
			return resource.Errorf("InvalidParameterCombination", "No attributes specified.") // source: aws
		default:
			return invalid("Value (%s) for parameter attribute is invalid. Unknown network interface attribute", *in.Attribute) // source: guess
		}
		return nil
	})
	return out, err
}
