package sigv4

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Hash is the SHA-256 of a body.
type Hash = [sha256.Size]byte

// errNoHash reports a caller that verifies a request of another service than S3 before it has read the body.
var errNoHash = errors.New("sigv4: the hash of the body is needed to verify this request")

// Verify checks that the request was signed with the key, at about now, for the expected Region and service, and that the
// signature covers what it must. body is the hash of the request's body; it may be nil for an S3 request, whose body is then
// checked as it is read from [Signature.Body]. A refusal is an [*Error]; any other error is the caller's mistake.
func (s *Signature) Verify(r *http.Request, body *Hash, key Key, now time.Time, o Options) error {
	if err := s.checkTime(now, &o); err != nil {
		return err
	}
	if err := s.checkSignedHeaders(r, key, &o); err != nil {
		return err
	}
	if err := s.checkScope(&o); err != nil {
		return err
	}
	var payloadBuf [2 * sha256.Size]byte
	payload, err := s.appendPayload(payloadBuf[:0], body, &o)
	if err != nil {
		return err
	}
	var buf [2048]byte // most requests fit; append allocates for the others
	s.tokenAfter = o.TokenAfter
	canonical, err := s.appendCanonical(buf[:0], r, payload)
	if err != nil {
		return err
	}
	hash := sha256.Sum256(canonical)
	if key.Public != nil {
		err = s.verifyRSA(&hash, key)
	} else {
		err = s.verifyHMAC(&hash, key, o.Keys)
	}
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare([]byte(s.SessionToken), []byte(key.SessionToken)) != 1 {
		if s.SessionToken == "" {
			return s.UnknownKey() // as AWS says of a temporary key without its token
		}
		return s.invalidToken()
	}
	return s.checkPayload(body)
}

// verifyHMAC compares the signature with the one that a secret gives.
func (s *Signature) verifyHMAC(hash *Hash, key Key, cache *KeyCache) error {
	if key.Secret == "" {
		return s.UnknownKey()
	}
	name := keyName{key.Secret, s.Date, s.Region, s.Service}
	signing, cached := cache.get(name)
	signer := signing.signer()
	signer.text = s.appendStringToSign(signer.text, hash)
	same := subtle.ConstantTimeCompare(signer.sign(), []byte(s.Value)) == 1
	signing.done(signer)
	if !same {
		return s.mismatch()
	}
	if !cached {
		cache.put(name, signing)
	}
	s.verifiedBy = signing
	return nil
}

// checkTime refuses a signature that is too old, expired, or from the future.
func (s *Signature) checkTime(now time.Time, o *Options) error {
	skew := o.skew(s.s3)
	if s.Time.After(now.Add(skew)) {
		switch {
		case !s.s3:
			return s.refuse(Skewed, tooNew(s.Time, now, skew))
		case s.Presigned:
			return s.refuse(Skewed, "Request is not valid yet") // source: guess
		}
		return s.tooSkewed(now, skew)
	}
	if s.Expires != 0 {
		if now.After(s.Time.Add(s.Expires)) {
			if s.s3 { // source: aws
				return s.refuse(Expired, "Request has expired",
					Field{"X-Amz-Expires", strconv.Itoa(int(s.Expires / time.Second))},
					Field{"Expires", s.Time.Add(s.Expires).UTC().Format(time.RFC3339)},
					Field{"ServerTime", now.UTC().Format(time.RFC3339)})
			}
			return s.refuse(Expired, tooOld(s.Time, now, s.Expires))
		}
		return nil
	}
	if s.Time.Before(now.Add(-skew)) {
		if s.s3 {
			return s.tooSkewed(now, skew)
		}
		return s.refuse(Skewed, tooOld(s.Time, now, skew))
	}
	return nil
}

// tooSkewed is S3's refusal of a request whose clock is off. Source: aws.
func (s *Signature) tooSkewed(now time.Time, skew time.Duration) *Error {
	return s.refuse(Skewed, "The difference between the request time and the current time is too large.",
		Field{"RequestTime", s.stamp},
		Field{"ServerTime", now.UTC().Format(time.RFC3339)},
		Field{"MaxAllowedSkewMilliseconds", strconv.FormatInt(skew.Milliseconds(), 10)})
}

