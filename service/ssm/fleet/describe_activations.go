package fleet

import (
	"context"
	"slices"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/fleet/internal/rows"
	"github.com/vennel/vennel/service/ssm/tag"
	"github.com/vennel/vennel/store"
)

// DescribeActivations lists activations, by id.
func (f *Fleet) DescribeActivations(ctx context.Context, in *ssm.DescribeActivationsInput) (*ssm.DescribeActivationsOutput, error) {
	call := api.CallFrom(ctx)
	if err := iam.Allow(ctx, "ssm:DescribeActivations", "*"); err != nil {
		return nil, err
	}
	for _, filter := range in.Filters {
		if filter.FilterKey == nil || len(filter.FilterValues) == 0 {
			return nil, ssm.ErrInvalidFilter("Each filter needs a key and at least one value")
		}
	}
	most := int(api.Or(in.MaxResults, 50))
	out := new(ssm.DescribeActivationsOutput)
	err := f.db.View(ctx, func(tx *store.Tx) error {
		out.ActivationList, out.NextToken = []ssm.Activation{}, nil
		for after := api.Or(in.NextToken, ""); ; {
			page, err := rows.New(tx).ListActivations(ctx, rows.ListActivationsParams{
				Account: call.Account, Region: call.Region, After: after, Most: scan,
			})
			if err != nil {
				return err
			}
			for i := range page {
				if !matchesActivation(&page[i], in.Filters) {
					continue
				}
				if len(out.ActivationList) == most {
					out.NextToken = out.ActivationList[most-1].ActivationId
					return nil
				}
				tags, err := tag.Of(ctx, tx, activationTags(call.Account, call.Region, page[i].ID))
				if err != nil {
					return err
				}
				out.ActivationList = append(out.ActivationList, activation(&page[i], tags, call.Time))
			}
			if len(page) < scan {
				return nil
			}
			after = page[len(page)-1].ID
		}
	})
	return out, err
}

// scan is how many rows are read at a time to find those that a filter lets through.
const scan = 200

// matchesActivation says whether an activation passes all filters.
func matchesActivation(a *rows.SsmActivation, filters []ssm.DescribeActivationsFilter) bool {
	for _, filter := range filters {
		value := map[string]string{
			ssm.DescribeActivationsFilterKeysActivationIds: a.ID, ssm.DescribeActivationsFilterKeysDefaultInstanceName: a.Name,
			ssm.DescribeActivationsFilterKeysIamRole: a.Role,
		}[*filter.FilterKey]
		if !slices.Contains(filter.FilterValues, value) {
			return false
		}
	}
	return true
}

// activation is an activation as answers have it.
func activation(a *rows.SsmActivation, tags map[string]string, now time.Time) ssm.Activation {
	return ssm.Activation{
		ActivationId: &a.ID, Description: api.Given(a.Description), DefaultInstanceName: api.Given(a.Name), IamRole: &a.Role,
		RegistrationLimit: &a.Most, RegistrationsCount: &a.Count, ExpirationDate: new(time.UnixMilli(a.Expires).UTC()),
		Expired: new(a.Expires <= now.UnixMilli()), CreatedDate: new(time.UnixMilli(a.Created).UTC()), Tags: tag.List(tags),
	}
}
