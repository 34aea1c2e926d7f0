package cmd

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"

	"github.com/hashicorp/yamux"
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
	config, err := linkConfig(c.Certificate, c.Connect)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	way := new(way)
	for _, address := range c.Listen {
		var listen net.ListenConfig
		l, err := listen.Listen(ctx, "tcp", address)
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { _ = l.Close() })
		log.Info("listening", "address", l.Addr().String())
		g.Go(func() error { return way.accept(ctx, l) })
	}
	g.Go(func() error { return link.Dialled(ctx, c.Connect, config, log, way.open) })
	return g.Wait()
}

// mostCarried is how many connections a gateway carries at once.
const mostCarried = 16384

// way is the link that a gateway has at a time.
type way struct {
	mu      sync.Mutex
	session *yamux.Session // guarded by mu; nil for none
}

// open lets connections through a link until it breaks.
func (w *way) open(ctx context.Context, session *yamux.Session) error {
	w.mu.Lock()
	w.session = session
	w.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-session.CloseChan():
	}
	w.mu.Lock()
	w.session = nil
	w.mu.Unlock()
	return errors.New("the connection has ended")
}

// accept brings the connections of one listener.
func (w *way) accept(ctx context.Context, l net.Listener) error {
	room := make(chan struct{}, mostCarried)
	var carried sync.WaitGroup
	defer carried.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		w.mu.Lock()
		session := w.session
		w.mu.Unlock()
		select {
		case room <- struct{}{}:
		default:
			session = nil
		}
		if session == nil {
			_ = conn.Close()
			continue
		}
		carried.Go(func() {
			defer func() { <-room }()
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			link.Bring(session, conn, &link.Header{From: peerOf(conn.RemoteAddr()), To: peerOf(conn.LocalAddr())})
		})
	}
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
