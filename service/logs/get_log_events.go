package logs

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/logs"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// GetLogEvents lists the events of one log stream: the newest, or from its head, and from there forward or backward. Tokens go on for as
// long as the stream is there: at an end the caller gets the same token again. source: model, "GetLogEventsResponse"
func (l *Logs) GetLogEvents(ctx context.Context, in *logs.GetLogEventsInput) (*logs.GetLogEventsOutput, error) {
	call := api.CallFrom(ctx)
	group, err := groupOf(call, in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	if err := iam.Allow(ctx, "logs:GetLogEvents", streamARN(call, group, in.LogStreamName)); err != nil {
		return nil, err
	}
	if err := named(in.LogGroupName, in.LogGroupIdentifier); err != nil {
		return nil, err
	}
	q := query(call, group, in.StartTime, in.EndTime) // events at the end are not included
	q.Stream = in.LogStreamName
	q.NewestFirst = !api.Or(in.StartFromHead, false)
	var from *place
	if in.NextToken != nil {
		if from, err = parsePlace(*in.NextToken); err != nil {
			return nil, err
		}
		from.apply(&q)
	}
	p := page{limit: api.Or(in.Limit, mostEvents)}
	var events []Event
	for e, err := range l.events(ctx, q) {
		if err != nil {
			return nil, err
		}
		if !p.take(&e) {
			break
		}
		events = append(events, e)
	}
	if len(events) == 0 {
		if err := l.checkStream(ctx, q); err != nil {
			return nil, err
		}
	}
	if q.NewestFirst {
		slices.Reverse(events)
	}
	forward, backward := around(events, from)
	out := &logs.GetLogEventsOutput{Events: []logs.OutputLogEvent{}, NextForwardToken: new(forward.String()), NextBackwardToken: new(backward.String())}
	for _, e := range events {
		at := e.Time.UnixMilli()
		out.Events = append(out.Events, logs.OutputLogEvent{Message: &e.Message, Timestamp: &at, IngestionTime: &at})
	}
	return out, nil
}

// checkStream refuses a log stream that there is not.
func (l *Logs) checkStream(ctx context.Context, q Query) error {
	if err := l.checkGroup(ctx, q); err != nil {
		return err
	}
	all, err := l.streams(ctx, q)
	if err != nil || slices.ContainsFunc(all, func(s Stream) bool { return s.Name == q.Stream }) {
		return err
	}
	if _, ok, err := l.first(ctx, Query{Account: q.Account, Region: q.Region, Group: q.Group, Stream: q.Stream}); ok || err != nil {
		return err
	}
	return logs.ErrResourceNotFoundException("The specified log stream does not exist.") // source: aws
}

// place is where to go on in a log stream, and in which direction: behind an event, or at a time, if it has no ID.
type place struct {
	backward bool
	at       store.Cursor
}

// The beginnings of tokens. source: aws
const (
	forwards  = "f/"
	backwards = "b/"
)

// String is a place as a token.
func (p place) String() string {
	if p.backward {
		return backwards + formatCursor(p.at)
	}
	return forwards + formatCursor(p.at)
}

// parsePlace is the reverse of String.
func parsePlace(token string) (*place, error) {
	rest, ahead := strings.CutPrefix(token, forwards)
	rest, back := strings.CutPrefix(rest, backwards)
	if ahead == back {
		rest = "" // which is no place
	}
	at, err := parseCursor(rest)
	return &place{back, at}, err
}

// apply has a query go on.
func (p *place) apply(q *Query) {
	q.NewestFirst = p.backward
	switch {
	case p.at.ID != "":
		q.After = p.at
	case p.backward:
		if q.To.IsZero() || p.at.Time.Before(q.To) {
			q.To = p.at.Time
		}
	case p.at.Time.After(q.From):
		q.From = p.at.Time
	}
}

// around are the places behind a page and before it.
func around(events []Event, from *place) (forward, backward place) {
	if n := len(events); n > 0 {
		first, last := events[0], events[n-1]
		return place{false, store.Cursor{Time: last.Time, ID: last.ID}}, place{true, store.Cursor{Time: first.Time, ID: first.ID}}
	}
	epoch := store.Cursor{Time: time.UnixMicro(0)}
	switch {
	case from == nil:
		return place{false, epoch}, place{true, epoch}
	case from.backward: // what it stands before is ahead
		return place{false, store.Cursor{Time: from.at.Time}}, *from
	}
	return *from, place{true, store.Cursor{Time: from.at.Time.Add(time.Microsecond)}} // what it stands behind is back
}
