// Package sts is AWS Security Token Service: who am I, and credentials for a while. It keeps
// nothing: a session is sealed in its token. It uses iam.
package sts

import (
	"time"

	api "github.com/vennel/vennel/api/sts"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// STS is the service.
type STS struct {
	unclaimed
	db  *store.DB
	iam *iam.IAM
}

// unclaimed holds the operations that are not built.
type unclaimed struct{ api.Unimplemented }

var _ api.Server = (*STS)(nil)

// New gives the service.
func New(db *store.DB, identity *iam.IAM) *STS { return &STS{db: db, iam: identity} }

// credentials writes a session's credentials as answers have them.
func credentials(c *iam.Credentials) *api.Credentials {
	return &api.Credentials{
		AccessKeyId: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken, Expiration: c.Expiration,
	}
}

// wrongCode is the answer to the code of a device, since nobody has one here. source: aws
const wrongCode = "MultiFactorAuthentication failed with invalid MFA one time pass code."

// seconds turns a duration of the API into ours.
func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }
