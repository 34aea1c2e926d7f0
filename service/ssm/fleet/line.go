package fleet

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vennel/vennel/service/ssm/fleet/internal/rows"
	"github.com/vennel/vennel/store"
)

// Line is a connection that a node holds and on which messages can be sent to it.
type Line interface {
	// Deliver hands a message over. An error means that the line is of no more use.
	Deliver(ctx context.Context, m Message) error
	// HangUp ends the line.
	HangUp(reason string)
}

// Channel is a control channel: it carries what a node is told at once, beside its mail.
type Channel interface {
	Line
	// Tell sends a message of a type; the payload becomes JSON.
	Tell(kind string, payload any) error
}

// ErrNotConnected says that a node holds no control channel.
var ErrNotConnected = errors.New("the node holds no control channel")

// Tell sends a node a message of a type on its control channel. Nothing is kept: the message is lost
// with the channel.
func (f *Fleet) Tell(node, kind string, payload any) error {
	p := f.find(node)
	if p == nil {
		return ErrNotConnected
	}
	p.mu.Lock()
	channel := p.channel
	p.mu.Unlock()
	if channel == nil {
		return ErrNotConnected
	}
	return channel.Tell(kind, payload)
}

// post is where a node can be reached. It exists while the node holds a control channel or polls.
type post struct {
	serving sync.Mutex // held by the one goroutine that sends

	mu      sync.Mutex           // taken after Fleet.mu, never held while waiting
	channel Channel              // the control channel; guarded by mu
	poll    Line                 // a waiting poll, used while there is no channel; guarded by mu
	going   map[string]time.Time // jobs on their way: when they may be sent again; guarded by mu
}

// ackWait is how long a message is on its way before it is sent again. Agents know a job by its id,
// so a second delivery does no harm.
const ackWait = 15 * time.Second

// retryWait is when a node that had no room is asked again.
const retryWait = 5 * time.Second

// deliverers is how many nodes are served at the same time.
const deliverers = 8

// change changes a node's post, which is made if need be, and forgets it when it holds no line.
func (f *Fleet) change(node string, how func(*post)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.posts[node]
	if p == nil {
		p = new(post)
		f.posts[node] = p
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	how(p)
	if p.channel == nil && p.poll == nil && len(p.going) == 0 {
		delete(f.posts, node)
	}
}

// find gives a node's post if it has one.
func (f *Fleet) find(node string) *post {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.posts[node]
}

// AttachChannel makes a line the node's control channel, in place of an older one, which it ends, and
// sends what waits. The returned function detaches it.
func (f *Fleet) AttachChannel(ctx context.Context, node string, line Channel) (detach func()) {
	var older Line
	f.change(node, func(p *post) {
		if p.channel != nil {
			older = p.channel
			p.going = nil // what the old channel carried may be lost; what a poll carried has its own time
		}
		p.channel = line
	})
	if older != nil {
		// An agent whose network was cut does this once; two that share a registration do it again and again.
		f.log.Warn("a node has opened a second control channel; if this goes on, two machines use its registration", "node", node)
		older.HangUp("the node has opened another control channel")
	}
	f.Seen(node, time.Now())
	f.serve(ctx, node)
	return func() {
		f.change(node, func(p *post) {
			if p.channel == line {
				p.channel, p.going = nil, nil
			}
		})
		f.Seen(node, time.Now())
	}
}

// AttachPoll makes a line the node's poll. While the node holds its control channel nothing is sent
// on it. The returned function detaches it.
func (f *Fleet) AttachPoll(ctx context.Context, node string, line Line) (detach func()) {
	f.change(node, func(p *post) { p.poll = line })
	f.serve(ctx, node)
	return func() {
		f.change(node, func(p *post) {
			if p.poll == line {
				p.poll = nil
			}
		})
	}
}

// Connected says whether a node holds its control channel.
func (f *Fleet) Connected(node string) bool {
	p := f.find(node)
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.channel != nil
}

// Reachable is how many nodes hold a line.
func (f *Fleet) Reachable() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.posts {
		p.mu.Lock()
		if p.channel != nil || p.poll != nil {
			n++
		}
		p.mu.Unlock()
	}
	return n
}

// hangUp ends a node's lines.
func (f *Fleet) hangUp(node, reason string) {
	p := f.find(node)
	if p == nil {
		return
	}
	p.mu.Lock()
	lines := []Line{p.poll}
	if p.channel != nil {
		lines = append(lines, p.channel)
	}
	p.mu.Unlock()
	for _, line := range lines {
		if line != nil {
			line.HangUp(reason)
		}
	}
}

