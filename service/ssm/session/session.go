// Package session is Session Manager: sessions with nodes, from their start to 30 days after their end. Clients and agents meet on data
// channels, whose frames the package relay carries; here is who may begin and go on, what a node is asked to do, when a session ends and
// what is said about it.
//
// It keeps sessions, and transcripts of those whose preferences ask for a log, which CloudWatch Logs shows as streams of the log groups that
// these name. Whether both ends are there right now is kept in memory: after a restart they come back, or a deadline ends what they have
// left. It uses document, fleet and relay, and of the other services iam and the types of logs.
package session

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"golang.org/x/sync/errgroup"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/internal/seal"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/fleet"
	"github.com/vennel/vennel/service/ssm/session/internal/rows"
	"github.com/vennel/vennel/service/ssm/session/relay"
	"github.com/vennel/vennel/store"
)

// The statuses of sessions. Disconnected is never kept: it is a connected session whose client is not there.
const (
	connecting   = "Connecting"
	connected    = "Connected"
	disconnected = "Disconnected"
	terminating  = "Terminating"
	terminated   = "Terminated"
	failed       = "Failed"
)

// mostRows bounds the rows of one transaction.
const mostRows = 500

// Config is what the capability is made of.
type Config struct {
	DB          *store.DB
	Fleet       *fleet.Fleet
	Master      seal.Master // for the tokens of data channels
	Transcripts *store.Log
	// Endpoint is the name of a VPC's own endpoint for the message gateway, empty when it has none.
	Endpoint func(ctx context.Context, vpc string) (string, error)
	Log      *slog.Logger
}

// Sessions is the capability.
type Sessions struct {
	db          *store.DB
	fleet       *fleet.Fleet
	transcripts *store.Log
	endpoint    func(ctx context.Context, vpc string) (string, error)
	log         *slog.Logger
	tokens      *seal.Box
	gone        *store.Subscription
	wake        chan struct{} // holds one: there are changes, or something to keep the time for
	over        chan struct{} // holds one: there is a log to complete

	telling sync.WaitGroup // messages on their way to nodes
	held    atomic.Int64   // bytes that the relays of all sessions hold

	mu      sync.Mutex
	lives   map[string]*live          // those that are open, and those whose client has not seen the end; guarded by mu
	changed map[*live]bool            // of which there is news; guarded by mu
	untold  map[string][]relay.Closed // by node, while somebody is telling it; guarded by mu
}

// New gives the capability.
func New(c Config) *Sessions {
	return &Sessions{
		db: c.DB, fleet: c.Fleet, transcripts: c.Transcripts, endpoint: c.Endpoint, log: c.Log, tokens: c.Master.Box("data channel tokens"), gone: fleet.Gone(c.DB),
		wake: make(chan struct{}, 1), over: make(chan struct{}, 1), lives: map[string]*live{}, changed: map[*live]bool{}, untold: map[string][]relay.Closed{},
	}
}

// Run keeps the time of sessions, and ends those of nodes that are gone, until ctx ends.
func (s *Sessions) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.keepTime(ctx) })
	g.Go(func() error { return s.endGone(ctx) })
	g.Go(func() error { return s.completeLogs(ctx) })
	err := g.Wait()
	s.telling.Wait()
	s.finishTranscripts(ctx)
	return err
}

// arn is the ARN of a session.
func arn(region, account, id string) string { return api.ARN("ssm", region, account, "session/"+id) }

// newID makes the id of a session: the caller's name and a random part, in the form that AWS gives it. source: aws
func newID(p api.Principal) string {
	var b [8]byte
	rand.Read(b[:])
	name := p.ARN()
	if i := strings.LastIndexAny(name, "/:"); i >= 0 {
		name = name[i+1:]
	}
	name = strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_+=,.@-", r)) {
			return r
		}
		return '-'
	}, name)
	if name != "" && strings.ContainsRune(".-", rune(name[0])) { // an id names folders and is an argument: it is no hidden file and no flag
		name = "_" + name[1:]
	}
	return name[:min(len(name), mostName)] + "-0" + hex.EncodeToString(b[:])
}

// mostName is the room for a name in an id of 96 characters.
const mostName = 96 - 18

// get reads a session. ok is false when there is none.
func get(ctx context.Context, tx *store.Tx, id string) (row rows.SsmSession, ok bool, err error) {
	row, err = rows.New(tx).GetSession(ctx, id)
	if errors.Is(err, sql.ErrNoRows) {
		return row, false, nil
	}
	return row, err == nil, err
}

// find reads a session of the caller's account and Region, to which the caller may do an action.
func find(ctx context.Context, tx *store.Tx, action, id string) (row rows.SsmSession, ok bool, err error) {
	call := api.CallFrom(ctx)
	if row, ok, err = get(ctx, tx, id); err != nil {
		return row, false, err
	}
	ok = ok && row.Account == call.Account && row.Region == call.Region
	var about []iam.About
	if ok {
		// A session is also known by the unique id of who started it, so that everybody's own sessions can be named by ${aws:userid}.
		// source: userguide, "Sample IAM policies for Session Manager"
		about = []iam.About{
			iam.ResourceTags(map[string]string{"aws:ssmmessages:session-id": row.OwnerID, "aws:ssmmessages:target-id": row.Target}),
			iam.Alias(arn(row.Region, row.Account, row.OwnerID+id[strings.LastIndexByte(id, '-'):])),
		}
	}
	return row, ok, iam.Allow(ctx, action, arn(call.Region, call.Account, id), about...)
}

// printable makes a text of a stranger's fit to be printed on a terminal: what would steer it is replaced.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\r':
			return -1
		case r == '\n' || r == '\t' || unicode.IsPrint(r):
			return r
		}
		return unicode.ReplacementChar
	}, text)
}

// plain makes a text of a stranger's fit to be kept: NUL, which no database takes in a text, is replaced.
func plain(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// clip cuts a text to a number of characters.
func clip(text string, most int) string {
	n := 0
	for at := range text {
		if n == most {
			return text[:at]
		}
		n++
	}
	return text
}

// minutes is a number of minutes as a duration.
func minutes(n int64) time.Duration { return time.Duration(n) * time.Minute }

var _ relay.News = (*live)(nil)

// How long a server that stops lets its sessions come to rest, and how often it looks.
const (
	restWait = 500 * time.Millisecond
	restLook = 10 * time.Millisecond
)

// Rest has all sessions hold still before the server stops, and gives what is on its way a moment to arrive. They go on
// when both ends have come back.
func (s *Sessions) Rest() {
	s.mu.Lock()
	lives := slices.Collect(maps.Values(s.lives))
	s.mu.Unlock()
	for _, l := range lives {
		l.relay.Rest()
	}
	look, late := time.NewTicker(restLook), time.After(restWait)
	defer look.Stop()
	for slices.ContainsFunc(lives, func(l *live) bool { return !l.relay.Rested() }) {
		select {
		case <-late:
			return
		case <-look.C:
		}
	}
}
