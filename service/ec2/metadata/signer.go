package metadata

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/smallstep/pkcs7"

	"github.com/vennel/vennel/internal/durable"
)

// The files of the key that signs identity documents. The certificate is for those who verify them, as AWS's are that its guide prints.
const (
	CertificateFile = "instance-identity.pem"
	privateFile     = "instance-identity.key"
)

// signerLife is how long the certificate is valid. AWS's are for about as long.
const signerLife = 30 * 365 * 24 * time.Hour

// Signer signs identity documents.
type Signer struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

// OpenSigner reads the key in a folder, or makes one.
func OpenSigner(folder string) (*Signer, error) {
	certFile, keyFile := filepath.Join(folder, CertificateFile), filepath.Join(folder, privateFile)
	if _, err := os.Stat(certFile); errors.Is(err, fs.ErrNotExist) {
		if err := makeSigner(certFile, keyFile); err != nil {
			return nil, fmt.Errorf("making the key of identity documents: %w", err)
		}
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("reading the key of identity documents: %w", err)
	}
	key, ok := pair.PrivateKey.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s holds no RSA key", keyFile)
	}
	return &Signer{key: key, cert: pair.Leaf}, nil
}

// makeSigner writes a new key. It goes first: a certificate without one would be useless.
func makeSigner(certFile, keyFile string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{Organization: []string{"Vennel"}, CommonName: "Vennel instance identity"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(signerLife), KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600); err != nil {
		return err
	}
	return durable.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}

// sign signs a document.
func (s *Signer) sign(document []byte) ([]byte, error) {
	sum := sha256.Sum256(document)
	return rsa.SignPKCS1v15(nil, s.key, crypto.SHA256, sum[:])
}

// envelop signs a document and puts it and the signature into a PKCS #7 message.
func (s *Signer) envelop(document []byte) ([]byte, error) {
	d, err := pkcs7.NewSignedData(document)
	if err != nil {
		return nil, err
	}
	d.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	if err := d.AddSigner(s.cert, s.key, pkcs7.SignerInfoConfig{}); err != nil {
		return nil, err
	}
	return d.Finish()
}
