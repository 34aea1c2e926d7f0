package instance

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/md5" // AWS's fingerprint, which protects nothing
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/big"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// keyPair is the record of a key pair.
type keyPair = resource.Record[resource.KeyPair]

// The longest key and the longest name of one. source: userguide, "ImportKeyPair"; guess for the key
const (
	mostKey     = 16 << 10
	mostKeyName = 255
)

// The names of the types of keys in OpenSSH's format.
const (
	opensshRSA     = "ssh-rsa"
	opensshEd25519 = "ssh-ed25519"
)

// publicKey is a public key that somebody imports.
type publicKey struct {
	kind, fingerprint string
	line              string // in OpenSSH's format, without a comment
}

// parseKey reads a public key in OpenSSH's format, or DER in base64. source: userguide, "ImportKeyPair"
func parseKey(material []byte) (*publicKey, error) {
	bad := resource.Errorf("InvalidKey.Format", "Key is not in valid OpenSSH public key format") // source: aws
	fields := strings.Fields(string(material[:min(len(material), mostKey)]))
	if len(fields) == 0 || len(material) > mostKey {
		return nil, bad
	}
	if len(fields) == 1 {
		der, err := base64.StdEncoding.DecodeString(fields[0])
		if err != nil {
			return nil, bad
		}
		key, err := x509.ParsePKIXPublicKey(der)
		if k, ok := key.(*rsa.PublicKey); err == nil && ok {
			return rsaKey(k)
		}
		return nil, bad
	}
	blob, err := base64.StdEncoding.DecodeString(fields[1])
	if err != nil {
		return nil, bad
	}
	parts, ok := opensshParts(blob)
	switch {
	case !ok || string(parts[0]) != fields[0]:
	case fields[0] == opensshRSA && len(parts) == 3:
		e, n := new(big.Int).SetBytes(parts[1]), new(big.Int).SetBytes(parts[2])
		if e.IsInt64() && e.Int64() > 1 && e.Int64() < 1<<31 {
			return rsaKey(&rsa.PublicKey{E: int(e.Int64()), N: n})
		}
	case fields[0] == opensshEd25519 && len(parts) == 2 && len(parts[1]) == ed25519.PublicKeySize:
		sum := sha256.Sum256(blob)
		return &publicKey{ec2.KeyTypeEd25519, base64.StdEncoding.EncodeToString(sum[:]), fields[0] + " " + fields[1]}, nil
	}
	return nil, bad
}

// opensshParts are the parts of a key in OpenSSH's format: each with its length before it.
func opensshParts(blob []byte) (parts [][]byte, ok bool) {
	for len(blob) > 0 {
		if len(blob) < 4 || uint64(binary.BigEndian.Uint32(blob)) > uint64(len(blob)-4) {
			return nil, false
		}
		n := binary.BigEndian.Uint32(blob)
		parts, blob = append(parts, blob[4:4+n]), blob[4+n:]
	}
	return parts, len(parts) > 0
}

// rsaKey is an RSA key. source: userguide, "Verify the fingerprint of your key pair"
func rsaKey(k *rsa.PublicKey) (*publicKey, error) {
	switch k.N.BitLen() {
	case 1024, 2048, 4096:
	default:
		// source: guess
		return nil, resource.Errorf("InvalidKey.Format", "Key has %d bits; supported are 1024, 2048 and 4096", k.N.BitLen())
	}
	der, err := x509.MarshalPKIXPublicKey(k)
	if err != nil {
		return nil, err
	}
	sum := md5.Sum(der)
	digits := make([]string, len(sum))
	for i, b := range sum {
		digits[i] = fmt.Sprintf("%02x", b)
	}
	var blob bytes.Buffer
	for _, part := range [][]byte{[]byte(opensshRSA), positive(big.NewInt(int64(k.E))), positive(k.N)} {
		blob.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		blob.Write(part)
	}
	return &publicKey{ec2.KeyTypeRsa, strings.Join(digits, ":"), opensshRSA + " " + base64.StdEncoding.EncodeToString(blob.Bytes())}, nil
}

// positive is a number as OpenSSH writes it: with a zero before a first bit that is set.
func positive(n *big.Int) []byte {
	b := n.Bytes()
	if len(b) > 0 && b[0]&0x80 != 0 {
		return append([]byte{0}, b...)
	}
	return b
}

// keyKeys are the condition keys of a key pair. source: SAR
func keyKeys(r *keyPair) []iam.About {
	return []iam.About{
		iam.ResourceTags(r.Tags), iam.Key("ec2:region", r.Region), iam.Key("ec2:keypairname", api.Or(r.Data.KeyName, "")),
		iam.Key("ec2:keypairtype", api.Or(r.Data.KeyType, "")),
	}
}

// findKey gives the caller's key pair of a name; nil when there is none.
func findKey(ctx context.Context, tx *store.Tx, name string) (*keyPair, error) {
	list, err := resource.KeyPairs.List(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		if *r.Data.KeyName == name {
			return r, nil
		}
	}
	return nil, nil //nolint:nilnil // none is an answer
}

// keyNamed gives the key pair of a name, to which the caller may do an action. Its ARN has its name in it. source: SAR
func keyNamed(ctx context.Context, tx *store.Tx, action, name string) (*keyPair, error) {
	r, err := findKey(ctx, tx, name)
	if err != nil {
		return nil, err
	}
	call := api.CallFrom(ctx)
	about := []iam.About{iam.Key("ec2:keypairname", name)}
	if r != nil {
		about = keyKeys(r)
	}
	if err := iam.Allow(ctx, action, api.ARN("ec2", call.Region, call.Account, "key-pair/"+name), about...); err != nil {
		return nil, err
	}
	if r == nil {
		return nil, noKey(name)
	}
	return r, nil
}

// noKey is the error for a key pair that is not there. source: aws
func noKey(name string) error {
	return resource.Errorf("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", name)
}
