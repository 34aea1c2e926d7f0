package network

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/service/ec2/plan"
)

// sockets are the open ones. It is used by one goroutine.
type sockets struct {
	n    *Network
	open map[dataplane.Socket]*answering
}

// answering is a socket with whoever answers on it.
type answering struct {
	stop context.CancelFunc
	done chan error // has how it ended
	of   string     // which of the sockets with its address it is, as Status says
}

// set opens and closes sockets, so that those of a Config are open. One whose answering has ended is opened again, and so is one
// in whose place the host has another, which would have its share of the connections.
func (s *sockets) set(ctx context.Context, cfg *dataplane.Config, of map[string]string) (err error) {
	wanted := map[dataplane.Socket]bool{}
	for _, socket := range cfg.Sockets() {
		wanted[socket] = true
	}
	for socket, a := range s.open {
		ended := false
		select {
		case why := <-a.done:
			ended = true
			err = errors.Join(err, why)
		default:
		}
		if ended || !wanted[socket] || a.of != of[socket.VPC] {
			a.stop()
			if !ended {
				_ = <-a.done // it was told to end
			}
			delete(s.open, socket)
		}
	}
	for _, socket := range cfg.Sockets() {
		if s.open[socket] == nil {
			err = errors.Join(err, s.start(ctx, socket, of[socket.VPC]))
		}
	}
	return err
}

// start opens a socket and answers on it.
func (s *sockets) start(ctx context.Context, socket dataplane.Socket, of string) error {
	answer, err := s.answer(socket)
	if err != nil {
		return fmt.Errorf("the socket %s %s in %q: %w", socket.Network, socket.Address, socket.VPC, err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx)) // it outlives the turn that opened it
	a := &answering{stop: stop, done: make(chan error, 1), of: of}
	s.open[socket] = a
	go func() { a.done <- answer(ctx) }() // set and closeAll wait for it
	return nil
}

// answer gives what answers on a socket.
func (s *sockets) answer(socket dataplane.Socket) (func(context.Context) error, error) {
	host, names, view := s.n.Host, s.n.names, socket.VPC
	if socket.Role == dataplane.Resolver {
		view = plan.InboundView(view)
	}
	if socket.Network == "udp" {
		conn, err := host.Packets(socket)
		return func(ctx context.Context) error { return names.Packets(ctx, view, conn) }, err
	}
	l, err := host.Listener(socket)
	if err != nil {
		return nil, err
	}
	on := map[dataplane.Role]func(context.Context, dataplane.Socket, net.Listener) error{
		dataplane.Front: s.n.Front, dataplane.Metadata: s.n.Metadata,
	}[socket.Role]
	if on == nil { // DNS and Resolver
		return func(ctx context.Context) error { return names.Listen(ctx, view, l) }, nil
	}
	return func(ctx context.Context) error { return on(ctx, socket, l) }, nil
}

// closeAll closes all sockets.
func (s *sockets) closeAll() {
	for socket, a := range s.open {
		a.stop()
		_ = <-a.done // likewise
		delete(s.open, socket)
	}
}
