package session

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/vennel/vennel/service/ssm/session/internal/rows"
	"github.com/vennel/vennel/store"
)

// The most text of an event: of one that is written while the session lasts, which as JSON may be six times as long, and of others.
// source: agent
const (
	mostStreamed = 33_000
	mostLogged   = 200_000
)

// stream makes events of what a session shows, for a log group, as the official agent does: whole lines, of which terminals would show
// the text. It is its recorder's.
type stream struct {
	live  *live
	group string
	runAs string // "" if nobody has said it
	text  []byte // that is in no event yet: it begins a line
	next  int64  // the number of the next event
}

// streamed is the message of an event. source: agent
type streamed struct {
	EventVersion string   `json:"eventVersion"`
	EventTime    string   `json:"eventTime"`
	AWSRegion    string   `json:"awsRegion"`
	Target       target   `json:"target"`
	UserIdentity identity `json:"userIdentity"`
	RunAsUser    string   `json:"runAsUser"`
	SessionID    string   `json:"sessionId"`
	SessionData  []string `json:"sessionData"`
}

// target is the node of a session.
type target struct {
	ID string `json:"id"`
}

// identity is who started it.
type identity struct {
	ARN string `json:"arn"`
}

// due says whether there is text that is in no event.
func (s *stream) due() bool { return s != nil && len(s.text) > 0 }

// add takes in what was shown.
func (s *stream) add(output []byte) {
	if s != nil {
		s.text = append(s.text, output...)
	}
}

// write writes down the lines that are complete, or all if the last was added.
func (s *stream) write(ctx context.Context, now time.Time, last bool) {
	for s.due() {
		n := cut(s.text, mostStreamed)
		if n == 0 && !last {
			return
		} else if n == 0 {
			n = len(s.text)
		}
		l := s.live
		message, err := s.message(s.text[:n], now)
		if err == nil {
			err = l.sessions.keep(ctx, store.Record{
				Time: now, ID: eventID(l.id, s.next+1), Account: l.account, Region: l.region, Name: s.group, Principal: nameOf(l.owner), Resource: l.id,
			}, piece{Output: message})
		}
		if err != nil && ctx.Err() != nil {
			return
		}
		s.text, s.next = slices.Clone(s.text[n:]), s.next+1
		if err != nil {
			l.sessions.log.Error("an event of a transcript is lost", "session", l.id, "error", err)
		}
	}
}

// eventID is the ID of an event among those of the same time.
func eventID(session string, n int64) string { return fmt.Sprintf("%s/%012d", session, n) }

// message is the message of an event with some lines.
func (s *stream) message(text []byte, now time.Time) ([]byte, error) {
	l := s.live
	data := strings.ToValidUTF8(string(text), "\uFFFD")
	var lines []string
	for line := range strings.SplitSeq(strings.TrimSuffix(data, "\n"), "\n") {
		lines = append(lines, strings.NewReplacer("\t", " ", "\r", "").Replace(shown(line)))
	}
	return json.Marshal(&streamed{
		EventVersion: "1.0", EventTime: now.UTC().Format(time.RFC3339), AWSRegion: l.region, Target: target{l.target}, UserIdentity: identity{l.owner},
		RunAsUser: s.runAs, SessionID: l.id, SessionData: lines,
	}, json.Deterministic(true))
}

// cut says how much of a text an event takes: up to the end of the last line that it has room for, or, of a line that is longer than an
// event, as many whole characters as it has room for. It is 0 when no line is complete and there may be more.
func cut(text []byte, most int) int {
	some := text[:min(len(text), most)]
	if end := bytes.LastIndexByte(some, '\n'); end >= 0 {
		return end + 1
	}
	if len(text) <= most {
		return 0
	}
	for n := most; n > most-utf8.UTFMax && n > 0; n-- {
		if utf8.RuneStart(text[n]) {
			return n
		}
	}
	return most // it is no text
}

// The characters of control sequences.
const (
	esc  = '\x1b'
	bell = '\a'
)

// shown is a line without the sequences that steer a terminal, which the official agent leaves out of what it streams. One that does not end
// in its line is left as it is, so that nothing can hide behind it. source: agent
func shown(line string) string {
	if !strings.ContainsRune(line, esc) {
		return line
	}
	var b strings.Builder
	for line != "" {
		at := strings.IndexByte(line, esc)
		if at < 0 {
			break
		}
		b.WriteString(line[:at])
		line = line[at:]
		n := sequence(line)
		if n == 0 {
			break
		}
		line = line[n:]
	}
	b.WriteString(line)
	return b.String()
}

