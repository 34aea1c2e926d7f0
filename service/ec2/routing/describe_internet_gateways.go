package routing

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
)

// searchGateways is DescribeInternetGateways. source: userguide, the operation's page
var searchGateways = resource.Search[resource.InternetGateway]{
	Kind: resource.InternetGateways, Operation: "DescribeInternetGateways",
	Filters: resource.Filters[resource.InternetGateway]{
		"attachment.state": func(g *gateway) []string {
			if g.VPC == "" {
				return nil
			}
			return []string{attachedState}
		},
		"attachment.vpc-id":   func(g *gateway) []string { return resource.One(api.Given(g.VPC)) },
		"internet-gateway-id": func(g *gateway) []string { return []string{g.ID} },
		"owner-id":            func(g *gateway) []string { return []string{g.Account} },
	},
}

// DescribeInternetGateways lists internet gateways.
func (o *Routing) DescribeInternetGateways(ctx context.Context, in *ec2.DescribeInternetGatewaysInput) (*ec2.DescribeInternetGatewaysOutput, error) {
	page, next, err := searchGateways.Run(ctx, o.db, resource.Query{DryRun: in.DryRun, IDs: in.InternetGatewayIds, Filters: in.Filters, Max: in.MaxResults, After: in.NextToken})
	out := &ec2.DescribeInternetGatewaysOutput{InternetGateways: []ec2.InternetGateway{}, NextToken: next}
	for _, g := range page {
		out.InternetGateways = append(out.InternetGateways, answerGateway(g))
	}
	return out, err
}
