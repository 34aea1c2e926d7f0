package iam

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base32"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/vennel/vennel/api"
	vocabulary "github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/service/iam/managed"
	"github.com/vennel/vennel/store"
)

// AWS's own policies belong to an account of that name.
const (
	awsAccount  = "aws"
	awsPolicies = "arn:aws:iam::aws:policy/"
)

// Quotas of managed policies. source: userguide, quotas
const (
	mostVersions = 5
	mostPolicy   = 6144 // characters, white space not counted
)

// policyOwner gives the account that a managed policy belongs to, or refuses what is no ARN of one.
func policyOwner(arn string) (string, error) {
	service, region, account, resource, ok := api.SplitARN(arn)
	if !ok || service != "iam" || region != "" || account == "" || !strings.HasPrefix(resource, "policy/") || strings.HasSuffix(resource, "/") {
		return "", api.Errorf(api.Invalid, "Invalid ARN:  Could not be parsed!") // source: aws
	}
	return account, nil
}

// splitPolicy gives the path and name in the ARN of a managed policy.
func splitPolicy(arn string) (path, name string) {
	_, _, _, resource, _ := api.SplitARN(arn)
	at := strings.LastIndexByte(resource, '/') + 1
	return strings.TrimPrefix(resource[:at], "policy"), resource[at:]
}

// findPolicy reads a managed policy by its ARN: one of the account, or one of AWS's.
func findPolicy(ctx context.Context, tx *store.Tx, account, arn string) (*entity, bool, error) {
	if p, ok := managed.Lookup(arn); ok {
		return awsPolicy(&p), true, nil
	}
	_, name := splitPolicy(arn)
	e, ok, err := row(rows.New(tx).GetEntity(ctx, rows.GetEntityParams{Account: account, Kind: kindPolicy, Key: key(name)}))
	if !ok || entityARN(e) != arn {
		return nil, false, err
	}
	return e, true, nil
}

// awsPolicy is one of AWS's policies as an entity. Its id is made from its ARN.
func awsPolicy(p *managed.Policy) *entity {
	sum := sha256.Sum256([]byte(p.ARN("aws")))
	version, _ := versionNumber(p.DefaultVersionID)
	return &entity{
		ID: kinds[kindPolicy].prefix + base32.StdEncoding.EncodeToString(sum[:])[:17], Account: awsAccount, Kind: kindPolicy, Key: key(p.Name),
		Name: p.Name, Path: p.Path, Created: p.CreateDate.UnixMilli(), Updated: p.UpdateDate.UnixMilli(), Version: version, Versions: version,
	}
}

// versionNumber reads a version's id, v1.
func versionNumber(id string) (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimPrefix(id, "v"), 10, 64)
	return n, err == nil
}

// versionID writes a version's id.
func versionID(n int64) string { return "v" + strconv.FormatInt(n, 10) }

// missingVersion is the error for a version, or its policy, that there is not. source: aws
func missingVersion(arn, version string) error {
	return vocabulary.ErrNoSuchEntityException("Policy %s version %s does not exist or is not attachable.", arn, version)
}

// version reads a version of a managed policy by its id, or refuses.
func version(ctx context.Context, tx *store.Tx, e *entity, id string) (*rows.IamPolicyVersion, error) {
	n, ok := versionNumber(id)
	if !ok {
		return nil, missingVersion(entityARN(e), id)
	}
	if e.Account == awsAccount {
		p, _ := managed.Lookup(entityARN(e))
		if n != e.Version {
			return nil, missingVersion(entityARN(e), id) // AWS's older versions are not shipped
		}
		return &rows.IamPolicyVersion{Policy: e.ID, Version: n, Document: string(p.Document), Created: e.Updated}, nil
	}
	v, err := rows.New(tx).GetPolicyVersion(ctx, rows.GetPolicyVersionParams{Policy: e.ID, Version: n})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, missingVersion(entityARN(e), id)
	}
	return &v, err
}

// document is the text of a managed policy's default version.
func document(ctx context.Context, tx *store.Tx, account, arn string) (string, error) {
	e, ok, err := findPolicy(ctx, tx, account, arn)
	if err != nil {
		return "", err
	}
	if !ok {
		return "", fmt.Errorf("iam: there is no policy %s", arn)
	}
	v, err := version(ctx, tx, e, versionID(e.Version))
	if err != nil {
		return "", err
	}
	return v.Document, nil
}

// CheckManaged refuses an ARN that no managed policy has that may limit a session of an account.
func CheckManaged(ctx context.Context, tx *store.Tx, account, arn string) error {
	_, ok, err := findPolicy(ctx, tx, account, arn)
	if err == nil && !ok {
		err = api.Errorf(api.Invalid, "The policy %s does not exist or is not attachable.", arn) // source: guess
	}
	return err
}

// withVersion is the error of an operation on a version of a managed policy: where there is no such
// policy, AWS answers that there is no such version. source: aws
func withVersion(err error, arn, id string) error {
	if e, ok := errors.AsType[*api.Error](err); ok && e.Code == "NoSuchEntity" {
		return missingVersion(arn, id)
	}
	return err
}

// usage counts what an account uses each managed policy for.
type usage struct{ attached, bounded map[string]int64 }

// usageOf reads an account's use of managed policies.
func usageOf(ctx context.Context, tx *store.Tx, account string) (usage, error) {
	u := usage{map[string]int64{}, map[string]int64{}}
	q := rows.New(tx)
	attached, err := q.CountAttachments(ctx, account)
	if err != nil {
		return u, err
	}
	for _, a := range attached {
		u.attached[a.Policy] = a.N
	}
	bounded, err := q.CountBoundaries(ctx, account)
	for _, b := range bounded {
		u.bounded[b.Boundary] = b.N
	}
	return u, err
}

// managedPolicy is a managed policy as all answers have it.
func managedPolicy(e *entity, u usage) *vocabulary.Policy {
	arn := entityARN(e)
	return &vocabulary.Policy{
		PolicyName: &e.Name, PolicyId: &e.ID, Arn: &arn, Path: &e.Path, DefaultVersionId: new(versionID(e.Version)), IsAttachable: new(true),
		AttachmentCount: new(u.attached[arn]), PermissionsBoundaryUsageCount: new(u.bounded[arn]), CreateDate: new(when(e.Created)),
		UpdateDate: new(when(e.Updated)),
	}
}

// policyVersion is a version as all answers but GetPolicyVersion's have it.
func policyVersion(e *entity, v *rows.IamPolicyVersion) *vocabulary.PolicyVersion {
	return &vocabulary.PolicyVersion{
		VersionId: new(versionID(v.Version)), IsDefaultVersion: new(v.Version == e.Version), CreateDate: new(when(v.Created)),
	}
}
