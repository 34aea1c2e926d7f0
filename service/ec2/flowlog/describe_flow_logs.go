package flowlog

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
)

// search is DescribeFlowLogs. source: userguide, the operation's page
var search = &resource.Search[resource.FlowLog]{
	Kind: resource.FlowLogs, Operation: "DescribeFlowLogs", Least: 1, Most: 1000,
	Filters: resource.Filters[resource.FlowLog]{
		"deliver-log-status":   func(r *record) []string { return resource.One(r.Data.DeliverLogsStatus) },
		"flow-log-id":          func(r *record) []string { return []string{r.ID} },
		"log-destination-type": func(r *record) []string { return resource.One(r.Data.LogDestinationType) },
		"log-group-name":       func(r *record) []string { return resource.One(r.Data.LogGroupName) },
		"resource-id":          func(r *record) []string { return resource.One(r.Data.ResourceId) },
		"traffic-type":         func(r *record) []string { return resource.One(r.Data.TrafficType) },
	},
}

// DescribeFlowLogs lists flow logs.
func (f *FlowLogs) DescribeFlowLogs(ctx context.Context, in *ec2.DescribeFlowLogsInput) (*ec2.DescribeFlowLogsOutput, error) {
	page, next, err := search.Run(ctx, f.db, resource.Query{DryRun: in.DryRun, IDs: in.FlowLogIds, Filters: in.Filter, Max: in.MaxResults, After: in.NextToken})
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeFlowLogsOutput{NextToken: next, FlowLogs: []ec2.FlowLog{}}
	for _, r := range page {
		r.Data.Tags = resource.TagList(r.Tags)
		out.FlowLogs = append(out.FlowLogs, r.Data.FlowLog)
	}
	return out, nil
}
