package wire

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/internal/selfsigned"
)

// The lives of certificates. A leaf is made anew when a third of its life is left.
const (
	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 90 * 24 * time.Hour
	// clientLife is that of hosts' and gateways', which are taken to their machines by hand.
	clientLife = 2 * 365 * 24 * time.Hour
	// mostLeaves bounds the certificates kept for names that clients ask for.
	mostLeaves = 1024
)

// CA is the certificate authority of a server. Whoever trusts it trusts this server under the
// names of AWS's services, so its key never leaves the data folder.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey

	mu     sync.Mutex
	leaves map[string]*tls.Certificate // guarded by mu
}

// OpenCA reads the authority kept in a folder (ca.pem, ca.key), or makes one. An authority without
// its key is an error: a new one in its place would be trusted by nobody.
func OpenCA(folder string) (*CA, error) {
	certFile, keyFile := filepath.Join(folder, "ca.pem"), filepath.Join(folder, "ca.key")
	pair, err := selfsigned.Open("the certificate authority", certFile, keyFile, newAuthority)
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s holds no ECDSA key", keyFile)
	}
	if !pair.Leaf.IsCA {
		return nil, fmt.Errorf("%s is no certificate authority", certFile)
	}
	return &CA{cert: pair.Leaf, key: key, leaves: map[string]*tls.Certificate{}}, nil
}

// newAuthority makes a key of an authority and says what its certificate is to say.
func newAuthority(serial *big.Int) (crypto.Signer, *x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return key, &x509.Certificate{
		Subject:  pkix.Name{Organization: []string{"Vennel"}, CommonName: "Vennel CA " + serial.Text(36)[:6]},
		NotAfter: time.Now().Add(caLife), IsCA: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, err
}

// PEM is the authority's certificate, for clients to trust.
func (ca *CA) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
}

// Config serves from one listener the names of the services that serves knows, localhost, the
// address that a client dialled, and further names of the server's own. Other names are refused.
func (ca *CA) Config(serves func(service string) bool, names ...string) *tls.Config {
	return ca.config(func(context.Context) (func(string) bool, error) { return nameOf(serves, names), nil })
}

// nameOf says which names are served.
func nameOf(serves func(service string) bool, names []string) func(name string) bool {
	names = append([]string{"localhost"}, names...)
	return func(name string) bool { return slices.Contains(names, name) || parseHost(name, serves).service != "" }
}

// TLS is CA.Config for the listeners of a Mux. A connection that has come through a VPC endpoint gets certificates only for
// names of the service behind it, in its Region, and among the names of endpoints only for the endpoint's own. Handshakes take turns.
func (m *Mux) TLS(ca *CA, names ...string) *tls.Config {
	everything := nameOf(m.Serves, names)
	config := ca.config(func(ctx context.Context) (func(string) bool, error) {
		if m.Via == nil {
			return everything, nil
		}
		endpoint, err := m.Via(ctx)
		if err != nil {
			return nil, err
		}
		if endpoint == nil {
			return everything, nil
		}
		return func(name string) bool { return isBehind(name, endpoint) }, nil
	})
	config.GetConfigForClient = make(turns, handshakes).take
	config.DynamicRecordSizingDisabled = true // it makes many small records of the first megabyte of a session
	return config
}

// isBehind says whether a name leads to a VPC endpoint: one of the endpoint's own, or one of the service behind it.
func isBehind(name string, e api.Endpoint) bool {
	host := parseHost(name, func(service string) bool { return service == e.Service() })
	if host.service == "" || host.region != "" && host.region != e.Region() {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if strings.HasPrefix(label, "vpce-") && !strings.HasPrefix(label, e.ID()+"-") {
			return false
		}
	}
	return true
}

// config is a configuration for the names that a connection may ask for.
func (ca *CA) config(of func(context.Context) (func(name string) bool, error)) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			served, err := of(hello.Context())
			if err != nil {
				return nil, err
			}
			name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
			switch {
			case name == "":
				name = "localhost"
				if a, ok := hello.Conn.LocalAddr().(*net.TCPAddr); ok {
					name = a.IP.String()
				}
			case !served(name):
				return nil, fmt.Errorf("wire: no certificate for %q", name)
			}
			return ca.Leaf(name)
		},
	}
}

// Leaf gives a certificate for one name or address, kept until it gets old. Two that ask for the
// same new one at once may get two.
func (ca *CA) Leaf(name string) (*tls.Certificate, error) {
	now := time.Now()
	ca.mu.Lock()
	leaf := ca.leaves[name]
	ca.mu.Unlock()
	if leaf != nil && now.Before(leaf.Leaf.NotAfter.Add(-leafLife/3)) {
		return leaf, nil
	}
	leaf, err := ca.makeLeaf(name, now)
	if err != nil {
		return nil, err
	}
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if len(ca.leaves) >= mostLeaves {
		clear(ca.leaves) // names are few; whoever asks for many only makes us work
	}
	ca.leaves[name] = leaf
	return leaf, nil
}

// makeLeaf makes a certificate.
func (ca *CA) makeLeaf(name string, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := selfsigned.NewSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{Organization: []string{"Vennel"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(leafLife), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, ca.cert.Raw}, PrivateKey: key, Leaf: parsed}, nil
}

// Client gives a certificate with which a peer proves a name, a URI, to this server; with its key and the authority's certificate,
// as PEM.
func (ca *CA) Client(name string) ([]byte, error) {
	uri, err := url.Parse(name)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := selfsigned.NewSerial()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{Organization: []string{"Vennel"}, CommonName: name}, URIs: []*url.URL{uri},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(clientLife), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	return append(text, ca.PEM()...), nil
}

// Demand gives a configuration that shows a name of the server's own and demands certificates of Client's.
func (ca *CA) Demand(name string) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return ca.Leaf(name) },
	}
}
