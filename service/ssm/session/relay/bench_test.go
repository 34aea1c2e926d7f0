package relay_test

import (
	"io"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/datachannel"
	"github.com/vennel/vennel/service/ssm/session/relay"
)

// line is a stream in memory that copies nothing.
type line struct {
	socket
	up, down chan *api.Message
}

// newLine makes one.
func newLine() *line {
	return &line{up: make(chan *api.Message, 64), down: make(chan *api.Message, 64)}
}

// Receive is the relay's.
func (l *line) Receive() (*api.Message, error) {
	m, ok := <-l.up
	if !ok {
		return nil, io.EOF
	}
	return m, nil
}

// Post is the relay's.
func (l *line) Post(m *api.Message) error {
	l.down <- m
	return nil
}

// Close is the relay's.
func (l *line) Close(string) error { return nil }

// received is a message as it comes from a peer.
func received(b testing.TB, m *api.Message) *api.Message {
	text, err := datachannel.AppendFrame(nil, m)
	if err != nil {
		b.Fatal(err)
	}
	m, err = datachannel.ParseFrame(text)
	if err != nil {
		b.Fatal(err)
	}
	return m
}

// BenchmarkRelay carries frames of 64 KiB, up to 16 MiB of them at a time, and their acknowledgements.
func BenchmarkRelay(b *testing.B) {
	const size = 64 << 10
	r := relay.New("s", "t", new(news), relay.Options{Begins: true})
	client, agent := newLine(), newLine()
	var all sync.WaitGroup
	all.Go(func() { _ = r.Serve(client, relay.Client) })
	all.Go(func() { _ = r.Serve(agent, relay.Agent) })
	frame := received(b, frame("output_stream_data", 0, 1, string(make([]byte, size))))
	room := make(chan struct{}, 16<<20/size)
	all.Go(func() { // the client
		id := uuid.NewString()
		for m := range client.down {
			client.up <- acknowledgement("output_stream_data", id, m.Sequence)
		}
		close(client.up)
	})
	all.Go(func() { // what the agent reads
		for range agent.down {
			<-room
		}
	})
	b.SetBytes(size)
	b.ReportAllocs()
	for n := int64(0); b.Loop(); n++ {
		room <- struct{}{}
		m := *frame
		m.Sequence = n
		agent.up <- &m
	}
	for len(room) > 0 {
		time.Sleep(time.Millisecond)
	}
	close(agent.up)
	close(client.down)
	close(agent.down)
	all.Wait()
}
