package policy

import (
	"slices"
	"strings"
)

// PrincipalType says what made a request.
type PrincipalType uint8

// The types of principal. The zero type is the weakest.
const (
	// Anonymous made an unsigned request: only resource and endpoint policies see it, and only by "*".
	Anonymous PrincipalType = iota
	// User is an IAM user.
	User
	// AssumedRole is a session of a role; instance profiles are such sessions.
	AssumedRole
	// FederatedUser is a session of GetFederationToken.
	FederatedUser
	// Root is the root user of an account: identity policies do not bind it.
	Root
	// Service is an AWS service that acts for itself.
	Service
	// Federated is a user known only to an identity provider, asking to assume a role.
	Federated
	// Node is a managed node that proves itself with its own key or activation in one of the unsigned calls of
	// Systems Manager: nothing needs to grant it, but service control and endpoint policies apply, with no principal.
	Node
)

// Principal is who made a request.
type Principal struct {
	Type PrincipalType
	// ARN is the user's, session's, federated user's or root's ARN.
	ARN string
	// RoleARN is, for an assumed role, the ARN of the role with its path; for a federated user, the ARN of the user.
	RoleARN string
	// Account is the id of the principal's account.
	Account string
	// ID is the unique id: AIDA… for a user, AROA…:session for a role session.
	ID string
	// Names are a service's principal names, or the provider of a federated principal.
	Names []string
	// CanonicalUser is the account's canonical user id, which only S3 knows.
	CanonicalUser string
}

// String is how AccessDenied messages name the principal.
func (p *Principal) String() string {
	switch {
	case p.ARN != "":
		return p.ARN
	case len(p.Names) > 0:
		return p.Names[0]
	}
	return "anonymous"
}

// strength is how directly a resource policy names a principal; it decides which other policies still matter.
type strength uint8

// The strengths, weakest first.
const (
	notNamed     strength = iota
	namesAccount          // the account: it delegates to the account's identity policies
	namesRole             // the role of the session: boundaries and session policies still limit
	namesDirect           // the very user or session, or everyone: implicit denies no longer matter in one account
)

// principals is a compiled Principal or NotPrincipal element.
type principals struct {
	everyone  bool
	accounts  []string
	arns      []string
	ids       []string // unique ids, left behind by deleted users and roles
	services  []string
	providers []string
	canonical []string
}

// match is how strongly the element names the principal. Gateway endpoints know only everyone and, under the name of the
// account, its root user (userguide: privatelink, "Principals for gateway endpoints").
func (e *principals) match(p *Principal, gateway bool) strength {
	if e.everyone {
		return namesDirect
	}
	account := has(e.accounts, p.Account) || has(e.canonical, p.CanonicalUser)
	if p.Type == Root && account {
		return namesDirect
	}
	if gateway {
		return notNamed
	}
	switch p.Type {
	case Service:
		for _, n := range p.Names {
			if has(e.services, n) {
				return namesDirect
			}
		}
	case Federated:
		for _, n := range p.Names {
			if has(e.providers, n) {
				return namesDirect
			}
		}
	case User, AssumedRole, FederatedUser:
		unique, _, _ := strings.Cut(p.ID, ":")
		switch {
		case has(e.arns, p.ARN), p.Type == User && has(e.ids, unique):
			return namesDirect
		case has(e.arns, p.RoleARN), has(e.ids, unique):
			return namesRole
		case account:
			return namesAccount
		}
	}
	return notNamed
}

// exempts tells whether a NotPrincipal element spares the principal: it must list every level of it, the account, the
// role and the session (userguide: NotPrincipal, "you must also specify the account ARN", "include both the ARN for a
// role and the ARN for the account").
func (e *principals) exempts(p *Principal) bool {
	if e.everyone {
		return true
	}
	unique, _, _ := strings.Cut(p.ID, ":")
	account := has(e.accounts, p.Account)
	switch p.Type {
	case Root:
		return account
	case User:
		return account && (has(e.arns, p.ARN) || has(e.ids, unique))
	case AssumedRole:
		return account && has(e.arns, p.ARN) && (has(e.arns, p.RoleARN) || has(e.ids, unique))
	case FederatedUser:
		return account && has(e.arns, p.ARN)
	case Service, Federated:
		return e.match(p, false) != notNamed
	}
	return false
}

// has tells whether a list holds a value; no list holds the empty one.
func has(list []string, value string) bool {
	return value != "" && slices.Contains(list, value)
}

// addAWS reads one value under "AWS": everyone, an account, the ARN of an account, user, role or session, or the unique
// id that AWS leaves when that was deleted. Wildcards match no part of a name (userguide: Principal).
func (e *principals) addAWS(v string) bool {
	if v == "*" {
		e.everyone = true
		return true
	}
	if isAccount(v) {
		e.accounts = append(e.accounts, v)
		return true
	}
	if strings.ContainsAny(v, "*?") {
		return false
	}
	if f := strings.SplitN(v, ":", 6); len(f) == 6 && f[0] == "arn" && (f[2] == "iam" || f[2] == "sts") && f[4] != "" && f[5] != "" {
		if f[2] == "iam" && f[5] == "root" {
			e.accounts = append(e.accounts, f[4])
			return isAccount(f[4])
		}
		e.arns = append(e.arns, v)
		return strings.Contains(f[5], "/")
	}
	if isUniqueID(v) {
		e.ids = append(e.ids, v)
		return true
	}
	return false
}

// isAccount tells whether s is an account id.
func isAccount(s string) bool {
	if len(s) != 12 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// isUniqueID tells whether s looks like the unique id of a user or role.
func isUniqueID(s string) bool {
	if len(s) < 16 || len(s) > 128 || s[0] != 'A' {
		return false
	}
	for i := 0; i < len(s); i++ {
		if (s[i] < 'A' || s[i] > 'Z') && (s[i] < '0' || s[i] > '9') {
			return false
		}
	}
	return true
}
