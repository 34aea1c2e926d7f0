package tag

import (
	"context"
	"slices"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// filters are those of DescribeTags, beside tag:NAME. source: userguide, the operation's page
var filters = map[string]func(*resource.Tag) []string{
	"key":           func(t *resource.Tag) []string { return []string{t.Name} },
	"resource-id":   func(t *resource.Tag) []string { return []string{t.ID} },
	"resource-type": func(t *resource.Tag) []string { return []string{t.Kind} },
	"value":         func(t *resource.Tag) []string { return []string{t.Value} },
}

// DescribeTags lists tags of all resources.
func (t *Tags) DescribeTags(ctx context.Context, in *ec2.DescribeTagsInput) (*ec2.DescribeTagsOutput, error) {
	if err := iam.Allow(ctx, "ec2:DescribeTags", "*", iam.Key("ec2:region", api.CallFrom(ctx).Region)); err != nil {
		return nil, err
	}
	if err := resource.DryRun(in.DryRun); err != nil {
		return nil, err
	}
	known, named := split(in.Filters)
	out := &ec2.DescribeTagsOutput{Tags: []ec2.TagDescription{}}
	var list []resource.Tag
	err := t.db.View(ctx, func(tx *store.Tx) (err error) {
		list, err = resource.Tags(ctx, tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	if list, err = resource.Select(list, known, filters); err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(tag resource.Tag) bool { return !passes(&tag, named) })
	page, next, err := resource.Page(list, in.MaxResults, in.NextToken, 5, 1000)
	for _, tag := range page {
		out.Tags = append(out.Tags, ec2.TagDescription{ResourceId: &tag.ID, ResourceType: &tag.Kind, Key: &tag.Name, Value: &tag.Value})
	}
	out.NextToken = next
	return out, err
}

// split parts the filters tag:NAME from the others.
func split(list []ec2.Filter) (known, named []ec2.Filter) {
	for _, f := range list {
		if strings.HasPrefix(api.Or(f.Name, ""), "tag:") {
			named = append(named, f)
		} else {
			known = append(known, f)
		}
	}
	return known, named
}

// passes says whether a tag has the name and a value of each filter.
func passes(t *resource.Tag, named []ec2.Filter) bool {
	for _, f := range named {
		if "tag:"+t.Name != *f.Name || !slices.ContainsFunc(f.Values, func(want string) bool { return resource.Like(want, t.Value) }) {
			return false
		}
	}
	return true
}
