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
	nodes, next, err := f.search(ctx, filters, api.Or(in.NextToken, ""), int(api.Or(in.MaxResults, 50)))
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		out.InstanceInformationList = append(out.InstanceInformationList, ssm.InstanceInformation{
			InstanceId: &n.row.ID, PingStatus: new(n.ping()), LastPingDateTime: &n.latest, AgentVersion: api.Given(n.row.AgentVersion),
			PlatformType: api.Given(n.row.PlatformType), PlatformName: api.Given(n.row.PlatformName),
			PlatformVersion: api.Given(n.row.PlatformVersion), ActivationId: &n.row.Activation, IamRole: &n.row.Role,
			RegistrationDate: new(time.UnixMilli(n.row.Registered).UTC()), ResourceType: new(ssm.ResourceTypeManagedInstance),
			Name: new(n.row.Name), IPAddress: api.Given(n.row.IpAddress), ComputerName: api.Given(n.row.ComputerName),
			SourceId: &n.row.ID, SourceType: new(ssm.SourceTypeAWSSSMManagedInstance),
		})
	}
	out.NextToken = api.Given(next)
	return out, nil
}
