package fleet

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/ssm/fleet/internal/rows"
	"github.com/vennel/vennel/store"
)

// UpdateInstanceInformation is a node's heartbeat. The node is written down only when it says
// something new; what it leaves out stays. An EC2 instance is a node from its first heartbeat on.
func (f *Fleet) UpdateInstanceInformation(ctx context.Context, in *ssm.UpdateInstanceInformationInput) (*ssm.UpdateInstanceInformationOutput, error) {
	call := api.CallFrom(ctx)
	const action = "ssm:UpdateInstanceInformation"
	if err := AllowNode(ctx, action, ARN(call.Region, call.Account, in.InstanceId), in.InstanceId); err != nil {
		return nil, err
	}
	var old *rows.SsmNode
	known := false
	read := func(tx *store.Tx) (err error) {
		if old, known, err = find(ctx, rows.New(tx), in.InstanceId); err != nil {
			return err
		}
		may := known && old.Account == call.Account && old.Region == call.Region
		if isInstance(in.InstanceId) {
			if _, may, err = f.instance(ctx, tx, call.Account, call.Region, in.InstanceId); err != nil {
				return err
			}
		}
		if !may {
			return noInstance(in.InstanceId)
		}
		return nil
	}
	if err := f.db.View(ctx, read); err != nil {
		return nil, err
	}
	if known && said(old, in) == information(old) {
		f.Seen(in.InstanceId, call.Time)
		return &ssm.UpdateInstanceInformationOutput{}, nil
	}
	err := f.db.Update(ctx, func(tx *store.Tx) error {
		if err := read(tx); err != nil { // again, for another heartbeat may have come in between
			return err
		}
		q := rows.New(tx)
		if !known {
			old = &rows.SsmNode{ID: in.InstanceId}
			err := q.PutNode(ctx, rows.PutNodeParams{
				ID: in.InstanceId, Account: call.Account, Region: call.Region, Registered: call.Time.UnixMilli(), PublicKey: []byte{},
			})
			if err != nil {
				return err
			}
		}
		return q.SetNodeInformation(ctx, said(old, in))
	})
	if err == nil {
		f.Seen(in.InstanceId, call.Time) // a node by now, which presence is only kept of
	}
	return &ssm.UpdateInstanceInformationOutput{}, err
}

// information is what a node has said so far.
func information(n *rows.SsmNode) rows.SetNodeInformationParams {
	return rows.SetNodeInformationParams{
		AgentName: n.AgentName, AgentVersion: n.AgentVersion, AgentStatus: n.AgentStatus, PlatformType: n.PlatformType,
		PlatformName: n.PlatformName, PlatformVersion: n.PlatformVersion, ComputerName: n.ComputerName, IpAddress: n.IpAddress,
		Channel: n.Channel, ID: n.ID,
	}
}

// said is the same with what it says now. The first ping of an agent has only a few members, and
// none of those it lacks is to be forgotten.
func said(n *rows.SsmNode, in *ssm.UpdateInstanceInformationInput) rows.SetNodeInformationParams {
	p := information(n)
	for _, member := range []struct {
		new *string
		old *string
	}{
		{in.AgentName, &p.AgentName}, {in.AgentVersion, &p.AgentVersion}, {in.AgentStatus, &p.AgentStatus},
		{in.PlatformType, &p.PlatformType}, {in.PlatformName, &p.PlatformName}, {in.PlatformVersion, &p.PlatformVersion},
		{in.ComputerName, &p.ComputerName}, {in.IPAddress, &p.IpAddress}, {in.SSMConnectionChannel, &p.Channel},
	} {
		if api.Or(member.new, "") != "" {
			*member.old = *member.new
		}
	}
	return p
}
