// Package datachannel is the protocol of Session Manager's data channels: the frames that all
// channels of the message gateway carry, a channel that outlives its connections, the handshake, and
// both ends of a session. It knows nothing of a server, so that any program can hold a session with it.
//
// A program that has the answer of StartSession opens the session with [Open]:
//
//	session, err := datachannel.Open(ctx, datachannel.Start{SessionID: …, Token: …, StreamURL: …}, datachannel.ClientOptions{})
//	if err != nil {
//		return err
//	}
//	defer session.Close()
//	go io.Copy(session, os.Stdin)
//	io.Copy(os.Stdout, session)
//	exit, err := session.Wait(ctx)
//
// A [Session] is a shell, a command or a forwarded port; its Kind says which. It survives the loss of
// its connection for as long as ClientOptions.Resume gives new tokens: what was sent and not
// acknowledged is sent again, and nothing is lost or doubled.
//
// A node's side of a session is an [AgentSession]. The two of them know each other by an extra action in
// the handshake and then do more than AWS's own peers: a half-close of a command's input, an exit
// code for every kind, port forwarding with half-close, windows per stream and the reason of a refused
// connection. With AWS's session-manager-plugin or amazon-ssm-agent at the other end both do exactly
// what that one knows.
//
// Below them is [Channel], an ordered and reliable channel of payloads over any [Conn], of which
// [DialWebsocket] makes those of the gateway.
package datachannel

import (
	"context"
	"errors"
)

// Role is the end of a session that a channel is.
type Role int

// The two ends.
const (
	Client Role = iota // sends input_stream_data and receives output_stream_data
	Agent              // the reverse
)

// The message types of data channels.
const (
	typeInput  = "input_stream_data"
	typeOutput = "output_stream_data"
	typeAck    = "acknowledge"
	typeClosed = "channel_closed"
	typeStart  = "start_publication"
	typePause  = "pause_publication"
	typeState  = "agent_session_state"
)

// sends is the type of the messages that a role sends.
func (r Role) sends() string {
	if r == Agent {
		return typeOutput
	}
	return typeInput
}

// receives is the type of the messages that a role receives.
func (r Role) receives() string {
	if r == Agent {
		return typeInput
	}
	return typeOutput
}

// The kinds of payloads. source: agent
const (
	PayloadOutput             uint32 = 1  // bytes of the terminal, the command or the port, in both directions
	PayloadSize               uint32 = 3  // of the client's terminal
	PayloadHandshakeRequest   uint32 = 5  // by the agent
	PayloadHandshakeResponse  uint32 = 6  // by the client
	PayloadHandshakeComplete  uint32 = 7  // by the agent
	PayloadEncryptionRequest  uint32 = 8  // the challenge, by the agent
	PayloadEncryptionResponse uint32 = 9  // by the client
	PayloadFlag               uint32 = 10 // four bytes
	PayloadStderr             uint32 = 11 // by the agent
	PayloadExitCode           uint32 = 12 // by the agent
)

// The flags of PayloadFlag. The last is ours, and is sent only to a peer of ours.
const (
	flagDisconnect uint32 = 1   // the client's connection has ended
	flagTerminate  uint32 = 2   // the client ends the session
	flagRefused    uint32 = 3   // the agent could not connect to the port
	flagInputEnd   uint32 = 100 // no more input follows
)

// The states that an agent tells the service. source: agent
const (
	StateConnected   = "Connected"
	StateTerminating = "Terminating"
)

// Conn is one connection of a channel, such as a websocket. Receive is called by one goroutine; the
// others by any, at any time. Send does not keep the message, nor its bytes, once it has returned.
type Conn interface {
	Send(*Message) error
	Receive() (*Message, error)
	// Ping asks whether the peer is there. answered is called within Receive, between what came before
	// the answer and what came after it.
	Ping(answered func()) error
	Close() error // Receive and Send return
}

// Dial makes a connection, its opening message included. An error that is ErrEnded ends the channel
// for good; after any other it is called again.
type Dial func(context.Context) (Conn, error)

// ErrEnded says that a session is over.
var ErrEnded = errors.New("the session has ended")

// errBusy says that a peer which does not listen is sent too much.
var errBusy = errors.New("too much waits to be sent")
