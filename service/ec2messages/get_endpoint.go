package ec2messages

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2messages"
	"github.com/vennel/vennel/service/ssm/fleet"
)

// GetEndpoint tells an agent where to poll: where it asked.
func (m *Messages) GetEndpoint(ctx context.Context, in *ec2messages.GetEndpointInput) (*ec2messages.GetEndpointOutput, error) {
	if err := fleet.AllowNode(ctx, "ec2messages:GetEndpoint", "*", in.Destination); err != nil {
		return nil, err
	}
	return &ec2messages.GetEndpointOutput{Endpoint: new(api.CallFrom(ctx).Host)}, nil
}
