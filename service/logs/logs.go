// Package logs is Amazon CloudWatch Logs as far as it is here: reading what others have written, which are flow logs and what sessions
// have shown. Each of them is a [Source] of log groups, their streams and events. It uses iam.
package logs

import (
	"context"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/logs"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// Event is an event of a log stream.
type Event struct {
	Time            time.Time
	ID              string // among the events of the same time
	Stream, Message string
}

// Query says which events are asked for: those of a log group of an account in a Region.
type Query struct {
	Account, Region, Group string
	Stream                 string       // "" for all streams
	From, To               time.Time    // zero for no bound; To is not included
	NewestFirst            bool         // the order is by time and ID, reversed if set
	After                  store.Cursor // go on behind this place in that order
}

// Group is a log group.
type Group struct {
	Name    string
	Created time.Time // zero if nobody knows
}

// Stream is a log stream.
type Stream struct {
	Name        string
	Created     time.Time
	First, Last time.Time // of its events; zero if it has none
	Grows       bool      // it is still written, and First and Last are to be looked up
}

// Source is what has written events.
type Source interface {
	// Events gives events in the order that is asked for. An error is the last that it gives.
	Events(ctx context.Context, q Query) iter.Seq2[Event, error]
	// Groups gives the log groups that there are.
	Groups(ctx context.Context, account, region string) ([]Group, error)
	// Streams gives the log streams of a group.
	Streams(ctx context.Context, account, region, group string) ([]Stream, error)
}

// Logs is the service.
type Logs struct {
	unclaimed
	sources []Source
}

// unclaimed holds the operations that are not built.
type unclaimed struct{ logs.Unimplemented }

var _ logs.Server = (*Logs)(nil)

// New gives the service.
func New(sources ...Source) *Logs { return &Logs{sources: sources} }

// groupOf gives the name of the log group that a request is about; "*" if it names none.
func groupOf(call *api.Call, name, identifier *string) (string, error) {
	if identifier == nil {
		if api.Or(name, "") == "" {
			return "*", nil
		}
		return *name, nil
	}
	if api.Or(name, "") != "" {
		return "", logs.ErrInvalidParameterException("LogGroupName and LogGroupIdentifier cannot both be specified") // source: guess
	}
	if _, region, account, rest, ok := api.SplitARN(*identifier); ok {
		if region != call.Region || account != call.Account {
			return "", errNoGroup()
		}
		group := strings.TrimSuffix(strings.TrimPrefix(rest, "log-group:"), ":*")
		if group == "" { // which would be all
			return "", errNoGroup()
		}
		return group, nil
	}
	return *identifier, nil
}

// named refuses a request that names no log group.
func named(name, identifier *string) error {
	if name == nil && identifier == nil {
		return logs.ErrInvalidParameterException("One of LogGroupName and LogGroupIdentifier must be specified") // source: guess
	}
	return nil
}

// errNoGroup is the error for a log group that there is not. source: aws
func errNoGroup() error {
	return logs.ErrResourceNotFoundException("The specified log group does not exist.")
}

// groupARN is the ARN of a log group.
func groupARN(call *api.Call, group string) string {
	return api.ARN("logs", call.Region, call.Account, "log-group:"+group)
}

// streamARN is the ARN of a log stream.
func streamARN(call *api.Call, group, stream string) string {
	return groupARN(call, group) + ":log-stream:" + stream
}

// allowGroup asks whether the caller may do something with a log group. Policies name it as IAM's table does, or with what CloudWatch Logs puts
// behind that, so that log-group:NAME:* is good. source: userguide, "Overview of managing access permissions to your CloudWatch Logs resources"
func allowGroup(ctx context.Context, action, group string) error {
	call := api.CallFrom(ctx)
	return iam.Allow(ctx, action, groupARN(call, group), iam.Alias(streamARN(call, group, "")))
}

// events gives the events of all sources in one order.
func (l *Logs) events(ctx context.Context, q Query) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		var heads []*head
		defer func() {
			for _, h := range heads {
				h.stop()
			}
		}()
		for _, s := range l.sources {
			h := new(head)
			h.next, h.stop = iter.Pull2(s.Events(ctx, q))
			heads = append(heads, h)
		}
		for {
			var first *head
			for _, h := range heads {
				if !h.read {
					h.event, h.err, h.ok = h.next()
					h.read = true
				}
				if h.ok && (first == nil || h.before(first, q.NewestFirst)) {
					first = h
				}
			}
			if first == nil || !yield(first.event, first.err) || first.err != nil {
				return
			}
			first.read = false
		}
	}
}

