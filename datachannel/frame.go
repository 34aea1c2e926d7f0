package datachannel

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
)

// The layout of an AgentMessage, big-endian throughout. The header length counts everything before
// the payload's length. source: agent
const (
	frameHeader    = 116
	frameTypeWidth = 32
	frameType      = 4
	frameSchema    = frameType + frameTypeWidth
	frameCreated   = frameSchema + 4
	frameSequence  = frameCreated + 8
	frameFlags     = frameSequence + 8
	frameID        = frameFlags + 8
	frameDigest    = frameID + 16
	framePayload   = frameDigest + sha256.Size
	frameLength    = framePayload + 4
)

// The sizes of frames, in bytes.
const (
	FrameOverhead = frameLength + 4 // of everything but the payload
	MostPayload   = 1 << 20
)

// lastTime is the last millisecond of the year 9999.
const lastTime = 253402300799999

// Message is one AgentMessage, the unit of all channels.
type Message struct {
	Type        string // output_stream_data, acknowledge, agent_job, …
	Schema      uint32 // 1
	Created     time.Time
	Sequence    int64
	Flags       uint64 // bit 0 SYN, bit 1 FIN
	ID          uuid.UUID
	PayloadType uint32
	Payload     []byte

	// Frame is the whole message as it came, nil for one that is made here. Whoever passes a message
	// on sends it as it is, so the other fields of one that has it must not be changed.
	Frame []byte
}

// ErrFrame is the reason why bytes are no AgentMessage, or a message cannot be made one.
var ErrFrame = errors.New("malformed message frame")

// checkMessage refuses a message that the other side could not read: an agent drops one without
// type or date.
func checkMessage(m *Message) error {
	switch ms := m.Created.UnixMilli(); {
	case m.Type == "" || len(m.Type) > frameTypeWidth || !isPrintable(m.Type):
		return fmt.Errorf("%w: message type %q", ErrFrame, m.Type)
	case ms <= 0 || ms > lastTime:
		return fmt.Errorf("%w: creation date out of range", ErrFrame)
	case m.Schema != 1:
		return fmt.Errorf("%w: schema version %d", ErrFrame, m.Schema)
	case m.ID == uuid.Nil:
		return fmt.Errorf("%w: no message id", ErrFrame)
	case len(m.Payload) > MostPayload:
		return fmt.Errorf("%w: payload of %d bytes", ErrFrame, len(m.Payload))
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

// noDigest is in the place of a payload's digest that has not been made. Ends of ours leave it out: TLS sees to it that what arrives is what was sent.
var noDigest [sha256.Size]byte

// AppendFrame appends a message as an AgentMessage. One that an agent could not read is refused.
func AppendFrame(b []byte, m *Message) ([]byte, error) { return appendFrame(b, m, false) }

// appendFrame is AppendFrame; a bare frame gets no digest.
func appendFrame(b []byte, m *Message, bare bool) ([]byte, error) {
	if m.Frame != nil {
		return append(b, m.Frame...), nil
	}
	if err := checkMessage(m); err != nil {
		return nil, err
	}
	digest := noDigest
	if !bare {
		digest = sha256.Sum256(m.Payload)
	}
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

// ParseFrame reads an AgentMessage and checks all that it says of itself: lengths, version, digest, which may have been left out.
// The message's payload is a part of b. The error tells what is wrong but nothing of the payload.
func ParseFrame(b []byte) (*Message, error) {
	m, err := parseFrame(b)
	if err != nil {
		return nil, err
	}
	says := [sha256.Size]byte(b[frameDigest:framePayload])
	if says != noDigest && says != sha256.Sum256(m.Payload) {
		return nil, fmt.Errorf("%w: payload digest does not match", ErrFrame)
	}
	return m, nil
}

// parseFrame is ParseFrame without the digest.
func parseFrame(b []byte) (*Message, error) {
	if len(b) < FrameOverhead {
		return nil, fmt.Errorf("%w: %d bytes are too few", ErrFrame, len(b))
	}
	if n := binary.BigEndian.Uint32(b); n != frameHeader {
		return nil, fmt.Errorf("%w: header length %d", ErrFrame, n)
	}
	m := &Message{
		Type:        string(bytes.TrimRight(b[frameType:frameSchema], " \x00")),
		Schema:      binary.BigEndian.Uint32(b[frameSchema:]),
		Created:     time.UnixMilli(int64(binary.BigEndian.Uint64(b[frameCreated:]))).UTC(),
		Sequence:    int64(binary.BigEndian.Uint64(b[frameSequence:])),
		Flags:       binary.BigEndian.Uint64(b[frameFlags:]),
		PayloadType: binary.BigEndian.Uint32(b[framePayload:]),
		Payload:     b[FrameOverhead:],
		Frame:       b,
	}
	copy(m.ID[8:], b[frameID:])
	copy(m.ID[:8], b[frameID+8:frameDigest])
	if n := binary.BigEndian.Uint32(b[frameLength:]); int64(n) != int64(len(m.Payload)) {
		return nil, fmt.Errorf("%w: payload length %d, but %d bytes follow", ErrFrame, n, len(m.Payload))
	}
	if err := checkMessage(m); err != nil {
		return nil, err
	}
	return m, nil
}

// Bytes gives the message as a frame: the one that came, or a new one.
func (m *Message) Bytes() ([]byte, error) {
	if m.Frame != nil {
		return m.Frame, nil
	}
	return AppendFrame(make([]byte, 0, FrameOverhead+len(m.Payload)), m)
}

// ReadFrame reads r, which holds one frame and nothing else, into a buffer of just its size, or one of Recycle's not much larger. The
// error is ErrFrame, or that of r.
func ReadFrame(r io.Reader) (*Message, error) {
	b, err := readFrame(r, func(size int) []byte {
		if fits := size - headroom - tagSize; fits > chunk/2 && fits <= chunk || fits > largeChunk/2 && fits <= largeChunk {
			return (*buffersFor(fits).get())[:size]
		}
		return make([]byte, size)
	})
	if err != nil {
		return nil, err
	}
	return ParseFrame(b)
}

// Recycle takes the frame of a message that nobody has any more, for ReadFrame to use its memory again. The message has none afterwards.
func Recycle(m *Message) {
	b := m.Frame[:0]
	m.Frame, m.Payload = nil, nil
	if pool := buffersFor(cap(b) - headroom - tagSize); cap(b) == headroom+pool.size+tagSize {
		pool.Put(&b)
	}
}

// readFrame reads the bytes of one frame into memory that is made for them.
func readFrame(r io.Reader, memory func(size int) []byte) ([]byte, error) {
	var head [FrameOverhead]byte
	if n, err := io.ReadFull(r, head[:]); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("%w: %d bytes are too few", ErrFrame, n)
	} else if err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[frameLength:])
	if size > MostPayload {
		return nil, fmt.Errorf("%w: payload of %d bytes", ErrFrame, size)
	}
	b := memory(FrameOverhead + int(size))
	copy(b, head[:])
	n, err := io.ReadFull(r, b[FrameOverhead:])
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("%w: payload length %d, but %d bytes follow", ErrFrame, size, n)
	} else if err != nil {
		return nil, err
	}
	if n, err := r.Read(head[:1]); n > 0 {
		return nil, fmt.Errorf("%w: more than the payload length of %d bytes follows", ErrFrame, size)
	} else if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b, nil
}
