// Package seal keeps secrets at rest and in clients' hands: values are sealed with a key that is
// derived from the server's master key and the purpose, so that what was sealed for one purpose
// opens for no other.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/vennel/vennel/internal/durable"
)

// Master is the key from which all others are derived.
type Master [32]byte

// fileName is the master key's file in the data folder.
const fileName = "key"

// OpenMaster reads the master key of a data folder, or makes one. Whoever has it can read every
// secret that the server keeps.
func OpenMaster(folder string) (Master, error) {
	var m Master
	name := filepath.Join(folder, fileName)
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := rand.Read(m[:]); err != nil {
			return m, err
		}
		return m, durable.WriteFile(name, m[:], 0o600)
	} else if err != nil {
		return m, fmt.Errorf("reading the master key: %w", err)
	}
	if len(b) != len(m) {
		return m, fmt.Errorf("the master key %s has %d bytes, want %d", name, len(b), len(m))
	}
	copy(m[:], b)
	return m, nil
}

// Derive gives a 32-byte key for a purpose.
func (m Master) Derive(purpose string) []byte {
	key, err := hkdf.Key(sha256.New, m[:], nil, "vennel "+purpose, 32)
	if err != nil {
		panic(err) // only a length that no hash can give
	}
	return key
}

// Box seals values for one purpose. It is safe for concurrent use.
type Box struct{ aead cipher.AEAD }

// Box gives the box of a purpose.
func (m Master) Box(purpose string) *Box {
	block, err := aes.NewCipher(m.Derive(purpose))
	if err != nil {
		panic(err) // only a key of another length
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return &Box{aead}
}

// Seal encrypts and authenticates a value. name says what it is of; the same name opens it.
func (b *Box) Seal(value []byte, name string) []byte {
	return b.aead.Seal(nil, nil, value, []byte(name))
}

// ErrSealed says that a value was not sealed by this key under this name.
var ErrSealed = errors.New("seal: the value cannot be opened with this server's key")

// Open gives a sealed value back.
func (b *Box) Open(sealed []byte, name string) ([]byte, error) {
	value, err := b.aead.Open(nil, nil, sealed, []byte(name))
	if err != nil {
		return nil, ErrSealed
	}
	return value, nil
}
