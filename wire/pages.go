package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"reflect"
	"slices"

	"github.com/vennel/vennel/api"
)

// pages says where an operation's pagination tokens are. Operations read and write plain cursors;
// on the wire each is signed together with the request's filters, so that a token made for one
// question cannot be used for another, and none can be made up.
type pages struct {
	in, out *member
	limit   string // the member that may differ between pages
}

// The names of pagination members. S3's markers are names of objects that clients may make up, so
// they are not among them.
var (
	tokenNames = []string{"NextToken", "nextToken", "Marker"}
	limitNames = []string{"MaxResults", "maxResults", "MaxItems", "limit", "Limit"}
)

// newPages finds the members; it gives nil where an operation has no pages.
func newPages(in, out *shape) *pages {
	if in == nil || out == nil || in.Shape == nil {
		return nil
	}
	p := new(pages)
	for _, m := range in.members {
		if m.kind == text && slices.Contains(tokenNames, m.name) && m.inBody() {
			p.in = m
		}
		if slices.Contains(limitNames, m.name) {
			p.limit = m.name
		}
	}
	for _, m := range out.members {
		if m.kind == text && m.pointer && slices.Contains(tokenNames, m.name) && m.inBody() {
			p.out = m
		}
	}
	if p.in == nil || p.out == nil || !p.in.pointer {
		return nil
	}
	return p
}

// open replaces the input's token by the cursor in it.
func (p *pages) open(key []byte, call *api.Call, svc *service, op *operation, in reflect.Value) error {
	if p == nil {
		return nil
	}
	f := in.Field(p.in.index)
	if f.IsNil() {
		return nil
	}
	if f.Elem().Len() == 0 {
		f.SetZero() // some clients send an empty token for the first page
		return nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(f.Elem().String())
	if err != nil || len(raw) < tokenMAC || !hmac.Equal(raw[:tokenMAC], p.mac(key, call, op, in, raw[tokenMAC:])) {
		if svc.errorShapes["InvalidNextToken"] != nil {
			return &api.Error{Code: "InvalidNextToken", Message: "The specified token isn't valid."}
		}
		return api.Errorf(api.Invalid, "Invalid value for %s", p.in.name)
	}
	f.Elem().SetString(string(raw[tokenMAC:]))
	return nil
}

// seal replaces the output's cursor by a token.
func (p *pages) seal(key []byte, call *api.Call, op *operation, in, out reflect.Value) {
	if p == nil {
		return
	}
	f := out.Field(p.out.index)
	if f.IsNil() {
		return
	}
	cursor := []byte(f.Elem().String())
	token := base64.RawURLEncoding.EncodeToString(append(p.mac(key, call, op, in, cursor), cursor...))
	f.Set(reflect.ValueOf(&token)) // the cursor may be part of the answer too
}

// tokenMAC is the length of the signature in a token.
const tokenMAC = 16

// mac signs a cursor together with the question it belongs to.
func (p *pages) mac(key []byte, call *api.Call, op *operation, in reflect.Value, cursor []byte) []byte {
	h := hmac.New(sha256.New, key)
	question, err := jsonStyle{skip: []string{p.in.name, p.limit}}.append(nil, op.in(), in)
	if err != nil {
		question = nil // a stream cannot be a filter
	}
	for _, part := range [][]byte{[]byte(op.Name), []byte(call.Account), []byte(call.Region), question, cursor} {
		sum := sha256.Sum256(part)
		h.Write(sum[:])
	}
	return h.Sum(nil)[:tokenMAC]
}
