package api

import (
	"time"

	"github.com/google/uuid"
)

// Stream is one conversation of messages, such as a node's control channel. Until Accept the
// request can still be refused like any other. Accept and Receive are called by one goroutine;
// Send and Close by any.
type Stream interface {
	Accept(in any) error        // upgrades, and reads the opening message into the rest of the input
	Receive() (*Message, error) // io.EOF when the peer is gone
	Send(*Message) error        // returns when the bytes are handed to the kernel
	Close(reason string) error
}

// Message is one AgentMessage, the unit of the ssmmessages channels.
type Message struct {
	Type        string // agent_job, agent_job_reply, …
	Schema      uint32 // 1
	Created     time.Time
	Sequence    int64
	Flags       uint64 // bit 0 SYN, bit 1 FIN
	ID          uuid.UUID
	PayloadType uint32
	Payload     []byte
}
