package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vennel/vennel/agent/disk"
)

// The limits of the outbox.
const (
	mostPosting  = 10             // jobs whose replies are on their way at a time
	replyLife    = 48 * time.Hour // after which a reply is of no use to anybody
	mostAckPause = 5 * time.Minute
)

// poster sends a reply and returns when the server has it.
type poster interface {
	post(ctx context.Context, r *reply) error
	current() (line string, changed <-chan struct{})
}

// outbox keeps replies until the server has acknowledged them, each in a file. The replies of one
// job go one after the other, each when the one before has been acknowledged, so that none can
// arrive after a later one; those of different jobs do not wait for each other.
type outbox struct {
	folder string
	to     poster
	pace   pace
	log    *slog.Logger
	slots  chan struct{} // holds a token for each job whose replies are on their way

	mu      sync.Mutex
	queues  map[string][]string // file names by command, in order; guarded by mu
	busy    map[string]bool     // commands whose replies are on their way; guarded by mu
	arrived chan struct{}       // filled when a queue begins
	empty   chan struct{}       // closed when all queues are empty; guarded by mu
}

// openOutbox takes up what an earlier run has left.
func openOutbox(folder string, to poster, p pace, log *slog.Logger) (*outbox, error) {
	o := &outbox{
		folder: folder, to: to, pace: p, log: log, slots: make(chan struct{}, mostPosting),
		queues: map[string][]string{}, busy: map[string]bool{}, arrived: make(chan struct{}, 1), empty: make(chan struct{}),
	}
	entries, err := os.ReadDir(folder) // sorted by name
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if command, _, ok := splitName(e.Name()); ok {
			o.queues[command] = append(o.queues[command], e.Name())
		}
	}
	if len(o.queues) == 0 {
		close(o.empty)
	}
	return o, nil
}

// fileName is the name of a reply's file; names of one command sort by their order.
func fileName(command string, order int) string {
	return fmt.Sprintf("%s.%09d.json", command, order)
}

// splitName takes a file's name apart.
func splitName(name string) (command, order string, ok bool) {
	rest, ok := strings.CutSuffix(name, ".json")
	if !ok || strings.HasPrefix(name, ".") {
		return "", "", false
	}
	return strings.Cut(rest, ".")
}

// put keeps a reply that comes at a place among those of its command, and has it sent. When it
// returns the reply is safe. To put the same reply twice does no harm. What is to be noted when the
// reply is kept but not yet sent is noted in between.
func (o *outbox) put(command string, order int, r *reply, note ...func() error) error {
	name := fileName(command, order)
	if err := disk.WriteJSON(filepath.Join(o.folder, name), r); err != nil {
		return err
	}
	for _, f := range note {
		if err := f(); err != nil {
			return err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queues) == 0 {
		o.empty = make(chan struct{})
	}
	q := o.queues[command]
	if at, found := slices.BinarySearchFunc(q, name, cmp.Compare[string]); !found {
		o.queues[command] = slices.Insert(q, at, name)
	}
	select {
	case o.arrived <- struct{}{}:
	default:
	}
	return nil
}

// left is the number of replies that have not been acknowledged.
func (o *outbox) left() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for _, q := range o.queues {
		n += len(q)
	}
	return n
}

// farewell waits a little for the outbox to become empty.
func (o *outbox) farewell(most time.Duration) {
	o.mu.Lock()
	empty := o.empty
	o.mu.Unlock()
	select {
	case <-empty:
	case <-time.After(most):
	}
}

// run sends what is put until ctx ends.
func (o *outbox) run(ctx context.Context) {
	var posting sync.WaitGroup
	defer posting.Wait()
	for {
		for _, command := range o.idle() {
			select {
			case <-ctx.Done():
				return
			case o.slots <- struct{}{}:
			}
			posting.Go(func() {
				defer func() { <-o.slots }()
				o.deliver(ctx, command)
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-o.arrived:
		}
	}
}

// idle takes the commands that have replies which nobody sends yet.
func (o *outbox) idle() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []string
	for command := range o.queues {
		if !o.busy[command] {
			o.busy[command] = true
			out = append(out, command)
		}
	}
	slices.Sort(out)
	return out
}

// deliver sends the replies of one command until there are no more.
func (o *outbox) deliver(ctx context.Context, command string) {
	for failures := 0; ; {
		name := o.head(command)
		if name == "" {
			return
		}
		_, changed := o.to.current() // before the try: a line that opens during it must not be missed
		err := o.send(ctx, name)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			failures = 0
			o.drop(command, name)
			continue
		}
		failures++
		if !errors.Is(err, errNoLine) {
			o.log.Warn("a reply was not delivered", "reply", name, "error", err)
		}
		again := time.NewTimer(backoff(failures, mostAckPause))
		select {
		case <-ctx.Done():
		case <-changed:
			failures = 0
		case <-again.C:
		}
		again.Stop()
	}
}

// head is the next reply of a command; without one the command is idle again.
func (o *outbox) head(command string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if q := o.queues[command]; len(q) > 0 {
		return q[0]
	}
	delete(o.queues, command)
	delete(o.busy, command)
	if len(o.queues) == 0 {
		close(o.empty)
	}
	return ""
}

// send sends one reply. One that cannot be read or is too old counts as sent.
func (o *outbox) send(ctx context.Context, name string) error {
	r := new(reply)
	if err := disk.ReadJSON(filepath.Join(o.folder, name), r); err != nil {
		o.log.Error("a reply is lost", "reply", name, "error", err)
		return nil
	}
	if time.Since(r.Made) > replyLife {
		o.log.Error("a reply was never acknowledged", "reply", name)
		return nil
	}
	return o.to.post(ctx, r)
}

// drop forgets a reply.
func (o *outbox) drop(command, name string) {
	if err := disk.Remove(filepath.Join(o.folder, name)); err != nil {
		o.log.Warn("an acknowledged reply could not be removed; it will be sent again", "reply", name, "error", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queues[command] = slices.DeleteFunc(o.queues[command], func(n string) bool { return n == name })
}
