// Package logs is Amazon CloudWatch Logs as far as it is here: reading what others have written. So far that is flow logs. It uses
// iam.
package logs

import (
	"context"

	"github.com/vennel/vennel/api/logs"
	"github.com/vennel/vennel/service/ec2/flowlog"
)

// Source is where the events of log groups come from.
type Source interface {
	// Records calls look with the events of a group in the order of their time; ok is false when there is no such group.
	Records(ctx context.Context, filter flowlog.Filter, look func(flowlog.Record) bool) (ok bool, err error)
}

// Logs is the service.
type Logs struct {
	unclaimed
	source Source
}

// unclaimed holds the operations that are not built.
type unclaimed struct{ logs.Unimplemented }

var _ logs.Server = (*Logs)(nil)

// New gives the service.
func New(source Source) *Logs { return &Logs{source: source} }
