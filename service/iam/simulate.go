package iam

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/service/iam/actions"
	"github.com/vennel/vennel/service/iam/policy"
	"github.com/vennel/vennel/store"
)

// simulation is a question of iam:Simulate*: what would come of some actions on some resources.
type simulation struct {
	principal policy.Principal
	keys      func(name string) []string // of the principal; may be nil
	policies  policy.Policies
	owner     string // account of the resources, where it is not the principal's
	context   policy.Context
}

// sourceType is AWS's word for where a matched statement comes from. source: aws
const sourceType = "IAM Policy"

// answer answers an operation of iam:Simulate*; the input of both is the same but for the principal.
func (s *simulation) answer(in *iam.SimulateCustomPolicyInput) (list []iam.EvaluationResult, next *string, truncated *bool, err error) {
	if err := s.read(in); err != nil {
		return nil, nil, nil, err
	}
	for _, action := range in.ActionNames {
		if !strings.Contains(action, ":") {
			return nil, nil, nil, iam.ErrInvalidInputException("Invalid action name: %s", action) // source: guess
		}
		list = append(list, s.action(action, in.ResourceArns))
	}
	// An item's key is its place.
	places := make([]string, len(list))
	for n := range places {
		places[n] = fmt.Sprintf("%08d", n)
	}
	places, next, truncated = page(newPager(in.Marker, in.MaxItems), places, itself)
	return each(places, func(place *string) iam.EvaluationResult {
		n, _ := strconv.Atoi(*place)
		return list[n]
	}), next, truncated, nil
}

// read takes over what a request adds to the policies of the principal.
func (s *simulation) read(in *iam.SimulateCustomPolicyInput) error {
	add := func(to []policy.Attached, list []string, form string, kind policy.Kind) ([]policy.Attached, error) {
		for n, text := range list {
			p, err := parseInput(text, kind)
			if err != nil {
				return nil, err
			}
			to = append(to, policy.Attached{Name: fmt.Sprintf(form, n+1), Policy: p})
		}
		return to, nil
	}
	var err error
	if s.policies.Identity, err = add(s.policies.Identity, in.PolicyInputList, "PolicyInputList.%d", policy.Identity); err != nil {
		return err
	}
	if len(in.PermissionsBoundaryPolicyInputList) > 0 {
		bounds, err := add(nil, in.PermissionsBoundaryPolicyInputList, "PermissionsBoundaryPolicyInputList.%d", policy.Boundary)
		if err != nil {
			return err
		}
		s.policies.Boundary = policy.Layer{Present: true, Policies: bounds}
	}
	if in.CallerArn != nil {
		if err := s.caller(*in.CallerArn); err != nil {
			return err
		}
	}
	if in.ResourcePolicy != nil {
		if in.CallerArn == nil && s.principal.Type != policy.User {
			return iam.ErrInvalidInputException("A caller must be specified with a resource policy") // source: guess
		}
		p, err := parseInput(*in.ResourcePolicy, policy.Resource)
		if err != nil {
			return err
		}
		s.policies.Resource = []policy.Attached{{Name: "ResourcePolicy", Policy: p}}
	}
	if _, _, account, _, ok := api.SplitARN(api.Or(in.ResourceOwner, "")); ok {
		s.owner = account
	}
	for _, c := range in.ContextEntries {
		s.context.SetList(api.Or(c.ContextKeyName, ""), c.ContextKeyValues)
	}
	return nil
}

// caller makes somebody the principal.
func (s *simulation) caller(arn string) error {
	service, _, account, resource, ok := api.SplitARN(arn)
	form, name, _ := strings.Cut(resource, "/")
	switch {
	case ok && service == "iam" && form == kindUser:
		s.principal = policy.Principal{Type: policy.User, ARN: arn, Account: account}
	case ok && service == "iam" && form == kindRole:
		s.principal = policy.Principal{Type: policy.AssumedRole, ARN: arn, RoleARN: arn, Account: account}
	case ok && service == "sts" && form == "assumed-role":
		role, _, _ := strings.Cut(name, "/")
		s.principal = policy.Principal{Type: policy.AssumedRole, ARN: arn, RoleARN: arnOf(account, kindRole, "/", role), Account: account}
	default:
		return iam.ErrInvalidInputException("Invalid CallerArn: %s", arn) // source: guess
	}
	return nil
}

// action answers for one action: as a whole, and for each resource where there are several. The
// whole is named by the form of the resources then. source: aws
func (s *simulation) action(action string, resources []string) iam.EvaluationResult {
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	out := iam.EvaluationResult{EvalActionName: action, MatchedStatements: []iam.Statement{}, MissingContextValues: []string{}}
	severity := []string{
		iam.PolicyEvaluationDecisionTypeAllowed, iam.PolicyEvaluationDecisionTypeImplicitDeny, iam.PolicyEvaluationDecisionTypeExplicitDeny,
	}
	for _, resource := range resources {
		r := s.resource(action, resource)
		if slices.Index(severity, r.EvalResourceDecision) >= slices.Index(severity, out.EvalDecision) {
			out.EvalDecision = r.EvalResourceDecision
		}
		out.ResourceSpecificResults = append(out.ResourceSpecificResults, r)
	}
	one := out.ResourceSpecificResults[0]
	out.EvalResourceName, out.PermissionsBoundaryDecisionDetail = &one.EvalResourceName, one.PermissionsBoundaryDecisionDetail
	if len(resources) == 1 {
		out.MatchedStatements, out.MissingContextValues = one.MatchedStatements, one.MissingContextValues
	} else if form := formOf(action, resources[0]); form != "" {
		out.EvalResourceName = &form
	}
	if resources[0] == "*" {
		out.ResourceSpecificResults = nil
	}
	return out
}

