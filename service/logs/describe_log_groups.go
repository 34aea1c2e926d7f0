package logs

import (
	"context"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/logs"
	"github.com/vennel/vennel/service/iam"
)

// mostDescribed is how many groups or streams a page has, also when nothing is said. source: model, "DescribeLimit"
const mostDescribed = 50

// DescribeLogGroups lists the log groups by name. Whoever may list them may list all. source: aws
func (l *Logs) DescribeLogGroups(ctx context.Context, in *logs.DescribeLogGroupsInput) (*logs.DescribeLogGroupsOutput, error) {
	call := api.CallFrom(ctx)
	if err := iam.Allow(ctx, "logs:DescribeLogGroups", "*", iam.Alias(streamARN(call, "", ""))); err != nil {
		return nil, err
	}
	switch {
	case in.LogGroupNamePrefix != nil && in.LogGroupNamePattern != nil:
		return nil, logs.ErrInvalidParameterException("LogGroupNamePrefix and LogGroupNamePattern are mutually exclusive parameters.") // source: model
	case in.LogGroupIdentifiers != nil || in.AccountIdentifiers != nil || api.Or(in.IncludeLinkedAccounts, false):
		return nil, logs.ErrInvalidParameterException("Log groups of other accounts, and lists of identifiers, are not supported")
	}
	groups, err := l.groups(ctx, call.Account, call.Region)
	if err != nil {
		return nil, err
	}
	out := &logs.DescribeLogGroupsOutput{LogGroups: []logs.LogGroup{}}
	for _, g := range groups {
		if g.Name <= api.Or(in.NextToken, "") || !isNamed(in, g.Name) {
			continue
		}
		if int64(len(out.LogGroups)) == api.Or(in.Limit, mostDescribed) {
			out.NextToken = out.LogGroups[len(out.LogGroups)-1].LogGroupName
			break
		}
		group := logs.LogGroup{
			LogGroupName: &g.Name, Arn: new(groupARN(call, g.Name) + ":*"), LogGroupArn: new(groupARN(call, g.Name)), LogGroupClass: new(logs.LogGroupClassSTANDARD),
			RetentionInDays: new(int64(retention)), MetricFilterCount: new(int64(0)),
		}
		if !g.Created.IsZero() {
			group.CreationTime = new(g.Created.UnixMilli())
		}
		out.LogGroups = append(out.LogGroups, group)
	}
	return out, nil
}

// retention is how many days all sources keep events.
const retention = 30

// isNamed says whether a request is about a log group. All are of one class.
func isNamed(in *logs.DescribeLogGroupsInput, name string) bool {
	if class := api.Or(in.LogGroupClass, logs.LogGroupClassSTANDARD); class != logs.LogGroupClassSTANDARD {
		return false
	}
	if in.LogGroupNamePattern != nil { // which is found anywhere. source: model
		return strings.Contains(name, *in.LogGroupNamePattern)
	}
	return strings.HasPrefix(name, api.Or(in.LogGroupNamePrefix, ""))
}
