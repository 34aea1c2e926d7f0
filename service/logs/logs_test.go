package logs_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/api"
	logsapi "github.com/vennel/vennel/api/logs"
	"github.com/vennel/vennel/internal/awstest"
	"github.com/vennel/vennel/service/logs"
)

// TestScripts runs the scripts.
func TestScripts(t *testing.T) { awstest.Script(t, "testdata") }

// written is a source in memory, whose events are in order.
type written struct {
	groups  []logs.Group
	streams []logs.Stream
	events  []logs.Event
	err     error     // after all events
	open    *int      // how many are being read
	to      time.Time // of the last query
}

// Events implements logs.Source.
func (w *written) Events(_ context.Context, q logs.Query) iter.Seq2[logs.Event, error] {
	return func(yield func(logs.Event, error) bool) {
		if q.Group != "g" {
			return
		}
		*w.open++
		w.to = q.To
		defer func() { *w.open-- }()
		list := slices.Clone(w.events)
		if q.NewestFirst {
			slices.Reverse(list)
		}
		for _, e := range list {
			past := e.Time.Before(q.After.Time) || e.Time.Equal(q.After.Time) && e.ID <= q.After.ID
			if q.NewestFirst {
				past = e.Time.After(q.After.Time) || e.Time.Equal(q.After.Time) && e.ID >= q.After.ID
			}
			switch {
			case q.Stream != "" && e.Stream != q.Stream, e.Time.Before(q.From), !q.To.IsZero() && !e.Time.Before(q.To), q.After.ID != "" && past:
			case !yield(e, nil):
				return
			}
		}
		if w.err != nil {
			yield(logs.Event{}, w.err)
		}
	}
}

// Groups implements logs.Source.
func (w *written) Groups(context.Context, string, string) ([]logs.Group, error) { return w.groups, nil }

// Streams implements logs.Source.
func (w *written) Streams(_ context.Context, _, _, group string) ([]logs.Stream, error) {
	if group == "g" {
		return w.streams, nil
	}
	return nil, nil
}

// begin is when the events begin.
var begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// desk is a service over two sources: the first has the streams a and c with the events of even numbers, the second b with the odd ones.
func desk(t *testing.T) (context.Context, *logs.Logs, *written) {
	d := awstest.NewDesk(t)
	open := 0
	t.Cleanup(func() {
		if open != 0 {
			t.Errorf("%d sources are still being read", open)
		}
	})
	one := &written{open: &open, groups: []logs.Group{{Name: "g"}, {Name: "/x/1", Created: begin}}, streams: []logs.Stream{
		{Name: "a", Created: begin, Grows: true}, {Name: "c", Created: begin, First: begin.Add(time.Hour), Last: begin.Add(time.Hour)},
	}}
	two := &written{open: &open, groups: []logs.Group{{Name: "g", Created: begin.Add(time.Second)}, {Name: "g", Created: begin}}, streams: []logs.Stream{{Name: "b", Created: begin, Grows: true}}}
	for i := range 10 {
		e := logs.Event{Time: begin.Add(time.Duration(i/4) * time.Second), ID: fmt.Sprintf("%03d", i), Message: fmt.Sprint(i)} // four at a time
		if e.Stream = "a"; i%2 == 0 {
			one.events = append(one.events, e)
			continue
		}
		e.Stream = "b"
		two.events = append(two.events, e)
	}
	return d.As("111111111111", "us-east-1", begin), logs.New(one, two), one
}

// must fails the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestMerge reads two sources as one, in pages of every size.
func TestMerge(t *testing.T) {
	ctx, l, one := desk(t)
	for limit := int64(1); limit < 12; limit++ {
		all := ""
		for next := (*string)(nil); ; {
			out, err := l.FilterLogEvents(ctx, &logsapi.FilterLogEventsInput{LogGroupName: new("g"), Limit: &limit, NextToken: next})
			must(t, err)
			for _, e := range out.Events {
				all += *e.Message
			}
			if next = out.NextToken; next == nil {
				break
			}
		}
		if all != "0123456789" {
			t.Errorf("in pages of %d: %s", limit, all)
		}
	}
	one.err = errors.New("broken")
	if _, err := l.FilterLogEvents(ctx, &logsapi.FilterLogEventsInput{LogGroupName: new("g")}); !errors.Is(err, one.err) {
		t.Errorf("a source that breaks: %v", err)
	}
}