// sequence is the length of the control sequence with which a text begins, or 0 if it is not complete. source: ECMA-48
func sequence(text string) int {
	if len(text) < 2 {
		return 0
	}
	switch text[1] {
	case '[': // parameters and intermediates, then a final character
		for n := 2; n < len(text); n++ {
			switch c := text[n]; {
			case c >= 0x40 && c <= 0x7e:
				return n + 1
			case c < 0x20 || c > 0x3f:
				return 0
			}
		}
		return 0
	case ']':
		if text[2:] == "" || text[2] < '0' || text[2] > '9' { // Linux's console takes P and R for the end
			return 0
		}
		return control(text)
	case 'P', 'X', '^', '_':
		return control(text)
	}
	for n := 1; n < len(text); n++ {
		switch c := text[n]; {
		case c >= 0x30 && c <= 0x7e:
			return n + 1
		case c < 0x20 || c > 0x2f:
			return 0
		}
	}
	return 0
}

// control is the length of the control string with which a text begins, or 0 if it is not complete. It ends with ESC \, or, of an operating
// system command, with BEL in terminals. Another control character cancels it there, and what follows is shown.
func control(text string) int {
	const begin = 2
	for n, c := range text[begin:] {
		switch end := begin + n + 1; {
		case c == bell && text[1] == ']':
			return end
		case c == esc && strings.HasPrefix(text[end:], `\`):
			return end + 1
		case unicode.IsControl(c):
			return 0
		}
	}
	return 0
}

// logWait is how long after the end of a session its log is written at its earliest: there may be output until then.
const logWait = tailWait + finishWait

// completeLogs completes the logs of sessions that are over, until ctx ends: those that are not streamed are written now, all at once.
func (s *Sessions) completeLogs(ctx context.Context) error {
	tick := time.NewTicker(dropEvery)
	defer tick.Stop()
	for {
		if err := s.completeAll(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("logs of sessions not completed", "error", err) // they are tried again
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.over:
		case <-tick.C:
		}
	}
}

// completeAll completes the logs of all sessions that are over.
func (s *Sessions) completeAll(ctx context.Context) error {
	for after := ""; ; {
		var page []rows.SsmSession
		err := s.db.View(ctx, func(tx *store.Tx) (err error) {
			page, err = rows.New(tx).ListUnlogged(ctx, rows.ListUnloggedParams{After: after, Most: mostRows})
			return err
		})
		if err != nil {
			return err
		}
		for i := range page {
			after = page[i].ID
			if s.lookup(after) != nil { // there may be more to come
				continue
			}
			if err := s.complete(ctx, &page[i]); err != nil {
				return err
			}
		}
		if len(page) < mostRows {
			return nil
		}
	}
}

// complete completes the log of a session.
func (s *Sessions) complete(ctx context.Context, row *rows.SsmSession) error {
	if !row.Streaming {
		if err := s.writeLog(ctx, row); err != nil {
			return err
		}
	}
	if err := s.transcripts.Flush(ctx); err != nil {
		return err
	}
	set := rows.SetLoggedParams{ID: row.ID}
	for _, end := range []struct {
		newest bool
		at     *int64
	}{{false, &set.FirstEvent}, {true, &set.LastEvent}} {
		by := store.Filter{Account: row.Account, Region: row.Region, Name: row.LogGroup, Resource: row.ID, NewestFirst: end.newest}
		err := s.transcripts.Query(ctx, time.UnixMilli(row.Started), time.Time{}, by, func(r store.Record) bool {
			*end.at = r.Time.UnixMilli()
			return false
		})
		if err != nil {
			return err
		}
	}
	return s.db.Update(ctx, func(tx *store.Tx) error { return rows.New(tx).SetLogged(ctx, set) })
}

// mostUnwritten is how many events of a log may wait to be written: a transcript is read faster.
const mostUnwritten = 32

// writeLog writes the events of a session that was not streamed: what was shown, as it came, but for the ends of lines. If it is
// interrupted, the same are written the next time, which the store takes for one. source: agent
func (s *Sessions) writeLog(ctx context.Context, row *rows.SsmSession) error {
	var text []byte
	n, at := int64(0), time.UnixMilli(row.Ended).Add(logWait)
	write := func(message []byte) error {
		if n++; n%mostUnwritten == 0 {
			if err := s.transcripts.Flush(ctx); err != nil {
				return err
			}
		}
		message = bytes.TrimSuffix(bytes.ReplaceAll(message, []byte("\r\n"), []byte("\n")), []byte("\n"))
		return s.keep(ctx, store.Record{
			Time: at, ID: eventID(row.ID, n), Account: row.Account, Region: row.Region, Name: row.LogGroup, Principal: nameOf(row.Owner), Resource: row.ID,
		}, piece{Output: bytes.ToValidUTF8(message, []byte("\uFFFD"))})
	}
	var broken error
	err := s.Transcript(ctx, row.ID, func(output []byte) bool {
		for text = append(text, output...); len(text) > mostLogged && broken == nil; {
			k := cut(text, mostLogged)
			broken = write(text[:k])
			text = slices.Clone(text[k:])
		}
		return broken == nil
	})
	if err == nil {
		err = broken
	}
	if err == nil && len(text) > 0 {
		err = write(text)
	}
	return err
}
