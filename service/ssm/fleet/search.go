package fleet

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/ssm/fleet/internal/rows"
	"github.com/vennel/vennel/store"
)

// filter is one condition of a search; its values are alternatives.
type filter struct {
	key      string
	values   []string
	operator string // "" is Equal
}

// found is a node with what is worked out about it.
type found struct {
	row    rows.SsmNode
	latest time.Time
	online bool
	tags   map[string]string // when they are asked about
	ec2    *Instance         // of an instance, when it is asked about
}

// is tells of what type a node is.
func (n *found) is() (resource, source string) {
	if isInstance(n.row.ID) {
		return ssm.ResourceTypeEC2Instance, ssm.SourceTypeAWSEC2Instance
	}
	return ssm.ResourceTypeManagedInstance, ssm.SourceTypeAWSSSMManagedInstance
}

// hybrid is something that only nodes have that are no instances of EC2.
func hybrid[T any](n *found, value T) *T {
	if isInstance(n.row.ID) {
		return nil
	}
	return &value
}

// ping is the status of a node as AWS names it. Inactive is no longer used there.
func (n *found) ping() string {
	if n.online {
		return ssm.PingStatusOnline
	}
	return ssm.PingStatusConnectionLost
}

// words are the errors of one of the two searches.
type words struct {
	value func(string, ...any) *api.Error
	extra []string // keys that only this search has
}

// The two searches. source: model
var (
	informationWords = words{value: ssm.ErrInvalidInstanceInformationFilterValue, extra: []string{"SourceIds", "SourceTypes"}}
	propertyWords    = words{value: ssm.ErrInvalidInstancePropertyFilterValue, extra: []string{"SourceIds", "SourceTypes", "PlatformName", "PlatformVersion", "ComputerName", "IPAddress", "Name", "DocumentName"}}
)

// searchKeys are the keys that both searches have.
var searchKeys = []string{"InstanceIds", "AgentVersion", "PingStatus", "PlatformTypes", "ActivationIds", "IamRole", "ResourceType", "AssociationStatus", "tag-key"}

// checkFilters refuses keys that there are not and values that cannot be.
func checkFilters(filters []filter, w words) error {
	for _, f := range filters {
		switch {
		case strings.HasPrefix(f.key, "tag:"), slices.Contains(searchKeys, f.key), slices.Contains(w.extra, f.key):
		default:
			return ssm.ErrInvalidFilterKey("The filter key %s is not valid", f.key)
		}
		for _, v := range f.values {
			switch {
			case f.key == "InstanceIds" && !strings.HasPrefix(v, "i-") && !strings.HasPrefix(v, "mi-") && f.operator != "BeginWith":
				return noInstance(v)
			case f.key == "PingStatus" && !slices.Contains([]string{"Online", "ConnectionLost", "Inactive"}, v),
				f.key == "PlatformTypes" && !slices.Contains([]string{"Windows", "Linux", "MacOS"}, v):
				return w.value("The value %s is not valid for the filter %s", v, f.key)
			}
		}
	}
	return nil
}

// search finds the nodes that pass all filters, in order of their ids: at most most of them after
// an id, and where to go on. Of instances it gives what EC2 knows, if that is wanted.
func (f *Fleet) search(ctx context.Context, filters []filter, after string, most int, whole bool) (nodes []found, next string, err error) {
	call := api.CallFrom(ctx)
	tagged := slices.ContainsFunc(filters, func(f filter) bool { return strings.HasPrefix(f.key, "tag") })
	err = f.db.View(ctx, func(tx *store.Tx) error {
		nodes, next = nil, ""
		q := rows.New(tx)
		for after := after; ; {
			page, err := q.ListNodes(ctx, rows.ListNodesParams{Account: call.Account, Region: call.Region, After: after, Most: scan})
			if err != nil || len(page) == 0 {
				return err
			}
			presence, err := q.ListPresence(ctx, rows.ListPresenceParams{First: page[0].ID, Last: page[len(page)-1].ID})
			if err != nil {
				return err
			}
			seen := make(map[string]int64, len(presence))
			for _, p := range presence {
				seen[p.Node] = p.Seen
			}
			for i := range page {
				n := found{row: page[i]}
				n.latest = time.UnixMilli(n.row.Registered).UTC()
				if at, heard := f.latest(n.row.ID, seen[n.row.ID]); heard {
					n.latest, n.online = at, f.online(n.row.ID, at)
				}
				if tagged || whole {
					if err := f.ask(ctx, tx, &n); err != nil {
						return err
					}
				}
				if !n.passes(filters) {
					continue
				}
				if len(nodes) == most {
					next = nodes[most-1].row.ID
					return nil
				}
				nodes = append(nodes, n)
			}
			if len(page) < scan {
				return nil
			}
			after = page[len(page)-1].ID
		}
	})
	return nodes, next, err
}

