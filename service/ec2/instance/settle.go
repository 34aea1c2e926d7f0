package instance

import (
	"context"

	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// Settle gives the step that turns the states of instances to what their machines are, or nil when there is nothing to turn.
func Settle(ctx context.Context, list []*resource.Record[resource.Instance], status dataplane.Status) func(*store.Tx) error {
	return nil
}
