package datachannel

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// ClientVersion and AgentVersion are what our ends say they are: four numbers above all gates of AWS's
// peers. source: agent
const (
	ClientVersion = "1.2.707.1"
	AgentVersion  = "3.3.987.1"
)

// The kinds of sessions, as the session type of a document.
const (
	StandardStream         = "Standard_Stream"
	InteractiveCommands    = "InteractiveCommands"
	NonInteractiveCommands = "NonInteractiveCommands"
	Port                   = "Port"
)

// The actions that an agent asks of a client. The last is ours; AWS's client answers that it does not
// support it, and carries on.
const (
	actionSessionType = "SessionType"
	actionEncryption  = "KMSEncryption"
	actionExtensions  = "VennelExtensions"
)

// The outcomes of an action. source: agent
const (
	statusSuccess     = 1
	statusFailed      = 2
	statusUnsupported = 3
)

// mostHandshakes is how many payloads of a handshake wait to be looked at.
const mostHandshakes = 4

// handshakeRequest is what an agent asks of a client. source: agent
type handshakeRequest struct {
	AgentVersion           string
	RequestedClientActions []requestedAction
}

// requestedAction is one action of it.
type requestedAction struct {
	ActionType       string
	ActionParameters json.RawMessage
}

// handshakeResponse is what the client has done. source: agent
type handshakeResponse struct {
	ClientVersion          string
	ProcessedClientActions []processedAction
	Errors                 []string
}

// processedAction is what came of one action.
type processedAction struct {
	ActionType   string
	ActionStatus int
	ActionResult json.RawMessage
	Error        string
}

// handshakeComplete ends a handshake. source: agent
type handshakeComplete struct {
	HandshakeTimeToComplete int64 // nanoseconds
	CustomerMessage         string
}

// sessionType says what a session is.
type sessionType struct {
	SessionType string
	Properties  json.RawMessage
}

// encryptionRequest asks for a data key. source: agent
type encryptionRequest struct {
	KMSKeyID  string `json:"KMSKeyId"`
	Challenge string
}

// encryptionResponse is the data key. source: agent
type encryptionResponse struct {
	KMSCipherTextKey         []byte
	KMSCipherTextHash        []byte
	ChallengeAcknowledgement bool
}

// challenge is what an agent has encrypted, and what the client makes of it.
type challenge struct{ Challenge []byte }

// extensions are what an end can do beyond AWS's peers.
type extensions struct {
	Version  int
	Features []string
}

// our are our extensions: the end of a command's input, an exit code for every kind, connections of a port with windows
// and half-close, word of the client's exit, and frames without a digest.
var our = extensions{1, []string{"input-end", "exit-code", "windows", "client-exit", "no-digest"}}

// extended says whether the other end can do all that we count on.
func (e extensions) extended() bool {
	return e.Version >= our.Version && !slices.ContainsFunc(our.Features, func(f string) bool { return !slices.Contains(e.Features, f) })
}

// portProperties are the properties of a port session, as far as both ends need them.
type portProperties struct {
	Type string `json:"type"`
}

// forwarding is the type of port sessions that carry any number of connections. Without it, a session is
// one connection.
const forwarding = "LocalPortForwarding"

// isForwarding says whether a port session carries any number of connections.
func isForwarding(properties json.RawMessage) bool {
	var p portProperties
	return json.Unmarshal(properties, &p) == nil && p.Type == forwarding
}

// The versions of AWS's peers from which on they have several connections at a time. source: agent
var (
	agentMux  = []int{3, 0, 196, 1}
	clientMux = []int{1, 1, 70}
)

// atLeast says whether a version of numbers is at least another. source: agent
func atLeast(version string, least []int) bool {
	const mostParts, mostDigits = 8, 9
	parts := strings.SplitN(version, ".", mostParts)
	numbers := make([]int, max(len(parts), len(least)))
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil || len(part) > mostDigits {
			return false
		}
		numbers[i] = int(n)
	}
	return slices.Compare(numbers, least) >= 0
}

// exitCode reads the payload of an exit code. source: agent
func exitCode(payload []byte) (int, bool) {
	const most = 64
	text, ok := strings.CutPrefix(string(payload[:min(len(payload), most)]), exitPrefix)
	if !ok {
		return 0, false
	}
	code, err := strconv.ParseInt(strings.TrimSpace(text), 10, 32)
	return int(code), err == nil
}

// exitPrefix begins the payload of an exit code. source: agent
const exitPrefix = "EXIT_CODE: "
