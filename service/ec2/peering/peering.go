// Package peering keeps VPC peering connections. A connection's record belongs to the requester; the accepter sees the same
// record from the other side, without the requester's tags.
//
// A request expires by itself, and what has ended is seen for a while: both are worked out from the time. It uses no sibling.
package peering

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// Peerings is the capability.
type Peerings struct {
	db *store.DB
}

// New gives the capability.
func New(db *store.DB) *Peerings { return &Peerings{db} }

// record is the record of a peering connection, vpc that of a VPC.
type (
	record = resource.Record[resource.Peering]
	vpc    = resource.Record[resource.VPC]
	info   = ec2.VpcPeeringConnectionVpcInfo
)

// The states of peering connections.
const (
	initiating   = ec2.VpcPeeringConnectionStateReasonCodeInitiatingRequest
	pending      = ec2.VpcPeeringConnectionStateReasonCodePendingAcceptance
	provisioning = ec2.VpcPeeringConnectionStateReasonCodeProvisioning
	active       = ec2.VpcPeeringConnectionStateReasonCodeActive
	failed       = ec2.VpcPeeringConnectionStateReasonCodeFailed
	rejected     = ec2.VpcPeeringConnectionStateReasonCodeRejected
	expired      = ec2.VpcPeeringConnectionStateReasonCodeExpired
	deleted      = ec2.VpcPeeringConnectionStateReasonCodeDeleted
)

// What there may be of peering connections. source: userguide, "VPC peering connection quotas for an account" and "Error codes
// for the Amazon EC2 API"
var (
	perVPC      = resource.Quota{Most: 50, Code: "ActiveVpcPeeringConnectionPerVpcLimitExceeded", Nouns: "active VPC peering connections"}
	outstanding = resource.Quota{Most: 25, Code: "OutstandingVpcPeeringConnectionLimitExceeded", Nouns: "outstanding VPC peering connection requests"}
)

// How long a request can be answered, and how long what has ended is seen: by most, and by who ended it. source: userguide, "VPC
// peering connection lifecycle"
const (
	requestLife = 168 * time.Hour
	seenLong    = 48 * time.Hour
	seenShort   = 2 * time.Hour
)

// turn puts a connection into a state.
func turn(r *record, state, message string) {
	r.Data.Status = &ec2.VpcPeeringConnectionStateReason{Code: &state, Message: &message}
}

// end puts a connection into a state that it does not leave.
func end(r *record, state, message, by string, at time.Time) {
	turn(r, state, message)
	r.Data.Ended, r.Data.EndedBy, r.Data.ExpirationTime = at.UnixMilli(), by, nil
}

// ended is when a connection ended, and whether it has.
func ended(r *record, now time.Time) (time.Time, bool) {
	switch r.Data.State(now) {
	case expired:
		return *r.Data.ExpirationTime, true
	case failed, rejected, deleted:
		return time.UnixMilli(r.Data.Ended), true
	}
	return time.Time{}, false
}

// live says whether a connection is, or may become, active.
func live(r *record, now time.Time) bool {
	_, over := ended(r, now)
	return !over
}

// gone says whether nobody sees a connection any longer.
func gone(r *record, now time.Time) bool {
	at, over := ended(r, now)
	return over && now.Sub(at) >= seenLong
}

// seenBy says whether an account still sees a connection.
func seenBy(r *record, account string, now time.Time) bool {
	at, over := ended(r, now)
	if !over {
		return true
	}
	accepter := *r.Data.AccepterVpcInfo.OwnerId
	long := accepter != r.Account // all of one account's own is seen for a short while, but what has expired
	switch r.Data.State(now) {
	case failed:
		if account != r.Account {
			return false
		}
		long = false
	case expired:
		long = true
	case rejected:
		long = long && account == r.Account
	case deleted:
		long = long && account != r.Data.EndedBy
	}
	if long {
		return now.Sub(at) < seenLong
	}
	return now.Sub(at) < seenShort
}

// isSide says whether a side of a connection is the caller's, here.
func isSide(call *api.Call, side *info) bool {
	return api.Or(side.OwnerId, "") == call.Account && api.Or(side.Region, "") == call.Region
}

