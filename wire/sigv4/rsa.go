package sigv4

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"time"
)

// headerAsymmetric is the header in which an EC2 node's SSM Agent proves that it holds the key it registered.
const headerAsymmetric = "Ssm-Asymmetrickeyauthorization"

// pss are the parameters of every RSA signature of the SSM Agent.
var pss = rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256}

// verifyRSA checks a signature of the RSA variant: RSASSA-PSS over the SHA-256 of the ordinary string to sign, in base64.
func (s *Signature) verifyRSA(hash *Hash, key Key) error {
	if s.Presigned || key.Secret != "" {
		return s.mismatch()
	}
	return s.checkPSS(key.Public, s.appendStringToSign(nil, hash), s.Value)
}

// checkPSS refuses a base64 signature over text that the key did not make.
func (s *Signature) checkPSS(key *rsa.PublicKey, text []byte, signature string) error {
	raw, err := base64.StdEncoding.Strict().DecodeString(signature)
	if err != nil {
		return s.mismatch()
	}
	sum := sha256.Sum256(text)
	if rsa.VerifyPSS(key, crypto.SHA256, sum[:], raw, &pss) != nil {
		return s.mismatch()
	}
	return nil
}

// signPSS returns the base64 signature of a text.
func signPSS(key *rsa.PrivateKey, text []byte) (string, error) {
	sum := sha256.Sum256(text)
	raw, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:], &pss)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(raw), nil
}

// SignRSA signs a request as a managed node does that has no secret yet: keyID is the node's id, and the SHA-256 of the body
// (payload, in hex) travels beside the signature, not under it. Neither does it sign Content-Length, for the SSM Agent sends
// its body chunked.
func SignRSA(r *http.Request, payload, keyID string, key *rsa.PrivateKey, region, service string, now time.Time) error {
	s := newSignature(r, Credentials{AccessKeyID: keyID}, region, service, now)
	r.Header.Del(headerPayload)
	s.signHeaders(r, 0)
	text, err := s.StringToSign(r, payload)
	if err != nil {
		return err
	}
	if s.Value, err = signPSS(key, []byte(text)); err != nil {
		return err
	}
	r.Header.Set(headerPayload, payload)
	r.Header.Set(headerAuthorization, s.authorization())
	return nil
}

// SignAsymmetricKey adds the header SSM-AsymmetricKeyAuthorization to a request that [Sign] has signed: the signature of the
// complete Authorization header by the key that the node registered.
func SignAsymmetricKey(r *http.Request, key *rsa.PrivateKey) error {
	text, err := signPSS(key, []byte(r.Header.Get(headerAuthorization)))
	if err != nil {
		return err
	}
	r.Header.Set(headerAsymmetric, "Signature="+text)
	return nil
}

// VerifyAsymmetricKey checks the header SSM-AsymmetricKeyAuthorization against the key that the node registered. It says
// nothing about the Authorization header, which [Signature.Verify] judges.
func (s *Signature) VerifyAsymmetricKey(r *http.Request, key *rsa.PublicKey) error {
	proofs, signed := r.Header[headerAsymmetric], r.Header[headerAuthorization]
	if len(proofs) != 1 || len(signed) != 1 {
		return s.mismatch()
	}
	signature, ok := strings.CutPrefix(proofs[0], "Signature=")
	if !ok {
		return s.mismatch()
	}
	return s.checkPSS(key, []byte(signed[0]), signature)
}
