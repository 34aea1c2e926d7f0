package logs

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/logs"
)

// DescribeLogStreams lists the log streams of a group, by name or by the time of their last event.
func (l *Logs) DescribeLogStreams(ctx context.Context, in *logs.DescribeLogStreamsInput) (*logs.DescribeLogStreamsOutput, error) {
	call := api.CallFrom(ctx)
	group, err := groupOf(call, in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	if err := allowGroup(ctx, "logs:DescribeLogStreams", group); err != nil {
		return nil, err
	}
	byTime := api.Or(in.OrderBy, logs.OrderByLogStreamName) == logs.OrderByLastEventTime
	if byTime && in.LogStreamNamePrefix != nil {
		return nil, logs.ErrInvalidParameterException("Cannot order by LastEventTime with a logStreamNamePrefix.") // source: aws
	}
	if err := named(in.LogGroupName, in.LogGroupIdentifier); err != nil {
		return nil, err
	}
	q := query(call, group, nil, nil)
	all, err := l.streams(ctx, q)
	if err == nil && len(all) == 0 {
		err = l.checkGroup(ctx, q)
	}
	if err != nil {
		return nil, err
	}
	order := byName
	if byTime {
		order = byLast
		for i := range all {
			if err := l.measure(ctx, q, &all[i]); err != nil {
				return nil, err
			}
		}
	}
	if api.Or(in.Descending, false) {
		slices.SortFunc(all, func(a, b Stream) int { return order(b, a) })
	} else {
		slices.SortFunc(all, order)
	}
	return l.describe(ctx, in, q, group, all)
}

// byName is the order of streams by name.
func byName(a, b Stream) int { return strings.Compare(a.Name, b.Name) }

// byLast is the order of streams by the time of their last events.
func byLast(a, b Stream) int { return cmp.Or(a.Last.Compare(b.Last), byName(a, b)) }

// describe gives a page of streams that are in order. It goes on behind a stream that was there, or at its place.
func (l *Logs) describe(ctx context.Context, in *logs.DescribeLogStreamsInput, q Query, group string, all []Stream) (*logs.DescribeLogStreamsOutput, error) {
	if in.NextToken != nil {
		at := slices.IndexFunc(all, func(s Stream) bool { return s.Name == *in.NextToken })
		if at < 0 {
			return nil, logs.ErrInvalidParameterException("The specified nextToken is invalid.") // source: aws
		}
		all = all[at+1:]
	}
	call := api.CallFrom(ctx)
	out := &logs.DescribeLogStreamsOutput{LogStreams: []logs.LogStream{}}
	for _, s := range all {
		if !strings.HasPrefix(s.Name, api.Or(in.LogStreamNamePrefix, "")) {
			continue
		}
		if n := len(out.LogStreams); int64(n) == api.Or(in.Limit, mostDescribed) {
			out.NextToken = out.LogStreams[n-1].LogStreamName
			break
		}
		if err := l.measure(ctx, q, &s); err != nil {
			return nil, err
		}
		stream := logs.LogStream{LogStreamName: &s.Name, Arn: new(streamARN(call, group, s.Name)), CreationTime: new(s.Created.UnixMilli()), StoredBytes: new(int64(0))}
		if !s.Last.IsZero() {
			stream.FirstEventTimestamp, stream.LastEventTimestamp, stream.LastIngestionTime = new(s.First.UnixMilli()), new(s.Last.UnixMilli()), new(s.Last.UnixMilli())
		}
		out.LogStreams = append(out.LogStreams, stream)
	}
	return out, nil
}

// measure looks up the first and last event of a stream that is still written.
func (l *Logs) measure(ctx context.Context, q Query, s *Stream) error {
	if !s.Grows {
		return nil
	}
	s.Grows = false
	q.Stream, q.From = s.Name, s.Created
	first, ok, err := l.first(ctx, q)
	if !ok || err != nil {
		return err
	}
	q.NewestFirst = true
	last, _, err := l.first(ctx, q)
	s.First, s.Last = first.Time, last.Time
	return err
}
