package relay

import (
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/datachannel"
)

// The messages of a data channel. source: agent
const (
	inputData        = "input_stream_data"
	outputData       = "output_stream_data"
	acknowledge      = "acknowledge"
	sessionState     = "agent_session_state"
	channelClosed    = "channel_closed"
	pausePublication = "pause_publication"
	startPublication = "start_publication"
)

// The payloads of stream data that the relay looks at.
const (
	output            = datachannel.PayloadOutput
	terminalSize      = datachannel.PayloadSize
	handshakeRequest  = datachannel.PayloadHandshakeRequest
	handshakeResponse = datachannel.PayloadHandshakeResponse
	handshakeComplete = datachannel.PayloadHandshakeComplete
	flag              = datachannel.PayloadFlag
	standardError     = datachannel.PayloadStderr
)

// mostWords bounds the payload of a message that tells something in JSON.
const mostWords = 64 << 10

// mostAck bounds the payload of an acknowledgement, which waits in the relay while its receiver does not read. Real ones have about 200 bytes.
const mostAck = 1 << 10

// message makes one of our own.
func message(kind string, flags uint64, payload []byte) *api.Message {
	return &api.Message{Type: kind, Schema: 1, Created: time.Now(), Flags: flags, ID: uuid.New(), Payload: payload}
}

// Closed is the payload of a channel_closed, with which both ends of a session are told on their data channels that it has ended, and an
// agent on its control channel. source: agent
type Closed struct {
	MessageID     string `json:"MessageId"`
	CreatedDate   string
	DestinationID string `json:"DestinationId"`
	SessionID     string `json:"SessionId"`
	MessageType   string
	SchemaVersion int
	Output        string
}

// NewClosed makes a Closed. A plugin writes the output to its terminal as it is, so there is nothing in it that a terminal obeys.
func NewClosed(message uuid.UUID, now time.Time, session, target, output string) Closed {
	return Closed{
		MessageID: message.String(), CreatedDate: now.UTC().Format(time.RFC3339), DestinationID: target, SessionID: session,
		MessageType: channelClosed, SchemaVersion: 1, Output: plain(output),
	}
}

// closed makes a channel_closed.
func closed(session, target, output string) *api.Message {
	m := message(channelClosed, 0, nil)
	payload, err := json.Marshal(NewClosed(m.ID, m.Created, session, target, output))
	if err != nil {
		panic(err) // they are strings of valid UTF-8
	}
	m.Payload = payload
	return m
}

// plain is a text without control characters but tabs and the ends of lines.
func plain(text string) string {
	return strings.ToValidUTF8(strings.Map(func(c rune) rune {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' || c >= 0x7f && c < 0xa0 {
			return -1
		}
		return c
	}, text), "�")
}

// decode reads what a message says in JSON. That needs more stack than a stream on which nothing comes, and a stack stays as large as it
// has become.
func decode(m *api.Message, v any) error {
	return api.Aside(func() error { return json.Unmarshal(m.Payload, v) })
}

// terminating says whether an agent_session_state says that the session comes to its end. source: agent
func terminating(m *api.Message) bool {
	var state struct{ SessionState string }
	return len(m.Payload) <= mostWords && decode(m, &state) == nil && state.SessionState == datachannel.StateTerminating
}

// actions are what a handshake request or response speaks of.
type actions struct {
	RequestedClientActions []struct{ ActionType string }
	ProcessedClientActions []struct {
		ActionType   string
		ActionStatus int
	}
}

// encrypts says whether a handshake request asks for encryption. One that cannot be read may.
func encrypts(m *api.Message) bool {
	var a actions
	if decode(m, &a) != nil {
		return true
	}
	for _, action := range a.RequestedClientActions {
		if action.ActionType == "KMSEncryption" {
			return true
		}
	}
	return false
}

// extended says whether a handshake response comes from a client of ours.
func extended(m *api.Message) bool {
	var a actions
	if decode(m, &a) != nil {
		return false
	}
	for _, action := range a.ProcessedClientActions {
		if action.ActionType == "VennelExtensions" && action.ActionStatus == 1 {
			return true
		}
	}
	return false
}

// isActive says whether stream data counts as activity: what a person or program said, and not what keeps a
// connection alive, which is a NOP of smux or a ping of yamux. source: agent
func isActive(m *api.Message) bool {
	p := m.Payload
	switch {
	case m.PayloadType != output && m.PayloadType != standardError:
		return false
	case len(p) == 8 && p[0] <= 2 && p[1] == 3 && p[2] == 0 && p[3] == 0:
		return false
	case len(p) == 12 && p[0] == 0 && p[1] == 2 && p[4] == 0 && p[5] == 0 && p[6] == 0 && p[7] == 0:
		return false
	}
	return true
}

// proves says whether stream data of a client shows that it takes output by now, and disproves that it cannot: a
// plugin refuses output, without a word, until its session has begun, and in single-connection port sessions
// while there is no connection. source: agent
func proves(m *api.Message) (ready, refuses bool) {
	switch m.PayloadType {
	case output, terminalSize:
		return true, false
	case flag:
		return false, string(m.Payload) == "\x00\x00\x00\x01"
	}
	return false, false
}
