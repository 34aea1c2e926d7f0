package iam

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
)

// newID makes a unique id: a prefix and n letters and digits. It must be called outside of
// transactions, which may run twice.
func newID(prefix string, n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return prefix + base32.StdEncoding.EncodeToString(b)[:n]
}

// newSecret makes a secret access key of 40 characters.
func newSecret() string {
	b := make([]byte, 30)
	rand.Read(b)
	return base64.StdEncoding.EncodeToString(b)
}
