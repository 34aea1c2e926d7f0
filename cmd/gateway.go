package cmd

import (
	"context"
	"net"
	"net/netip"

	"golang.org/x/sync/errgroup"

	"github.com/vennel/vennel/dataplane/link"
)

// Gateway carries an interface endpoint into a network that exists already: it listens on private addresses there, and brings
// what comes to the control plane over one connection that it dials itself.
type Gateway struct {
	Listen      []string `required:"" placeholder:"ADDR:443" help:"Private addresses to listen on."`
	Connect     string   `required:"" placeholder:"HOST:PORT" help:"The links address of the control plane."`
	Certificate string   `required:"" type:"existingfile" placeholder:"FILE" help:"What vennel certificate gateway has written."`
	LogLevel
}

// Run carries connections until it is told to stop. Those that come while the control plane cannot be reached are refused at once.
func (c *Gateway) Run(ctx context.Context, s Streams) error {
	log := c.logger(s.Err)
	config, err := linkConfig(c.Certificate)
	if err != nil {
		return err
	}
	var listeners []net.Listener
	for _, address := range c.Listen {
		var listen net.ListenConfig
		l, err := listen.Listen(ctx, "tcp", address)
		if err != nil {
			return err
		}
		defer func() { _ = l.Close() }() // it is closed already, but for those before one that cannot be opened
		log.Info("listening", "address", l.Addr().String())
		listeners = append(listeners, l)
	}
	gateway := link.NewGateway()
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range listeners {
		g.Go(func() error { return gateway.Accept(ctx, l) })
	}
	g.Go(func() error { return link.Dialled(ctx, c.Connect, config, log, gateway.Serve) })
	return g.Wait()
}

// peerOf is the address of an end of a TCP connection.
func peerOf(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
