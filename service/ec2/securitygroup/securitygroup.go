// Package securitygroup keeps security groups and their rules. Rules are records of their own; a group's IpPermissions are
// worked out of them.
//
// Functions are for siblings: [CreateDefault] and [DeleteDefault] for a VPC, [Check] and [Default] for whatever has
// interfaces. It uses no sibling.
package securitygroup

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// SecurityGroups is the capability.
type SecurityGroups struct {
	db *store.DB
}

// New gives the capability.
func New(db *store.DB) *SecurityGroups { return &SecurityGroups{db} }

// What a caller may have of groups beside how many. source: userguide, "Amazon VPC quotas"
const (
	mostPerInterface = 5
	mostRules        = 60 // of a direction
)

// defaultName is the name of the group that comes with a VPC.
const defaultName = "default"

// IDs are the ids of a default group and its two rules, which are made outside of closures.
type IDs struct{ group, ingress, egress string }

// NewIDs makes the ids of a default group.
func NewIDs() IDs {
	return IDs{resource.SecurityGroups.NewID(), resource.SecurityGroupRules.NewID(), resource.SecurityGroupRules.NewID()}
}

// CreateDefault makes the group that comes with a VPC: its members reach each other and everything else. source: userguide,
// "Default security groups"
func CreateDefault(ctx context.Context, tx *store.Tx, vpcID, account, region string, ids IDs) error {
	g := &group{ID: ids.group, Account: account, Region: region, VPC: vpcID, Data: resource.SecurityGroup{Default: true}}
	g.Data.SecurityGroup = ec2.SecurityGroup{
		GroupId: &g.ID, GroupName: new(defaultName), Description: new("default VPC security group"), VpcId: &vpcID, OwnerId: &account,
	}
	if err := resource.SecurityGroups.Put(ctx, tx, g); err != nil {
		return err
	}
	in := everything()
	in.ReferencedGroupInfo = &ec2.ReferencedSecurityGroup{GroupId: &g.ID, UserId: &account}
	if err := put(ctx, tx, g, ids.ingress, false, in, nil); err != nil {
		return err
	}
	return put(ctx, tx, g, ids.egress, true, outward(), nil)
}

// DeleteDefault removes the group that came with a VPC. ok is false when the VPC has others, which stand in the way.
func DeleteDefault(ctx context.Context, tx *store.Tx, vpcID string) (ok bool, err error) {
	list, err := resource.SecurityGroups.Of(ctx, tx, vpcID)
	if err != nil || len(list) > 1 {
		return false, err
	}
	for _, g := range list {
		if err := remove(ctx, tx, g); err != nil {
			return false, err
		}
	}
	return true, nil
}

// Default gives the id of the group that came with a VPC.
func Default(ctx context.Context, tx *store.Tx, vpcID string) (string, error) {
	list, err := resource.SecurityGroups.Of(ctx, tx, vpcID)
	if err != nil {
		return "", err
	}
	for _, g := range list {
		if g.Data.Default {
			return g.ID, nil
		}
	}
	return "", resource.Errorf("InvalidGroup.NotFound", "The VPC '%s' has no default security group", vpcID)
}

// Check refuses groups that an interface in a VPC cannot have: that are not there, in another VPC, twice or too many. It
// gives their records, for authorization and for their names.
func Check(ctx context.Context, tx *store.Tx, vpcID string, groupIDs []string) ([]*resource.Record[resource.SecurityGroup], error) {
	if len(groupIDs) > mostPerInterface {
		// source: aws
		return nil, resource.Errorf("SecurityGroupsPerInterfaceLimitExceeded", "The maximum number of security groups per interface has been reached.")
	}
	list := make([]*group, 0, len(groupIDs))
	for i, id := range groupIDs {
		g, err := resource.SecurityGroups.Find(ctx, tx, id)
		if err != nil {
			return nil, err
		}
		if g.VPC != vpcID {
			return nil, resource.Errorf("InvalidParameterValue", "You have specified two resources that belong to different networks.") // source: aws
		}
		if slices.Contains(groupIDs[:i], id) {
			return nil, resource.Errorf("InvalidParameterValue", "Duplicate security group '%s'", id) // source: guess
		}
		list = append(list, g)
	}
	return list, nil
}

