package fleet

import (
	"context"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
)

// DescribeInstanceProperties lists managed nodes like DescribeInstanceInformation, with filters that
// have operators.
func (f *Fleet) DescribeInstanceProperties(ctx context.Context, in *ssm.DescribeInstancePropertiesInput) (*ssm.DescribeInstancePropertiesOutput, error) {
	if err := iam.Allow(ctx, "ssm:DescribeInstanceProperties", "*"); err != nil {
		return nil, err
	}
	if len(in.InstancePropertyFilterList) > 0 && len(in.FiltersWithOperator) > 0 {
		return nil, ssm.ErrInvalidFilterKey("Use either FiltersWithOperator or InstancePropertyFilterList, not both")
	}
	filters := make([]filter, 0, len(in.FiltersWithOperator)+len(in.InstancePropertyFilterList))
	for _, old := range in.InstancePropertyFilterList {
		filters = append(filters, filter{key: old.Key, values: old.ValueSet})
	}
	for _, new := range in.FiltersWithOperator {
		filters = append(filters, filter{key: new.Key, values: new.Values, operator: api.Or(new.Operator, "")})
	}
	if err := checkFilters(filters, propertyWords); err != nil {
		return nil, err
	}
	out := &ssm.DescribeInstancePropertiesOutput{InstanceProperties: []ssm.InstanceProperty{}}
	nodes, next, err := f.search(ctx, filters, api.Or(in.NextToken, ""), int(api.Or(in.MaxResults, 50)), true)
	if err != nil {
		return nil, err
	}
	for i := range nodes {
		n := &nodes[i]
		resource, source := n.is()
		p := ssm.InstanceProperty{
			Name: new(n.row.Name), InstanceId: &n.row.ID, IPAddress: api.Given(n.row.IpAddress), PingStatus: new(n.ping()),
			LastPingDateTime: &n.latest, AgentVersion: api.Given(n.row.AgentVersion), PlatformType: api.Given(n.row.PlatformType),
			PlatformName: api.Given(n.row.PlatformName), PlatformVersion: api.Given(n.row.PlatformVersion), ActivationId: hybrid(n, n.row.Activation),
			IamRole: hybrid(n, n.row.Role), RegistrationDate: hybrid(n, time.UnixMilli(n.row.Registered).UTC()),
			ResourceType: &resource, ComputerName: api.Given(n.row.ComputerName), SourceId: &n.row.ID, SourceType: &source,
		}
		if i := n.ec2; i != nil {
			p.InstanceType, p.InstanceState, p.InstanceRole = &i.Type, &i.State, &i.Profile
			p.KeyName, p.Architecture, p.LaunchTime = &i.KeyName, &i.Architecture, &i.Launched
		}
		out.InstanceProperties = append(out.InstanceProperties, p)
	}
	out.NextToken = api.Given(next)
	return out, nil
}
