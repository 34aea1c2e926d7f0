package wire

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
)

// newCA makes an authority in a folder of its own.
func newCA(t testing.TB) *CA {
	t.Helper()
	ca, err := OpenCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// trusting is a client's configuration that trusts an authority.
func trusting(ca *CA) *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM())
	return &tls.Config{RootCAs: roots}
}

// TestOpenCA makes an authority, and finds it again.
func TestOpenCA(t *testing.T) {
	folder := t.TempDir()
	first, err := OpenCA(folder)
	if err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"ca.pem": 0o644, "ca.key": 0o600} {
		info, err := os.Stat(filepath.Join(folder, name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v; want %v", name, info.Mode(), err, mode)
		}
	}
	second, err := OpenCA(folder)
	if err != nil || !first.cert.Equal(second.cert) || !first.key.Equal(second.key) {
		t.Errorf("another authority was opened: %v", err)
	}
	file, err := os.ReadFile(filepath.Join(folder, "ca.pem"))
	if err != nil || string(file) != string(first.PEM()) {
		t.Errorf("the file is not what clients are given: %v", err)
	}
	other := newCA(t)
	if first.cert.SerialNumber.Cmp(other.cert.SerialNumber) == 0 || first.cert.Subject.CommonName == other.cert.Subject.CommonName {
		t.Error("two authorities have one name")
	}
}

// TestOpenCAFailing holds that an authority that nodes trust is never replaced unasked.
func TestOpenCAFailing(t *testing.T) {
	key := func(t *testing.T, file string, private any) {
		t.Helper()
		der, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		change func(t *testing.T, folder string)
		works  bool
	}{
		"nothing changed": {func(*testing.T, string) {}, true},
		"no certificate": {func(t *testing.T, folder string) { // a crash between the two
			if err := os.Remove(filepath.Join(folder, "ca.pem")); err != nil {
				t.Fatal(err)
			}
		}, true},
		"no key": {func(t *testing.T, folder string) {
			if err := os.Remove(filepath.Join(folder, "ca.key")); err != nil {
				t.Fatal(err)
			}
		}, false},
		"another key": {func(t *testing.T, folder string) {
			other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			key(t, filepath.Join(folder, "ca.key"), other)
		}, false},
		"an RSA key": {func(t *testing.T, folder string) {
			other, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				t.Fatal(err)
			}
			key(t, filepath.Join(folder, "ca.key"), other)
		}, false},
		"nonsense": {func(t *testing.T, folder string) {
			if err := os.WriteFile(filepath.Join(folder, "ca.pem"), []byte("nonsense"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, false},
		"no authority": {func(t *testing.T, folder string) {
			leaf, err := newCA(t).Leaf("localhost")
			if err != nil {
				t.Fatal(err)
			}
			key(t, filepath.Join(folder, "ca.key"), leaf.PrivateKey)
			if err := os.WriteFile(filepath.Join(folder, "ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Certificate[0]}), 0o600); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			if _, err := OpenCA(folder); err != nil {
				t.Fatal(err)
			}
			c.change(t, folder)
			before, _ := os.ReadFile(filepath.Join(folder, "ca.pem"))
			_, err := OpenCA(folder)
			if (err == nil) != c.works {
				t.Errorf("opening gave %v", err)
			}
			if after, _ := os.ReadFile(filepath.Join(folder, "ca.pem")); before != nil && string(after) != string(before) {
				t.Error("the certificate was replaced")
			}
		})
	}
	if _, err := OpenCA(filepath.Join(t.TempDir(), "absent")); err == nil {
		t.Error("an authority was made in a folder that there is not")
	}
}

// handshake shakes hands over a socket, and gives the server's certificate.
func handshake(t *testing.T, server, client *tls.Config) (*x509.Certificate, error) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_ = c.(*tls.Conn).Handshake()
		_ = c.Close()
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	c := tls.Client(raw, client)
	if err := c.Handshake(); err != nil {
		return nil, err
	}
	return c.ConnectionState().PeerCertificates[0], nil
}

// TestNamesServed shakes hands under many names. source: userguide, agent for the names
func TestNamesServed(t *testing.T) {
	ca := newCA(t)
	for name, ok := range map[string]bool{
		"ssm.us-east-1.amazonaws.com": true, "SSM.us-east-1.amazonaws.com": true, "ssmmessages.home-lab-1.selfhost.test": true, "kms-fips.us-east-1.amazonaws.com": true,
		"ec2messages.us-east-1.api.aws": true, "vpce-0a1b.ssm.us-east-1.vpce.amazonaws.com": true, "bucket.s3.us-east-1.amazonaws.com": true, "iam.amazonaws.com": true,
		"localhost": true, "server.example.com": true,
		"example.com": false, "www.google.com": false, "dynamodb.us-east-1.amazonaws.com": false, "other.example.com": false, "ssm": false, "localhost.example.com": false,
	} {
		client := trusting(ca)
		client.ServerName = name
		leaf, err := handshake(t, ca.Config(served, "server.example.com"), client)
		if (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && (len(leaf.DNSNames) != 1 || leaf.DNSNames[0] != strings.ToLower(name) || leaf.IsCA) {
			t.Errorf("%s: the certificate is for %v", name, leaf.DNSNames)
		}
	}
	client := trusting(ca)
	client.ServerName = "127.0.0.1" // an address is not sent as a name
	if leaf, err := handshake(t, ca.Config(served), client); err != nil || len(leaf.IPAddresses) != 1 {
		t.Errorf("an address: %v", err)
	}
	client = trusting(newCA(t))
	client.ServerName = "ssm.us-east-1.amazonaws.com"
	if _, err := handshake(t, ca.Config(served), client); err == nil {
		t.Error("another authority was trusted")
	}
}

// TestNoName shakes hands without a name where there is no address either.
func TestNoName(t *testing.T) {
	ca := newCA(t)
	a, b := net.Pipe()
	defer b.Close()
	go func() { _ = tls.Server(a, ca.Config(served)).Handshake() }()
	client := trusting(ca)
	client.InsecureSkipVerify = true // without a name there is nothing to verify by the library
	c := tls.Client(b, client)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := c.ConnectionState().PeerCertificates[0].VerifyHostname("localhost"); err != nil {
		t.Error(err)
	}
}

// TestTLSVersions holds that TLS 1.2 is the least. source: aws
func TestTLSVersions(t *testing.T) {
	ca := newCA(t)
	for version, ok := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		client := trusting(ca)
		client.ServerName, client.MinVersion, client.MaxVersion = "localhost", version, version
		if _, err := handshake(t, ca.Config(served), client); (err == nil) != ok {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}

// TestLeafRenewal makes a new certificate when a third of the old one's life is left.
func TestLeafRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newCA(t)
		leaf := func() *x509.Certificate {
			l, err := ca.Leaf("localhost")
			if err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			roots.AddCert(ca.cert)
			if _, err := l.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "localhost", CurrentTime: time.Now()}); err != nil {
				t.Error(err)
			}
			return l.Leaf
		}
		first := leaf()
		time.Sleep(leafLife*2/3 - time.Minute)
		if !leaf().Equal(first) {
			t.Error("it was renewed too early")
		}
		time.Sleep(2 * time.Minute)
		second := leaf()
		if second.Equal(first) || !leaf().Equal(second) {
			t.Error("it was not renewed, or again and again")
		}
	})
}

