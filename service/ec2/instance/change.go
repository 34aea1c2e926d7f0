package instance

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// change changes the states of instances: all of them, or none. to is asked for each, and changes it.
func (s *Instances) change(
	ctx context.Context, action string, dry *bool, ids []string, to func(tx *store.Tx, at int, r *record) error,
) (list []ec2.InstanceStateChange, err error) {
	if ids = unique(ids); len(ids) == 0 {
		return nil, missingParameter("InstanceId")
	}
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		list = []ec2.InstanceStateChange{}
		var found []*record
		for _, id := range ids {
			r, err := findFor(ctx, tx, action, id)
			if err != nil {
				return err
			}
			found = append(found, r)
		}
		if err := resource.DryRun(dry); err != nil {
			return err
		}
		for at, r := range found {
			before := *r.Data.State
			if err := to(tx, at, r); err != nil {
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

// unique are ids, each once, in order.
func unique(ids []string) []string { return slices.Compact(slices.Sorted(slices.Values(ids))) }

// findFor gives an instance to which the caller may do an action; one that is no longer described is missing.
func findFor(ctx context.Context, tx *store.Tx, action, id string, about ...iam.About) (*record, error) {
	r, err := resource.Instances.Find(ctx, tx, id)
	if err == nil && over(ctx, r) {
		err = resource.Instances.Missing(id)
	}
	if err != nil {
		call := api.CallFrom(ctx)
		if denied := resource.Instances.Allow(ctx, action, &record{ID: id, Account: call.Account, Region: call.Region}, about...); denied != nil {
			return nil, denied
		}
		return nil, err
	}
	return r, resource.Instances.Allow(ctx, action, r, append(keys(&r.Data), about...)...)
}

// modify changes something of one instance. change is asked within the transaction.
func (s *Instances) modify(
	ctx context.Context, action, id string, dry *bool, change func(tx *store.Tx, r *record) error, about ...iam.About,
) error {
	return s.db.Update(ctx, func(tx *store.Tx) error {
		r, err := findFor(ctx, tx, action, id, about...)
		if err != nil {
			return err
		}
		if err := resource.DryRun(dry); err != nil {
			return err
		}
		if err := change(tx, r); err != nil {
			return err
		}
		return resource.Instances.Put(ctx, tx, r)
	})
}

// keys are the condition keys of an instance. source: SAR
func keys(d *resource.Instance) []iam.About {
	about := []iam.About{
		iam.Key("ec2:instancetype", api.Or(d.InstanceType, "")), iam.Key("ec2:rootdevicetype", "ebs"), iam.Key("ec2:instancemarkettype", "on-demand"),
		iam.Key("ec2:ebsoptimized", strconv.FormatBool(api.Or(d.EbsOptimized, false))), iam.Key("ec2:tenancy", "default"),
	}
	if arn := d.ProfileARN(); arn != "" {
		about = append(about, iam.Key("ec2:instanceprofile", arn))
	}
	if p := d.Placement; p != nil {
		about = append(about, iam.Key("ec2:availabilityzone", api.Or(p.AvailabilityZone, "")), iam.Key("ec2:availabilityzoneid", api.Or(p.AvailabilityZoneId, "")))
	}
	if m := d.MaintenanceOptions; m != nil {
		about = append(about, iam.Key("ec2:instanceautorecovery", api.Or(m.AutoRecovery, "")))
	}
	if o := d.MetadataOptions; o != nil {
		about = append(about, iam.Key("ec2:metadatahttpendpoint", api.Or(o.HttpEndpoint, "")), iam.Key("ec2:metadatahttptokens", api.Or(o.HttpTokens, "")),
			iam.Key("ec2:metadatahttpputresponsehoplimit", strconv.FormatInt(api.Or(o.HttpPutResponseHopLimit, 1), 10)),
			iam.Key("ec2:instancemetadatatags", api.Or(o.InstanceMetadataTags, "")))
	}
	return about
}

// attribute are the condition keys of the change of an attribute. source: SAR
func attribute(name, value string) []iam.About {
	return []iam.About{iam.Key("ec2:attribute", name), iam.Key("ec2:attribute/"+strings.ToLower(name), value)}
}

// is says whether an instance is in one of some states.
func is(r *record, names ...string) bool { return slices.Contains(names, stateOf(&r.Data)) }

// reason says who has changed a state and when. source: aws
func reason(ctx context.Context, r *record, code, text string) {
	r.Data.StateTransitionReason = new("User initiated (" + api.CallFrom(ctx).Time.UTC().Format("2006-01-02 15:04:05 GMT") + ")")
	r.Data.StateReason = &ec2.StateReason{Code: &code, Message: new(code + ": " + text)}
}
