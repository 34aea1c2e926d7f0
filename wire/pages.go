package wire

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/vennel/vennel/api"
)

// pages says where an operation's pagination tokens are. Operations read and write plain cursors;
// on the wire each is sealed for the question that was asked, so that a token made for one cannot
// be used for another, none can be made up, and none shows what is in it.
type pages struct {
	in, out *member
	skip    []string // the members that may differ between pages
}

// tokenNames are the names of tokens, by those in the output. Not among them are S3's, where clients
// may make up the name to go on from, and those of GetLogEvents, which clients compare.
var tokenNames = map[string]string{"NextToken": "NextToken", "nextToken": "nextToken", "Marker": "Marker", "NextMarker": "Marker"}

// limitNames are the names of the number of items on a page.
var limitNames = []string{"MaxResults", "maxResults", "MaxItems", "limit", "Limit"}

// newPages finds the members; it gives nil where an operation has no pages.
func newPages(in, out *shape) *pages {
	if in == nil || out == nil {
		return nil
	}
	for _, answered := range out.members {
		name, ok := tokenNames[answered.name]
		if !ok || !answered.pages() {
			continue
		}
		i := slices.IndexFunc(in.members, func(m *member) bool { return m.name == name && m.pages() })
		if i >= 0 {
			return &pages{in: in.members[i], out: answered, skip: append([]string{name}, limitNames...)}
		}
	}
	return nil
}

// pages says whether a member can be a token.
func (m *member) pages() bool { return m.kind == text && m.pointer && m.inBody() }

// newTokens makes the cipher of pagination tokens.
func newTokens(key []byte) cipher.AEAD {
	if len(key) != 32 {
		panic(fmt.Sprintf("wire: a token key has 32 bytes, not %d", len(key)))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // only a key of another length
	}
	tokens, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // only another cipher
	}
	return tokens
}

// open replaces the input's token by the cursor in it.
func (p *pages) open(tokens cipher.AEAD, rq *request) error {
	if p == nil {
		return nil
	}
	f := rq.in.Field(p.in.index)
	switch {
	case f.IsNil():
		return nil
	case f.Elem().Len() == 0:
		f.SetZero() // some clients send an empty token for the first page
		return nil
	}
	token := f.Elem().String()
	sealed, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return p.invalid(rq, token)
	}
	cursor, err := tokens.Open(nil, nil, sealed, p.question(rq))
	if err != nil {
		return p.invalid(rq, token)
	}
	f.Elem().SetString(string(cursor))
	return nil
}

// seal replaces the output's cursor by a token.
func (p *pages) seal(tokens cipher.AEAD, rq *request, out reflect.Value) error {
	if p == nil {
		return nil
	}
	f := out.Field(p.out.index)
	if f.IsNil() {
		return nil
	}
	token := base64.RawURLEncoding.EncodeToString(tokens.Seal(nil, nil, []byte(f.Elem().String()), p.question(rq)))
	if p.in.Max != nil && float64(len(token)) > *p.in.Max {
		return fmt.Errorf("wire: a cursor of %s is too long for the %s that the model allows", rq.op.Name, p.in.name)
	}
	f.Set(reflect.ValueOf(&token)) // the cursor may be part of the answer too
	return nil
}

// question is all that a page's answer depends on, but for the page.
func (p *pages) question(rq *request) []byte {
	b := strings.Join([]string{rq.svc.Name, rq.op.Name, rq.call.Account, rq.call.Region, ""}, "\x00")
	return jsonStyle{skip: p.skip}.append([]byte(b), rq.op.in(), rq.in)
}

// tokenError is how services call the error of a token that is not theirs.
var tokenError = regexp.MustCompile(`^Invalid(NextToken|Marker)`)

// invalid is the service's error for a token that it did not make for this question.
func (p *pages) invalid(rq *request, token string) error {
	errors := rq.op.model.Errors
	for _, ref := range errors {
		if tokenError.MatchString(ref.Shape) {
			return &api.Error{Code: rq.svc.model.Shapes[ref.Shape].ErrorCode(ref.Shape), Message: "The specified token isn't valid."} // source: userguide
		}
	}
	switch rq.svc.Name {
	case "ec2":
		return api.Errorf(api.Invalid, "Value (%s) for parameter %s is invalid. The token is invalid.", brief(token), p.in.name) // source: aws
	case "logs":
		return &api.Error{Code: "InvalidParameterException", Message: "The specified nextToken is invalid."} // source: aws
	case "ssm":
		return &api.Error{Code: "InvalidNextToken", Message: "The specified token isn't valid."} // also where the operation does not name it
	}
	return api.Errorf(api.Invalid, "Invalid value for %s", p.in.name) // source: guess
}
