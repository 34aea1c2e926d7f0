package datachannel

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
)

// The sizes of encryption. source: agent
const (
	nonceSize = 12
	tagSize   = 16
	keySize   = 32
	dataKey   = 2 * keySize
)

// KeyService is as much of KMS as a session needs. Calls are made with the credentials and in the
// Region of the end that it belongs to.
type KeyService interface {
	// GenerateDataKey makes a key of some bytes, and gives it as it is and encrypted.
	GenerateDataKey(ctx context.Context, keyID string, bytes int, encryptionContext map[string]string) (plain, encrypted []byte, err error)
	Decrypt(ctx context.Context, keyID string, encrypted []byte, encryptionContext map[string]string) (plain []byte, err error)
}

// sealer encrypts payloads of one direction, opens those of the other.
type sealer struct{ mine, theirs cipher.AEAD }

// errDecrypt says that a payload was not encrypted with the session's key.
var errDecrypt = errors.New("a payload of the session cannot be decrypted")

// newSealer divides a data key: the agent encrypts with the first half, the client with the second. source: agent
func newSealer(role Role, key []byte) (*sealer, error) {
	if len(key) != dataKey {
		return nil, fmt.Errorf("the session's data key has %d bytes, not %d", len(key), dataKey)
	}
	var halves [2]cipher.AEAD
	for i := range halves {
		block, err := aes.NewCipher(key[i*keySize : (i+1)*keySize])
		if err != nil {
			return nil, err
		}
		if halves[i], err = cipher.NewGCM(block); err != nil {
			return nil, err
		}
	}
	if role == Agent {
		return &sealer{halves[0], halves[1]}, nil
	}
	return &sealer{halves[1], halves[0]}, nil
}

// seal appends nonce, ciphertext and tag to b. The payload may lie where its ciphertext will.
func (s *sealer) seal(b, payload []byte) []byte {
	at := len(b)
	b = b[:at+nonceSize]
	_, _ = rand.Read(b[at:]) // which has no errors
	return s.mine.Seal(b, b[at:], payload, nil)
}

// sealed is a payload, encrypted in memory of its own.
func (s *sealer) sealed(payload []byte) []byte {
	return s.seal(make([]byte, 0, nonceSize+len(payload)+tagSize), payload)
}

// open decrypts a payload in its place.
func (s *sealer) open(payload []byte) ([]byte, error) {
	if len(payload) < nonceSize+tagSize {
		return nil, errDecrypt
	}
	plain, err := s.theirs.Open(payload[nonceSize:nonceSize], payload[:nonceSize], payload[nonceSize:], nil)
	if err != nil {
		return nil, errDecrypt
	}
	return plain, nil
}

// encryptionContext is what a session's data key is bound to. An empty challenge is left out. source: agent
func encryptionContext(sessionID, target, challenge string) map[string]string {
	c := map[string]string{"aws:ssm:SessionId": sessionID, "aws:ssm:TargetId": target}
	if challenge != "" {
		c["aws:ssm:RandomChallenge"] = challenge
	}
	return c
}
