package cmd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
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

// linkConfig is the TLS configuration of whoever dials a control plane.
func linkConfig(certificate, address string) (*tls.Config, error) {
	if certificate == "" {
		return nil, errors.New("--connect needs --certificate; vennel certificate writes one where the control plane is")
	}
	pair, err := tls.LoadX509KeyPair(certificate, certificate)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", certificate, err)
	}
	config, err := trust(certificate) // the authority's certificate is in it, too
	if err != nil {
		return nil, err
	}
	config.Certificates, config.MinVersion, config.ServerName = []tls.Certificate{pair}, tls.VersionTLS13, linkName
	return config, nil
}
