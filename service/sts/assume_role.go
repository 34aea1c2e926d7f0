package sts

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/sts"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/iam/policy"
	"github.com/vennel/vennel/store"
)

// The life of a role's session. source: userguide
const (
	roleSeconds   = 60 * 60
	mostChainLife = time.Hour // of a session made by another session
)

// mostTokenPolicies bounds the session policies of one token. source: userguide, quotas
const mostTokenPolicies = 2048

// AssumeRole gives credentials of a role. Both the caller's policies and the role's trust policy
// decide; a role that is not there is refused in the same words.
func (s *STS) AssumeRole(ctx context.Context, in *sts.AssumeRoleInput) (*sts.AssumeRoleOutput, error) {
	service, _, account, resource, ok := api.SplitARN(in.RoleArn)
	name, isRole := strings.CutPrefix(resource, "role/")
	if !ok || service != "iam" || !isRole {
		return nil, api.Errorf(api.Invalid, "%s is invalid", in.RoleArn)
	}
	name = name[strings.LastIndexByte(name, '/')+1:]
	life := seconds(api.Or(in.DurationSeconds, roleSeconds))
	spec := iam.SessionSpec{Name: in.RoleSessionName, Duration: life, Identity: api.Or(in.SourceIdentity, "")}
	if err := tag(ctx, &spec, in); err != nil {
		return nil, err
	}
	if in.SerialNumber != nil || in.TokenCode != nil {
		return nil, iam.Refuse(ctx, "sts:AssumeRole", in.RoleArn, api.Errorf(api.AccessDenied, wrongCode))
	}
	if in.Policy != nil {
		if len(*in.Policy) > mostTokenPolicies {
			return nil, sts.ErrPackedPolicyTooLargeException("Packed size of session policies is over the limit of %d characters", mostTokenPolicies)
		}
		if err := parseSession(*in.Policy); err != nil {
			return nil, err
		}
		spec.Policies = append(spec.Policies, *in.Policy)
	}
	for _, p := range in.PolicyArns {
		spec.Managed = append(spec.Managed, api.Or(p.Arn, ""))
	}
	var role *iam.Role
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		if role, ok, err = iam.FindRole(ctx, tx, account, name); err != nil {
			return err
		}
		ok = ok && role.ARN == in.RoleArn // the path is part of the name
		if err := allow(ctx, in, role, ok, account); err != nil {
			return err
		}
		for _, arn := range spec.Managed {
			if err := iam.CheckManaged(ctx, tx, account, arn); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if life > role.MaxSession {
		return nil, api.Errorf(api.Invalid, "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	if p, ok := api.CallFrom(ctx).Principal.(*iam.Principal); ok && p.Temporary() && life > mostChainLife {
		return nil, api.Errorf(api.Invalid, "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining")
	}
	session, err := s.iam.NewSession(role, spec)
	if err != nil {
		return nil, err
	}
	return &sts.AssumeRoleOutput{
		Credentials: credentials(session),
		AssumedRoleUser: &sts.AssumedRoleUser{
			Arn: api.ARN("sts", "", account, "assumed-role/"+role.Name+"/"+in.RoleSessionName), AssumedRoleId: role.ID + ":" + in.RoleSessionName,
		},
		SourceIdentity: api.Given(spec.Identity),
	}, nil
}

// tag gives a session its tags: those of the request, and the transitive ones of the calling session.
// source: userguide, "Pass session tags in AWS STS"; the words are aws
func tag(ctx context.Context, spec *iam.SessionSpec, in *sts.AssumeRoleInput) error {
	spec.Tags, spec.Lasting = map[string]string{}, in.TransitiveTagKeys
	folded := map[string]bool{}
	for _, t := range in.Tags {
		if folded[strings.ToLower(t.Key)] {
			return refuse("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		folded[strings.ToLower(t.Key)], spec.Tags[t.Key] = true, t.Value
	}
	for _, name := range in.TransitiveTagKeys {
		if _, ok := spec.Tags[name]; !ok {
			return refuse("The specified transitive tag key must be included in the requested tags.")
		}
	}
	p, ok := api.CallFrom(ctx).Principal.(*iam.Principal)
	if !ok {
		return nil
	}
	for name, value := range p.Lasting() {
		if folded[strings.ToLower(name)] {
			return refuse("One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")
		}
		spec.Tags[name], spec.Lasting = value, append(spec.Lasting, name)
	}
	if given := p.SourceIdentity(); given != "" && spec.Identity != "" && spec.Identity != given {
		return iam.Refuse(ctx, "sts:SetSourceIdentity", in.RoleArn, api.Errorf(api.AccessDenied, // source: guess
			"User: %s is not authorized to perform: sts:SetSourceIdentity on resource: %s because its source identity is set already", p.ARN(), in.RoleArn))
	} else if given != "" {
		spec.Identity = given
	}
	return nil
}

// refuse is the error for wrong tags. source: aws
func refuse(text string) error { return api.NewError("InvalidParameterValue", 400, false, text, nil) }

// parseSession refuses a session policy that is none.
func parseSession(text string) error {
	_, err := policy.Parse([]byte(text), policy.Session)
	if e, ok := errors.AsType[*policy.SyntaxError](err); ok {
		return sts.ErrMalformedPolicyDocumentException("%s", e.Message)
	}
	return err
}

// allow asks the caller's policies and the role's trust policy.
func allow(ctx context.Context, in *sts.AssumeRoleInput, role *iam.Role, exists bool, account string) error {
	arn, trust := in.RoleArn, []byte(nobody)
	if exists {
		arn, trust = role.ARN, []byte(role.Trust)
	}
	trusted, err := policy.Parse(trust, policy.Trust)
	if err != nil {
		return err
	}
	about := []iam.About{iam.ResourcePolicy(arn, trusted), iam.Owner(account), iam.Key("sts:rolesessionname", in.RoleSessionName)}
	if in.ExternalId != nil {
		about = append(about, iam.Key("sts:externalid", *in.ExternalId))
	}
	tags := map[string]string{}
	for _, t := range in.Tags {
		tags[t.Key] = t.Value
	}
	about = append(about, iam.RequestTags(tags))
	actions := []string{"sts:AssumeRole"}
	if len(tags) > 0 {
		actions = append(actions, "sts:TagSession")
	}
	if in.SourceIdentity != nil {
		about = append(about, iam.Key("sts:sourceidentity", *in.SourceIdentity))
		actions = append(actions, "sts:SetSourceIdentity")
	}
	if !exists { // the caller is told what a policy would say; the audit trail, what is so
		_, message := iam.Allowed(ctx, "sts:AssumeRole", arn, about...)
		api.CallFrom(ctx).Decide(api.Decision{Action: "sts:AssumeRole", Resource: arn, Reason: "There is no such role"})
		return api.Errorf(api.AccessDenied, "%s", message)
	}
	for _, action := range actions {
		if err := iam.Allow(ctx, action, arn, about...); err != nil {
			return err
		}
	}
	return nil
}

// nobody is the trust policy of a role that is not there: it trusts nobody, so that the answer is the
// same as for a role that is.
const nobody = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"nobody.invalid"},"Action":"sts:AssumeRole"}]}`
