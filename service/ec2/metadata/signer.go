package metadata

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"path/filepath"
	"time"

	"github.com/smallstep/pkcs7"

	"github.com/vennel/vennel/internal/selfsigned"
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
	pair, err := selfsigned.Open("the key of identity documents", certFile, keyFile, newSigner)
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s holds no RSA key", keyFile)
	}
	return &Signer{key: key, cert: pair.Leaf}, nil
}

// newSigner makes a key and says what its certificate is to say.
func newSigner(*big.Int) (crypto.Signer, *x509.Certificate, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	return key, &x509.Certificate{
		Subject:  pkix.Name{Organization: []string{"Vennel"}, CommonName: "Vennel instance identity"},
		NotAfter: time.Now().Add(signerLife), KeyUsage: x509.KeyUsageDigitalSignature,
	}, err
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
