// Package association is where State Manager's associations will be. Until a node can be given any
// it has none, and an agent that asks is told so: an error would send it to the older calls.
package association

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/ssm/fleet"
)

// Associations is the capability.
type Associations struct{}

// ListInstanceAssociations tells a node which associations it has.
func (Associations) ListInstanceAssociations(ctx context.Context, in *ssm.ListInstanceAssociationsInput) (*ssm.ListInstanceAssociationsOutput, error) {
	call := api.CallFrom(ctx)
	if err := fleet.AllowNode(ctx, "ssm:ListInstanceAssociations", fleet.ARN(call.Region, call.Account, in.InstanceId), in.InstanceId); err != nil {
		return nil, err
	}
	return &ssm.ListInstanceAssociationsOutput{Associations: []ssm.InstanceAssociationSummary{}}, nil
}