// head is the next event of a source.
type head struct {
	next  func() (Event, error, bool)
	stop  func()
	read  bool // event, err and ok are of the next
	event Event
	err   error
	ok    bool
}

// before says whether an event comes before another. Errors come first.
func (h *head) before(other *head, reversed bool) bool {
	switch {
	case h.err != nil || other.err != nil:
		return h.err != nil
	case !h.event.Time.Equal(other.event.Time):
		return h.event.Time.Before(other.event.Time) != reversed
	}
	return h.event.ID < other.event.ID != reversed
}

// groups gives the log groups of all sources by name.
func (l *Logs) groups(ctx context.Context, account, region string) ([]Group, error) {
	var all []Group
	for _, s := range l.sources {
		some, err := s.Groups(ctx, account, region)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	slices.SortFunc(all, func(a, b Group) int {
		if a.Name != b.Name {
			return strings.Compare(a.Name, b.Name)
		}
		return known(a.Created).Compare(known(b.Created))
	})
	return slices.CompactFunc(all, func(a, b Group) bool { return a.Name == b.Name }), nil // which keeps the oldest
}

// known puts a time that nobody knows behind all others.
func known(t time.Time) time.Time {
	if t.IsZero() {
		return time.Unix(1<<40, 0)
	}
	return t
}

// checkGroup refuses a log group that there is not: no source has it, and nothing is kept under its name.
func (l *Logs) checkGroup(ctx context.Context, q Query) error {
	groups, err := l.groups(ctx, q.Account, q.Region)
	if err != nil || slices.ContainsFunc(groups, func(g Group) bool { return g.Name == q.Group }) {
		return err
	}
	if _, ok, err := l.first(ctx, Query{Account: q.Account, Region: q.Region, Group: q.Group}); ok || err != nil {
		return err
	}
	return errNoGroup()
}

// first gives the first event that is asked for. ok is false when there is none.
func (l *Logs) first(ctx context.Context, q Query) (first Event, ok bool, err error) {
	for event, err := range l.events(ctx, q) {
		return event, err == nil, err
	}
	return first, false, nil
}

// streams gives the log streams of a group by name.
func (l *Logs) streams(ctx context.Context, q Query) ([]Stream, error) {
	var all []Stream
	for _, s := range l.sources {
		some, err := s.Streams(ctx, q.Account, q.Region, q.Group)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	slices.SortFunc(all, func(a, b Stream) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// query is what a request asks for, whose times are in milliseconds.
func query(call *api.Call, group string, start, end *int64) Query {
	q := Query{Account: call.Account, Region: call.Region, Group: group}
	if start != nil {
		q.From = time.UnixMilli(min(*start, endOfTime))
	}
	if end != nil {
		q.To = time.UnixMilli(min(*end, endOfTime))
	}
	return q
}

// endOfTime is later than all events, in milliseconds. A request may say a time that is later than what a store can count to in microseconds.
const endOfTime = 1 << 48

// The most of a page of events. source: model, "FilterLogEventsRequest", "GetLogEventsRequest"
const (
	mostEvents = 10000
	mostBytes  = 1 << 20
)

// perEvent is what an event counts for in a page beside its text. source: userguide, "PutLogEvents"
const perEvent = 26

// page says whether a page has room for an event.
type page struct {
	limit     int64
	size, has int64
}

// take adds an event if there is room. A page has at least one.
func (p *page) take(e *Event) bool {
	p.size += int64(len(e.Message)) + perEvent
	if p.has > 0 && (p.has == p.limit || p.size > mostBytes) {
		return false
	}
	p.has++
	return true
}

// formatCursor writes down a place between events.
func formatCursor(c store.Cursor) string {
	return strconv.FormatInt(c.Time.UnixMicro(), 10) + "/" + c.ID
}

// parseCursor is the reverse of formatCursor.
func parseCursor(token string) (store.Cursor, error) {
	at, id, _ := strings.Cut(token, "/")
	us, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return store.Cursor{}, logs.ErrInvalidParameterException("The specified nextToken is invalid.") // source: aws
	}
	return store.Cursor{Time: time.UnixMicro(us), ID: id}, nil
}
