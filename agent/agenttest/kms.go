package agenttest

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"

	"github.com/vennel/vennel/api/kms"
)

// dataKey is a data key that was made for a client.
type dataKey struct {
	plain   []byte
	context map[string]string
}

// Keys makes data keys for clients, which nodes decrypt by a call to the plane.
type Keys struct{ *Plane }

// GenerateDataKey makes a data key. Its encrypted form is a name for it.
func (k Keys) GenerateDataKey(_ context.Context, _ string, bytes int, encryptionContext map[string]string) (plain, encrypted []byte, err error) {
	plain, encrypted = make([]byte, bytes), make([]byte, 16)
	_, _ = rand.Read(plain) // which has no errors
	_, _ = rand.Read(encrypted)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys[string(encrypted)] = dataKey{plain, maps.Clone(encryptionContext)}
	return plain, encrypted, nil
}

// Decrypt is for nodes.
func (Keys) Decrypt(context.Context, string, []byte, map[string]string) ([]byte, error) {
	return nil, errors.New("a client decrypts nothing")
}

// kmsServer answers the calls of kms that nodes make.
type kmsServer struct {
	kms.Unimplemented
	*Plane
}

// Decrypt decrypts a data key.
func (s *kmsServer) Decrypt(ctx context.Context, in *kms.DecryptInput) (out *kms.DecryptOutput, err error) {
	_, leave, err := s.enter(ctx, "Decrypt")
	if err != nil {
		return nil, err
	}
	defer leave(&err)
	k, ok := s.keys[string(in.CiphertextBlob)]
	context := maps.Clone(in.EncryptionContext)
	delete(context, "aws:ssm:RandomChallenge")
	delete(k.context, "aws:ssm:RandomChallenge")
	if !ok || !maps.Equal(k.context, context) {
		return nil, kms.ErrInvalidCiphertextException("")
	}
	return &kms.DecryptOutput{KeyId: in.KeyId, Plaintext: k.plain}, nil
}
