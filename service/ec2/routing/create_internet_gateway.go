package routing

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// gateway is an internet gateway as it is kept.
type gateway = resource.Record[resource.InternetGateway]

// CreateInternetGateway makes an internet gateway that is attached to nothing.
func (o *Routing) CreateInternetGateway(ctx context.Context, in *ec2.CreateInternetGatewayInput) (*ec2.CreateInternetGatewayOutput, error) {
	tags, err := resource.TagsFor(in.TagSpecifications, resource.InternetGateways.Name)
	if err != nil {
		return nil, err
	}
	if err := resource.InternetGateways.AllowNew(ctx, "ec2:CreateInternetGateway", tags); err != nil {
		return nil, err
	}
	if err := resource.DryRun(in.DryRun); err != nil {
		return nil, err
	}
	id := resource.InternetGateways.NewID()
	out := new(ec2.CreateInternetGatewayOutput)
	err = o.db.Update(ctx, func(tx *store.Tx) error {
		g := resource.InternetGateways.New(ctx, id, "", resource.InternetGateway{})
		g.Data.InternetGateway = newGateway(g)
		g.Tags = tags
		if err := resource.InternetGateways.Create(ctx, tx, g); err != nil {
			return err
		}
		out.InternetGateway = new(answerGateway(g))
		return nil
	})
	return out, err
}

// newGateway is an internet gateway in AWS's shape.
func newGateway(g *gateway) ec2.InternetGateway {
	return ec2.InternetGateway{InternetGatewayId: &g.ID, OwnerId: &g.Account}
}

// answerGateway is an internet gateway as answers have it.
func answerGateway(g *gateway) ec2.InternetGateway {
	a := g.Data.InternetGateway
	a.Tags = resource.TagList(g.Tags)
	a.Attachments = []ec2.InternetGatewayAttachment{}
	if g.VPC != "" {
		a.Attachments = append(a.Attachments, ec2.InternetGatewayAttachment{State: new(attachedState), VpcId: &g.VPC})
	}
	return a
}

// attachedState is the state of an internet gateway's attachment. source: userguide, "DescribeInternetGateways"
const attachedState = "available"
