package sigv4

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxExpires is how long a presigned request may live at most. Source: userguide (S3, "Authenticating requests: using query parameters").
const maxExpires = 7 * 24 * time.Hour

// Parse reads the signature of a request, from its Authorization header or from its query, without judging it. It returns
// nil and no error for an unsigned request, and an [*Error] for one whose signature is not Signature Version 4, is
// malformed, or lacks a part.
func Parse(r *http.Request) (*Signature, error) {
	_, query := target(r)
	headers := r.Header[headerAuthorization]
	params, inQuery, err := scanQuery(query)
	if err != nil {
		return nil, err
	}
	s := new(Signature)
	switch {
	case len(headers) == 0 && !inQuery:
		return nil, nil
	case len(headers) > 0 && inQuery:
		return nil, params.ambiguous()
	case inQuery:
		err = s.parseQuery(&params)
	case len(headers) > 1:
		return nil, &Error{Reason: Incomplete, Message: "The request has more than one Authorization header."}
	default:
		err = s.parseHeader(r, headers[0])
	}
	if err == nil {
		err = s.setFromHeaders(r)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// parseHeader reads the signature of an Authorization header.
func (s *Signature) parseHeader(r *http.Request, text string) error {
	name, rest, _ := strings.Cut(strings.Trim(text, " \t"), " ")
	switch {
	case name == algorithm:
	case name == algorithmV4A:
		return unsupportedV4A(false)
	case name == "AWS" || name == "AWS3" || name == "AWS3-HTTPS":
		return unsupportedV2()
	case strings.HasPrefix(name, "AWS4-"):
		return &Error{Reason: Unsupported, Message: "Unsupported AWS 'algorithm': '" + shown(name) + "'."} // source: aws
	default:
		return notKeyValue(text)
	}

	var credential string
	for part := range strings.SplitSeq(rest, ",") {
		if part = strings.Trim(part, " \t"); part == "" {
			continue
		}
		// The RSA variant's value is base64, which may hold further equal signs.
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			return notKeyValue(text)
		}
		var field *string
		switch key {
		case "Credential":
			field = &credential
		case "SignedHeaders":
			field = &s.signedText
		case "Signature":
			field = &s.Value
		default:
			continue
		}
		if *field != "" {
			return &Error{Reason: Incomplete, Message: "Authorization header repeats the '" + key + "' parameter."}
		}
		*field = value
	}

	date, dates := r.Header[headerDate], "X-Amz-Date"
	if len(date) == 0 {
		date, dates = r.Header["Date"], "Date"
	}
	var missing strings.Builder
	for _, f := range [...]struct{ name, value string }{{"Credential", credential}, {"Signature", s.Value}, {"SignedHeaders", s.signedText}} {
		if f.value == "" {
			missing.WriteString("Authorization header requires '" + f.name + "' parameter. ")
		}
	}
	if len(date) == 0 {
		missing.WriteString("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ")
	}
	if missing.Len() > 0 { // source: aws
		return &Error{Reason: Incomplete, Message: missing.String() + "(Hashed with SHA-256 and encoded with Base64) Authorization=" + hashed(text)}
	}
	if err := s.setCredential(credential); err != nil {
		return err
	}
	if err := s.setSignedHeaders(); err != nil {
		return err
	}
	if len(date) > 1 {
		return s.refuse(BadDate, "The request has more than one "+dates+" header.")
	}
	return s.setTime(date[0])
}

// parseQuery reads the signature of a presigned request.
func (s *Signature) parseQuery(p *params) error {
	if p[pAlgorithm] == algorithmV4A {
		return unsupportedV4A(true)
	}
	s.Presigned, s.Value, s.signedText, s.SessionToken, s.ContentSHA256 = true, p[pSignature], p[pSignedHeaders], p[pToken], p[pPayload]
	var missing strings.Builder
	for _, i := range [...]int{pAlgorithm, pCredential, pSignature, pSignedHeaders, pDate} {
		if p[i] == "" {
			missing.WriteString("AWS query-string parameters must include '" + paramNames[i] + "'. ")
		}
	}
	s3 := isS3(scopeService(p[pCredential]))
	if s3 && (missing.Len() > 0 || p[pExpires] == "") { // source: aws
		return s.refuse(Incomplete, "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.")
	}
	if missing.Len() > 0 { // source: aws
		return s.refuse(Incomplete, missing.String()+"Re-examine the query-string parameters.")
	}
	if p[pAlgorithm] != algorithm {
		if s3 { // source: aws
			return s.refuse(Incomplete, `X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"`)
		}
		return s.refuse(Unsupported, "Unsupported AWS 'algorithm': '"+shown(p[pAlgorithm])+"'.") // source: aws, as for the header
	}
	if err := s.setCredential(p[pCredential]); err != nil {
		return err
	}
	if err := s.setSignedHeaders(); err != nil {
		return err
	}
	if err := s.setTime(p[pDate]); err != nil {
		return err
	}
	return s.setExpires(p[pExpires])
}

// setCredential takes the key id and the scope apart.
func (s *Signature) setCredential(text string) error {
	id, scope, _ := strings.Cut(text, "/")
	date, rest, _ := strings.Cut(scope, "/")
	region, rest, _ := strings.Cut(rest, "/")
	service, term, ok := strings.Cut(rest, "/")
	s.s3 = isS3(scopeService(text))
	if !ok || id == "" || strings.Contains(term, "/") {
		if s.s3 { // source: aws
			return s.refuse(Incomplete, s.scopeSubject()+`the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".`)
		}
		// source: aws, which repeats the key id too; a secret key put there by mistake would show.
		return s.refuse(Incomplete, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '"+shown(withoutKeyID(text))+"'")
	}
	s.KeyID, s.Date, s.Region, s.Service, s.terminator, s.scope = id, date, region, service, term, scope
	s.rawPath = s.s3
	return nil
}

// scopeService returns the service of a credential scope, which is its last part but one; "" if there is none.
func scopeService(credential string) string {
	end := strings.LastIndexByte(credential, '/')
	if end < 0 {
		return ""
	}
	return credential[strings.LastIndexByte(credential[:end], '/')+1 : end]
}

// withoutKeyID hides all of a malformed credential but its scope, if that can be told.
func withoutKeyID(credential string) string {
	cut := len(credential)
	for range 4 {
		if cut = strings.LastIndexByte(credential[:cut], '/'); cut < 0 {
			return "***"
		}
	}
	if !strings.HasSuffix(credential, "/"+terminator) {
		return "***"
	}
	return "***" + credential[cut:]
}

// setSignedHeaders splits the list of signed headers. Both its order and its case matter: the list is part of what is signed.
func (s *Signature) setSignedHeaders() error {
	s.SignedHeaders = make([]string, 0, strings.Count(s.signedText, ";")+1)
	last := ""
	for name := range strings.SplitSeq(s.signedText, ";") {
		if name <= last || !isHeaderName(name) {
			return s.refuse(Incomplete, "SignedHeaders must list lower-case header names in ascending order, separated by semicolons.")
		}
		s.SignedHeaders = append(s.SignedHeaders, name)
		last = name
	}
	return nil
}

// isHeaderName tells whether a name can stand in SignedHeaders.
func isHeaderName(name string) bool {
	if name == ":authority" {
		return true
	}
	for i := range len(name) {
		c := name[i]
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || strings.IndexByte("!#$%&'*+.^_`|~", c) >= 0 {
			continue
		}
		return false
	}
	return name != ""
}

// setTime reads the time of signing.
func (s *Signature) setTime(text string) (err error) {
	if len(text) == len(stampLayout) {
		if s.Time, err = time.Parse(stampLayout, text); err == nil {
			s.stamp = text
			return nil
		}
	}
	if !s.Presigned { // the Date header of HTTP; botocore writes its zone as a number
		for _, layout := range [...]string{http.TimeFormat, time.RFC1123Z} {
			if t, err := time.Parse(layout, text); err == nil {
				s.Time = t.UTC()
				s.stamp = stamp(t)
				return nil
			}
		}
	}
	switch {
	case s.s3 && s.Presigned:
		return s.refuse(BadDate, `X-Amz-Date must be in the ISO8601 Long Format "yyyyMMdd'T'HHmmss'Z'"`) // source: aws
	case s.s3:
		return s.refuse(BadDate, "AWS authentication requires a valid Date or x-amz-date header") // source: aws
	}
	return s.refuse(BadDate, "Date must be in ISO-8601 'basic format'. Got '"+shown(text)+"'. See http://en.wikipedia.org/wiki/ISO_8601") // source: aws
}

// setExpires reads how long a presigned request lives. Only S3 insists on the parameter.
func (s *Signature) setExpires(text string) error {
	if text == "" {
		return nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil || text[0] == '+':
		return s.refuse(Incomplete, "X-Amz-Expires should be a number") // source: aws
	case seconds < 0:
		return s.refuse(Incomplete, "X-Amz-Expires must be non-negative") // source: aws
	case seconds == 0:
		return s.refuse(Incomplete, "X-Amz-Expires must be greater than 0") // source: guess
	case seconds > int64(maxExpires/time.Second):
		// source: aws
		return s.refuse(Incomplete, "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds")
	}
	s.Expires = time.Duration(seconds) * time.Second
	return nil
}

// setFromHeaders reads the session token and the payload hash. Those that a presigned request has in its query win.
func (s *Signature) setFromHeaders(r *http.Request) error {
	for _, f := range [...]struct {
		name  string
		value *string
	}{{headerToken, &s.SessionToken}, {headerPayload, &s.ContentSHA256}} {
		switch values := r.Header[f.name]; {
		case len(values) > 1:
			return s.refuse(Incomplete, "The request has more than one "+f.name+" header.")
		case len(values) == 1 && *f.value == "":
			*f.value = values[0]
		}
	}
	return nil
}

// params are the query parameters that make up a presigned signature, decoded, by the index constants below.
type params [len(paramNames)]string

// The indexes of params.
const (
	pAlgorithm = iota
	pCredential
	pSignature
	pSignedHeaders
	pDate
	pExpires
	pToken
	pPayload
)

// paramNames are the names behind the indexes of params.
var paramNames = [...]string{
	pAlgorithm:     "X-Amz-Algorithm",
	pCredential:    "X-Amz-Credential",
	pSignature:     "X-Amz-Signature",
	pSignedHeaders: "X-Amz-SignedHeaders",
	pDate:          "X-Amz-Date",
	pExpires:       "X-Amz-Expires",
	pToken:         "X-Amz-Security-Token",
	pPayload:       "X-Amz-Content-Sha256",
}

// scanQuery picks the parameters of a signature out of a query and tells whether they make the request a presigned one.
// Names are compared as they are written: nobody who signs writes them encoded.
func scanQuery(query string) (p params, presigned bool, err error) {
	if !strings.Contains(query, "X-Amz-") {
		if strings.Contains(query, "AWSAccessKeyId=") && strings.Contains(query, "Signature=") {
			return p, false, unsupportedV2()
		}
		return p, false, nil
	}
	var seen [len(paramNames)]bool
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		for i, known := range paramNames {
			if name != known {
				continue
			}
			if seen[i] {
				return p, false, &Error{Reason: Incomplete, Message: "The query string repeats the parameter '" + known + "'.", Presigned: true}
			}
			seen[i] = true
			if p[i], err = url.QueryUnescape(value); err != nil {
				return p, false, malformedQuery()
			}
		}
	}
	return p, seen[pAlgorithm] || seen[pCredential] || seen[pSignature], nil
}

// ambiguous refuses a request that is signed in two ways.
func (p *params) ambiguous() *Error {
	if isS3(scopeService(p[pCredential])) { // source: aws
		return &Error{
			Reason:  Ambiguous,
			Message: "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified",
			Fields:  []Field{{"ArgumentName", headerAuthorization}},
		}
	}
	return &Error{Reason: Ambiguous, Message: "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."} // source: aws
}

// unsupportedV2 refuses Signature Version 2. The first sentences are S3's where it has only Version 4. Source: aws, then ours.
func unsupportedV2() *Error {
	return &Error{Reason: Unsupported, Message: "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256. " +
		"This request is signed with AWS Signature Version 2, which is not supported; for presigned S3 URLs of the AWS CLI, " +
		"run 'aws configure set default.s3.signature_version s3v4', and in boto3 use Config(signature_version='s3v4')."}
}

// unsupportedV4A refuses Signature Version 4A. Source: guess.
func unsupportedV4A(presigned bool) *Error {
	return &Error{Reason: Unsupported, Message: "Unsupported AWS 'algorithm': '" + algorithmV4A + "'. This request is signed with AWS Signature Version 4A, which is not supported; use AWS4-HMAC-SHA256.", Presigned: presigned}
}

// notKeyValue refuses an Authorization header of another scheme, or one that is not a list of pairs. Source: aws.
func notKeyValue(text string) *Error {
	return &Error{Reason: Incomplete, Message: "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): '" + hashed(text) + "'."}
}

// malformedQuery refuses a query with a broken escape. Source: userguide (IAM, "Common errors").
func malformedQuery() *Error {
	return &Error{Reason: Incomplete, Message: "The query string contains a syntax error."}
}
