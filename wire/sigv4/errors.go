package sigv4

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Reason says why a request was refused, for the caller's protocol to choose a code by. The comments give the codes of
// AWS's JSON services, then of its query services, then S3's; "=" repeats the code before it.
type Reason string

// The reasons. EC2 answers Unsigned, UnknownKey, InvalidToken and Mismatch with AuthFailure, Skewed and Expired with
// RequestExpired.
const (
	Unsigned         Reason = "unsigned"           // MissingAuthenticationTokenException, MissingAuthenticationToken, AccessDenied
	Incomplete       Reason = "incomplete"         // IncompleteSignatureException, IncompleteSignature, AuthorizationHeaderMalformed or (presigned) AuthorizationQueryParametersError
	Ambiguous        Reason = "ambiguous"          // InvalidSignatureException, SignatureDoesNotMatch, InvalidArgument
	Unsupported      Reason = "unsupported"        // IncompleteSignatureException, IncompleteSignature, InvalidRequest
	BadDate          Reason = "bad date"           // IncompleteSignatureException, IncompleteSignature, AccessDenied or (presigned) AuthorizationQueryParametersError
	Skewed           Reason = "skewed"             // InvalidSignatureException, SignatureDoesNotMatch, RequestTimeTooSkewed or (presigned) AccessDenied
	Expired          Reason = "expired"            // InvalidSignatureException, SignatureDoesNotMatch, AccessDenied
	BadScope         Reason = "bad scope"          // InvalidSignatureException, SignatureDoesNotMatch, as Incomplete
	HeadersNotSigned Reason = "headers not signed" // InvalidSignatureException, SignatureDoesNotMatch, AccessDenied
	UnknownKey       Reason = "unknown key"        // UnrecognizedClientException, InvalidClientTokenId, InvalidAccessKeyId
	Mismatch         Reason = "mismatch"           // InvalidSignatureException, SignatureDoesNotMatch, =
	InvalidToken     Reason = "invalid token"      // UnrecognizedClientException, InvalidClientTokenId, InvalidToken
	ExpiredToken     Reason = "expired token"      // ExpiredTokenException, ExpiredToken, =
	PayloadMismatch  Reason = "payload mismatch"   // InvalidSignatureException, SignatureDoesNotMatch, XAmzContentSHA256Mismatch
	BadPayload       Reason = "bad payload"        // InvalidSignatureException, SignatureDoesNotMatch, InvalidRequest
	MissingLength    Reason = "missing length"     // S3 only: MissingContentLength
	IncompleteBody   Reason = "incomplete body"    // S3 only: IncompleteBody
	BadChunkSize     Reason = "bad chunk size"     // S3 only: InvalidChunkSizeError
	BadTrailer       Reason = "bad trailer"        // S3 only: MalformedTrailerError
	BadDigest        Reason = "bad digest"         // S3 only: BadDigest
)

// Error is a refused request. Its message is meant for the client and holds neither a secret nor a signature.
type Error struct {
	Reason    Reason
	Message   string
	Presigned bool    // whether the signature came in the query
	Fields    []Field // further elements of S3's error document, in order
}

// Field is one further element of S3's error document.
type Field struct{ Name, Value string }

// Error returns the reason and the sentence.
func (e *Error) Error() string { return "sigv4: " + string(e.Reason) + ": " + e.Message }

// NotSigned returns the refusal of a request without a signature where one is needed.
func NotSigned() *Error {
	return &Error{Reason: Unsigned, Message: "Missing Authentication Token"} // source: aws
}

// UnknownKey returns the refusal of a signature whose key id nobody knows.
func (s *Signature) UnknownKey() *Error {
	if s.s3 {
		return s.refuse(UnknownKey, "The AWS Access Key Id you provided does not exist in our records.") // source: aws
	}
	return s.refuse(UnknownKey, "The security token included in the request is invalid.") // source: aws
}

// ExpiredToken returns the refusal of a signature whose temporary key has expired.
func (s *Signature) ExpiredToken() *Error {
	if s.s3 {
		return s.refuse(ExpiredToken, "The provided token has expired.") // source: aws
	}
	return s.refuse(ExpiredToken, "The security token included in the request is expired") // source: aws
}

// invalidToken returns the refusal of a session token that is not the key's.
func (s *Signature) invalidToken() *Error {
	if s.s3 {
		return s.refuse(InvalidToken, "The provided token is malformed or otherwise invalid.") // source: aws
	}
	return s.refuse(InvalidToken, "The security token included in the request is invalid") // source: aws, as seen at DynamoDB; this one has no full stop
}

// mismatch returns the refusal of a signature that is not the calculated one.
func (s *Signature) mismatch() *Error {
	const first = "The request signature we calculated does not match the signature you provided."
	if s.s3 {
		return s.refuse(Mismatch, first+" Check your key and signing method.") // source: aws
	}
	// source: aws
	return s.refuse(Mismatch, first+" Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
}

// refuse returns an error about this signature.
func (s *Signature) refuse(reason Reason, message string, fields ...Field) *Error {
	return &Error{Reason: reason, Message: message, Presigned: s.Presigned, Fields: fields}
}

// scopeSubject opens S3's sentences about a malformed credential scope. Source: aws.
func (s *Signature) scopeSubject() string {
	if s.Presigned {
		return "Error parsing the X-Amz-Credential parameter; "
	}
	return "The authorization header is malformed; "
}

// hashed returns a text as AWS shows an Authorization header that it cannot read: without its content.
func hashed(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// shown returns a text from a client as a message may repeat it: valid and short.
func shown(text string) string {
	const most = 100
	if len(text) > most {
		text = text[:most] + "..."
	}
	return strings.ToValidUTF8(text, "?")
}

// stamp writes a time as SigV4 does.
func stamp(t time.Time) string { return t.UTC().Format(stampLayout) }

// span writes a duration as AWS's sentences about time do: "5 min".
func span(d time.Duration) string {
	if d%time.Minute == 0 {
		return strconv.FormatInt(int64(d/time.Minute), 10) + " min"
	}
	return strconv.FormatInt(int64(d/time.Second), 10) + " sec"
}

// tooOld returns AWS's sentence about a signature made too long ago. Source: aws.
func tooOld(signed, now time.Time, most time.Duration) string {
	return fmt.Sprintf("Signature expired: %s is now earlier than %s (%s - %s.)", stamp(signed), stamp(now.Add(-most)), stamp(now), span(most))
}

// tooNew returns AWS's sentence about a signature from the future. Source: aws.
func tooNew(signed, now time.Time, most time.Duration) string {
	return fmt.Sprintf("Signature not yet current: %s is still later than %s (%s + %s.)", stamp(signed), stamp(now.Add(most)), stamp(now), span(most))
}
