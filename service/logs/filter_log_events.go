package logs

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/logs"
	"github.com/vennel/vennel/service/ec2/flowlog"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// The most of a page. source: model, "FilterLogEventsRequest"
const (
	mostEvents = 10000
	mostBytes  = 1 << 20
)

// FilterLogEvents lists the events of a log group in the order of their time.
func (l *Logs) FilterLogEvents(ctx context.Context, in *logs.FilterLogEventsInput) (*logs.FilterLogEventsOutput, error) {
	call := api.CallFrom(ctx)
	group, err := groupOf(call, in)
	if err != nil {
		return nil, err
	}
	if err := iam.Allow(ctx, "logs:FilterLogEvents", api.ARN("logs", call.Region, call.Account, "log-group:"+group)); err != nil {
		return nil, err
	}
	if err := check(in); err != nil {
		return nil, err
	}
	filter := flowlog.Filter{Account: call.Account, Region: call.Region, Group: group}
	if in.StartTime != nil {
		filter.From = time.UnixMilli(*in.StartTime)
	}
	if in.EndTime != nil {
		filter.To = time.UnixMilli(*in.EndTime).Add(time.Millisecond) // events at the end are included
	}
	if in.NextToken != nil {
		if filter.After, err = cursor(*in.NextToken); err != nil {
			return nil, err
		}
	}
	out := &logs.FilterLogEventsOutput{Events: []logs.FilteredLogEvent{}, SearchedLogStreams: []logs.SearchedLogStream{}}
	var last flowlog.Record
	size := 0
	ok, err := l.source.Records(ctx, filter, func(r flowlog.Record) bool {
		if !wanted(in, r.Stream) {
			return true
		}
		if size += len(r.Message); int64(len(out.Events)) == api.Or(in.Limit, mostEvents) || size > mostBytes {
			out.NextToken = new(strconv.FormatInt(last.Time.UnixMicro(), 10) + " " + last.ID)
			return false
		}
		last = r
		at := r.Time.UnixMilli()
		out.Events = append(out.Events, logs.FilteredLogEvent{EventId: &r.ID, LogStreamName: &r.Stream, Message: &r.Message, Timestamp: &at, IngestionTime: &at})
		return true
	})
	if err == nil && !ok {
		err = logs.ErrResourceNotFoundException("The specified log group does not exist.") // source: aws
	}
	return out, err
}

// groupOf gives the name of the log group that a request is about.
func groupOf(call *api.Call, in *logs.FilterLogEventsInput) (string, error) {
	name := api.Or(in.LogGroupName, "")
	if in.LogGroupIdentifier == nil {
		if name == "" {
			return "*", nil
		}
		return name, nil
	}
	if name != "" {
		return "", logs.ErrInvalidParameterException("LogGroupName and LogGroupIdentifier cannot both be specified") // source: guess
	}
	name = *in.LogGroupIdentifier
	if _, region, account, rest, ok := api.SplitARN(name); ok {
		if region != call.Region || account != call.Account {
			return "", logs.ErrResourceNotFoundException("The specified log group does not exist.") // source: aws
		}
		name = strings.TrimSuffix(strings.TrimPrefix(rest, "log-group:"), ":*")
	}
	return name, nil
}

// check refuses what is wrong with a request, and what would not be done.
func check(in *logs.FilterLogEventsInput) error {
	switch {
	case in.LogGroupName == nil && in.LogGroupIdentifier == nil:
		return logs.ErrInvalidParameterException("One of LogGroupName and LogGroupIdentifier must be specified") // source: guess
	case in.LogStreamNames != nil && in.LogStreamNamePrefix != nil:
		return logs.ErrInvalidParameterException("LogStreamNames and LogStreamNamePrefix cannot both be specified") // source: guess
	case api.Or(in.FilterPattern, "") != "":
		return logs.ErrInvalidParameterException("Filter patterns are not supported")
	}
	return nil
}

// wanted says whether a request is about a log stream.
func wanted(in *logs.FilterLogEventsInput, stream string) bool {
	if in.LogStreamNames != nil {
		return slices.Contains(in.LogStreamNames, stream)
	}
	return strings.HasPrefix(stream, api.Or(in.LogStreamNamePrefix, ""))
}

// cursor reads where a page begins.
func cursor(token string) (store.Cursor, error) {
	at, id, _ := strings.Cut(token, " ")
	us, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return store.Cursor{}, logs.ErrInvalidParameterException("The specified nextToken is invalid.")
	}
	return store.Cursor{Time: time.UnixMicro(us), ID: id}, nil
}
