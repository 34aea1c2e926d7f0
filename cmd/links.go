package cmd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/internal/coalesce"
	"github.com/vennel/vennel/service/ec2/endpoint"
	"github.com/vennel/vennel/service/ec2/instance"
	"github.com/vennel/vennel/service/ec2/plan"
)

// Site is a network on-premises, as a flag says it: NAME=CIDR@ADDR.
type Site dataplane.Site

// UnmarshalText reads a flag.
func (s *Site) UnmarshalText(text []byte) (err error) {
	name, rest, ok := strings.Cut(string(text), "=")
	cidr, address, also := strings.Cut(rest, "@")
	if !ok || !also || name == "" {
		return fmt.Errorf("a site is NAME=CIDR@ADDR, such as office=192.168.50.0/24@198.19.255.10, unlike %q", text)
	}
	s.ID = name
	if s.CIDR, err = netip.ParsePrefix(cidr); err == nil {
		s.Internet, err = netip.ParseAddr(address)
	}
	return err
}

// plan is what the flags say of the network.
func (s *Serve) plan() (o plan.Options) {
	o.Regions = []string{s.Region}
	for _, site := range s.Sites {
		o.Sites = append(o.Sites, dataplane.Site(site))
	}
	return o
}

// serveLinks takes the links of hosts and gateways until ctx ends.
func (s *Server) serveLinks(ctx context.Context, l net.Listener, web *http.Server) error {
	gateways := &carried{conns: make(chan net.Conn), done: make(chan struct{})}
	g, ctx := errgroup.WithContext(ctx)
	s.hub.Gateway = func(conn net.Conn, id string) {
		at := endpoint.Arrival{Carried: id}
		if _, err := s.endpoints.At(ctx, at); err != nil {
			_ = conn.Close() // there is nobody at that endpoint
			return
		}
		gateways.put(&arrived{Conn: conn, at: at})
	}
	context.AfterFunc(ctx, func() { close(gateways.done) })
	g.Go(func() error {
		err := web.ServeTLS(coalesce.Listener{Listener: gateways}, "", "")
		if ctx.Err() != nil || errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return err
	})
	g.Go(func() error { return s.hub.Serve(ctx, l, s.CA.Demand(linkName)) })
	return g.Wait()
}

// images are what instances can be made of: with the official agent only where its programs are.
func (c *Config) images() []instance.Image {
	list := []instance.Image{instance.AgentImage, instance.BareImage}
	if c.SSMAgent != "" {
		list = append(list, instance.OfficialImage)
	}
	return list
}

// Where a machine finds the programs that it is given.
const (
	machineProgram  = "/opt/vennel/vennel"
	machineOfficial = "/opt/amazon/ssm"
)

// boots says what the machines of images start; those of images that are no longer offered go on.
func (c *Config) boots() map[string]plan.Image {
	images := map[string]plan.Image{}
	for _, i := range []instance.Image{instance.AgentImage, instance.OfficialImage, instance.BareImage} {
		image := plan.Image{
			Init:   []string{machineProgram, "boot", "--agent", i.Agent, "--folder", machineOfficial},
			Mounts: []dataplane.Mount{{To: machineProgram}},
		}
		if i.ID == instance.OfficialImage.ID && c.SSMAgent != "" {
			image.Mounts = append(image.Mounts, dataplane.Mount{From: c.SSMAgent, To: machineOfficial})
		}
		images[i.ID] = image
	}
	return images
}