// TestEndOfTime has callers say the latest time that there is for none. source: model, "Timestamp"
func TestEndOfTime(t *testing.T) {
	ctx, l, one := desk(t)
	end := new(int64(math.MaxInt64))
	out, err := l.FilterLogEvents(ctx, &logsapi.FilterLogEventsInput{LogGroupName: new("g"), LogStreamNames: []string{"a"}, EndTime: end})
	must(t, err)
	stream, err := l.GetLogEvents(ctx, &logsapi.GetLogEventsInput{LogGroupName: new("g"), LogStreamName: "a", EndTime: end})
	must(t, err)
	if len(out.Events) != len(one.events) || len(stream.Events) != len(one.events) || one.to.UnixMicro() < begin.UnixMicro() {
		t.Errorf("%d and %d events, until %d", len(out.Events), len(stream.Events), one.to.UnixMicro())
	}
}

// TestEventID tells events apart whose IDs tell them apart only among those of the same time, as clients do that have seen some before.
func TestEventID(t *testing.T) {
	ctx, l, one := desk(t)
	for i := range one.events {
		one.events[i].ID = fmt.Sprint(i % 2)
	}
	out, err := l.FilterLogEvents(ctx, &logsapi.FilterLogEventsInput{LogGroupName: new("g"), LogStreamNames: []string{"a"}})
	must(t, err)
	seen := map[string]bool{}
	for _, e := range out.Events {
		seen[*e.EventId] = true
	}
	if len(seen) != len(one.events) {
		t.Errorf("%d events have %d ids", len(one.events), len(seen))
	}
}

// TestMostBytes has no page of more than a megabyte, but an event that is larger. source: model, "FilterLogEventsRequest"
func TestMostBytes(t *testing.T) {
	ctx, l, one := desk(t)
	for i := range one.events {
		one.events[i].Message = strings.Repeat("x", 600_000*(1+i%2))
	}
	for next, want := (*string)(nil), []int{1, 1, 1, 1, 1}; len(want) > 0; want = want[1:] {
		out, err := l.FilterLogEvents(ctx, &logsapi.FilterLogEventsInput{LogGroupName: new("g"), LogStreamNames: []string{"a"}, NextToken: next})
		must(t, err)
		if len(out.Events) != want[0] {
			t.Fatalf("a page has %d events", len(out.Events))
		}
		if next = out.NextToken; (next == nil) != (len(want) == 1) {
			t.Fatal("the pages end too early or too late")
		}
	}
}

// TestGetLogEvents walks through a stream in both directions. source: model, "GetLogEventsResponse"; sdk
func TestGetLogEvents(t *testing.T) {
	ctx, l, one := desk(t)
	get := func(in logsapi.GetLogEventsInput) (text, forward, backward string) {
		t.Helper()
		in.LogGroupName, in.LogStreamName = new("g"), "a"
		out, err := l.GetLogEvents(ctx, &in)
		must(t, err)
		for _, e := range out.Events {
			text += *e.Message
		}
		return text, *out.NextForwardToken, *out.NextBackwardToken
	}
	step := func(what, token, want string) (forward, backward string) {
		t.Helper()
		text, forward, backward := get(logsapi.GetLogEventsInput{NextToken: &token, Limit: new(int64(2))})
		if text != want {
			t.Errorf("%s: %q, want %q", what, text, want)
		}
		return forward, backward
	}
	text, forward, backward := get(logsapi.GetLogEventsInput{Limit: new(int64(2))})
	if text != "68" {
		t.Errorf("the newest: %q", text)
	}
	end, _ := step("after the newest", forward, "")
	if end != forward {
		t.Errorf("at the end the token is %s, not %s", end, forward)
	}
	_, older := step("before the newest", backward, "24")
	middle, oldest := step("before that", older, "0")
	step("forward from there", middle, "24")
	again, first := step("before all", oldest, "")
	if first != oldest {
		t.Errorf("at the beginning the token is %s, not %s", first, oldest)
	}
	step("forward from the beginning", again, "02")
	_, back := step("at the end", end, "")
	step("back from the end", back, "68")
	one.events = append(one.events, logs.Event{Time: begin.Add(time.Minute), ID: "010", Stream: "a", Message: "new"})
	step("what is new", end, "new")

	if text, _, _ := get(logsapi.GetLogEventsInput{StartFromHead: new(true), Limit: new(int64(3))}); text != "024" {
		t.Errorf("from the head: %q", text)
	}
	ms := func(second int) *int64 { return new(begin.Add(time.Duration(second) * time.Second).UnixMilli()) }
	if text, _, _ := get(logsapi.GetLogEventsInput{StartTime: ms(1), EndTime: ms(2)}); text != "46" {
		t.Errorf("events at the end are not included: %q", text)
	}
	one.events = nil
	text, forward, backward = get(logsapi.GetLogEventsInput{})
	step("before nothing", backward, "")
	one.events = append(one.events, logs.Event{Time: begin, ID: "000", Stream: "a", Message: "x"})
	if step("after nothing", forward, "x"); text != "" {
		t.Errorf("an empty stream has %q", text)
	}
}

