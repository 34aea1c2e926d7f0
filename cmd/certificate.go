package cmd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/vennel/vennel/dataplane/link"
	"github.com/vennel/vennel/internal/durable"
	"github.com/vennel/vennel/wire"
)

// linkName is the name in the control plane's certificate that links ask for.
const linkName = "links.vennel.internal"

// Certificate writes the certificates with which hosts and gateways prove themselves to a control plane elsewhere.
type Certificate struct {
	DataFlag
	Kind string `arg:"" enum:"host,gateway" help:"host or gateway."`
	Name string `arg:"" help:"A name for the host, or the id of the gateway's VPC endpoint."`
	File string `arg:"" type:"path" help:"Where to write it; the file holds a private key."`
}

// The names that certificates may have.
var (
	hostNames     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$`)
	endpointNames = regexp.MustCompile(`^vpce-[0-9a-f]{17}$`)
)

// Run writes the certificate, its key and the authority's certificate.
func (c *Certificate) Run(_ context.Context, s Streams) error {
	folder, err := c.folder()
	if err != nil {
		return err
	}
	prefix, names := link.HostName, hostNames
	if c.Kind == "gateway" {
		prefix, names = link.GatewayName, endpointNames
	}
	if !names.MatchString(c.Name) {
		return &ExitError{exitUsage, fmt.Errorf("%q is no name for a %s; it must match %s", c.Name, c.Kind, names)}
	}
	if _, err := os.Stat(filepath.Join(folder, caFile)); err != nil {
		return fmt.Errorf("no server has its data in %s; name its folder with --data (%w)", folder, err)
	}
	ca, err := wire.OpenCA(folder)
	if err != nil {
		return err
	}
	text, err := ca.Client(prefix + c.Name)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(c.File, text, 0o600); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "Wrote %s. Take it to the %s, and keep it as secret as a password.\n", filepath.Base(c.File), c.Kind)
	return err
}

// authorityIn gives the certificates of authorities in a file, and no key that may be there, too.
func authorityIn(file string) (found []byte, err error) {
	text, err := os.ReadFile(file)
	for block := (*pem.Block)(nil); err == nil && len(text) > 0; {
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if c, bad := x509.ParseCertificate(block.Bytes); block.Type == "CERTIFICATE" && bad == nil && c.IsCA {
			found = append(found, pem.EncodeToMemory(block)...)
		}
	}
	return found, err
}

// linkConfig is the TLS configuration of whoever dials a control plane.
func linkConfig(certificate string) (*tls.Config, error) {
	if certificate == "" {
		return nil, errors.New("--connect needs --certificate; vennel certificate writes one where the control plane is")
	}
	pair, err := tls.LoadX509KeyPair(certificate, certificate)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", certificate, err)
	}
	authority, err := authorityIn(certificate)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("%s lacks the authority's certificate; vennel certificate writes it there, too", certificate)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, MinVersion: tls.VersionTLS13, ServerName: linkName}, nil
}
