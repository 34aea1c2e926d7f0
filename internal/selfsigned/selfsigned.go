// Package selfsigned keeps a key and the certificate that it signs itself in two files.
package selfsigned

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"time"

	"github.com/vennel/vennel/internal/durable"
)

// Open reads the two files, or makes them from a new key and what its certificate is to say. A certificate without its key is an
// error: a new one in its place would be trusted by nobody. what names them in errors.
func Open(what, certFile, keyFile string, create func(serial *big.Int) (crypto.Signer, *x509.Certificate, error)) (tls.Certificate, error) {
	if _, err := os.Stat(certFile); errors.Is(err, fs.ErrNotExist) {
		if err := write(certFile, keyFile, create); err != nil {
			return tls.Certificate{}, fmt.Errorf("making %s: %w", what, err)
		}
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("reading %s: %w", what, err)
	}
	return pair, nil
}

// write makes and writes both. The key goes first: a certificate without one would be useless.
func write(certFile, keyFile string, create func(serial *big.Int) (crypto.Signer, *x509.Certificate, error)) error {
	serial, err := NewSerial()
	if err != nil {
		return err
	}
	key, template, err := create(serial)
	if err != nil {
		return err
	}
	template.SerialNumber, template.NotBefore, template.BasicConstraintsValid = serial, time.Now().Add(-time.Hour), true
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
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

// NewSerial is a random serial number.
func NewSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
}
