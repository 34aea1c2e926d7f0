package wire

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/netip"
	"time"

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

// verify finds out who makes a request, and refuses it when the signature does not prove it. Only
// the operations that the model says so of may come unsigned, or signed by a node's own key.
func (m *Mux) verify(ctx context.Context, rq *request, op *operation, sig *sigv4.Signature) error {
	auth := ""
	if op != nil {
		auth = op.model.AuthType
	}
	if sig == nil {
		rq.call.Principal = Anonymous{}
		if auth == "none" || auth == "optional" || rq.call.Service == "s3" {
			return nil
		}
		return signatureError(rq.call.Service, sigv4.NotSigned())
	}
	key, principal, err := m.Credentials.Lookup(ctx, sig.KeyID, sig.SessionToken)
	if err != nil {
		return lookupError(rq.call.Service, sig, err)
	}
	if key.Public != nil && auth != "node" {
		return signatureError(rq.call.Service, sig.UnknownKey())
	}
	sum := sigv4.Hash(sha256.Sum256(rq.body))
	err = sig.Verify(rq.Request, &sum, key, time.Now(), sigv4.Options{Region: rq.call.Region, Service: rq.call.Service, Keys: m.keys})
	if err != nil {
		return signatureError(rq.call.Service, err)
	}
	rq.call.Principal, rq.call.Account = principal, principal.AccountID()
	return nil
}

// lookupError puts an unknown or expired key into the words of the signature's service.
func lookupError(service string, sig *sigv4.Signature, err error) error {
	e, ok := errors.AsType[*api.Error](err)
	switch {
	case ok && e.Message != "":
		return err
	case ok && e.Reason == api.BadToken:
		return signatureError(service, sig.UnknownKey())
	case ok && e.Reason == api.ExpiredToken:
		return signatureError(service, sig.ExpiredToken())
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

// s3Codes are S3's own codes where it tells more apart than the others do.
var s3Codes = map[sigv4.Reason]string{
	sigv4.Ambiguous:       "InvalidArgument",
	sigv4.Unsupported:     "InvalidRequest",
	sigv4.PayloadMismatch: "XAmzContentSHA256Mismatch",
	sigv4.BadPayload:      "InvalidRequest",
	sigv4.MissingLength:   "MissingContentLength",
	sigv4.IncompleteBody:  "IncompleteBody",
	sigv4.BadChunkSize:    "InvalidChunkSizeError",
	sigv4.BadTrailer:      "MalformedTrailerError",
	sigv4.BadDigest:       "BadDigest",
}

// signatureError turns a refusal of sigv4 into an error of ours.
func signatureError(service string, err error) error {
	e, ok := errors.AsType[*sigv4.Error](err)
	if !ok {
		return err
	}
	out := &api.Error{Reason: reasons[e.Reason], Message: e.Message}
	if service == "s3" {
		out.Code = s3Codes[e.Reason]
		switch {
		case e.Presigned && out.Reason == api.RequestExpired:
			out.Reason = api.AccessDenied
		case e.Presigned && out.Reason == api.IncompleteSignature:
			out.Code = "AuthorizationQueryParametersError"
		}
	}
	for _, f := range e.Fields {
		out = out.With(f.Name, f.Value)
	}
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
