package wire

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/vennel/vennel/api"
)

// The layout of an AgentMessage, big-endian throughout. The header length counts everything before
// the payload's length.
const (
	frameHeader      = 116
	frameTypeWidth   = 32
	frameType        = 4
	frameSchema      = frameType + frameTypeWidth
	frameCreated     = frameSchema + 4
	frameSequence    = frameCreated + 8
	frameFlags       = frameSequence + 8
	frameID          = frameFlags + 8
	frameDigest      = frameID + 16
	framePayload     = frameDigest + sha256.Size
	frameLength      = framePayload + 4
	frameOverhead    = frameLength + 4
	mostFramePayload = 1 << 20
)

// AppendFrame appends a message as an AgentMessage. A type of more than 32 bytes is refused.
func AppendFrame(b []byte, m *api.Message) ([]byte, error) {
	if len(m.Type) == 0 || len(m.Type) > frameTypeWidth {
		return nil, fmt.Errorf("wire: message type %q does not fit a frame", m.Type)
	}
	digest := sha256.Sum256(m.Payload)
	b = binary.BigEndian.AppendUint32(b, frameHeader)
	b = append(b, m.Type...)
	b = append(b, bytes.Repeat([]byte{' '}, frameTypeWidth-len(m.Type))...)
	b = binary.BigEndian.AppendUint32(b, m.Schema)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Created.UnixMilli()))
	b = binary.BigEndian.AppendUint64(b, uint64(m.Sequence))
	b = binary.BigEndian.AppendUint64(b, m.Flags)
	b = append(b, m.ID[8:]...) // the low half goes first
	b = append(b, m.ID[:8]...)
	b = append(b, digest[:]...)
	b = binary.BigEndian.AppendUint32(b, m.PayloadType)
	b = binary.BigEndian.AppendUint32(b, uint32(len(m.Payload)))
	return append(b, m.Payload...), nil
}

// errFrame is the reason why bytes are no AgentMessage.
var errFrame = errors.New("wire: malformed message frame")

// ParseFrame reads an AgentMessage and checks all that it says of itself: lengths, version, digest.
// The message's payload is a part of b. The error wraps no detail of the bytes.
func ParseFrame(b []byte) (*api.Message, error) {
	if len(b) < frameOverhead {
		return nil, fmt.Errorf("%w: %d bytes are too short", errFrame, len(b))
	}
	if n := binary.BigEndian.Uint32(b); n != frameHeader {
		return nil, fmt.Errorf("%w: header length %d", errFrame, n)
	}
	m := &api.Message{
		Type:        string(bytes.TrimRight(b[frameType:frameSchema], " \x00")),
		Schema:      binary.BigEndian.Uint32(b[frameSchema:]),
		Created:     time.UnixMilli(int64(binary.BigEndian.Uint64(b[frameCreated:]))).UTC(),
		Sequence:    int64(binary.BigEndian.Uint64(b[frameSequence:])),
		Flags:       binary.BigEndian.Uint64(b[frameFlags:]),
		PayloadType: binary.BigEndian.Uint32(b[framePayload:]),
		Payload:     b[frameOverhead:],
	}
	copy(m.ID[8:], b[frameID:])
	copy(m.ID[:8], b[frameID+8:frameDigest])
	switch n := binary.BigEndian.Uint32(b[frameLength:]); {
	case int64(n) != int64(len(m.Payload)):
		return nil, fmt.Errorf("%w: payload length %d, but %d bytes follow", errFrame, n, len(m.Payload))
	case m.Type == "":
		return nil, fmt.Errorf("%w: no message type", errFrame)
	case m.Schema != 1:
		return nil, fmt.Errorf("%w: schema version %d", errFrame, m.Schema)
	case m.ID == uuid.Nil:
		return nil, fmt.Errorf("%w: no message id", errFrame)
	}
	if digest := sha256.Sum256(m.Payload); subtle.ConstantTimeCompare(digest[:], b[frameDigest:framePayload]) != 1 {
		return nil, fmt.Errorf("%w: payload digest does not match", errFrame)
	}
	return m, nil
}
