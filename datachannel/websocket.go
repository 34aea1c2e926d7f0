package datachannel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/vennel/vennel/internal/coalesce"
)

// The limits of a websocket.
const (
	dialTime     = 15 * time.Second // for the upgrade and the opening message
	writeTime    = 30 * time.Second // for one message
	controlTime  = time.Second      // for a ping or a goodbye
	readBuffer   = 4 << 10
	writeBuffer  = chunk + headroom + tagSize + 64 // a whole frame and the websocket's header
	mostRefusal  = 4 << 10                         // of what a server says when it refuses
	defaultAgent = "vennel-datachannel"
)

// writeBuffers are those of all websockets: an idle one has none.
var writeBuffers sync.Pool

// DialOptions are those of DialWebsocket. The zero value works.
type DialOptions struct {
	TLS       *tls.Config
	Proxy     func(*http.Request) (*url.URL, error) // that of the environment if nil
	UserAgent string
	NetDial   func(ctx context.Context, network, address string) (net.Conn, error) // a plain net.Dialer if nil
}

// Refusal is a server's answer that is no websocket, or its goodbye when it ends one for cause.
type Refusal struct {
	Status int // of HTTP; zero for a goodbye
	Reason string
}

// Error is a sentence for a person.
func (r *Refusal) Error() string {
	if r.Status == 0 {
		return fmt.Sprintf("the server has closed the data channel: %q", r.Reason)
	}
	return fmt.Sprintf("the server has refused the data channel: %d %s: %q", r.Status, http.StatusText(r.Status), r.Reason)
}

// Opening is the first message on a data channel. The presence of ClientInstanceID tells an agent from
// a client. source: agent
type Opening struct {
	MessageSchemaVersion string
	RequestID            string `json:"RequestId"`
	TokenValue           string
	ClientInstanceID     string `json:"ClientInstanceId,omitempty"`
	ClientID             string `json:"ClientId"`
	ClientVersion        string `json:",omitempty"`
}

// DialWebsocket connects to a data channel and sends the opening message, as JSON. The error is a *Refusal
// when the server does not want to.
func DialWebsocket(ctx context.Context, url string, header http.Header, opening any, o DialOptions) (Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	header = header.Clone()
	if header == nil {
		header = http.Header{}
	}
	if o.UserAgent == "" {
		o.UserAgent = defaultAgent
	}
	header.Set("User-Agent", o.UserAgent)
	if o.NetDial == nil {
		o.NetDial = new(net.Dialer).DialContext
	}
	var under *coalesce.Conn
	d := &websocket.Dialer{
		Proxy: o.Proxy, TLSClientConfig: o.TLS.Clone(), HandshakeTimeout: dialTime,
		NetDialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := o.NetDial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			under = coalesce.New(conn)
			return under, nil
		},
		ReadBufferSize: readBuffer, WriteBufferSize: writeBuffer, WriteBufferPool: &writeBuffers,
	}
	if d.Proxy == nil {
		d.Proxy = http.ProxyFromEnvironment
	}
	if d.TLSClientConfig == nil {
		d.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	d.TLSClientConfig.NextProtos = nil                   // a configuration that net/http has used offers HTTP/2
	d.TLSClientConfig.DynamicRecordSizingDisabled = true // it makes many small records of the first megabyte
	conn, answer, err := d.DialContext(ctx, url, header) //nolint:bodyclose // there is none, or the dialer has read it
	if err != nil {
		if answer != nil {
			body, _ := io.ReadAll(io.LimitReader(answer.Body, mostRefusal)) // what there is of it
			return nil, &Refusal{answer.StatusCode, strings.TrimSpace(string(body))}
		}
		return nil, err
	}
	conn.SetReadLimit(FrameOverhead + MostPayload)
	_, encrypted := conn.NetConn().(*tls.Conn)
	w := &websocketConn{conn: conn, under: under, verify: !encrypted, asked: map[string]func(){}}
	conn.SetPongHandler(w.ponged)
	if err = conn.SetWriteDeadline(time.Now().Add(dialTime)); err == nil {
		err = conn.WriteJSON(opening)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return w, nil
}

// websocketConn is a Conn on a websocket.
type websocketConn struct {
	conn   *websocket.Conn
	under  *coalesce.Conn // below TLS
	verify bool           // nothing else shows whether a frame has arrived as it was sent

	sending sync.Mutex // guards the writing of messages on conn
	limit   time.Time  // the write deadline; guarded by sending

	asking sync.Mutex
	asked  map[string]func() // what to do when a ping is answered; guarded by asking
	pinged uint64            // pings sent; guarded by asking
}

// Send writes one message.
func (w *websocketConn) Send(m *Message) error {
	if err := w.collect(m); err != nil {
		return err
	}
	return w.under.Flush()
}

// collect writes one message, which is sent with the next flush or when there is enough for it. A deadline is set now and
// then, because the setting costs more than a small message.
func (w *websocketConn) collect(m *Message) error {
	frame, err := m.Bytes()
	if err != nil {
		return err
	}
	w.sending.Lock()
	defer w.sending.Unlock()
	if now := time.Now(); w.limit.Sub(now) < writeTime {
		w.limit = now.Add(2 * writeTime)
		if err := w.conn.SetWriteDeadline(w.limit); err != nil {
			return err
		}
	}
	w.under.Hold()
	return w.conn.WriteMessage(websocket.BinaryMessage, frame)
}

// Receive returns the next message, and skips what is none. A goodbye for cause is a *Refusal.
func (w *websocketConn) Receive() (*Message, error) {
	m, _, err := w.receive(func(size int) ([]byte, *[]byte) { return make([]byte, size), nil })
	return m, err
}

// receive is Receive into memory that is made for the message, with what belongs to that.
func (w *websocketConn) receive(memory func(size int) ([]byte, *[]byte)) (*Message, *[]byte, error) {
	for {
		kind, r, err := w.conn.NextReader()
		if err != nil {
			if bye, ok := errors.AsType[*websocket.CloseError](err); ok && bye.Code == websocket.ClosePolicyViolation {
				return nil, nil, &Refusal{Reason: bye.Text}
			}
			return nil, nil, err
		}
		if kind != websocket.BinaryMessage {
			continue
		}
		var pool *[]byte
		b, err := readFrame(r, func(size int) (b []byte) {
			b, pool = memory(size)
			return b
		})
		var m *Message
		if err == nil {
			if w.verify {
				m, err = ParseFrame(b)
			} else {
				m, err = parseFrame(b)
			}
		}
		if errors.Is(err, ErrFrame) {
			continue // as the official peers do; NextReader skips what is left
		}
		return m, pool, err
	}
}

// Ping sends a ping of its own kind, whose answer cannot be taken for another's.
func (w *websocketConn) Ping(answered func()) error {
	w.asking.Lock()
	w.pinged++
	text := strconv.FormatUint(w.pinged, 36)
	w.asked[text] = answered
	w.asking.Unlock()
	return w.conn.WriteControl(websocket.PingMessage, []byte(text), time.Now().Add(controlTime))
}

// ponged takes the answer to a ping, within Receive.
func (w *websocketConn) ponged(text string) error {
	w.asking.Lock()
	answered := w.asked[text]
	delete(w.asked, text)
	w.asking.Unlock()
	if answered != nil {
		answered()
	}
	return nil
}

// Close closes the connection, with a goodbye if that can be said at once. TLS would wait for its own;
// ours says the same.
func (w *websocketConn) Close() error {
	_ = w.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(controlTime))
	err := w.under.Close() // after what was collected, and the goodbye behind it
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
