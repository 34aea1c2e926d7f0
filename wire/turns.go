package wire

import (
	"context"
	"crypto/tls"
	"time"
)

// How many handshakes are done at a time, how long one of them may keep others waiting, and how long one waits at most: a server or a client of Go gives a
// handshake up after ten seconds.
const (
	handshakes = 64
	turnTime   = 250 * time.Millisecond
	mostWait   = 5 * time.Second
)

// turns lets few TLS handshakes be done at a time. Each allocates ten times what stays of it, and what stays lies between that: if all nodes that come at once
// after a restart had theirs together, most of the memory would be gaps afterwards. Nobody holds a turn by being silent, and a wait is no refusal: who has
// waited long enough goes on without a turn.
type turns chan struct{}

// take is tls.Config.GetConfigForClient, which is called when all of a client's hello has come. It waits for a turn, which ends with the handshake.
func (t turns) take(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	handshake := hello.Context() // ends with it
	late := time.NewTimer(mostWait)
	defer late.Stop()
	select {
	case t <- struct{}{}:
	case <-late.C:
		return nil, nil
	case <-handshake.Done(): // the server stops
		return nil, context.Cause(handshake)
	}
	turn, end := context.WithTimeout(handshake, turnTime)
	context.AfterFunc(turn, func() {
		end()
		<-t
	})
	return nil, nil
}