// group and rule are the records of this package.
type (
	group = resource.Record[resource.SecurityGroup]
	rule  = resource.Record[resource.SecurityGroupRule]
)

// remove removes a group with its rules.
func remove(ctx context.Context, tx *store.Tx, g *group) error {
	list, err := rulesOf(ctx, tx, g)
	if err != nil {
		return err
	}
	for _, r := range list {
		if err := resource.SecurityGroupRules.Delete(ctx, tx, r); err != nil {
			return err
		}
	}
	return resource.SecurityGroups.Delete(ctx, tx, g)
}

// rulesOf lists the rules of a group, without tags.
func rulesOf(ctx context.Context, tx *store.Tx, g *group) ([]*rule, error) {
	all, err := resource.SecurityGroupRules.Of(ctx, tx, g.VPC)
	if err != nil {
		return nil, err
	}
	var list []*rule
	for _, r := range all {
		if *r.Data.GroupId == g.ID {
			list = append(list, r)
		}
	}
	return list, nil
}

// put writes a new rule of a group.
func put(ctx context.Context, tx *store.Tx, g *group, id string, egress bool, data ec2.SecurityGroupRule, tags map[string]string) error {
	data.SecurityGroupRuleId, data.GroupId, data.GroupOwnerId, data.IsEgress = &id, &g.ID, &g.Account, &egress
	r := &rule{ID: id, Account: g.Account, Region: g.Region, VPC: g.VPC, Tags: tags}
	r.Data.SecurityGroupRule = data
	return resource.SecurityGroupRules.Create(ctx, tx, r)
}

// byName finds a group of the caller's default VPC by its name.
func byName(ctx context.Context, tx *store.Tx, name string) (*group, error) {
	vpc, err := defaultVPC(ctx, tx)
	if err != nil {
		return nil, err
	}
	list, err := resource.SecurityGroups.Of(ctx, tx, vpc.ID)
	if err != nil {
		return nil, err
	}
	for _, g := range list {
		if *g.Data.GroupName == name {
			return resource.SecurityGroups.Get(ctx, tx, g.ID) // with its tags
		}
	}
	return nil, resource.Errorf("InvalidGroup.NotFound", "The security group '%s' does not exist in default VPC '%s'", name, vpc.ID) // source: aws
}

// defaultVPC finds the caller's default VPC.
func defaultVPC(ctx context.Context, tx *store.Tx) (*resource.Record[resource.VPC], error) {
	list, err := resource.VPCs.List(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, v := range list {
		if api.Or(v.Data.IsDefault, false) {
			return v, nil
		}
	}
	return nil, resource.Errorf("VPCIdNotSpecified", "No default VPC for this user") // source: aws
}

// Named finds a group that a request names by its id or by its name, for a caller who may do an action to it.
func Named(ctx context.Context, tx *store.Tx, action string, id, name *string) (*group, error) {
	switch {
	case id != nil:
		return resource.SecurityGroups.FindFor(ctx, tx, action, *id)
	case name != nil:
		g, err := byName(ctx, tx, *name)
		if err != nil {
			call := api.CallFrom(ctx)
			nothing := &group{ID: "*", Account: call.Account, Region: call.Region}
			if denied := resource.SecurityGroups.Allow(ctx, action, nothing); denied != nil {
				return nil, denied
			}
			return nil, err
		}
		return g, resource.SecurityGroups.Allow(ctx, action, g)
	}
	call := api.CallFrom(ctx)
	if err := resource.SecurityGroups.Allow(ctx, action, &group{ID: "*", Account: call.Account, Region: call.Region}); err != nil {
		return nil, err
	}
	return nil, resource.Errorf("MissingParameter", "The request must contain the parameter groupName or groupId") // source: aws
}
