package securitygroup

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
)

// ruleSearch is DescribeSecurityGroupRules. source: model, "DescribeSecurityGroupRulesRequest"
var ruleSearch = &resource.Search[resource.SecurityGroupRule]{
	Kind: resource.SecurityGroupRules, Operation: "DescribeSecurityGroupRules",
	Filters: resource.Filters[resource.SecurityGroupRule]{
		"group-id":               func(r *rule) []string { return resource.One(r.Data.GroupId) },
		"security-group-rule-id": func(r *rule) []string { return []string{r.ID} },
	},
	Complete: complete,
}

// DescribeSecurityGroupRules lists rules.
func (s *SecurityGroups) DescribeSecurityGroupRules(ctx context.Context, in *ec2.DescribeSecurityGroupRulesInput) (*ec2.DescribeSecurityGroupRulesOutput, error) {
	page, next, err := ruleSearch.Run(ctx, s.db, resource.Query{
		DryRun: in.DryRun, IDs: in.SecurityGroupRuleIds, Filters: in.Filters, Max: in.MaxResults, After: in.NextToken,
	})
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeSecurityGroupRulesOutput{NextToken: next, SecurityGroupRules: []ec2.SecurityGroupRule{}}
	for _, r := range page {
		out.SecurityGroupRules = append(out.SecurityGroupRules, r.Data.SecurityGroupRule)
	}
	return out, nil
}
