package flowlog

import (
	"context"
	"regexp"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// What there may be of flow logs. source: userguide, "Amazon VPC quotas"; model, "CreateFlowLogsRequest"
var perResource = resource.Quota{Most: 2, Code: "FlowLogsLimitExceeded", Nouns: "flow logs of a resource"}

// mostResources is how many resources a request may be about. source: model, "CreateFlowLogsRequest"
const mostResources = 300

// The format that records have, and how long a flow may be gathered into one. source: userguide, "Flow log records"
const (
	defaultFormat = "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} ${bytes} ${start} ${end} ${action} ${log-status}"
	minute, ten   = 60, 600
)

// action is what a caller must be allowed.
const action = "ec2:CreateFlowLogs"

// What a log group can be called. source: model, "LogGroupName" of CloudWatch Logs
const mostGroupName = 512

var groupName = regexp.MustCompile(`^[.\-_/#A-Za-z0-9]+$`)

// CreateFlowLogs makes a flow log of each of some VPCs, subnets or interfaces. Its records are kept by this server under the name
// of the log group.
func (f *FlowLogs) CreateFlowLogs(ctx context.Context, in *ec2.CreateFlowLogsInput) (*ec2.CreateFlowLogsOutput, error) {
	const operation = "CreateFlowLogs"
	tags, err := resource.TagsFor(in.TagSpecifications, resource.FlowLogs.Name)
	if err != nil {
		return nil, err
	}
	if err := resource.FlowLogs.AllowNew(ctx, action, tags); err != nil {
		return nil, err
	}
	if err := allowRole(ctx, in.DeliverLogsPermissionArn); err != nil {
		return nil, err
	}
	ids := make([]string, min(len(in.ResourceIds), mostResources))
	for i := range ids {
		ids[i] = resource.FlowLogs.NewID()
	}
	out := &ec2.CreateFlowLogsOutput{ClientToken: in.ClientToken, Unsuccessful: []ec2.UnsuccessfulItem{}}
	err = f.db.Update(ctx, func(tx *store.Tx) error {
		made, err := propose(ctx, tx, in, ids, tags)
		if err != nil {
			return err
		}
		before, err := resource.Once(ctx, tx, operation, in.ClientToken, in)
		if err != nil {
			return err
		}
		if before != "" {
			out.FlowLogIds = strings.Split(before, ",")
			return nil
		}
		for _, r := range made {
			if err := room(ctx, tx, r); err != nil {
				return err
			}
			if err := resource.FlowLogs.Create(ctx, tx, r); err != nil {
				return err
			}
		}
		out.FlowLogIds = ids
		return resource.Made(ctx, tx, operation, in.ClientToken, in, strings.Join(ids, ","))
	})
	return out, err
}

// allowRole asks whether the caller may pass the role with which AWS would write the records.
func allowRole(ctx context.Context, arn *string) error {
	if arn == nil {
		return nil
	}
	if service, _, _, name, ok := api.SplitARN(*arn); !ok || service != "iam" || !strings.HasPrefix(name, "role/") {
		return invalid("Invalid IAM Arn: %s", *arn) // source: guess
	}
	return iam.Allow(ctx, "iam:PassRole", *arn, iam.Key("iam:passedtoservice", "vpc-flow-logs.amazonaws.com"))
}

// invalid is the error for most that is wrong with a request.
func invalid(format string, args ...any) error {
	return resource.Errorf("InvalidParameter", format, args...)
}

// propose makes the flow logs of a request, for a caller who may watch what they are about. They are not kept yet.
func propose(ctx context.Context, tx *store.Tx, in *ec2.CreateFlowLogsInput, ids []string, tags map[string]string) ([]*record, error) {
	vpcs := make([]string, len(ids)) // in which the resources are
	for i := range ids {
		var err error
		if vpcs[i], err = watched(ctx, tx, in.ResourceType, in.ResourceIds[i]); err != nil {
			return nil, err
		}
	}
	if err := resource.DryRun(in.DryRun); err != nil {
		return nil, err
	}
	group, err := check(ctx, in)
	if err != nil {
		return nil, err
	}
	made := make([]*record, len(ids))
	for i, id := range ids {
		r := resource.FlowLogs.New(ctx, id, vpcs[i], resource.FlowLog{FlowLog: ec2.FlowLog{
			FlowLogId: &id, ResourceId: &in.ResourceIds[i], TrafficType: in.TrafficType, LogGroupName: &group, LogDestination: in.LogDestination,
			LogDestinationType: new(ec2.LogDestinationTypeCloudWatchLogs), LogFormat: new(defaultFormat), FlowLogStatus: new("ACTIVE"),
			DeliverLogsStatus: new("SUCCESS"), DeliverLogsPermissionArn: in.DeliverLogsPermissionArn,
			CreationTime: new(api.CallFrom(ctx).Time), MaxAggregationInterval: new(api.Or(in.MaxAggregationInterval, ten)),
		}})
		r.Tags = tags
		made[i] = r
	}
	return made, nil
}

// watched finds what a flow log is to be about, for a caller who may, and gives its VPC.
func watched(ctx context.Context, tx *store.Tx, kind, id string) (vpc string, err error) {
	switch kind {
	case ec2.FlowLogsResourceTypeVPC:
		return vpcOf(resource.VPCs.FindFor(ctx, tx, action, id))
	case ec2.FlowLogsResourceTypeSubnet:
		return vpcOf(resource.Subnets.FindFor(ctx, tx, action, id))
	case ec2.FlowLogsResourceTypeNetworkInterface:
		return vpcOf(resource.NetworkInterfaces.FindFor(ctx, tx, action, id))
	}
	return "", resource.Unsupported("A flow log of a " + kind)
}

// vpcOf gives the VPC of what was found.
func vpcOf[T any](r *resource.Record[T], err error) (string, error) {
	if err != nil {
		return "", err
	}
	return r.VPC, nil
}

// check refuses what is wrong with a request, and what would not be done, and gives the name of the log group.
func check(ctx context.Context, in *ec2.CreateFlowLogsInput) (group string, err error) {
	switch interval := api.Or(in.MaxAggregationInterval, ten); {
	case len(in.ResourceIds) == 0:
		return "", api.Errorf(api.Missing, "The request must contain the parameter ResourceIds") // source: aws
	case len(in.ResourceIds) > mostResources:
		return "", invalid("Too many resources: the most is %d", mostResources) // source: guess
	case in.TrafficType == nil:
		return "", api.Errorf(api.Missing, "The request must contain the parameter TrafficType") // source: aws
	case *in.TrafficType != ec2.TrafficTypeACCEPT && *in.TrafficType != ec2.TrafficTypeREJECT && *in.TrafficType != ec2.TrafficTypeALL:
		return "", invalid("Invalid traffic type: %s", *in.TrafficType) // source: guess
	case interval != minute && interval != ten:
		return "", invalid("Invalid Flow Log Max Aggregation Interval") // source: aws
	case api.Or(in.LogDestinationType, ec2.LogDestinationTypeCloudWatchLogs) != ec2.LogDestinationTypeCloudWatchLogs:
		return "", resource.Unsupported("The log destination type " + *in.LogDestinationType)
	case in.DestinationOptions != nil:
		return "", invalid("DestinationOptions is supported only for LogDestinationType: s3") // source: guess
	case in.DeliverCrossAccountRole != nil:
		return "", resource.Unsupported("Delivery across accounts")
	case api.Or(in.LogFormat, defaultFormat) != defaultFormat:
		return "", resource.Unsupported("A LogFormat other than the default format")
	}
	return groupOf(ctx, in)
}

// groupOf gives the name of a request's log group.
func groupOf(ctx context.Context, in *ec2.CreateFlowLogsInput) (string, error) {
	name := api.Or(in.LogGroupName, "")
	if in.LogDestination != nil {
		if in.LogGroupName != nil {
			return "", invalid("Please only provide LogGroupName or only provide LogDestination.") // source: aws
		}
		call := api.CallFrom(ctx)
		service, region, account, rest, ok := api.SplitARN(*in.LogDestination)
		group, isGroup := strings.CutPrefix(strings.TrimSuffix(rest, ":*"), "log-group:")
		if !ok || service != "logs" || region != call.Region || account != call.Account || !isGroup {
			return "", invalid("LogDestination: %s is undeliverable", *in.LogDestination) // source: aws
		}
		name = group
	}
	switch {
	case name == "":
		return "", invalid("LogGroupName can't be empty if LogDestinationType is cloud-watch-logs.") // source: aws
	case len(name) > mostGroupName || !groupName.MatchString(name):
		return "", invalid("Invalid log group name: %s", name) // source: guess
	}
	return name, nil
}

// room refuses a flow log that there is already, or one too many of a resource.
func room(ctx context.Context, tx *store.Tx, r *record) error {
	list, err := resource.FlowLogs.Of(ctx, tx, r.VPC)
	if err != nil {
		return err
	}
	n := 0
	for _, other := range list {
		if *other.Data.ResourceId != *r.Data.ResourceId {
			continue
		}
		n++
		if *other.Data.LogGroupName == *r.Data.LogGroupName && *other.Data.TrafficType == *r.Data.TrafficType {
			// source: aws
			return resource.Errorf("FlowLogAlreadyExists", "Error. There is an existing Flow Log with the same configuration and log destination.")
		}
	}
	return perResource.Check(n)
}
