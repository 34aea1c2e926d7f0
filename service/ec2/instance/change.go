package instance

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// change changes the states of instances: all of them, or none. to is asked for each, and changes it.
func (s *Instances) change(ctx context.Context, action string, dry *bool, ids []string, to func(*record) error) (list []ec2.InstanceStateChange, err error) {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		list = []ec2.InstanceStateChange{}
		var found []*record
		for _, id := range ids {
			r, err := resource.Instances.FindFor(ctx, tx, action, id)
			if err == nil && over(ctx, r) {
				err = resource.Instances.Missing(id)
			}
			if err != nil {
				return err
			}
			found = append(found, r)
		}
		if err := resource.DryRun(dry); err != nil {
			return err
		}
		for _, r := range found {
			before := *r.Data.State
			if err := to(r); err != nil {
				return err
			}
			list = append(list, ec2.InstanceStateChange{InstanceId: &r.ID, PreviousState: &before, CurrentState: r.Data.State})
			if err := resource.Instances.Put(ctx, tx, r); err != nil {
				return err
			}
		}
		return nil
	})
	return list, err
}

// wrongState is the error for a state in which something cannot be done. source: aws
func wrongState(r *record, what string) error {
	return resource.Errorf("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be %s.", r.ID, what)
}

// is says whether an instance is in one of some states.
func is(r *record, names ...string) bool { return slices.Contains(names, stateOf(&r.Data)) }

// reason says who has changed a state and when. source: aws
func reason(ctx context.Context, r *record, code, text string) {
	r.Data.StateTransitionReason = new("User initiated (" + api.CallFrom(ctx).Time.UTC().Format("2006-01-02 15:04:05 GMT") + ")")
	r.Data.StateReason = &ec2.StateReason{Code: &code, Message: new(code + ": " + text)}
}