// checkSignedHeaders refuses a signature that leaves out the host or a header of AWS's.
func (s *Signature) checkSignedHeaders(r *http.Request, key Key, o *Options) error {
	if !s.signs("host") && !s.signs(":authority") {
		return s.refuse(HeadersNotSigned, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.") // source: aws
	}
	var missing []string
	for name := range r.Header {
		if !strings.HasPrefix(name, "X-Amz-") || s.signsCanonical(name) {
			continue
		}
		switch {
		case name == headerPayload && key.Public != nil: // the SSM Agent sends it beside its RSA signature
		case name == headerToken && o.TokenAfter:
		default:
			missing = append(missing, strings.ToLower(name))
		}
	}
	if missing == nil {
		return nil
	}
	slices.Sort(missing)
	if s.s3 { // source: aws
		return s.refuse(HeadersNotSigned, "There were headers present in the request which were not signed", Field{"HeadersNotSigned", strings.Join(missing, ", ")})
	}
	return s.refuse(HeadersNotSigned, "'"+shown(missing[0])+"' must be a 'SignedHeader' in the AWS Authorization.") // source: aws, as for Host
}

// signs tells whether a header is signed, by its lower-case name.
func (s *Signature) signs(name string) bool {
	_, found := slices.BinarySearch(s.SignedHeaders, name)
	return found
}

// signsCanonical is signs for a name as net/http spells it.
func (s *Signature) signsCanonical(name string) bool {
	_, found := slices.BinarySearchFunc(s.SignedHeaders, name, func(signed, name string) int {
		for i := range min(len(signed), len(name)) {
			c := name[i]
			if c >= 'A' && c <= 'Z' {
				c += 'a' - 'A'
			}
			if signed[i] != c {
				return int(signed[i]) - int(c)
			}
		}
		return len(signed) - len(name)
	})
	return found
}

// checkScope refuses a credential scope that names another Region, service, terminator or date. Source of the sentences: aws.
func (s *Signature) checkScope(o *Options) error {
	date := s.stamp[:len(dateLayout)]
	region := o.Region != "" && s.Region != o.Region
	service := o.Service != "" && s.Service != o.Service
	if !region && !service && s.terminator == terminator && s.Date == date {
		return nil
	}
	if isS3(o.Service) || o.Service == "" && s.s3 {
		switch {
		case s.Date != date:
			return s.refuse(BadScope, `Invalid credential date "`+shown(s.Date)+`". This date is not the same as X-Amz-Date: "`+date+`".`)
		case region:
			return s.refuse(BadScope, s.scopeSubject()+"the region '"+shown(s.Region)+"' is wrong; expecting '"+o.Region+"'", Field{"Region", o.Region})
		case service:
			return s.refuse(BadScope, s.scopeSubject()+`incorrect service "`+shown(s.Service)+`". This endpoint belongs to "`+o.Service+`".`)
		}
		return s.refuse(BadScope, s.scopeSubject()+`incorrect terminal "`+shown(s.terminator)+`". This endpoint uses "aws4_request".`)
	}
	var text strings.Builder
	if region {
		text.WriteString("Credential should be scoped to a valid region, not '" + shown(s.Region) + "'. ")
	}
	if service {
		text.WriteString("Credential should be scoped to correct service: '" + o.Service + "'. ")
	}
	if s.terminator != terminator {
		text.WriteString("Credential should be scoped with a valid terminator: 'aws4_request', not '" + shown(s.terminator) + "'. ")
	}
	if s.Date != date {
		text.WriteString("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '" + shown(s.Date) + "' != '" + date + "', from '" + s.stamp + "'. ")
	}
	return s.refuse(BadScope, strings.TrimSuffix(text.String(), " "))
}

// appendPayload appends the last line of the canonical request.
func (s *Signature) appendPayload(dst []byte, body *Hash, o *Options) ([]byte, error) {
	switch sent := s.ContentSHA256; {
	case sent == UnsignedPayload:
		if !s.s3 && !s.Presigned && !o.UnsignedPayload {
			return nil, s.mismatch()
		}
		return append(dst, sent...), nil
	case s.streams():
		if s.Presigned || !s.s3 {
			return nil, s.refuse(PayloadMismatch, payloadMismatch) // source: aws, for S3
		}
		return append(dst, sent...), nil
	case isHash(sent):
		return append(dst, sent...), nil
	case sent != "" && s.s3:
		return nil, s.refuse(BadPayload, "x-amz-content-sha256 must be "+UnsignedPayload+", "+StreamingUnsignedTrailer+", "+StreamingPayload+", "+StreamingPayloadTrailer+" or a valid sha256 value.",
			Field{"ArgumentName", "x-amz-content-sha256"}, Field{"ArgumentValue", shown(sent)}) // source: aws
	case sent != "":
		return nil, s.mismatch()
	case s.s3 && s.Presigned:
		return append(dst, UnsignedPayload...), nil
	case s.s3:
		return nil, s.refuse(BadPayload, "Missing required header for this request: x-amz-content-sha256") // source: aws
	case body == nil:
		return nil, errNoHash
	}
	return hex.AppendEncode(dst, body[:]), nil
}

// payloadMismatch is S3's sentence about a body that is not the one announced. Source: aws.
const payloadMismatch = "The provided 'x-amz-content-sha256' header does not match what was computed."

// checkPayload compares the announced hash with the body's, where there is one and it is known.
func (s *Signature) checkPayload(body *Hash) error {
	if body == nil || !isHash(s.ContentSHA256) {
		return nil
	}
	var announced Hash
	_, _ = hex.Decode(announced[:], []byte(s.ContentSHA256)) // isHash has seen that it can be read
	if subtle.ConstantTimeCompare(announced[:], body[:]) == 1 {
		return nil
	}
	if !s.s3 {
		return s.mismatch()
	}
	return s.refuse(PayloadMismatch, payloadMismatch,
		Field{"ClientComputedContentSHA256", s.ContentSHA256}, Field{"S3ComputedContentSHA256", hex.EncodeToString(body[:])})
}

// streams tells whether the body is aws-chunked.
func (s *Signature) streams() bool {
	switch s.ContentSHA256 {
	case StreamingPayload, StreamingPayloadTrailer, StreamingUnsignedTrailer:
		return true
	}
	return false
}

// isHash tells whether a text is a SHA-256 in hex.
func isHash(text string) bool {
	if len(text) != 2*sha256.Size {
		return false
	}
	for i := range len(text) {
		if unhex(text[i]) > 15 {
			return false
		}
	}
	return true
}

// CanonicalRequest returns the canonical request, for tests and for whoever must find out why two sides disagree. It holds
// the session token if that is a signed header. payload is its last line, such as [EmptyPayload] or [HashPayload] of a body.
func (s *Signature) CanonicalRequest(r *http.Request, payload string) (string, error) {
	text, err := s.appendCanonical(nil, r, []byte(payload))
	return string(text), err
}

// StringToSign returns the text that is signed. payload is as in CanonicalRequest.
func (s *Signature) StringToSign(r *http.Request, payload string) (string, error) {
	text, err := s.appendCanonical(nil, r, []byte(payload))
	if err != nil {
		return "", err
	}
	hash := sha256.Sum256(text)
	return string(s.appendStringToSign(nil, &hash)), nil
}
