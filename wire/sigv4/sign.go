package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Credentials are what a client signs with.
type Credentials struct {
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string // of a temporary key; otherwise empty
}

// HashPayload returns the SHA-256 of a body in hex, as [Sign] wants it.
func HashPayload(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// unsigned are the headers that proxies or net/http add or change on the way, which no SDK signs either.
var unsigned = map[string]bool{
	"Accept-Encoding": true, "Authorization": true, "Connection": true, "Content-Length": true, "Expect": true,
	"Keep-Alive": true, "Proxy-Authenticate": true, "Proxy-Authorization": true, "Te": true, "Trailer": true,
	"Transfer-Encoding": true, "Upgrade": true, "User-Agent": true, "X-Amzn-Trace-Id": true,
	headerAsymmetric: true,
}

// Sign signs a client's request in its Authorization header. payload is the SHA-256 of the body in hex, or
// [UnsignedPayload]. Every header that is to be signed must be set before, and none may be changed afterwards.
func Sign(r *http.Request, payload string, c Credentials, region, service string, now time.Time) error {
	s := newSignature(r, c, region, service, now)
	if c.SessionToken == "" {
		r.Header.Del(headerToken)
	} else {
		r.Header.Set(headerToken, c.SessionToken)
	}
	if s.s3 || payload == UnsignedPayload {
		r.Header.Set(headerPayload, payload)
	}
	s.signHeaders(r, r.ContentLength)
	if err := s.sign(r, payload, c.SecretAccessKey); err != nil {
		return err
	}
	r.Header.Set(headerAuthorization, s.authorization())
	return nil
}

// Presign signs a client's request in its query, so that its URL serves anyone until it expires, which is after one second
// to seven days. payload is as in [Sign]; "" stands for a body that is left unsigned in S3 and is empty elsewhere. Headers
// that the request has must then be sent with the URL.
func Presign(r *http.Request, payload string, c Credentials, region, service string, now time.Time, expires time.Duration) error {
	if expires < time.Second || expires > maxExpires {
		return errors.New("sigv4: a presigned request lives from one second to seven days")
	}
	s := newSignature(r, c, region, service, now)
	s.Presigned = true
	r.Header.Del(headerDate)
	r.Header.Del(headerToken)
	switch {
	case payload == "" && s.s3:
		payload = UnsignedPayload
	case payload == "":
		payload = EmptyPayload
	case s.s3 || payload == UnsignedPayload:
		r.Header.Set(headerPayload, payload)
	}
	s.signHeaders(r, r.ContentLength)

	var kept []string
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if pair != "" && !slices.Contains(paramNames[:], name) {
			kept = append(kept, pair)
		}
	}
	add := func(param int, value string) {
		kept = append(kept, paramNames[param]+"="+strings.ReplaceAll(url.QueryEscape(value), "+", "%20"))
	}
	add(pAlgorithm, algorithm)
	add(pCredential, s.KeyID+"/"+s.scope)
	add(pDate, s.stamp)
	add(pExpires, strconv.Itoa(int(expires/time.Second)))
	add(pSignedHeaders, s.signedText)
	if c.SessionToken != "" {
		add(pToken, c.SessionToken)
	}
	r.URL.RawQuery = strings.Join(kept, "&")
	if err := s.sign(r, payload, c.SecretAccessKey); err != nil {
		return err
	}
	r.URL.RawQuery += "&" + paramNames[pSignature] + "=" + s.Value
	return nil
}

// newSignature begins the signature of a client's request and dates the request.
func newSignature(r *http.Request, c Credentials, region, service string, now time.Time) *Signature {
	s := &Signature{KeyID: c.AccessKeyID, Region: region, Service: service, Time: now, stamp: stamp(now), s3: isS3(service)}
	s.Date = s.stamp[:len(dateLayout)]
	s.scope = s.Date + "/" + region + "/" + service + "/" + terminator
	s.rawPath = s.s3
	if r.Header == nil {
		r.Header = make(http.Header)
	}
	r.Header.Del(headerAuthorization)
	r.Header.Del("Date")
	r.Header.Set(headerDate, s.stamp)
	return s
}

// signHeaders chooses the headers to sign: the host, the length if it is known and above zero, and all that the request has
// but the unsigned ones.
func (s *Signature) signHeaders(r *http.Request, length int64) {
	names := []string{"host"}
	for name, values := range r.Header {
		canonical := http.CanonicalHeaderKey(name)
		if canonical != name {
			// The other side sees one spelling only.
			delete(r.Header, name)
			r.Header[canonical] = append(r.Header[canonical], values...)
		}
		if !unsigned[canonical] && canonical != "Host" {
			names = append(names, strings.ToLower(canonical))
		}
	}
	r.Header.Del("Content-Length") // net/http writes it from the field
	if length > 0 {
		names = append(names, "content-length")
	}
	slices.Sort(names)
	s.SignedHeaders = slices.Compact(names)
	s.signedText = strings.Join(s.SignedHeaders, ";")
}

// sign computes the signature with a secret.
func (s *Signature) sign(r *http.Request, payload, secret string) error {
	text, err := s.StringToSign(r, payload)
	if err != nil {
		return err
	}
	signer := newSigningKey(keyName{secret, s.Date, s.Region, s.Service}).signer()
	signer.text = append(signer.text, text...)
	s.Value = string(signer.sign())
	return nil
}

// authorization returns the value of the Authorization header.
func (s *Signature) authorization() string {
	return algorithm + " Credential=" + s.KeyID + "/" + s.scope + ", SignedHeaders=" + s.signedText + ", Signature=" + s.Value
}
