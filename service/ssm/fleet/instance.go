package fleet

import (
	"context"
	"strings"
	"time"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ssm/tag"
	"github.com/vennel/vennel/store"
)

// Instance is an EC2 instance as the fleet sees it.
type Instance struct {
	ID, Account, Region string
	State               string // running, stopped, …, terminated
	Type                string // t3.micro
	Architecture        string
	KeyName             string
	Profile             string // ARN of its instance profile; "" for none
	Launched            time.Time
	Tags                map[string]string
}

// Instances is EC2 as the fleet sees it: a node whose id begins with i- is an instance, and what EC2 knows of it is not kept a second time.
type Instances interface {
	// Find gives an instance of any account and Region. One that was terminated may still be found.
	Find(ctx context.Context, tx *store.Tx, id string) (Instance, bool, error)
	// Tagged gives the ids of an account's instances in a Region that have a tag, with the value if there is one, in order, after an id.
	Tagged(ctx context.Context, tx *store.Tx, account, region, name string, value *string, after string, most int) ([]string, error)
}

// isInstance says whether an id is that of an EC2 instance.
func isInstance(id string) bool { return strings.HasPrefix(id, "i-") }

// instance finds an instance of an account and Region that can be a node. source: model, InvalidInstanceId
func (f *Fleet) instance(ctx context.Context, tx *store.Tx, account, region, id string) (Instance, bool, error) {
	if f.instances == nil {
		return Instance{}, false, nil
	}
	i, ok, err := f.instances.Find(ctx, tx, id)
	gone := i.State == ec2.InstanceStateNameShuttingDown || i.State == ec2.InstanceStateNameTerminated
	return i, ok && i.Account == account && i.Region == region && !gone, err
}

// Tags gives a node's tags: EC2's of an instance, Systems Manager's own of any other.
func (f *Fleet) Tags(ctx context.Context, tx *store.Tx, account, region, id string) (map[string]string, error) {
	if !isInstance(id) {
		return tag.Of(ctx, tx, tag.Target{Account: account, Region: region, Kind: KindNode, ID: id})
	}
	i, ok, err := f.instance(ctx, tx, account, region, id)
	if !ok {
		return map[string]string{}, err
	}
	return i.Tags, err
}

// Tagged gives the ids of what has a tag, with the value if there is one, and may be a node: in order, after an id.
func (f *Fleet) Tagged(ctx context.Context, tx *store.Tx, account, region, name string, value *string, after string, most int) ([]string, error) {
	of := tag.Target{Account: account, Region: region, Kind: KindNode}
	find := func() ([]string, error) { return tag.FindKey(ctx, tx, of, name, after, most) }
	if value != nil {
		find = func() ([]string, error) { return tag.Find(ctx, tx, of, name, *value, after, most) }
	}
	ids, err := find()
	if err != nil || f.instances == nil {
		return ids, err
	}
	more, err := f.instances.Tagged(ctx, tx, account, region, name, value, after, most)
	return append(more, ids...), err // i- comes before mi-
}
