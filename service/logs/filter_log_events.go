package logs

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/logs"
	"github.com/vennel/vennel/store"
)

// FilterLogEvents lists the events of a log group in the order of their time.
func (l *Logs) FilterLogEvents(ctx context.Context, in *logs.FilterLogEventsInput) (*logs.FilterLogEventsOutput, error) {
	call := api.CallFrom(ctx)
	group, err := groupOf(call, in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	if err := allowGroup(ctx, "logs:FilterLogEvents", group); err != nil {
		return nil, err
	}
	if err := check(in); err != nil {
		return nil, err
	}
	q := query(call, group, in.StartTime, in.EndTime)
	if in.EndTime != nil {
		q.To = q.To.Add(time.Millisecond) // events at the end are included
	}
	if len(in.LogStreamNames) == 1 {
		q.Stream = in.LogStreamNames[0]
	}
	if in.NextToken != nil {
		if q.After, err = parseCursor(*in.NextToken); err != nil {
			return nil, err
		}
	}
	out := &logs.FilterLogEventsOutput{Events: []logs.FilteredLogEvent{}, SearchedLogStreams: []logs.SearchedLogStream{}}
	p := page{limit: api.Or(in.Limit, mostEvents)}
	var last Event
	for e, err := range l.events(ctx, q) {
		if err != nil {
			return nil, err
		}
		if !wanted(in, e.Stream) {
			continue
		}
		if !p.take(&e) {
			out.NextToken = new(formatCursor(store.Cursor{Time: last.Time, ID: last.ID}))
			return out, nil
		}
		last = e
		at := e.Time.UnixMilli()
		out.Events = append(out.Events, logs.FilteredLogEvent{EventId: new(formatCursor(store.Cursor{Time: e.Time, ID: e.ID})), LogStreamName: &e.Stream, Message: &e.Message, Timestamp: &at, IngestionTime: &at})
	}
	if len(out.Events) == 0 {
		return out, l.checkGroup(ctx, q)
	}
	return out, nil
}

// check refuses what is wrong with a request, and what would not be done.
func check(in *logs.FilterLogEventsInput) error {
	switch {
	case in.LogStreamNames != nil && in.LogStreamNamePrefix != nil:
		return logs.ErrInvalidParameterException("LogStreamNames and LogStreamNamePrefix cannot both be specified") // source: guess
	case api.Or(in.FilterPattern, "") != "":
		return logs.ErrInvalidParameterException("Filter patterns are not supported")
	}
	return named(in.LogGroupName, in.LogGroupIdentifier)
}

// wanted says whether a request is about a log stream.
func wanted(in *logs.FilterLogEventsInput, stream string) bool {
	if in.LogStreamNames != nil {
		return slices.Contains(in.LogStreamNames, stream)
	}
	return strings.HasPrefix(stream, api.Or(in.LogStreamNamePrefix, ""))
}
