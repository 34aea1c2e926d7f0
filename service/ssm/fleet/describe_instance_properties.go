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
	nodes, next, err := f.search(ctx, filters, api.Or(in.NextToken, ""), int(api.Or(in.MaxResults, 50)))
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		out.InstanceProperties = append(out.InstanceProperties, ssm.InstanceProperty{
			Name: new(n.row.Name), InstanceId: &n.row.ID, IPAddress: api.Given(n.row.IpAddress), PingStatus: new(n.ping()),
			LastPingDateTime: &n.latest, AgentVersion: api.Given(n.row.AgentVersion), PlatformType: api.Given(n.row.PlatformType),
			PlatformName: api.Given(n.row.PlatformName), PlatformVersion: api.Given(n.row.PlatformVersion), ActivationId: &n.row.Activation,
			IamRole: &n.row.Role, RegistrationDate: new(time.UnixMilli(n.row.Registered).UTC()),
			ResourceType: new(ssm.ResourceTypeManagedInstance), ComputerName: api.Given(n.row.ComputerName), SourceId: &n.row.ID,
			SourceType: new(ssm.SourceTypeAWSSSMManagedInstance),
		})
	}
	out.NextToken = api.Given(next)
	return out, nil
}
