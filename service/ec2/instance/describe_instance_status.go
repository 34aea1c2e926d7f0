package instance

import (
	"context"
	"strconv"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
)

// statusSearch is DescribeInstanceStatus. source: model, "DescribeInstanceStatusRequest"
func statusSearch(all bool) *resource.Search[resource.Instance] {
	part := func(value func(*ec2.InstanceStatus) *ec2.InstanceStatusSummary, reachability bool) func(*record) []string {
		return func(r *record) []string {
			summary := value(new(statusOf(r)))
			if !reachability {
				return resource.One(summary.Status)
			}
			return resource.Each(summary.Details, func(d *ec2.InstanceStatusDetails) *string { return d.Status })
		}
	}
	instance := func(s *ec2.InstanceStatus) *ec2.InstanceStatusSummary { return s.InstanceStatus }
	system := func(s *ec2.InstanceStatus) *ec2.InstanceStatusSummary { return s.SystemStatus }
	return &resource.Search[resource.Instance]{
		Kind: resource.Instances, Operation: "DescribeInstanceStatus",
		Hidden: over, Only: func(r *record) bool { return all || is(r, ec2.InstanceStateNameRunning) },
		Filters: resource.Filters[resource.Instance]{
			"availability-zone":            func(r *record) []string { return resource.One(r.Data.Placement.AvailabilityZone) },
			"instance-state-code":          func(r *record) []string { return []string{strconv.FormatInt(*r.Data.State.Code, 10)} },
			"instance-state-name":          func(r *record) []string { return resource.One(r.Data.State.Name) },
			"instance-status.status":       part(instance, false),
			"instance-status.reachability": part(instance, true),
			"system-status.status":         part(system, false),
			"system-status.reachability":   part(system, true),
			"event.code":                   func(*record) []string { return nil },
		},
	}
}

// DescribeInstanceStatus describes how the machines of instances are, of those that run unless the request wants all.
func (s *Instances) DescribeInstanceStatus(ctx context.Context, in *ec2.DescribeInstanceStatusInput) (*ec2.DescribeInstanceStatusOutput, error) {
	list, next, err := statusSearch(api.Or(in.IncludeAllInstances, false)).Run(ctx, s.db, resource.Query{
		DryRun: in.DryRun, IDs: in.InstanceIds, Filters: in.Filters, Max: in.MaxResults, After: in.NextToken,
	})
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeInstanceStatusOutput{InstanceStatuses: []ec2.InstanceStatus{}, NextToken: next}
	for _, r := range list {
		out.InstanceStatuses = append(out.InstanceStatuses, statusOf(r))
	}
	return out, nil
}

// statusOf is how the machine of an instance is. The host is its own witness: what does not run although it should is impaired.
func statusOf(r *record) ec2.InstanceStatus {
	out := ec2.InstanceStatus{
		InstanceId: &r.ID, InstanceState: r.Data.State, AvailabilityZone: r.Data.Placement.AvailabilityZone,
		AvailabilityZoneId: r.Data.Placement.AvailabilityZoneId, Events: []ec2.InstanceStatusEvent{},
	}
	summary := func() *ec2.InstanceStatusSummary {
		switch {
		case !is(r, ec2.InstanceStateNameRunning):
			return &ec2.InstanceStatusSummary{Status: new(ec2.SummaryStatusNotApplicable), Details: []ec2.InstanceStatusDetails{}}
		case r.Data.Impaired != "":
			return &ec2.InstanceStatusSummary{Status: new(ec2.SummaryStatusImpaired), Details: []ec2.InstanceStatusDetails{{
				Name: new(ec2.StatusNameReachability), Status: new(ec2.StatusTypeFailed), ImpairedSince: new(time.UnixMilli(r.Data.ImpairedSince).UTC()),
			}}}
		}
		return &ec2.InstanceStatusSummary{Status: new(ec2.SummaryStatusOk), Details: []ec2.InstanceStatusDetails{{
			Name: new(ec2.StatusNameReachability), Status: new(ec2.StatusTypePassed),
		}}}
	}
	out.InstanceStatus, out.SystemStatus = summary(), summary()
	return out
}