// Arrived notes that a node has a message: it is no longer on its way.
func (f *Fleet) Arrived(node, job string) {
	f.change(node, func(p *post) { delete(p.going, job) })
}

// Later notes that a node had no room for a message: it is sent again after a while. What the node
// says of messages that are not on their way to it is passed over, for it could name any number.
func (f *Fleet) Later(node, job string) {
	f.change(node, func(p *post) {
		if _, ok := p.going[job]; ok {
			p.send(job, retryWait)
		}
	})
}

// send notes that a message is on its way for a while.
func (p *post) send(job string, wait time.Duration) {
	if p.going == nil {
		p.going = map[string]time.Time{}
	}
	p.going[job] = time.Now().Add(wait)
}

// line is the line that a message would take now.
func (p *post) line() (line Line, going map[string]time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.channel != nil {
		return p.channel, maps.Clone(p.going)
	}
	return p.poll, maps.Clone(p.going)
}

// serve sends a node what waits for it, if it holds a line.
func (f *Fleet) serve(ctx context.Context, node string) {
	p := f.find(node)
	if p == nil {
		return
	}
	p.serving.Lock()
	defer p.serving.Unlock()
	line, going := p.line()
	if line == nil {
		return
	}
	messages, err := f.waiting(ctx, node, going)
	if err != nil && ctx.Err() == nil { // else the server stops, and reads it when it begins again
		f.log.Error("mail not read", "node", node, "error", err)
	}
	if err != nil {
		return
	}
	for _, m := range messages {
		p.mu.Lock()
		p.send(m.Job, ackWait) // before it goes, so that its answer finds it
		p.mu.Unlock()
		if err := line.Deliver(ctx, m); err != nil {
			f.Arrived(node, m.Job)
			f.log.Debug("mail not delivered", "node", node, "job", m.Job, "error", err)
			return // the line's owner will notice and detach it
		}
	}
}

// deliverMail serves the nodes for which mail has come, and after a start those for which it was
// there already.
func (f *Fleet) deliverMail(ctx context.Context) error {
	defer f.mail.Close()
	g, ctx := errgroup.WithContext(ctx)
	nodes := make(chan string)
	for range deliverers {
		g.Go(func() error {
			for node := range nodes {
				f.serve(ctx, node)
			}
			return nil
		})
	}
	g.Go(func() error {
		defer close(nodes)
		for {
			keys, err := f.mail.Next(ctx)
			if ctx.Err() != nil {
				return nil
			} else if err != nil {
				return err
			}
			for _, node := range keys {
				if node == "*" { // too many to name
					err = f.everyNode(ctx, nodes)
				} else {
					err = hand(ctx, nodes, node)
				}
				if err != nil {
					return nil //nolint:nilerr // ctx has ended
				}
			}
		}
	})
	return g.Wait()
}

// hand passes a node on to a deliverer.
func hand(ctx context.Context, nodes chan<- string, node string) error {
	select {
	case nodes <- node:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// everyNode passes on every node that has mail.
func (f *Fleet) everyNode(ctx context.Context, nodes chan<- string) error {
	const page = 1000
	for after := ""; ; {
		var list []string
		err := f.db.View(ctx, func(tx *store.Tx) (err error) {
			list, err = rows.New(tx).ListMailNodes(ctx, rows.ListMailNodesParams{After: after, Most: page})
			return err
		})
		if err != nil {
			return err
		}
		for _, node := range list {
			if err := hand(ctx, nodes, node); err != nil {
				return err
			}
		}
		if len(list) < page {
			return nil
		}
		after = list[len(list)-1]
	}
}

// redeliver sends again what has been on its way for too long.
func (f *Fleet) redeliver(ctx context.Context) error {
	tick := time.NewTicker(retryWait)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			for _, node := range f.overdue(now) {
				f.serve(ctx, node)
			}
		}
	}
}

// overdue forgets the journeys that took too long, and names their nodes.
func (f *Fleet) overdue(now time.Time) (nodes []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for node, p := range f.posts {
		p.mu.Lock()
		late := false
		for job, again := range p.going {
			if now.After(again) {
				delete(p.going, job)
				late = true
			}
		}
		gone := p.channel == nil && p.poll == nil && len(p.going) == 0
		p.mu.Unlock()
		if gone {
			delete(f.posts, node)
		} else if late {
			nodes = append(nodes, node)
		}
	}
	return nodes
}
