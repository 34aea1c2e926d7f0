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
// the payload's length. source: agent
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

// errFrame is the reason why bytes are no AgentMessage, or a message cannot be made one.
var errFrame = errors.New("malformed message frame")

// checkMessage refuses a message that the other side could not read: an agent drops one without
// type or date.
func checkMessage(m *api.Message) error {
	switch ms := m.Created.UnixMilli(); {
	case m.Type == "" || len(m.Type) > frameTypeWidth || !isPrintable(m.Type):
		return fmt.Errorf("%w: message type %q", errFrame, m.Type)
	case ms <= 0 || ms > lastTime:
		return fmt.Errorf("%w: creation date out of range", errFrame)
	case m.Schema != 1:
		return fmt.Errorf("%w: schema version %d", errFrame, m.Schema)
	case m.ID == uuid.Nil:
		return fmt.Errorf("%w: no message id", errFrame)
	case len(m.Payload) > mostFramePayload:
		return fmt.Errorf("%w: payload of %d bytes", errFrame, len(m.Payload))
	}
	return nil
}

// isPrintable says whether a text is ASCII without spaces and control characters.
func isPrintable(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// typePadding fills the rest of a type's place.
const typePadding = "                                "

// AppendFrame appends a message as an AgentMessage. One that an agent could not read is refused.
func AppendFrame(b []byte, m *api.Message) ([]byte, error) {
	if err := checkMessage(m); err != nil {
		return nil, err
	}
	digest := sha256.Sum256(m.Payload)
	b = binary.BigEndian.AppendUint32(b, frameHeader)
	b = append(append(b, m.Type...), typePadding[len(m.Type):]...)
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

// ParseFrame reads an AgentMessage and checks all that it says of itself: lengths, version, digest.
// The message's payload is a part of b. The error tells what is wrong but nothing of the payload.
func ParseFrame(b []byte) (*api.Message, error) {
	if len(b) < frameOverhead {
		return nil, fmt.Errorf("%w: %d bytes are too few", errFrame, len(b))
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
	if n := binary.BigEndian.Uint32(b[frameLength:]); int64(n) != int64(len(m.Payload)) {
		return nil, fmt.Errorf("%w: payload length %d, but %d bytes follow", errFrame, n, len(m.Payload))
	}
	if err := checkMessage(m); err != nil {
		return nil, err
	}
	if digest := sha256.Sum256(m.Payload); subtle.ConstantTimeCompare(digest[:], b[frameDigest:framePayload]) != 1 {
		return nil, fmt.Errorf("%w: payload digest does not match", errFrame)
	}
	return m, nil
}
