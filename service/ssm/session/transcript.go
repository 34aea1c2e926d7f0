package session

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/vennel/vennel/service/ssm/session/internal/rows"
	"github.com/vennel/vennel/store"
)

// mostHeld is how much of a transcript is held before it is written down, in bytes.
const mostHeld = 32 << 10

// recorder gathers what a session shows, and writes it down in pieces.
type recorder struct {
	live *live

	mu     sync.Mutex
	stream *stream // nil if what is shown is not streamed to a log group; guarded by mu
	held   []byte  // guarded by mu
	seen   int64   // the sequence number behind the last frame of which all is held or written; guarded by mu
	next   int64   // the number of the next piece; guarded by mu
	last   bool    // nobody will flush it again, so nothing more is held; guarded by mu
}

// piece is a part of a transcript, or the text of an event of a log group, as it is kept. An event has the name of its group.
type piece struct {
	Output []byte `json:"output"`         // base64: what a terminal shows need not be text
	Next   int64  `json:"next,omitempty"` // the sequence number behind the last frame of which all is in it, or before it; not of an event
}

// watch is relay's.
func (r *recorder) watch(next int64, output []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(output) > 0 {
		n := min(len(output), mostHeld-len(r.held))
		r.held = append(r.held, output[:n]...)
		if output = output[n:]; len(output) == 0 {
			r.seen = next
		}
		if len(r.held) == mostHeld || r.last {
			r.write(context.Background()) //nolint:forbidigo // what is shown belongs to no request
		}
	}
}

// flush writes down what is held. A session without a transcript has no recorder.
func (r *recorder) flush(ctx context.Context) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.held) > 0 || r.stream.due() {
		r.write(ctx)
	}
}

// finish writes down what is held, and from now on all at once: the server stops, or forgets the session.
func (r *recorder) finish(ctx context.Context) {
	if r == nil {
		return
	}
	r.mu.Lock()
	r.last = true
	r.mu.Unlock()
	r.flush(ctx)
}

// lastWrite is how long a server that stops may take to write down what is held of all transcripts.
const lastWrite = 5 * time.Second

// finishTranscripts writes down what is held of all transcripts.
func (s *Sessions) finishTranscripts(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWrite)
	defer cancel()
	s.mu.Lock()
	lives := slices.Collect(maps.Values(s.lives))
	s.mu.Unlock()
	for _, l := range lives {
		l.recorder.finish(ctx)
	}
}

// write writes down what is held. When ctx has ended before that, it is still held. The caller holds mu.
func (r *recorder) write(ctx context.Context) {
	l, now := r.live, time.Now()
	if len(r.held) > 0 {
		err := l.sessions.keep(ctx, store.Record{
			Time: now, ID: fmt.Sprintf("%s %012d", l.id, r.next+1), Account: l.account, Region: l.region, Principal: nameOf(l.owner), Resource: l.id,
		}, piece{r.held, r.seen})
		if err != nil && ctx.Err() != nil {
			return
		}
		r.stream.add(r.held)
		r.held, r.next = nil, r.next+1
		if err != nil {
			l.sessions.log.Error("a part of a transcript is lost", "session", l.id, "error", err)
		}
	}
	r.stream.write(ctx, now, r.last)
}

// nameOf is the last part of an owner's ARN.
func nameOf(owner string) string { return owner[strings.LastIndexByte(owner, '/')+1:] }

// keep writes down a piece of a transcript, or the text of an event.
func (s *Sessions) keep(ctx context.Context, r store.Record, p piece) (err error) {
	if r.Body, err = json.Marshal(p); err != nil {
		return err
	}
	return s.transcripts.Append(ctx, r)
}

// recorded is the sequence number behind the frames that the transcript of a session has. A server that was started anew is sent those of them
// again that the client had not acknowledged.
func (s *Sessions) recorded(ctx context.Context, row *rows.SsmSession) (next int64, err error) {
	var broken error
	err = s.transcripts.Query(ctx, time.UnixMilli(row.Started), time.Time{}, store.Filter{Resource: row.ID, NewestFirst: true}, func(r store.Record) bool {
		if r.Name != "" { // an event
			return true
		}
		var p piece
		broken = json.Unmarshal(r.Body, &p)
		next = p.Next
		return false
	})
	if err == nil {
		err = broken
	}
	return next, err
}

// Transcript calls look with what a session has shown, in order, until look returns false. Sessions have a transcript when their
// preferences ask for a log and they are not encrypted.
func (s *Sessions) Transcript(ctx context.Context, id string, look func(output []byte) bool) error {
	if l := s.lookup(id); l != nil {
		l.recorder.flush(ctx)
	}
	if err := s.transcripts.Flush(ctx); err != nil {
		return err
	}
	var broken error
	err := s.transcripts.Query(ctx, time.Time{}, time.Time{}, store.Filter{Resource: id}, func(r store.Record) bool {
		if r.Name != "" { // an event
			return true
		}
		var p piece
		if broken = json.Unmarshal(r.Body, &p); broken != nil {
			return false
		}
		return look(p.Output)
	})
	if err == nil {
		err = broken
	}
	return err
}