// view is a connection as the caller sees it, or nil: from the requester's side where that is the caller's.
func view(ctx context.Context, r *record) *record {
	call := api.CallFrom(ctx)
	if r == nil || !seenBy(r, call.Account, call.Time) {
		return nil
	}
	seen := *r
	switch {
	case isSide(call, r.Data.RequesterVpcInfo):
	case isSide(call, r.Data.AccepterVpcInfo):
		seen.Account, seen.Region, seen.VPC, seen.Tags = call.Account, call.Region, *r.Data.AccepterVpcInfo.VpcId, map[string]string{}
	default:
		return nil
	}
	return &seen
}

// find finds a connection, of either side, to which the caller may do an action.
func find(ctx context.Context, tx *store.Tx, action, id string) (*record, error) {
	var r, seen *record
	err := resource.Peerings.Check(id)
	if err == nil {
		r, err = resource.Peerings.Get(ctx, tx, id)
		seen = view(ctx, r)
		if err == nil && seen == nil {
			err = resource.Peerings.Missing(id)
		}
	}
	if err != nil {
		call := api.CallFrom(ctx)
		if denied := resource.Peerings.Allow(ctx, action, &record{ID: id, Account: call.Account, Region: call.Region}); denied != nil {
			return nil, denied
		}
		return nil, err
	}
	return r, resource.Peerings.Allow(ctx, action, seen, about(&r.Data)...)
}

// about are the condition keys that a connection has beside those of every resource.
func about(p *resource.Peering) []iam.About {
	arn := func(side *info) string {
		return resource.VPCs.ARN(api.Or(side.Region, ""), api.Or(side.OwnerId, ""), api.Or(side.VpcId, ""))
	}
	return []iam.About{iam.Key("ec2:acceptervpc", arn(p.AccepterVpcInfo)), iam.Key("ec2:requestervpc", arn(p.RequesterVpcInfo))}
}

// complete works out what follows of connections: the ranges of their VPCs, and whether a request has expired.
func complete(ctx context.Context, tx *store.Tx, list []*record) error {
	now := api.CallFrom(ctx).Time
	for _, r := range list {
		d := &r.Data
		if d.State(now) == expired && *d.Status.Code != expired {
			turn(r, expired, "Expired")
		}
		d.Tags = resource.TagList(r.Tags)
		requester, accepter := *d.RequesterVpcInfo, *d.AccepterVpcInfo
		d.RequesterVpcInfo, d.AccepterVpcInfo = &requester, &accepter
		for _, side := range []*info{&requester, &accepter} {
			// Who has asked, and is not answered yet, knows nothing about the other's VPC.
			if *d.Status.Code == pending && side == &accepter && *side.OwnerId != r.Account {
				side.CidrBlock, side.CidrBlockSet, side.PeeringOptions = nil, nil, nil
				continue
			}
			v, err := resource.VPCs.Get(ctx, tx, *side.VpcId)
			if err != nil {
				return err
			}
			if v != nil && live(r, now) {
				setRanges(side, v)
			}
		}
	}
	return nil
}

// setRanges writes a VPC's ranges into its side of a connection.
func setRanges(side *info, v *vpc) {
	side.CidrBlock, side.CidrBlockSet = nil, []ec2.CidrBlock{}
	for _, p := range v.Data.Ranges() {
		if side.CidrBlock == nil {
			side.CidrBlock = new(p.String())
		}
		side.CidrBlockSet = append(side.CidrBlockSet, ec2.CidrBlock{CidrBlock: new(p.String())})
	}
}

// overlap says whether any ranges of two VPCs overlap.
func overlap(a, b *vpc) bool {
	return slices.ContainsFunc(a.Data.Ranges(), func(p netip.Prefix) bool { return slices.ContainsFunc(b.Data.Ranges(), p.Overlaps) })
}

// badState is the error for a connection that cannot go into a state. source: aws
func badState(r *record, from, to string) error {
	return resource.Errorf("InvalidStateTransition", "Invalid state transition for %s, attempted to transition from %s to %s", r.ID, from, to)
}

// joins says whether a connection joins two VPCs, whichever asked.
func joins(r *record, a, b string) bool {
	from, to := *r.Data.RequesterVpcInfo.VpcId, *r.Data.AccepterVpcInfo.VpcId
	return from == a && to == b || from == b && to == a
}