// formOf is the form of the ARNs of the type that a resource is of.
func formOf(action, resource string) string {
	a, _ := actions.Lookup(action)
	for _, r := range a.Resources {
		if policy.ArnLike(r.Pattern(), resource) {
			return r.ARN
		}
	}
	return ""
}

// resource answers for one action on one resource.
func (s *simulation) resource(action, resource string) iam.ResourceSpecificResult {
	missing := []string{}
	request := &policy.Request{Action: action, Resource: resource, Principal: s.principal, ResourceAccount: s.owner, Context: s.context}
	request.Context.Fallback = func(key string) []string {
		if s.keys != nil {
			if values := s.keys(strings.ToLower(key)); values != nil {
				return values
			}
		}
		if !slices.ContainsFunc(missing, func(m string) bool { return strings.EqualFold(m, key) }) {
			missing = append(missing, key)
		}
		return nil
	}
	d := policy.Evaluate(request, &s.policies)
	out := iam.ResourceSpecificResult{
		EvalResourceName: resource, EvalResourceDecision: iam.PolicyEvaluationDecisionTypeImplicitDeny, MatchedStatements: []iam.Statement{},
	}
	switch {
	case d.Allowed:
		out.EvalResourceDecision = iam.PolicyEvaluationDecisionTypeAllowed
	case d.Explicit:
		out.EvalResourceDecision = iam.PolicyEvaluationDecisionTypeExplicitDeny
	}
	bounded, denied := false, false
	for _, m := range policy.Trace(request, &s.policies) {
		if m.Kind == policy.Boundary {
			bounded, denied = bounded || !m.Deny, denied || m.Deny
			continue
		}
		if d.Explicit && !m.Deny {
			continue // what an explicit deny overrides did not decide
		}
		out.MatchedStatements = append(out.MatchedStatements, iam.Statement{
			SourcePolicyId: &m.Policy, SourcePolicyType: new(sourceType), StartPosition: position(m.Start), EndPosition: position(m.End),
		})
	}
	if s.policies.Boundary.Present {
		out.PermissionsBoundaryDecisionDetail = &iam.PermissionsBoundaryDecisionDetail{AllowedByPermissionsBoundary: new(bounded && !denied)}
	}
	out.MissingContextValues = missing
	return out
}

// position is a place in a policy as answers have it.
func position(p policy.Position) *iam.Position {
	return &iam.Position{Line: new(int64(p.Line)), Column: new(int64(p.Column))}
}

// parseInput reads a policy of a request.
func parseInput(text string, kind policy.Kind) (*policy.Policy, error) {
	p, err := policy.Parse([]byte(text), kind)
	if e, ok := errors.AsType[*policy.SyntaxError](err); ok {
		return nil, iam.ErrInvalidInputException("%s", e.Message)
	}
	return p, err
}

// entityOf reads the ARN of a user, group or role.
func entityOf(ctx context.Context, arn string) (kind, name string, err error) {
	service, _, account, resource, ok := api.SplitARN(arn)
	kind, rest, _ := strings.Cut(resource, "/")
	name = rest[strings.LastIndexByte(rest, '/')+1:]
	if !ok || service != "iam" || name == "" || account != api.CallFrom(ctx).Account || kind != kindUser && kind != kindGroup && kind != kindRole {
		// source: aws
		return "", "", iam.ErrInvalidInputException("Invalid Entity Arn: %s does not clearly define entity type and name.", arn)
	}
	return kind, name, nil
}

// readPrincipal does an operation on the policies of a user, group or role.
func (i *IAM) readPrincipal(ctx context.Context, action, arn string, do func(g *grants) error) error {
	kind, name, err := entityOf(ctx, arn)
	if err != nil {
		return err
	}
	return i.read(ctx, action, kind, name, func(tx *store.Tx, e *entity) error {
		if entityARN(e) != arn {
			return missing(kind, name)
		}
		g := new(grants)
		if err := i.load(ctx, tx, e.ID, g); err != nil {
			return err
		}
		return do(g)
	})
}

// simulation is what a principal's policies make of a question.
func (i *IAM) simulation(g *grants) *simulation {
	s := new(simulation)
	for n, a := range g.identity {
		s.policies.Identity = append(s.policies.Identity, policy.Attached{Name: g.sources[n], Policy: a.Policy})
	}
	s.policies.Boundary = g.boundary
	arn := entityARN(&g.entity)
	switch g.entity.Kind {
	case kindUser:
		p := i.userPrincipal(g, "")
		s.principal, s.keys = p.Principal, p.key
	case kindRole:
		s.principal = policy.Principal{Type: policy.AssumedRole, ARN: arn, RoleARN: arn, Account: g.entity.Account, ID: g.entity.ID}
		s.keys = (&Principal{Principal: s.principal, tags: g.tags}).key
	default: // a member of the group, whoever it is
		s.principal = policy.Principal{Type: policy.User, Account: g.entity.Account}
	}
	return s
}

// contextKeys lists the condition keys that policies read, each once.
func contextKeys(attached []policy.Attached) []string {
	keys := []string{}
	for _, a := range attached {
		for _, key := range a.ContextKeys() {
			if !slices.ContainsFunc(keys, func(k string) bool { return strings.EqualFold(k, key) }) {
				keys = append(keys, key)
			}
		}
	}
	return keys
}
