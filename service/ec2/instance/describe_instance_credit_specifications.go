package instance

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
)

// creditSearch is DescribeInstanceCreditSpecifications. source: model, "DescribeInstanceCreditSpecificationsRequest"
func creditSearch(named bool) *resource.Search[resource.Instance] {
	return &resource.Search[resource.Instance]{
		Kind: resource.Instances, Operation: "DescribeInstanceCreditSpecifications", Hidden: over,
		Only:    func(r *record) bool { return named || r.Data.Credits == unlimited },
		Filters: resource.Filters[resource.Instance]{"instance-id": func(r *record) []string { return []string{r.ID} }},
	}
}

// DescribeInstanceCreditSpecifications describes the credit options of burstable instances: of those that it names, or of all that
// are unlimited. source: userguide, the operation's page
func (s *Instances) DescribeInstanceCreditSpecifications(
	ctx context.Context, in *ec2.DescribeInstanceCreditSpecificationsInput,
) (*ec2.DescribeInstanceCreditSpecificationsOutput, error) {
	list, next, err := creditSearch(len(in.InstanceIds) > 0).Run(ctx, s.db, resource.Query{
		DryRun: in.DryRun, IDs: in.InstanceIds, Filters: in.Filters, Max: in.MaxResults, After: in.NextToken,
	})
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeInstanceCreditSpecificationsOutput{InstanceCreditSpecifications: []ec2.InstanceCreditSpecification{}, NextToken: next}
	for _, r := range list {
		if r.Data.Credits == "" {
			// source: aws
			return nil, resource.Errorf("InvalidParameterCombination", "The instance %s is not a burstable performance instance.", r.ID)
		}
		out.InstanceCreditSpecifications = append(out.InstanceCreditSpecifications, ec2.InstanceCreditSpecification{InstanceId: &r.ID, CpuCredits: &r.Data.Credits})
	}
	return out, nil
}
