package iam

import (
	"strings"

	vocabulary "github.com/vennel/vennel/api/iam"
)

// The kinds of entity, as rows and ARNs name them.
const (
	kindUser    = "user"
	kindGroup   = "group"
	kindRole    = "role"
	kindPolicy  = "policy"
	kindProfile = "instance-profile"
)

// kind is what the kinds of entity differ in.
type kind struct {
	prefix   string // of unique ids. source: userguide, "IAM identifiers"
	quota    int64  // of an account. source: userguide, "IAM and AWS STS quotas"
	quotaOf  string // what AWS calls that quota
	label    string // in "… with name X already exists."
	existing string // the form of EntityAlreadyExists. source: aws
	missing  string // the form of NoSuchEntity. source: aws
	resource string // the form of a resource in AccessDenied. source: aws
	inline   int    // the size of all inline policies, white space not counted. source: userguide, quotas
	members  string // what must be removed before one that is a container or member is deleted. source: aws
}

// kinds by name.
var kinds = map[string]kind{
	kindUser: {
		prefix: "AIDA", quota: 5000, quotaOf: "Users", label: "User", existing: "User with name %s already exists.",
		missing: "The user with name %s cannot be found.", resource: "user %s", inline: 2048, members: "users from group",
	},
	kindGroup: {
		prefix: "AGPA", quota: 300, quotaOf: "Groups", label: "Group", existing: "Group with name %s already exists.",
		missing: "The group with name %s cannot be found.", resource: "group %s", inline: 5120, members: "users from group",
	},
	kindRole: {
		prefix: "AROA", quota: 1000, quotaOf: "Roles", label: "Role", existing: "Role with name %s already exists.",
		missing: "The role with name %s cannot be found.", resource: "role %s", inline: 10240, members: "roles from instance profile",
	},
	kindPolicy: {
		prefix: "ANPA", quota: 1500, quotaOf: "Policies", label: "Policy",
		existing: "A policy called %s already exists. Duplicate names are not allowed.",
		missing:  "Policy %s was not found.", resource: "policy %s",
	},
	kindProfile: {
		prefix: "AIPA", quota: 1000, quotaOf: "InstanceProfiles", label: "InstanceProfile", existing: "Instance Profile %s already exists.",
		missing: "Instance Profile %s cannot be found.", resource: "instance profile %s", members: "roles from instance profile",
	},
}

// Prefixes of the ids of access keys. source: userguide, "IAM identifiers"
const (
	prefixKey       = "AKIA"
	prefixTemporary = "ASIA"
)

// exists is the error for a name that is taken.
func exists(kind, name string) error {
	return vocabulary.ErrEntityAlreadyExistsException(kinds[kind].existing, name)
}

// missing is the error for a name that nothing has.
func missing(kind, name string) error {
	return vocabulary.ErrNoSuchEntityException(kinds[kind].missing, name)
}

// exceeds is the error for a quota that is used up. source: aws
func exceeds(quota string, most int64) error {
	return vocabulary.ErrLimitExceededException("Cannot exceed quota for %s: %d", quota, most)
}

// conflict is the error for an entity that cannot be deleted yet.
func conflict(format string, args ...any) error {
	return vocabulary.ErrDeleteConflictException(format, args...)
}

// key is the form of a name under which it is unique.
func key(name string) string { return strings.ToLower(name) }