// TestNothing refuses what there is not, and what is no token. source: aws
func TestNothing(t *testing.T) {
	ctx, l, _ := desk(t)
	for _, c := range []struct {
		group, stream, token, want string
	}{
		{"other", "a", "", "The specified log group does not exist."},
		{"/x/1", "a", "", "The specified log stream does not exist."},
		{"g", "d", "", "The specified log stream does not exist."},
		{"g", "a", "a", "The specified nextToken is invalid."},
		{"g", "a", "f/b/1/1", "The specified nextToken is invalid."},
		{"g", "a", "1/1", "The specified nextToken is invalid."},
	} {
		_, err := l.GetLogEvents(ctx, &logsapi.GetLogEventsInput{LogGroupName: &c.group, LogStreamName: c.stream, NextToken: api.Given(c.token)})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

// TestDescribe lists groups and streams. source: model, "DescribeLogGroupsRequest", "DescribeLogStreamsRequest"
func TestDescribe(t *testing.T) {
	ctx, l, _ := desk(t)
	groups := func(in logsapi.DescribeLogGroupsInput) (names []string) {
		t.Helper()
		out, err := l.DescribeLogGroups(ctx, &in)
		must(t, err)
		for _, g := range out.LogGroups {
			names = append(names, *g.LogGroupName)
			if g.CreationTime == nil || *g.CreationTime != begin.UnixMilli() || *g.Arn != "arn:aws:logs:us-east-1:111111111111:log-group:"+*g.LogGroupName+":*" {
				t.Errorf("%+v", g)
			}
		}
		if out.NextToken != nil {
			names = append(names, "next "+*out.NextToken)
		}
		return names
	}
	streams := func(in logsapi.DescribeLogStreamsInput) (names []string) {
		t.Helper()
		in.LogGroupName = new("g")
		out, err := l.DescribeLogStreams(ctx, &in)
		must(t, err)
		for _, s := range out.LogStreams {
			names = append(names, fmt.Sprintf("%s %d-%d", *s.LogStreamName, (*s.FirstEventTimestamp-begin.UnixMilli())/1000, (*s.LastEventTimestamp-begin.UnixMilli())/1000))
		}
		if out.NextToken != nil {
			names = append(names, "next "+*out.NextToken)
		}
		return names
	}
	for _, c := range []struct{ got, want []string }{
		{groups(logsapi.DescribeLogGroupsInput{}), []string{"/x/1", "g"}},
		{groups(logsapi.DescribeLogGroupsInput{Limit: new(int64(1))}), []string{"/x/1", "next /x/1"}},
		{groups(logsapi.DescribeLogGroupsInput{NextToken: new("/x/1")}), []string{"g"}},
		{groups(logsapi.DescribeLogGroupsInput{LogGroupNamePrefix: new("/x")}), []string{"/x/1"}},
		{groups(logsapi.DescribeLogGroupsInput{LogGroupNamePattern: new("x/")}), []string{"/x/1"}},
		{groups(logsapi.DescribeLogGroupsInput{LogGroupNamePattern: new("X/")}), nil},
		{groups(logsapi.DescribeLogGroupsInput{LogGroupClass: new(logsapi.LogGroupClassINFREQUENTACCESS)}), nil},
		{streams(logsapi.DescribeLogStreamsInput{}), []string{"a 0-2", "b 0-2", "c 3600-3600"}},
		{streams(logsapi.DescribeLogStreamsInput{LogStreamNamePrefix: new("b")}), []string{"b 0-2"}},
		{streams(logsapi.DescribeLogStreamsInput{Limit: new(int64(2))}), []string{"a 0-2", "b 0-2", "next b"}},
		{streams(logsapi.DescribeLogStreamsInput{NextToken: new("b")}), []string{"c 3600-3600"}},
		{streams(logsapi.DescribeLogStreamsInput{Descending: new(true), OrderBy: new(logsapi.OrderByLastEventTime)}), []string{"c 3600-3600", "b 0-2", "a 0-2"}},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Error(diff)
		}
	}
	_, err := l.DescribeLogStreams(ctx, &logsapi.DescribeLogStreamsInput{LogGroupName: new("g"), LogStreamNamePrefix: new("a"), OrderBy: new(logsapi.OrderByLastEventTime)})
	if err == nil || !strings.Contains(err.Error(), "Cannot order by LastEventTime with a logStreamNamePrefix.") { // source: aws
		t.Error(err)
	}
}