// ask finds out what a node does not say of itself.
func (f *Fleet) ask(ctx context.Context, tx *store.Tx, n *found) error {
	if !isInstance(n.row.ID) {
		tags, err := f.Tags(ctx, tx, n.row.Account, n.row.Region, n.row.ID)
		n.tags = tags
		return err
	}
	i, ok, err := f.instance(ctx, tx, n.row.Account, n.row.Region, n.row.ID)
	if ok {
		n.tags, n.ec2, n.row.Name = i.Tags, &i, i.Tags["Name"]
	}
	return err
}

// passes says whether a node passes all filters.
func (n *found) passes(filters []filter) bool {
	for _, f := range filters {
		has := n.property(f.key)
		match := slices.ContainsFunc(f.values, func(v string) bool {
			return slices.ContainsFunc(has, func(h string) bool { return compare(f.operator, h, v) })
		})
		if f.operator == ssm.InstancePropertyFilterOperatorNotEqual {
			match = !slices.ContainsFunc(f.values, func(v string) bool { return slices.Contains(has, v) })
		}
		if !match {
			return false
		}
	}
	return true
}

// property is what a node has for a filter's key.
func (n *found) property(key string) []string {
	if name, ok := strings.CutPrefix(key, "tag:"); ok {
		if value, ok := n.tags[name]; ok {
			return []string{value}
		}
		return nil
	}
	switch key {
	case "InstanceIds", "SourceIds":
		return []string{n.row.ID}
	case "AgentVersion":
		return []string{n.row.AgentVersion}
	case "PingStatus":
		return []string{n.ping()}
	case "PlatformTypes":
		return []string{n.row.PlatformType}
	case "PlatformName":
		return []string{n.row.PlatformName}
	case "PlatformVersion":
		return []string{n.row.PlatformVersion}
	case "ComputerName":
		return []string{n.row.ComputerName}
	case "IPAddress":
		return []string{n.row.IpAddress}
	case "Name":
		return []string{n.row.Name}
	case "ActivationIds":
		return []string{n.row.Activation}
	case "IamRole":
		return []string{n.row.Role}
	case "ResourceType":
		resource, _ := n.is()
		return []string{resource}
	case "SourceTypes":
		_, source := n.is()
		return []string{source}
	case "tag-key":
		var names []string
		for name := range n.tags {
			names = append(names, name)
		}
		return names
	}
	return nil // AssociationStatus, DocumentName: a node without associations has neither
}

// compare applies an operator. The ones for order compare versions part by part.
func compare(operator, has, want string) bool {
	switch operator {
	case ssm.InstancePropertyFilterOperatorBeginWith:
		return strings.HasPrefix(has, want)
	case ssm.InstancePropertyFilterOperatorLessThan:
		return versions(has, want) < 0
	case ssm.InstancePropertyFilterOperatorGreaterThan:
		return versions(has, want) > 0
	}
	return has == want
}

// versions orders two dotted numbers.
func versions(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(x), len(y)) {
		if d := part(x, i) - part(y, i); d != 0 {
			return d
		}
	}
	return 0
}

// part is one number of a version; what is missing or is no number counts as zero.
func part(parts []string, i int) int {
	if i >= len(parts) {
		return 0
	}
	n, err := strconv.Atoi(parts[i])
	if err != nil {
		return 0
	}
	return n
}
