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
	tags := map[string]string{}
	for _, t := range in.Tags {
		tags[t.Key] = t.Value
	}
	spec := iam.SessionSpec{Name: in.RoleSessionName, Tags: tags, Duration: life}
	if in.Policy != nil {
		if len(*in.Policy) > mostTokenPolicies {
			return nil, sts.ErrPackedPolicyTooLargeException("Packed size of session policies is over the limit of %d characters", mostTokenPolicies)
		}
		if err := parseSession(*in.Policy); err != nil {
			return nil, err
		}
		spec.Policies = append(spec.Policies, *in.Policy)
	}
	var role *iam.Role
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		if role, ok, err = iam.FindRole(ctx, tx, account, name); err != nil {
			return err
		}
		if err := allow(ctx, in, role, ok, account); err != nil {
			return err
		}
		spec.Policies = spec.Policies[:min(len(spec.Policies), 1)]
		for _, p := range in.PolicyArns {
			text, err := iam.PolicyText(ctx, tx, account, api.Or(p.Arn, ""))
			if err != nil {
				return err
			}
			spec.Policies = append(spec.Policies, text)
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
	}, nil
}

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
