package instance

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/service/ec2/networkinterface"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/ec2/routing"
	"github.com/vennel/vennel/store"
)

// machine is what the host says of an instance's machine.
type machine struct {
	dataplane.MachineStatus
	there   bool
	failure string
	state   string // that the instance had when the host was told
}

// next is the state that an instance has once its machine is so; "" when it stays as it is.
func next(i *resource.Instance, m *machine) string {
	ended := m.there && !m.Running && m.Boot == i.Boot && m.Exit != ""
	switch stateOf(i) {
	case ec2.InstanceStateNamePending:
		switch {
		case m.Running && m.Boot == i.Boot:
			return ec2.InstanceStateNameRunning
		case ended:
			return byItself(i)
		case m.failure != "" && i.Boot == 1:
			return ec2.InstanceStateNameShuttingDown
		case m.failure != "": // its disk is there, and may be of use later
			return ec2.InstanceStateNameStopped
		}
	case ec2.InstanceStateNameRunning:
		if ended {
			return byItself(i)
		}
	case ec2.InstanceStateNameStopping:
		if !m.Running && m.failure == "" {
			return ec2.InstanceStateNameStopped
		}
	case ec2.InstanceStateNameShuttingDown:
		if !m.there && m.failure == "" {
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

// impaired is why a running instance does not run.
func impaired(i *resource.Instance, m *machine) string {
	if stateOf(i) != ec2.InstanceStateNameRunning {
		return ""
	}
	return m.failure
}

// gone says whether a terminated instance is no longer described, so that its record can go.
func gone(i *resource.Instance, now int64) bool {
	return i.Terminated != 0 && now-i.Terminated > visible.Milliseconds()
}

// Settle gives the step that turns the states of instances to what their machines are, or nil when there is nothing to turn. ended
// is called for each that is terminated.
func Settle(
	ctx context.Context, list []*resource.Record[resource.Instance], status dataplane.Status, now int64, ended func(context.Context, *store.Tx, string) error,
) func(*store.Tx) error {
	s := &settling{now: now, ended: ended, machines: map[string]*machine{}}
	var ids []string
	for _, r := range list {
		of, there := status.Machines[r.ID]
		m := &machine{of, there, status.Failures[r.ID], stateOf(&r.Data)}
		if next(&r.Data, m) != "" || gone(&r.Data, now) || impaired(&r.Data, m) != r.Data.Impaired {
			s.machines[r.ID] = m
			ids = append(ids, r.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return func(tx *store.Tx) error {
		for _, id := range ids {
			if err := s.turn(ctx, tx, id); err != nil {
				return err
			}
		}
		return nil
	}
}

// settling is one turn of all instances.
type settling struct {
	now      int64
	ended    func(context.Context, *store.Tx, string) error
	machines map[string]*machine
}

// turn turns the state of one instance. When somebody else has turned it meanwhile, what the host has said was about something else,
// and the next turn sees to it.
func (s *settling) turn(ctx context.Context, tx *store.Tx, id string) error {
	r, err := resource.Instances.Get(ctx, tx, id)
	if err != nil || r == nil {
		return err
	}
	if gone(&r.Data, s.now) {
		return resource.Instances.Delete(ctx, tx, r)
	}
	m := s.machines[id]
	if stateOf(&r.Data) != m.state {
		return nil
	}
	to := next(&r.Data, m)
	if to != "" {
		explain(&r.Data, m, to)
		r.Data.State = state(to)
	}
	if why := impaired(&r.Data, m); why != r.Data.Impaired {
		r.Data.Impaired, r.Data.ImpairedSince = why, s.now
	}
	switch to {
	case ec2.InstanceStateNameStopped:
		err = withdraw(ctx, tx, r)
	case ec2.InstanceStateNameTerminated:
		err = s.bury(ctx, tx, r)
	}
	if err != nil {
		return err
	}
	return resource.Instances.Put(ctx, tx, r)
}

// explain says why an instance turns to a state, unless somebody has said so already. source: model, "StateReason"
func explain(i *resource.Instance, m *machine, to string) {
	code, text := "", ""
	switch {
	case to == ec2.InstanceStateNameRunning:
		i.StateReason, i.StateTransitionReason = nil, new("")
		return
	case m.state != ec2.InstanceStateNamePending && m.state != ec2.InstanceStateNameRunning:
		return
	case m.there && m.Boot == i.Boot && m.Exit != "":
		code, text = "Client.InstanceInitiatedShutdown", "Instance initiated shutdown"
	default:
		code, text = "Server.InternalError", "Internal error on launch: "+m.failure
		i.StateTransitionReason = new("Server.InternalError")
	}
	i.StateReason = &ec2.StateReason{Code: &code, Message: new(code + ": " + text)}
}

// withdraw takes from a stopped instance the public address that it was given when it started. source: userguide, "Public IPv4
// addresses"
func withdraw(ctx context.Context, tx *store.Tx, r *record) error {
	if !r.Data.Public {
		return nil
	}
	list, err := networkinterface.OfInstance(ctx, tx, r.VPC, r.ID)
	if err != nil || len(list) == 0 {
		return err
	}
	return routing.ReleasePublic(ctx, tx, list[0])
}

// bury removes what a terminated instance had: interfaces, disk, instance profile, and its life as a managed node.
func (s *settling) bury(ctx context.Context, tx *store.Tx, r *record) error {
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
	r.Data.Terminated, r.Data.BlockDeviceMappings, r.Data.Association = s.now, []ec2.InstanceBlockDeviceMapping{}, nil
	r.VPC = "" // it holds nothing there any more
	return s.ended(ctx, tx, r.ID)
}
