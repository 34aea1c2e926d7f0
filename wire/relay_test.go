package wire_test

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/datachannel"
	"github.com/vennel/vennel/service/ssm/session/relay"
	"github.com/vennel/vennel/wire"
)

// silentNews is a relay.News for nobody.
type silentNews struct{}

func (silentNews) Connected(relay.Role) {}
func (silentNews) Lost(relay.Role)      {}
func (silentNews) Begun()               {}
func (silentNews) Ending()              {}
func (silentNews) Failed(string)        {}

// clientFrame puts a frame into the websocket's of a client whose mask is all zeroes.
func clientFrame(t testing.TB, m *api.Message) []byte {
	frame, err := datachannel.AppendFrame(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	b := []byte{0x82}
	switch n := len(frame); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	return append(append(b, 0, 0, 0, 0), frame...)
}

// readFrame gives the payload of a server's websocket frame in b, and its opcode.
func readFrame(r *bufio.Reader, b []byte) (byte, []byte, error) {
	var head [10]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil {
		return 0, nil, err
	}
	n := uint64(head[1])
	switch n {
	case 126:
		if _, err := io.ReadFull(r, head[2:4]); err != nil {
			return 0, nil, err
		}
		n = uint64(binary.BigEndian.Uint16(head[2:]))
	case 127:
		if _, err := io.ReadFull(r, head[2:]); err != nil {
			return 0, nil, err
		}
		n = binary.BigEndian.Uint64(head[2:])
	}
	_, err := io.ReadFull(r, b[:n])
	return head[0] & 15, b[:n], err
}

// relayed measures n-byte payloads from an agent to a client through a relay, over two TLS connections on loopback;
// both peers do as little as they can, but share the processors with the relay. 16 MiB are on their way at a time.
func relayed(b *testing.B, size int) {
	r := relay.New("s", "t", silentNews{}, relay.Options{Begins: true})
	roles := map[string]relay.Role{"0": relay.Client, "1": relay.Agent}
	open := wire.ServeStreams(b, func(digit string, s api.Stream) error { return r.Serve(s, roles[digit]) })
	client, agent := open("0"), open("1")
	defer client.Close()
	defer agent.Close()
	window := make(chan struct{}, min(16<<20/size, 4096))
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { acknowledging(b, client) })
	all.Go(func() { // the agent reads what comes for it, which is acknowledgements
		in, buffer := bufio.NewReaderSize(agent, 64<<10), make([]byte, 1<<20)
		for {
			if _, _, err := readFrame(in, buffer); err != nil {
				return
			}
			<-window
		}
	})
	m := &api.Message{Type: "output_stream_data", Schema: 1, Created: time.Now(), ID: uuid.New(), PayloadType: 1, Payload: make([]byte, size)}
	text := clientFrame(b, m)
	sequence := text[len(text)-size-datachannel.FrameOverhead+48:][:8]
	b.SetBytes(int64(size))
	before, n := processorTime(b), uint64(0)
	for b.Loop() {
		window <- struct{}{}
		binary.BigEndian.PutUint64(sequence, n)
		if _, err := agent.Write(text); err != nil {
			b.Fatal(err)
		}
		n++
	}
	for range cap(window) { // the last acknowledgement
		window <- struct{}{}
	}
	b.ReportMetric(float64(n)*float64(size)/1e6/(processorTime(b)-before).Seconds(), "MB/cpu-s")
	_ = client.Close()
	_ = agent.Close()
}

// processorTime is what this process has used of the processors, which says more than a clock on a busy machine.
func processorTime(t testing.TB) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// acknowledging is a client that acknowledges what it is sent.
func acknowledging(t testing.TB, client net.Conn) {
	in, buffer := bufio.NewReaderSize(client, 64<<10), make([]byte, 1<<20)
	for {
		kind, frame, err := readFrame(in, buffer)
		if err != nil {
			return
		}
		if kind != 2 {
			continue
		}
		n := int64(binary.BigEndian.Uint64(frame[48:]))
		payload := []byte(`{"AcknowledgedMessageType":"output_stream_data","AcknowledgedMessageId":"8a831dd4-dd66-42d7-b725-c30944e1c11d","AcknowledgedMessageSequenceNumber":`)
		payload = append(strconv.AppendInt(payload, n, 10), `,"IsSequentialMessage":true}`...)
		ack := &api.Message{Type: "acknowledge", Schema: 1, Created: time.Now(), Flags: 3, ID: uuid.New(), Payload: payload}
		if _, err := client.Write(clientFrame(t, ack)); err != nil {
			return
		}
	}
}

// BenchmarkRelayed64K is what a client and an agent of ours do.
func BenchmarkRelayed64K(b *testing.B) { relayed(b, 64<<10) }

// BenchmarkRelayed1K is what official ones would do if they did not sleep.
func BenchmarkRelayed1K(b *testing.B) { relayed(b, 1<<10) }
