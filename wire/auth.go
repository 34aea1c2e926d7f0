package wire

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/netip"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/wire/sigv4"
)

// Anonymous is the principal of an unsigned request.
type Anonymous struct{}

// ARN is empty: nobody has none.
func (Anonymous) ARN() string { return "" }

// AccountID is empty.
func (Anonymous) AccountID() string { return "" }

// UserID is empty.
func (Anonymous) UserID() string { return "" }

// KeyID is empty.
func (Anonymous) KeyID() string { return "" }

// Type is the audit trail's word.
func (Anonymous) Type() string { return "Anonymous" }

// unverified is the principal of a signed request until its signature has been verified: nobody but
// a key that somebody says to hold.
type unverified struct {
	Anonymous
	key string
}

// KeyID is the key that the request names.
func (u unverified) KeyID() string { return u.key }

// Type is the audit trail's word.
func (unverified) Type() string { return "Unknown" }

// The values of an operation's authtype that make it more than signed by a user or a session.
const (
	authNone     = "none"     // unsigned
	authOptional = "optional" // unsigned or signed
	authNode     = "node"     // signed, also with a node's own key
)

// verify finds out who makes a request, and refuses it when the signature does not prove it. Only
// the operations that the model says so of may come unsigned, or signed by a node's own key; and
// those of S3, where a bucket's policy may let anybody in.
func (m *Mux) verify(ctx context.Context, rq *request) error {
	auth := rq.op.model.AuthType
	if rq.sig == nil {
		if auth == authNone || auth == authOptional || rq.svc.Name == "s3" {
			return nil
		}
		return sigv4.NotSigned()
	}
	rq.call.Principal = unverified{key: rq.sig.KeyID}
	key, principal, err := m.Credentials.Lookup(ctx, rq.sig.KeyID, rq.sig.SessionToken)
	if err != nil {
		return lookupError(rq.sig, err)
	}
	if key.Public != nil && auth != authNode {
		return rq.sig.UnknownKey()
	}
	var sum *sigv4.Hash
	if rq.svc.Name != "s3" { // whose body is checked as it is read
		sum = new(sha256.Sum256(rq.body))
	}
	err = rq.sig.Verify(rq.Request, sum, key, rq.call.Time, sigv4.Options{Region: rq.call.Region, Service: rq.svc.Name, Keys: m.keys})
	if err != nil {
		return err
	}
	rq.call.Principal, rq.call.Account = principal, principal.AccountID()
	if auth == authNode {
		rq.call.Countersigned = func(key *rsa.PublicKey) error { return rq.sig.VerifyAsymmetricKey(rq.Request, key) }
	}
	return nil
}

// lookupError puts an unknown or expired key into the words of the signature's service.
func lookupError(sig *sigv4.Signature, err error) error {
	e, ok := errors.AsType[*api.Error](err)
	switch {
	case ok && e.Message != "":
	case ok && e.Reason == api.BadToken:
		return sig.UnknownKey()
	case ok && e.Reason == api.ExpiredToken:
		return sig.ExpiredToken()
	}
	return err
}

// reasons maps the refusals of sigv4 to the errors that all services share.
var reasons = map[sigv4.Reason]api.Reason{
	sigv4.Unsigned:         api.MissingToken,
	sigv4.Incomplete:       api.IncompleteSignature,
	sigv4.Ambiguous:        api.BadSignature,
	sigv4.Unsupported:      api.IncompleteSignature,
	sigv4.BadDate:          api.IncompleteSignature,
	sigv4.Skewed:           api.RequestExpired,
	sigv4.Expired:          api.RequestExpired,
	sigv4.BadScope:         api.BadSignature,
	sigv4.HeadersNotSigned: api.BadSignature,
	sigv4.UnknownKey:       api.BadToken,
	sigv4.Mismatch:         api.BadSignature,
	sigv4.InvalidToken:     api.BadToken,
	sigv4.ExpiredToken:     api.ExpiredToken,
	sigv4.PayloadMismatch:  api.BadSignature,
	sigv4.BadPayload:       api.BadSignature,
}

// s3Refusal is a code of S3's own, where it tells more apart than the others do.
type s3Refusal struct {
	code   string
	status int
}

// The codes of S3 that depend on where the signature is.
var (
	malformedHeader = s3Refusal{"AuthorizationHeaderMalformed", http.StatusBadRequest}
	malformedQuery  = s3Refusal{"AuthorizationQueryParametersError", http.StatusBadRequest}
	accessDenied    = s3Refusal{"AccessDenied", http.StatusForbidden}
)

// s3Refusals are S3's codes for a signature in the header. source: sigv4's table of reasons
var s3Refusals = map[sigv4.Reason]s3Refusal{
	sigv4.Incomplete:       malformedHeader,
	sigv4.Ambiguous:        {"InvalidArgument", http.StatusBadRequest},
	sigv4.Unsupported:      {"InvalidRequest", http.StatusBadRequest},
	sigv4.BadDate:          accessDenied,
	sigv4.BadScope:         malformedHeader,
	sigv4.HeadersNotSigned: accessDenied,
	sigv4.InvalidToken:     {"InvalidToken", http.StatusBadRequest},
	sigv4.PayloadMismatch:  {"XAmzContentSHA256Mismatch", http.StatusBadRequest},
	sigv4.BadPayload:       {"InvalidRequest", http.StatusBadRequest},
	sigv4.MissingLength:    {"MissingContentLength", http.StatusLengthRequired},
	sigv4.IncompleteBody:   {"IncompleteBody", http.StatusBadRequest},
	sigv4.BadChunkSize:     {"InvalidChunkSizeError", http.StatusBadRequest},
	sigv4.BadTrailer:       {"MalformedTrailerError", http.StatusBadRequest},
	sigv4.BadDigest:        {"BadDigest", http.StatusBadRequest},
}

// s3Presigned are S3's codes for a signature in the query, where they are others.
var s3Presigned = map[sigv4.Reason]s3Refusal{
	sigv4.Incomplete: malformedQuery,
	sigv4.BadDate:    malformedQuery,
	sigv4.BadScope:   malformedQuery,
	sigv4.Skewed:     accessDenied,
	sigv4.Expired:    accessDenied,
}

// signatureError turns a refusal of sigv4 into an error of ours.
func (s *service) signatureError(e *sigv4.Error) *api.Error {
	out := &api.Error{Reason: reasons[e.Reason], Message: e.Message}
	for _, f := range e.Fields {
		out = out.With(f.Name, f.Value)
	}
	if s.Name != "s3" {
		return out
	}
	refusal, ok := s3Presigned[e.Reason]
	if !ok || !e.Presigned {
		refusal = s3Refusals[e.Reason]
	}
	out.Code, out.Status = refusal.code, refusal.status
	return out
}

// addrOf is the address of a peer.
func addrOf(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}
