package metadata

import (
	"sync"
	"time"

	"github.com/vennel/vennel/service/iam"
)

// renewal is how long credentials are told before there are new ones. They live for six hours, so that whoever keeps them has the time to come
// again. source: aws
const renewal = time.Hour

// mostIssued bounds the credentials that are kept.
const mostIssued = 1 << 14

// credential is what credentials are told for.
type credential struct {
	instance, role, delivery string // role is an id; "" is the identity role
}

// issued are the credentials that were made and are told until their renewal.
type issued struct {
	mu   sync.Mutex
	kept map[credential]kept // guarded by mu
}

// kept are credentials with the time of their making.
type kept struct {
	*iam.Credentials
	made time.Time
}

// newIssued keeps nothing yet.
func newIssued() *issued { return &issued{kept: map[credential]kept{}} }

// get gives what is kept, or keeps what make makes. What it makes is nil where there is nothing.
func (i *issued) get(of credential, make func() (*iam.Credentials, error)) (kept, error) {
	now := time.Now()
	i.mu.Lock()
	k, ok := i.kept[of]
	i.mu.Unlock()
	if ok && now.Before(k.made.Add(min(renewal, k.Expiration.Sub(k.made)/2))) {
		return k, nil
	}
	c, err := make()
	if err != nil || c == nil {
		return kept{}, err
	}
	k = kept{c, now}
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.kept) >= mostIssued {
		clear(i.kept)
	}
	i.kept[of] = k
	return k, nil
}

// tell writes credentials as they are told. source: userguide, "Retrieve security credentials from instance metadata"
func (k *kept) tell() ([]byte, error) {
	return document(
		member{"Code", "Success"}, member{"LastUpdated", stamp(k.made)}, member{"Type", "AWS-HMAC"}, member{"AccessKeyId", k.AccessKeyID},
		member{"SecretAccessKey", k.SecretAccessKey}, member{"Token", k.SessionToken}, member{"Expiration", stamp(k.Expiration)},
	)
}

// fail writes why there are no credentials. source: aws
func fail(code, message string) ([]byte, error) {
	return document(
		member{"Code", code},
		member{"Message", message + " Please see documentation at http://docs.amazonwebservices.com/IAM/latest/UserGuide/RolesTroubleshooting.html."},
		member{"LastUpdated", stamp(time.Now())},
	)
}

// profile reads the instance's profile as it is now; nil when it is gone. One that was made later under its name is another.
func (rq *request) profile() (*iam.Profile, error) {
	n := rq.instance
	p, ok, err := rq.Issuer.InstanceProfile(rq.ctx, n.Profile)
	if err != nil || !ok || n.ProfileID != "" && p.ID != n.ProfileID {
		return nil, err
	}
	return p, nil
}

// profileInfo tells of the instance profile.
func (rq *request) profileInfo() ([]byte, error) {
	p, err := rq.profile()
	if err != nil {
		return nil, err
	}
	if p == nil {
		return fail("InstanceProfileNotFound", "Instance Profile cannot be found.")
	}
	return document(
		member{"Code", "Success"}, member{"LastUpdated", stamp(time.Now())}, member{"InstanceProfileArn", p.ARN}, member{"InstanceProfileId", p.ID},
	)
}

// roles is the folder of the role in the instance profile; there is none without a role.
func (rq *request) roles() (tree, error) {
	p, err := rq.profile()
	if err != nil || p == nil || p.Role == nil {
		return nil, err
	}
	return tree{p.Role.Name: page(func() ([]byte, error) { return rq.roleCredentials(p.Role) })}, nil
}

// roleCredentials tells the credentials of a role, or that EC2 cannot assume it.
func (rq *request) roleCredentials(role *iam.Role) ([]byte, error) {
	k, err := rq.issued.get(credential{rq.instance.ID, role.ID, rq.delivery}, func() (*iam.Credentials, error) {
		c, why, err := rq.Issuer.InstanceCredentials(rq.instance.identity(rq.delivery), role)
		if why != "" {
			rq.Log.Warn("an instance cannot have the credentials of its role", "instance", rq.instance.ID, "role", role.ARN, "reason", why)
		}
		return c, err
	})
	if err != nil {
		return nil, err
	}
	if k.Credentials == nil {
		return fail("AssumeRoleUnauthorizedAccess", "EC2 cannot assume the role "+role.Name+".")
	}
	return k.tell()
}

// identityInfo tells of the identity role.
func (rq *request) identityInfo() ([]byte, error) {
	return document(member{"Code", "Success"}, member{"LastUpdated", stamp(time.Now())}, member{"AccountId", rq.instance.Account})
}

// identityCredentials tells the credentials of the identity role.
func (rq *request) identityCredentials() ([]byte, error) {
	k, err := rq.issued.get(credential{rq.instance.ID, "", rq.delivery}, func() (*iam.Credentials, error) {
		return rq.Issuer.IdentityCredentials(rq.instance.identity(rq.delivery))
	})
	if err != nil {
		return nil, err
	}
	return k.tell()
}