// TestLeavesTogether asks for new names from many goroutines, and for more names than are kept.
func TestLeavesTogether(t *testing.T) {
	ca := newCA(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 200 {
				name := fmt.Sprintf("ssm.region-%d.example.com", j*(1+i%2))
				if l, err := ca.Leaf(name); err != nil || l.Leaf.DNSNames[0] != name {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	all.Wait()
	if n := len(ca.leaves); n != 300 {
		t.Errorf("%d certificates are kept", n)
	}
	for i := range mostLeaves {
		ca.leaves[fmt.Sprint(i)] = ca.leaves["ssm.region-0.example.com"]
	}
	if _, err := ca.Leaf("one.more"); err != nil || len(ca.leaves) > mostLeaves {
		t.Errorf("%d certificates are kept, %v", len(ca.leaves), err)
	}
}

// TestHTTPVersions calls over TLS with Go's client in HTTP/2, and in HTTP/1.1 without any
// negotiation, as the agent's oldest libraries do.
func TestHTTPVersions(t *testing.T) {
	proto := make(chan string, 1)
	w := newWorld(t, map[string]api.Operation{
		"ssm:GetParameter": allowed("GetParameter", func(ctx context.Context, _ *ssm.GetParameterInput) (*ssm.GetParameterOutput, error) {
			if call := api.CallFrom(ctx); !call.TLS || !call.SourceIP.IsLoopback() || call.Host != "ssm.us-east-1.amazonaws.com" {
				t.Errorf("the call is %+v", call)
			}
			return &ssm.GetParameterOutput{}, nil
		}),
	})
	ca := newCA(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{TLSConfig: ca.Config(w.Serves), Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		proto <- r.Proto
		w.ServeHTTP(rw, r)
	})}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.ServeTLS(l, "", "") })
	defer func() { _ = server.Close(); serving.Wait() }()
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, l.Addr().String())
	}
	for want, transport := range map[string]*http.Transport{
		"HTTP/2.0": {TLSClientConfig: trusting(ca), ForceAttemptHTTP2: true, DialContext: dial},
		"HTTP/1.1": {TLSClientConfig: trusting(ca), TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}, DialContext: dial},
	} {
		client := &Client{Service: "ssm", Endpoint: "https://ssm.us-east-1.amazonaws.com", HTTP: &http.Client{Transport: transport}, Sign: signer("ssm")}
		for range 3 {
			if err := client.Call(t.Context(), "GetParameter", &ssm.GetParameterInput{Name: "n"}, &ssm.GetParameterOutput{}); err != nil {
				t.Errorf("%s: %v", want, err)
			}
			if got := <-proto; got != want {
				t.Errorf("spoke %s, want %s", got, want)
			}
		}
		transport.CloseIdleConnections()
	}
}
