package instance

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/service/ec2/networkinterface"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// machine is what the host says of an instance's machine.
type machine struct {
	dataplane.MachineStatus
	there   bool
	failure string
}

// next is the state that an instance has once its machine is so; "" when it stays as it is.
func next(i *resource.Instance, m machine) string {
	switch stateOf(i) {
	case ec2.InstanceStateNamePending:
		switch {
		case m.failure != "":
			return ec2.InstanceStateNameShuttingDown
		case m.Running && m.Boot == i.Boot:
			return ec2.InstanceStateNameRunning
		case m.there && m.Boot == i.Boot && m.Exit != "":
			return byItself(i)
		}
	case ec2.InstanceStateNameRunning:
		if m.there && !m.Running && m.Boot == i.Boot && m.Exit != "" {
			return byItself(i)
		}
	case ec2.InstanceStateNameStopping:
		if !m.Running {
			return ec2.InstanceStateNameStopped
		}
	case ec2.InstanceStateNameShuttingDown:
		if !m.there {
			return ec2.InstanceStateNameTerminated
		}
	}
	return ""
}

// byItself is what an instance becomes that was shut down from inside.
func byItself(i *resource.Instance) string {
	if i.ShutdownTerminates {
		return ec2.InstanceStateNameShuttingDown
	}
	return ec2.InstanceStateNameStopped
}

// Settle gives the step that turns the states of instances to what their machines are, or nil when there is nothing to turn. ended
// is called for each that is terminated.
func Settle(
	ctx context.Context, list []*resource.Record[resource.Instance], status dataplane.Status, now int64, ended func(context.Context, *store.Tx, string) error,
) func(*store.Tx) error {
	machines := map[string]machine{}
	var ids []string
	for _, r := range list {
		s, there := status.Machines[r.ID]
		m := machine{s, there, status.Failures[r.ID]}
		if next(&r.Data, m) != "" || gone(&r.Data, now) {
			machines[r.ID] = m
			ids = append(ids, r.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return func(tx *store.Tx) error {
		for _, id := range ids {
			if err := turn(ctx, tx, id, machines[id], now, ended); err != nil {
				return err
			}
		}
		return nil
	}
}

// gone says whether a terminated instance is no longer described, so that its record can go.
func gone(i *resource.Instance, now int64) bool {
	return i.Terminated != 0 && now-i.Terminated > visible.Milliseconds()
}

// turn turns the state of one instance, as it is by now.
func turn(ctx context.Context, tx *store.Tx, id string, m machine, now int64, ended func(context.Context, *store.Tx, string) error) error {
	r, err := resource.Instances.Get(ctx, tx, id)
	if err != nil || r == nil {
		return err
	}
	if gone(&r.Data, now) {
		return resource.Instances.Delete(ctx, tx, r)
	}
	to := next(&r.Data, m)
	if to == "" {
		return nil
	}
	from := stateOf(&r.Data)
	r.Data.State = state(to)
	switch {
	case m.failure != "":
		r.Data.StateReason = &ec2.StateReason{Code: new("Server.InternalError"), Message: new("Server.InternalError: " + m.failure)}
	case from != ec2.InstanceStateNameStopping && (to == ec2.InstanceStateNameStopped || to == ec2.InstanceStateNameShuttingDown):
		// source: model, "StateReason"
		r.Data.StateReason = &ec2.StateReason{
			Code: new("Client.InstanceInitiatedShutdown"), Message: new("Client.InstanceInitiatedShutdown: Instance initiated shutdown"),
		}
	}
	if to == ec2.InstanceStateNameTerminated {
		r.Data.Terminated = now
		if err := networkinterface.Release(ctx, tx, r.VPC, r.ID); err != nil {
			return err
		}
		for _, b := range r.Data.BlockDeviceMappings {
			v, err := resource.Volumes.Get(ctx, tx, *b.Ebs.VolumeId)
			if err == nil && v != nil {
				err = resource.Volumes.Delete(ctx, tx, v)
			}
			if err != nil {
				return err
			}
		}
		r.Data.BlockDeviceMappings = nil
		if err := ended(ctx, tx, r.ID); err != nil {
			return err
		}
		r.VPC = "" // it holds nothing there any more
	}
	return resource.Instances.Put(ctx, tx, r)
}
