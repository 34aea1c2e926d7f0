package flowlog

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/logs"
	"github.com/vennel/vennel/store"
)

var _ logs.Source = (*FlowLogs)(nil)

// flushWait is how long a reader waits for what came before to be written.
const flushWait = 5 * time.Second

// Events gives records as events of the log groups of flow logs.
func (f *FlowLogs) Events(ctx context.Context, q logs.Query) iter.Seq2[logs.Event, error] {
	return func(yield func(logs.Event, error) bool) {
		if err := f.events(ctx, q, func(e logs.Event) bool { return yield(e, nil) }); err != nil {
			yield(logs.Event{}, err)
		}
	}
}

// events calls look with records until it returns false.
func (f *FlowLogs) events(ctx context.Context, q logs.Query, look func(logs.Event) bool) error {
	wait, cancel := context.WithTimeout(ctx, flushWait)
	defer cancel()
	if err := f.records.Flush(wait); err != nil {
		return err
	}
	by := store.Filter{Account: q.Account, Region: q.Region, Name: q.Group, NewestFirst: q.NewestFirst, After: q.After}
	if q.Stream != "" { // an interface and what of its traffic
		by.Principal = q.Stream[:max(strings.LastIndexByte(q.Stream, '-'), 1)]
	}
	var bad error
	err := f.records.Query(ctx, q.From, q.To, by, func(r store.Record) bool {
		var e entry
		if bad = json.Unmarshal(r.Body, &e); bad != nil {
			return false
		}
		if q.Stream != "" && e.Stream != q.Stream {
			return true
		}
		return look(logs.Event{Time: r.Time, ID: r.ID, Stream: e.Stream, Message: e.Message})
	})
	if err == nil {
		err = bad
	}
	return err
}

// Groups gives the log groups that flow logs have.
func (f *FlowLogs) Groups(ctx context.Context, account, region string) (list []logs.Group, err error) {
	err = f.db.View(ctx, func(tx *store.Tx) error {
		list = nil
		all, err := resource.FlowLogs.All(ctx, tx)
		for _, l := range all {
			if l.Account == account && l.Region == region {
				list = append(list, logs.Group{Name: api.Or(l.Data.LogGroupName, ""), Created: api.Or(l.Data.CreationTime, time.Time{})})
			}
		}
		return err
	})
	return list, err
}

// Streams gives the log streams of the interfaces that flow logs are about now.
func (f *FlowLogs) Streams(ctx context.Context, account, region, group string) ([]logs.Stream, error) {
	of, err := f.interfaces(ctx)
	if err != nil {
		return nil, err
	}
	created := map[string]time.Time{}
	for _, c := range of {
		if c.account != account || c.region != region {
			continue
		}
		for _, d := range c.logs {
			if at, ok := created[d.stream]; d.group == group && (!ok || d.created.Before(at)) {
				created[d.stream] = d.created
			}
		}
	}
	list := make([]logs.Stream, 0, len(created))
	for name, at := range created {
		list = append(list, logs.Stream{Name: name, Created: at, Grows: true})
	}
	return list, nil
}
