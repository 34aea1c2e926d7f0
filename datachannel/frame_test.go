package datachannel

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// ackFrame is the frame of an acknowledgement, as an agent sent it, but for its payload, of which
// only length and digest are known. source: agent
func ackFrame(t testing.TB, payload []byte) []byte {
	t.Helper()
	head, err := hex.DecodeString("00000074" + hex.EncodeToString([]byte("agent_job_ack"+strings.Repeat(" ", 19))) + "00000001" + "000001a1ff940704" +
		"0000000000000000" + "0000000000000000" + "ae67755c8d8c9abdcba6cb0525524bd0")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(payload)
	b := append(append(head, sum[:]...), 0, 0, 0, 0)
	return append(binary.BigEndian.AppendUint32(b, uint32(len(payload))), payload...)
}

// ackMessage is what the frame says.
func ackMessage(payload []byte) *Message {
	return &Message{
		Type: "agent_job_ack", Schema: 1, Created: time.UnixMilli(0x1a1ff940704).UTC(), ID: uuid.MustParse("cba6cb05-2552-4bd0-ae67-755c8d8c9abd"), Payload: payload,
	}
}

// unframed is a message without the frame that it came in.
func unframed(m *Message) *Message {
	if m != nil {
		m.Frame = nil
	}
	return m
}

// TestFrame reads and writes a frame of the official agent. source: agent
func TestFrame(t *testing.T) {
	payload := []byte(`{"jobId":"x"}`)
	got, err := ParseFrame(ackFrame(t, payload))
	if diff := cmp.Diff(ackMessage(payload), unframed(got)); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	frame, err := AppendFrame([]byte("before"), ackMessage(payload))
	if err != nil || !bytes.Equal(frame, append([]byte("before"), ackFrame(t, payload)...)) {
		t.Errorf("%v\n%x\n%x", err, frame, ackFrame(t, payload))
	}
}

// badFrames are frames with one fault each, and what is said of it.
func badFrames(t testing.TB) map[string]struct {
	frame []byte
	want  string
} {
	good := ackFrame(t, []byte("payload"))
	change := func(at int, with ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], with)
		return b
	}
	type bad = struct {
		frame []byte
		want  string
	}
	return map[string]bad{
		"empty":                    {[]byte{}, "0 bytes are too few"},
		"short":                    {good[:FrameOverhead-1], "119 bytes are too few"},
		"header length of zero":    {change(0, 0, 0, 0, 0), "header length 0"},
		"header length over all":   {change(0, 0xff, 0xff, 0xff, 0xff), "header length 4294967295"},
		"header length one less":   {change(3, 115), "header length 115"},
		"no type":                  {change(frameType, bytes.Repeat([]byte{' '}, frameTypeWidth)...), `message type ""`},
		"type of zeroes":           {change(frameType, make([]byte, frameTypeWidth)...), `message type ""`},
		"type with a line":         {change(frameType, []byte("agent\njob_ack")...), `message type "agent\njob_ack"`},
		"type with a space":        {change(frameType, []byte("agent job_ack")...), `message type "agent job_ack"`},
		"type that is no ASCII":    {change(frameType, 0xff), `message type "\xffgent_job_ack"`},
		"version 0":                {change(frameSchema, 0, 0, 0, 0), "schema version 0"},
		"version 2":                {change(frameSchema, 0, 0, 0, 2), "schema version 2"},
		"no date":                  {change(frameCreated, make([]byte, 8)...), "creation date out of range"},
		"date out of range":        {change(frameCreated, 0x7f), "creation date out of range"},
		"negative date":            {change(frameCreated, 0xff), "creation date out of range"},
		"no id":                    {change(frameID, make([]byte, 16)...), "no message id"},
		"digest":                   {change(frameDigest, 0), "payload digest does not match"},
		"payload":                  {change(FrameOverhead, 'P'), "payload digest does not match"},
		"payload length too small": {change(frameLength, 0, 0, 0, 6), "payload length 6, but 7 bytes follow"},
		"payload length too large": {change(frameLength, 0xff, 0xff, 0xff, 0xff), "payload length 4294967295, but 7 bytes follow"},
		"cut":                      {good[:len(good)-1], "payload length 7, but 6 bytes follow"},
		"longer":                   {append(bytes.Clone(good), 0), "payload length 7, but 8 bytes follow"},
		"two in one":               {append(bytes.Clone(good), good...), "payload length 7, but 134 bytes follow"},
	}
}

