package fleet

import (
	"context"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
)

// DescribeInstanceInformation lists managed nodes with what they say of themselves and whether they
// are there.
func (f *Fleet) DescribeInstanceInformation(ctx context.Context, in *ssm.DescribeInstanceInformationInput) (*ssm.DescribeInstanceInformationOutput, error) {
	if err := iam.Allow(ctx, "ssm:DescribeInstanceInformation", "*"); err != nil {
		return nil, err
	}
	if len(in.InstanceInformationFilterList) > 0 && len(in.Filters) > 0 {
		return nil, ssm.ErrInvalidFilterKey("Use either Filters or InstanceInformationFilterList, not both")
	}
	filters := make([]filter, 0, len(in.Filters)+len(in.InstanceInformationFilterList))
	for _, old := range in.InstanceInformationFilterList {
		filters = append(filters, filter{key: old.Key, values: old.ValueSet})
	}
	for _, new := range in.Filters {
		filters = append(filters, filter{key: new.Key, values: new.Values})
	}
	if err := checkFilters(filters, informationWords); err != nil {
		return nil, err
	}
	out := &ssm.DescribeInstanceInformationOutput{InstanceInformationList: []ssm.InstanceInformation{}}
	nodes, next, err := f.search(ctx, filters, api.Or(in.NextToken, ""), int(api.Or(in.MaxResults, 50)), false)
	if err != nil {
		return nil, err
	}
	for i := range nodes {
		n := &nodes[i]
		resource, source := n.is()
		out.InstanceInformationList = append(out.InstanceInformationList, ssm.InstanceInformation{
			InstanceId: &n.row.ID, PingStatus: new(n.ping()), LastPingDateTime: &n.latest, AgentVersion: api.Given(n.row.AgentVersion),
			PlatformType: api.Given(n.row.PlatformType), PlatformName: api.Given(n.row.PlatformName),
			PlatformVersion: api.Given(n.row.PlatformVersion), ActivationId: hybrid(n, n.row.Activation), IamRole: hybrid(n, n.row.Role),
			RegistrationDate: hybrid(n, time.UnixMilli(n.row.Registered).UTC()), ResourceType: &resource,
			Name: hybrid(n, n.row.Name), IPAddress: api.Given(n.row.IpAddress), ComputerName: api.Given(n.row.ComputerName),
			SourceId: &n.row.ID, SourceType: &source,
		})
	}
	out.NextToken = api.Given(next)
	return out, nil
}
