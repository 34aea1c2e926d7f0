package flowlog

import (
	"context"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// Filter says which records are asked for: those of a log group of an account in a Region.
type Filter struct {
	Account, Region, Group string
	From, To               time.Time    // zero for no bound; To is not included
	After                  store.Cursor // go on after this record
}

// Record is a record of a flow log.
type Record struct {
	Time            time.Time
	ID              string
	Stream, Message string
}

// flushWait is how long a reader waits for what came before to be written.
const flushWait = 5 * time.Second

// Records calls look with records in the order of their time, until it returns false. ok is false when there is no such log group:
// no flow log has it, and nothing is kept under its name.
func (f *FlowLogs) Records(ctx context.Context, filter Filter, look func(Record) bool) (ok bool, err error) {
	wait, cancel := context.WithTimeout(ctx, flushWait)
	defer cancel()
	if err := f.records.Flush(wait); err != nil {
		return false, err
	}
	by := store.Filter{Account: filter.Account, Region: filter.Region, Name: filter.Group, After: filter.After}
	var bad error
	err = f.records.Query(ctx, filter.From, filter.To, by, func(r store.Record) bool {
		ok = true
		var e entry
		if bad = json.Unmarshal(r.Body, &e); bad != nil {
			return false
		}
		return look(Record{r.Time, r.ID, e.Stream, e.Message})
	})
	if err == nil {
		err = bad
	}
	if ok || err != nil {
		return ok, err
	}
	return f.isGroup(ctx, by)
}

// isGroup says whether there is a log group, though nothing of it has been found.
func (f *FlowLogs) isGroup(ctx context.Context, by store.Filter) (ok bool, err error) {
	by.After = store.Cursor{}
	err = f.records.Query(ctx, time.Time{}, time.Time{}, by, func(store.Record) bool {
		ok = true
		return false
	})
	if ok || err != nil {
		return ok, err
	}
	err = f.db.View(ctx, func(tx *store.Tx) error {
		logs, err := resource.FlowLogs.All(ctx, tx)
		for _, l := range logs {
			ok = ok || l.Account == by.Account && l.Region == by.Region && api.Or(l.Data.LogGroupName, "") == by.Name
		}
		return err
	})
	return ok, err
}
