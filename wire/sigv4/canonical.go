package sigv4

import (
	"bytes"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// appendCanonical appends the canonical request, whose hash is signed. payload is its last line. It fails on a path or a
// query with a broken escape, and where a signed header is missing.
func (s *Signature) appendCanonical(dst []byte, r *http.Request, payload []byte) ([]byte, error) {
	path, query := target(r)
	if r.Method == "" {
		dst = append(dst, http.MethodGet...)
	} else {
		dst = append(dst, r.Method...)
	}
	dst = append(dst, '\n')
	ok := true
	if s.rawPath {
		dst, ok = appendRawPath(dst, path)
	} else {
		dst = appendPath(dst, path)
	}
	dst = append(dst, '\n')
	if ok {
		dst, ok = s.appendQuery(dst, query)
	}
	if !ok {
		return dst, malformedQuery()
	}
	dst = append(dst, '\n')
	for _, name := range s.SignedHeaders {
		dst = append(dst, name...)
		dst = append(dst, ':')
		if dst, ok = appendHeader(dst, r, name); !ok {
			return dst, s.mismatch()
		}
		dst = append(dst, '\n')
	}
	dst = append(dst, '\n')
	dst = append(dst, s.signedText...)
	dst = append(dst, '\n')
	return append(dst, payload...), nil
}

// appendStringToSign appends the text that the key signs.
func (s *Signature) appendStringToSign(dst []byte, canonicalHash *[32]byte) []byte {
	dst = append(dst, algorithm...)
	dst = append(dst, '\n')
	dst = append(dst, s.stamp...)
	dst = append(dst, '\n')
	dst = append(dst, s.scope...)
	dst = append(dst, '\n')
	return hex.AppendEncode(dst, canonicalHash[:])
}

// appendPath appends a path as every service but S3 signs it: normalised by RFC 3986, then encoded once more. A slash at the
// end stays, as in the SDKs.
func appendPath(dst []byte, path string) []byte {
	base := len(dst)
	slash := strings.HasSuffix(path, "/")
	for path != "" {
		var part string
		part, path, _ = strings.Cut(path, "/")
		switch part {
		case "", ".":
		case "..":
			end := base
			for i := len(dst) - 1; i >= base; i-- {
				if dst[i] == '/' {
					end = i
					break
				}
			}
			dst = dst[:end]
		default:
			dst = append(dst, '/')
			for i := range len(part) {
				dst = appendEncoded(dst, part[i])
			}
		}
	}
	if slash || len(dst) == base {
		dst = append(dst, '/')
	}
	return dst
}

// appendRawPath appends a path as S3 signs it: every segment as it is, in the one spelling that RFC 3986 calls normal. It
// fails on a broken escape.
func appendRawPath(dst []byte, path string) ([]byte, bool) {
	if path == "" {
		return append(dst, '/'), true
	}
	return appendNormal(dst, path, true)
}

// appendNormal appends a percent-encoded text with every byte encoded unless it is unreserved. In a path a slash stands for
// itself; in a query a plus stands for a space, as everyone reads it who decodes a query. It fails on a broken escape.
func appendNormal(dst []byte, text string, path bool) ([]byte, bool) {
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case unreserved[c] || c == '/' && path:
			dst = append(dst, c)
		case c == '+' && !path:
			dst = append(dst, "%20"...)
		case c == '%':
			if i+2 >= len(text) {
				return dst, false
			}
			high, low := unhex(text[i+1]), unhex(text[i+2])
			if high > 15 || low > 15 {
				return dst, false
			}
			dst = appendEncoded(dst, high<<4|low)
			i += 2
		default:
			dst = appendEncoded(dst, c)
		}
	}
	return dst, true
}

// parameter is one query parameter in its canonical spelling: text[start:equals] is the name, text[equals+1:end] the value.
type parameter struct{ start, equals, end int }

// appendQuery appends the canonical query: parameters without the signature, in normal spelling, sorted by name and then by
// value. It fails on a broken escape.
func (s *Signature) appendQuery(dst []byte, query string) ([]byte, bool) {
	if query == "" {
		return dst, true
	}
	var few [16]parameter
	all := few[:0]
	base, ok := len(dst), true
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		name, value, _ := strings.Cut(pair, "=")
		if pair == "" || s.Presigned && (name == paramNames[pSignature] || s.tokenAfter && name == paramNames[pToken]) {
			continue
		}
		p := parameter{start: len(dst)}
		if dst, ok = appendNormal(dst, name, false); !ok {
			return dst, false
		}
		p.equals = len(dst)
		dst = append(dst, '=')
		if dst, ok = appendNormal(dst, value, false); !ok {
			return dst, false
		}
		p.end = len(dst)
		dst = append(dst, '&')
		all = append(all, p)
	}
	if len(all) == 0 {
		return dst, true
	}
	order := func(a, b parameter) int {
		if c := bytes.Compare(dst[a.start:a.equals], dst[b.start:b.equals]); c != 0 {
			return c
		}
		return bytes.Compare(dst[a.equals:a.end], dst[b.equals:b.end])
	}
	if slices.IsSortedFunc(all, order) {
		return dst[:len(dst)-1], true
	}
	slices.SortFunc(all, order)
	end := len(dst)
	for _, p := range all {
		dst = append(dst, dst[p.start:p.end]...)
		dst = append(dst, '&')
	}
	n := copy(dst[base:], dst[end:])
	return dst[:base+n-1], true
}

// appendHeader appends the canonical value of a signed header, and tells whether the request has it. net/http moves some
// headers out of the map.
func appendHeader(dst []byte, r *http.Request, name string) ([]byte, bool) {
	var values []string
	switch name {
	case "host", ":authority":
		name := host(r)
		return append(dst, name...), name != ""
	case "transfer-encoding":
		values = r.TransferEncoding
	default:
		values = headerValues(r, name)
	}
	if len(values) == 0 && name == "content-length" && r.ContentLength > 0 { // a client's request
		return strconv.AppendInt(dst, r.ContentLength, 10), true
	}
	return appendValues(dst, values), len(values) > 0
}

// headerValues returns the values of a header whose name is given in lower case, without allocating for the map's spelling.
func headerValues(r *http.Request, name string) []string {
	var buf [64]byte
	if len(name) > len(buf) {
		return r.Header[http.CanonicalHeaderKey(name)]
	}
	upper := true
	for i := range len(name) {
		c := name[i]
		if upper && c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		buf[i] = c
		upper = c == '-'
	}
	return r.Header[string(buf[:len(name)])]
}

// appendValues appends the values of one header, joined by commas, each without spaces around it and with single spaces in it.
func appendValues(dst []byte, values []string) []byte {
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		v = strings.Trim(v, " \t")
		for {
			j := strings.Index(v, "  ")
			if j < 0 {
				break
			}
			dst = append(dst, v[:j+1]...)
			v = strings.TrimLeft(v[j:], " ")
		}
		dst = append(dst, v...)
	}
	return dst
}

// unreserved marks the bytes that are never percent-encoded.
var unreserved = func() (t [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") {
		t[c] = true
	}
	return t
}()

// appendEncoded appends a byte, percent-encoded unless it is unreserved.
func appendEncoded(dst []byte, c byte) []byte {
	if unreserved[c] {
		return append(dst, c)
	}
	const digits = "0123456789ABCDEF"
	return append(dst, '%', digits[c>>4], digits[c&15])
}

// unhex returns the value of a hexadecimal digit, or 255.
func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}