// TestBadFrames refuses each of them, and says why.
func TestBadFrames(t *testing.T) {
	for name, bad := range badFrames(t) {
		if m, err := ParseFrame(bad.frame); !errors.Is(err, ErrFrame) || !strings.HasSuffix(err.Error(), bad.want) {
			t.Errorf("%s: %+v, %v; want %s", name, m, err, bad.want)
		}
	}
	if _, err := ParseFrame(ackFrame(t, make([]byte, MostPayload+1))); !errors.Is(err, ErrFrame) {
		t.Errorf("a payload over the limit: %v", err)
	}
	if _, err := ParseFrame(ackFrame(t, make([]byte, MostPayload))); err != nil {
		t.Errorf("the largest payload: %v", err)
	}
}

// TestBareFrames reads a frame whose digest was left out; one that has another than it should is refused.
func TestBareFrames(t *testing.T) {
	b, err := appendFrame(nil, ackMessage([]byte("payload")), true)
	if err != nil {
		t.Fatal(err)
	}
	if [len(noDigest)]byte(b[frameDigest:framePayload]) != noDigest {
		t.Error("it has a digest")
	}
	if got, err := ParseFrame(b); err != nil || string(got.Payload) != "payload" {
		t.Errorf("%+v, %v", got, err)
	}
	b[frameDigest] = 1
	if _, err := ParseFrame(b); !errors.Is(err, ErrFrame) {
		t.Errorf("a digest that does not match: %v", err)
	}
}

// TestUnsendableMessages refuses messages that an agent could not read: a bad frame leaves it deaf.
func TestUnsendableMessages(t *testing.T) {
	for name, change := range map[string]func(*Message){
		"no type":       func(m *Message) { m.Type = "" },
		"long type":     func(m *Message) { m.Type = strings.Repeat("x", 33) },
		"type of words": func(m *Message) { m.Type = "agent job" },
		"no date":       func(m *Message) { m.Created = time.Time{} },
		"no id":         func(m *Message) { m.ID = uuid.Nil },
		"no version":    func(m *Message) { m.Schema = 0 },
		"too large":     func(m *Message) { m.Payload = make([]byte, MostPayload+1) },
	} {
		m := ackMessage(nil)
		change(m)
		if _, err := AppendFrame(nil, m); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := AppendFrame(nil, ackMessage(nil)); err != nil {
		t.Errorf("nothing wrong: %v", err)
	}
}

// TestFrameAllocations holds that a frame is written in the place that is given, and read without
// a copy of its payload.
func TestFrameAllocations(t *testing.T) {
	m := ackMessage(make([]byte, 4096))
	b := make([]byte, 0, FrameOverhead+len(m.Payload))
	if n := testing.AllocsPerRun(100, func() { b, _ = AppendFrame(b[:0], m) }); n > 0 {
		t.Errorf("writing allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = ParseFrame(b) }); n > 2 { // the message and its type
		t.Errorf("reading allocates %v times", n)
	}
}

// FuzzFrame reads bytes as a frame: what is one is written again as the same message, and whatever
// is not is refused without a panic.
func FuzzFrame(f *testing.F) {
	f.Add(ackFrame(f, []byte(`{"jobId":"x"}`)))
	for _, bad := range badFrames(f) {
		f.Add(bad.frame)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseFrame(b)
		if err != nil {
			if m, err := ReadFrame(bytes.NewReader(b)); !errors.Is(err, ErrFrame) {
				t.Errorf("read as %+v: %v", m, err)
			}
			if !errors.Is(err, ErrFrame) || len(err.Error()) > 300 {
				t.Errorf("%v", err)
			}
			return
		}
		if read, err := ReadFrame(bytes.NewReader(b)); err != nil || !bytes.Equal(read.Frame, b) {
			t.Errorf("read as %+v: %v", read, err)
		}
		unframed(m)
		again, err := AppendFrame(nil, m)
		if err != nil {
			t.Fatalf("%+v: %v", m, err)
		}
		second, err := ParseFrame(again)
		if diff := cmp.Diff(m, unframed(second)); err != nil || diff != "" {
			t.Errorf("%v (-first +second)\n%s", err, diff)
		}
		if len(again) != len(b) {
			t.Errorf("%d bytes became %d", len(b), len(again))
		}
	})
}
