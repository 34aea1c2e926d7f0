package wire

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vennel/vennel/internal/memnet"
)

// turnName is the name that the clients of these tests ask for.
const turnName = "ssm.us-east-1.amazonaws.com"

// turning serves bare connections in fake time with the configuration of a Mux, and says how to dial it.
func turning(t *testing.T, change func(*tls.Config)) (dial func() net.Conn, trust *tls.Config) {
	ca := newCA(t)
	config := newWorld(t, nil).TLS(ca)
	change(config)
	l := memnet.Listen()
	stop := serveBare(tls.NewListener(l, config))
	t.Cleanup(stop)
	trust = trusting(ca)
	trust.ServerName = turnName
	return func() net.Conn {
		conn, err := l.Dial(t.Context(), "tcp", "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}, trust
}

// TestStrangersTakeTurns has many strangers who say hello and nothing more, and others who do not even say that. No more than there are turns are answered at
// once, and a good client is answered in its turn, which is soon.
func TestStrangersTakeTurns(t *testing.T) {
	const strangers = 500
	synctest.Test(t, func(t *testing.T) {
		dial, trust := turning(t, func(*tls.Config) {})
		hello := recordedHello(t)
		var answered atomic.Int32
		for range strangers {
			for _, first := range [][]byte{nil, hello[:3], hello[:100]} { // they take no turn
				go func(conn net.Conn) { _, _ = conn.Write(first) }(dial())
			}
			go func(conn net.Conn) {
				_, _ = conn.Write(hello)
				if _, err := conn.Read(make([]byte, 1)); err == nil {
					answered.Add(1)
				}
				_, _ = io.Copy(io.Discard, conn)
			}(dial())
		}
		synctest.Wait()
		if n := answered.Load(); n != handshakes {
			t.Errorf("%d strangers are answered at once, want %d", n, handshakes)
		}
		start := time.Now()
		if err := bareClient(tls.Client(dial(), trust)); err != nil {
			t.Error(err)
		}
		if took, want := time.Since(start), strangers/handshakes*turnTime; took > want || took < want-turnTime {
			t.Errorf("a good client has waited for %v, want %v", took, want)
		}
		time.Sleep(turnTime)
		synctest.Wait()
		if n := answered.Load(); n != strangers {
			t.Errorf("%d strangers were answered in the end, want all %d", n, strangers)
		}
	})
}

// TestHandshakesEndTurns has many clients at once that do their handshakes: nobody waits longer than the others need for theirs, which is no time here.
func TestHandshakesEndTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial, trust := turning(t, func(*tls.Config) {})
		start := time.Now()
		var all sync.WaitGroup
		for range 3 * handshakes {
			all.Go(func() {
				if err := bareClient(tls.Client(dial(), trust)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if took := time.Since(start); took != 0 {
			t.Errorf("the last has waited for %v", took)
		}
	})
}

// TestNoTurn has a client for which there is never a turn. It waits no longer than a client has patience.
func TestNoTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial, trust := turning(t, func(c *tls.Config) { c.GetConfigForClient = make(turns).take })
		start := time.Now()
		if err := bareClient(tls.Client(dial(), trust)); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != mostWait {
			t.Errorf("the client has waited for %v, want %v", took, mostWait)
		}
	})
}

// recordedHello is what a client says first.
func recordedHello(t *testing.T) []byte {
	t.Helper()
	client, server := net.Pipe()
	defer server.Close()
	go func() { _ = tls.Client(client, &tls.Config{ServerName: turnName}).Handshake() }() // which fails
	b := make([]byte, 4096)
	n, err := server.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}
