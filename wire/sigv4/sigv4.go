// Package sigv4 signs and verifies requests with AWS Signature Version 4: the header form, the presigned (query) form,
// S3's chunked bodies, and the RSA-PSS variant in which a hybrid node's SSM Agent asks for credentials.
//
// A server calls [Parse], looks up the key that the [Signature] names, and calls [Signature.Verify]; for S3 it then reads
// the body through [Signature.Body]. A client calls [Sign], [Presign] or [SignRSA]. Every refusal is an [*Error] that
// carries a [Reason] and AWS's sentence; the caller turns the reason into the code of its protocol.
//
// The package keeps nothing but derived keys, in a [KeyCache] that the caller owns. It uses the standard library only.
//
// Where it is stricter than AWS: SignedHeaders must be sorted and lower case, an Authorization header or a signature
// parameter must not repeat, and every x-amz-* header must be signed in every service (S3 is known to insist only on some).
package sigv4

import (
	"crypto/rsa"
	"net/http"
	"strings"
	"time"
)

const (
	// algorithm is the only algorithm that is spoken; the RSA variant announces itself under the same name.
	algorithm = "AWS4-HMAC-SHA256"
	// algorithmV4A is Signature Version 4A, which is recognised in order to be refused with a clear sentence.
	algorithmV4A = "AWS4-ECDSA-P256-SHA256"
	// terminator ends every credential scope.
	terminator = "aws4_request"
	// stampLayout is ISO 8601's basic format, in which SigV4 writes every time.
	stampLayout = "20060102T150405Z"
	// dateLayout is the first part of stampLayout, as it stands in the credential scope.
	dateLayout = "20060102"
)

// The values of X-Amz-Content-Sha256 that are not a hash.
const (
	// UnsignedPayload leaves the body out of the signature; S3 and presigned requests use it.
	UnsignedPayload = "UNSIGNED-PAYLOAD"
	// StreamingPayload announces an aws-chunked body in which every chunk is signed.
	StreamingPayload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	// StreamingPayloadTrailer is StreamingPayload followed by a signed trailer.
	StreamingPayloadTrailer = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	// StreamingUnsignedTrailer announces an aws-chunked body without signatures, followed by a trailer.
	StreamingUnsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	// EmptyPayload is the hash of an empty body.
	EmptyPayload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// The headers that the signature itself is made of, in the form of net/http's map keys.
const (
	headerAuthorization = "Authorization"
	headerDate          = "X-Amz-Date"
	headerToken         = "X-Amz-Security-Token"
	headerPayload       = "X-Amz-Content-Sha256"
)

// Signature is a request's signature as it was sent, unjudged. It is not safe for concurrent use.
type Signature struct {
	KeyID         string        // access key id; in the RSA variant, the managed node's id
	Date          string        // YYYYMMDD of the credential scope
	Region        string        // Region of the credential scope
	Service       string        // signing name of the credential scope, such as "ssm"
	Time          time.Time     // X-Amz-Date, or Date when there is none
	Presigned     bool          // whether the signature came in the query
	Expires       time.Duration // how long a presigned request lives; zero when it does not say
	SignedHeaders []string      // lower-case names, strictly ascending
	Value         string        // the signature's raw text: hex, or base64 in the RSA variant
	SessionToken  string        // X-Amz-Security-Token, if any
	ContentSHA256 string        // X-Amz-Content-Sha256, if any

	stamp      string      // Time as the string to sign spells it
	scope      string      // Date/Region/Service/terminator, as sent
	terminator string      // the last part of the scope
	signedText string      // SignedHeaders as sent
	s3         bool        // S3 has its own rules for payloads and its own sentences
	rawPath    bool        // S3 also signs the path without normalising it and with a single encoding
	tokenAfter bool        // Options.TokenAfter, for the canonical query
	verifiedBy *signingKey // the key that verified the request, for the chunks that follow
}

// Key is what a server knows about the key id in a request. Exactly one of Secret and Public is set.
type Key struct {
	Secret       string         // secret access key
	Public       *rsa.PublicKey // public key of a managed node that signs with RSA
	SessionToken string         // token that belongs to a temporary key; requests must carry it
}

// Options are a server's rules. The zero value applies AWS's, derives each key anew, and accepts every Region and service.
type Options struct {
	Region  string        // Region that the scope must name; "" accepts any
	Service string        // signing name that the scope must name; "" accepts any
	Skew    time.Duration // clock difference to accept; 0 means 5 minutes, and 15 for S3
	Keys    *KeyCache     // cache of derived keys; nil derives each time

	// UnsignedPayload accepts UNSIGNED-PAYLOAD where neither S3 nor a presigned request would.
	UnsignedPayload bool
	// TokenAfter expects X-Amz-Security-Token to be added after signing, hence unsigned, as some services want it.
	TokenAfter bool
}

// skew returns the clock difference to accept.
func (o *Options) skew(s3 bool) time.Duration {
	switch {
	case o.Skew != 0:
		return o.Skew
	case s3:
		return 15 * time.Minute
	}
	return 5 * time.Minute
}

// isS3 tells whether a signing name follows S3's rules.
func isS3(service string) bool {
	return service == "s3" || strings.HasPrefix(service, "s3-") || service == "s3express"
}

// target returns the path and the query of a request as they travel on the wire. A server must not take them from r.URL,
// which has lost the difference between an encoded and a plain character.
func target(r *http.Request) (path, query string) {
	uri := r.RequestURI
	if uri == "" { // a client's request
		uri = r.URL.RequestURI()
	}
	if uri != "" && uri[0] != '/' { // the absolute form, which a client sends to a proxy
		if _, rest, ok := strings.Cut(uri, "://"); ok {
			uri = ""
			if i := strings.IndexAny(rest, "/?"); i >= 0 {
				uri = rest[i:]
			}
		}
	}
	path, query, _ = strings.Cut(uri, "?")
	return path, query
}

// host returns the value of the Host header or of HTTP/2's :authority.
func host(r *http.Request) string {
	if r.Host != "" || r.URL == nil {
		return r.Host
	}
	return r.URL.Host
}
