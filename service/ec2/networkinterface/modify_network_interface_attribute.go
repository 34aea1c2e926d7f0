package networkinterface

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// ModifyNetworkInterfaceAttribute changes one attribute of an interface.
func (n *NetworkInterfaces) ModifyNetworkInterfaceAttribute(ctx context.Context, in *ec2.ModifyNetworkInterfaceAttributeInput) (*ec2.ModifyNetworkInterfaceAttributeOutput, error) {
	const action = "ec2:ModifyNetworkInterfaceAttribute"
	err := n.db.Update(ctx, func(tx *store.Tx) error {
		r, err := findFor(ctx, tx, action, in.NetworkInterfaceId, attributes(in)...)
		if err != nil {
			return err
		}
		for _, g := range in.Groups {
			if _, err := resource.SecurityGroups.FindFor(ctx, tx, action, g); err != nil {
				return err
			}
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		if err := owned(r); err != nil {
			return err
		}
		return modify(ctx, tx, r, in)
	})
	return &ec2.ModifyNetworkInterfaceAttributeOutput{}, err
}

// attributes names the attribute that is changed, for conditions.
func attributes(in *ec2.ModifyNetworkInterfaceAttributeInput) []iam.About {
	var names []string
	for name, given := range map[string]bool{
		"Description": in.Description != nil, "SourceDestCheck": in.SourceDestCheck != nil, "GroupId": len(in.Groups) > 0, "Attachment": in.Attachment != nil,
	} {
		if given {
			names = append(names, name)
		}
	}
	if len(names) != 1 {
		return nil
	}
	return []iam.About{iam.Key("ec2:attribute", names[0])}
}

// modify makes the one change that a request asks for.
func modify(ctx context.Context, tx *store.Tx, r *record, in *ec2.ModifyNetworkInterfaceAttributeInput) error {
	changes := 0
	for _, given := range []bool{in.Description != nil, in.SourceDestCheck != nil, len(in.Groups) > 0, in.Attachment != nil} {
		if given {
			changes++
		}
	}
	switch {
	case in.EnablePrimaryIpv6 != nil:
		return resource.NoIPv6()
	case in.EnaSrdSpecification != nil, in.ConnectionTrackingSpecification != nil, in.AssociatePublicIpAddress != nil, in.AssociatedSubnetIds != nil:
		return resource.Unsupported("This attribute")
	case changes == 0:
		return resource.Errorf("InvalidParameterCombination", "No attributes specified.") // source: aws
	case changes > 1:
		return resource.Errorf("InvalidParameterCombination", "Fields for multiple attribute types specified") // source: aws
	case len(in.Groups) > 0:
		return SetGroups(ctx, tx, r, in.Groups)
	case in.Description != nil:
		text := api.Or(in.Description.Value, "")
		if len(text) > mostText {
			return invalid("Invalid value for parameter description: the most is %d characters", mostText) // source: guess
		}
		r.Data.Description = &text
	case in.SourceDestCheck != nil:
		r.Data.SourceDestCheck = new(api.Or(in.SourceDestCheck.Value, true))
	default:
		a := r.Data.Attachment
		if id := api.Or(in.Attachment.AttachmentId, ""); a == nil || *a.AttachmentId != id {
			return missing(id)
		}
		if in.Attachment.DeleteOnTermination == nil {
			return resource.Errorf("MissingParameter", "The request must contain the parameter deleteOnTermination") // source: guess
		}
		a.DeleteOnTermination = in.Attachment.DeleteOnTermination
	}
	return resource.NetworkInterfaces.Put(ctx, tx, r)
}

// missing is the error for an attachment that is not there. source: aws
func missing(attachment string) error {
	return resource.Errorf("InvalidAttachmentID.NotFound", "The attachment ID '%s' does not exist", attachment)
}
