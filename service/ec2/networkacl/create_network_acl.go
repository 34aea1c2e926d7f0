package networkacl

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// CreateNetworkAcl makes a network ACL, which lets nothing pass until it has entries.
func (n *NetworkAcls) CreateNetworkAcl(ctx context.Context, in *ec2.CreateNetworkAclInput) (*ec2.CreateNetworkAclOutput, error) {
	const operation = "CreateNetworkAcl"
	id := resource.NetworkAcls.NewID()
	out := &ec2.CreateNetworkAclOutput{ClientToken: in.ClientToken}
	err := n.db.Update(ctx, func(tx *store.Tx) error {
		vpc, err := resource.VPCs.FindFor(ctx, tx, "ec2:"+operation, in.VpcId)
		if err != nil {
			return err
		}
		tags, err := resource.TagsFor(in.TagSpecifications, resource.NetworkAcls.Name)
		if err != nil {
			return err
		}
		if err := resource.NetworkAcls.AllowNew(ctx, "ec2:"+operation, tags); err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		made, err := resource.Once(ctx, tx, operation, in.ClientToken, in)
		if err != nil {
			return err
		}
		r := resource.NetworkAcls.New(ctx, id, vpc.ID, blank(id, vpc.ID, vpc.Account))
		if made != "" {
			if r, err = resource.NetworkAcls.Find(ctx, tx, made); err != nil {
				return err
			}
		} else {
			sort(r)
			r.Tags = tags
			if err := resource.NetworkAcls.Create(ctx, tx, r); err != nil {
				return err
			}
			if err := resource.Made(ctx, tx, operation, in.ClientToken, in, id); err != nil {
				return err
			}
		}
		out.NetworkAcl = new(answer(r))
		return nil
	})
	return out, err
}
