package link

import (
	"context"
	"net"
	"sync"

	"github.com/hashicorp/yamux"
)

// Gateway brings the connections of listeners in a network that is not ours to a control plane. Those that come while it has no
// link, or too many, are refused at once, so that whoever connects may try another address.
type Gateway struct {
	room chan struct{}

	mu      sync.Mutex
	session *yamux.Session // guarded by mu; nil for none
}

// NewGateway makes a gateway without a link.
func NewGateway() *Gateway { return &Gateway{room: make(chan struct{}, mostCarried)} }

// Serve lets connections through a link until it breaks; it is for Dialled.
func (g *Gateway) Serve(_ context.Context, session *yamux.Session) error {
	g.use(session)
	defer g.use(nil)
	for {
		s, err := session.AcceptStream()
		if err != nil {
			return err
		}
		_ = s.Close() // a control plane has nothing to ask of a gateway
	}
}

// use makes a session the one to bring connections through.
func (g *Gateway) use(s *yamux.Session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.session = s
}

// Accept brings the connections of a listener until ctx ends, and closes it.
func (g *Gateway) Accept(ctx context.Context, l net.Listener) error {
	var brought sync.WaitGroup
	defer brought.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return accepting(ctx, l, func(conn net.Conn) {
		g.mu.Lock()
		session := g.session
		g.mu.Unlock()
		if session == nil {
			Refuse(conn)
			return
		}
		select {
		case g.room <- struct{}{}:
		default:
			Refuse(conn)
			return
		}
		brought.Go(func() {
			defer func() { <-g.room }()
			bring(ctx, session, conn, &Header{From: addrPort(conn.RemoteAddr()), To: addrPort(conn.LocalAddr())})
		})
	})
}
