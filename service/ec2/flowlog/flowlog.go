// Package flowlog keeps flow logs and their records: what hosts decide about connections at interfaces, in AWS's words.
//
// A flow log's records are kept in a log of this server's own, by day, under the name of its log group: see [FlowLogs.Keep] for
// how they come. They are read as events of CloudWatch Logs, whose source this is. It uses no sibling.
package flowlog

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// Keep is how long records are kept.
const Keep = 30 * 24 * time.Hour

// FlowLogs is the capability.
type FlowLogs struct {
	db      *store.DB
	records *store.Log
	notice  *slog.Logger

	mu      sync.Mutex
	covered map[string]*covered // by interface; guarded by mu
	seq     uint64              // of resource.Topic when covered was read; guarded by mu
	skipped time.Time           // when it was last recorded that records are missing; guarded by mu
	next    int64               // number of the next record; guarded by mu
	boot    string              // before the number
}

// New gives the capability. Its records are kept in a log.
func New(db *store.DB, records *store.Log, notice *slog.Logger) *FlowLogs {
	return &FlowLogs{db: db, records: records, notice: notice, boot: resource.NewID("r")}
}

// record is the record of a flow log.
type record = resource.Record[resource.FlowLog]

// Run drops what is too old, until ctx ends.
func (f *FlowLogs) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		if err := f.records.Expire(ctx, time.Now().Add(-Keep)); err != nil && ctx.Err() == nil {
			f.notice.Warn("old flow records not dropped", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
