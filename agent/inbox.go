package agent

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/vennel/vennel/agent/disk"
	"github.com/vennel/vennel/agent/document"
)

// The limits of jobs. source: agent
const (
	mostRunning = 5
	mostQueued  = 5
)

// verdict is what becomes of a job that was delivered. source: agent
type verdict struct {
	code, text string
	refuse     bool // ec2messages is told that it was no message for an agent
}

// The verdicts.
var (
	accepted     = verdict{code: "200", text: "Successful"}
	closed       = verdict{code: "51401", text: "ClosedProcessor"}
	full         = verdict{code: "51402", text: "ProcessorBufferFull"}
	unknownTopic = verdict{code: "51403", text: "UnexpectedDocumentType", refuse: true}
	duplicate    = verdict{code: "51405", text: "DuplicateCommand"}
	invalidID    = verdict{code: "51406", text: "InvalidDocument", refuse: true}
	unparsable   = verdict{code: "51408", text: "AgentJobMessageParseError"}
	badCancel    = verdict{code: "51408", text: "AgentJobMessageParseError", refuse: true}
	unexpected   = verdict{code: "51499", text: "UnexpectedError"}
)

// inbox takes jobs, keeps them, and has workers run them: a few at a time, in the order in which
// they came.
type inbox struct {
	node *node
	cfg  *Config
	out  *outbox
	log  *slog.Logger
	wake chan struct{} // filled when there may be something to start

	mu        sync.Mutex
	jobs      map[string]*job // all that have not ended, by command; guarded by mu
	queue     []*job          // those that wait; guarded by mu
	urgent    []*job          // those that are attended to whatever else runs; guarded by mu
	running   int             // jobs attended to that count; guarded by mu
	closed    bool            // the agent stops; guarded by mu
	rebooting int             // jobs that wait for a reboot; guarded by mu
}

// openInbox takes up the jobs of an earlier run. Those that have begun are attended to at once:
// their workers may live.
func openInbox(n *node, cfg *Config, out *outbox, log *slog.Logger) (*inbox, error) {
	b := &inbox{node: n, cfg: cfg, out: out, log: log, wake: make(chan struct{}, 1), jobs: map[string]*job{}}
	entries, err := os.ReadDir(n.path(jobsFolder))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		folder := n.path(jobsFolder, e.Name())
		j, err := readJob(folder)
		if errors.Is(err, fs.ErrNotExist) { // it was not accepted yet, or is done
			err = os.RemoveAll(folder)
			if err != nil {
				log.Warn("a folder cannot be removed", "folder", folder, "error", err)
			}
			continue
		} else if err != nil {
			log.Error("a job is lost", "error", err)
			continue
		}
		b.jobs[j.Command] = j
		journal, err := document.Open(folder)
		switch {
		case err != nil:
			log.Error("a job is lost", "command", j.Command, "error", err)
			delete(b.jobs, j.Command)
		case journal.Begun() || journal.Done || disk.Exists(j.path(cancelFile)) || disk.Locked(j.path(workerLock)):
			b.urgent = append(b.urgent, j)
		default:
			b.queue = append(b.queue, j)
		}
	}
	slices.SortFunc(b.queue, func(x, y *job) int { return x.Accepted.Compare(y.Accepted) })
	return b, nil
}

// accept decides about a job that was delivered. Once it is accepted it is kept, and start must be
// called with it when the server has been told.
func (b *inbox) accept(d *delivery) (verdict, *job) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v, j := b.decide(d)
	log := b.log.With("job", d.JobID, "code", v.code)
	if v == accepted {
		log.Info("job accepted", "line", d.Line)
	} else {
		log.Warn("job not accepted", "line", d.Line, "reason", v.text)
	}
	return v, j
}

// decide is accept under the lock.
func (b *inbox) decide(d *delivery) (verdict, *job) {
	topic := topicOf(d.Topic)
	command, ok := commandOf(d.JobID)
	j := &job{ID: d.JobID, Command: command, Line: d.Line, Accepted: time.Now().UTC(), Content: d.Content, folder: b.node.path(jobsFolder, command)}
	switch {
	case topic == "":
		return unknownTopic, nil
	case !ok:
		return invalidID, nil
	case b.closed || b.rebooting > 0:
		return closed, nil
	case b.jobs[command] != nil || disk.Exists(b.node.path(seenFolder, command)):
		return duplicate, nil
	case topic == cancelTopic:
		return b.cancel(j), j
	case len(b.jobs) >= mostRunning+mostQueued:
		return full, nil
	}
	c, source, err := j.parse()
	if err == nil {
		_, _, err = source.Read()
	}
	if err != nil {
		return b.reject(j, err), nil
	}
	if c.OutputS3BucketName != "" || c.CloudWatchOutputEnabled == "true" {
		b.log.Warn("this agent does not upload output", "job", j.ID)
	}
	if err := j.keep(); err != nil {
		b.log.Error("a job cannot be kept", "job", j.ID, "error", err)
		return unexpected, nil
	}
	b.jobs[command] = j
	return accepted, j
}

// reject refuses a job that cannot be run, and says why in a reply.
func (b *inbox) reject(j *job, cause error) verdict {
	remember := func() error { return b.remember(j.Command) }
	if err := b.out.put(j.Command, 0, invalid(j, cause.Error()), remember); err != nil {
		b.log.Error("a refused job cannot be kept", "job", j.ID, "error", err)
	}
	return unparsable
}

// remember keeps a command's id, so that the command is not taken a second time.
func (b *inbox) remember(command string) error {
	return disk.Write(b.node.path(seenFolder, command), nil)
}

// cancel cancels another job, if it has not ended. One that has not begun never will.
func (b *inbox) cancel(j *job) verdict {
	var c cancelCommand
	if err := json.Unmarshal([]byte(j.Content), &c); err != nil {
		return badCancel
	}
	target, ok := commandOf(c.CancelMessageID)
	if !ok {
		return badCancel
	}
	if err := b.remember(j.Command); err != nil {
		b.log.Error("a job cannot be kept", "job", j.ID, "error", err)
		return unexpected
	}
	other := b.jobs[target]
	if other == nil {
		b.log.Info("nothing to cancel", "job", c.CancelMessageID)
		return accepted
	}
	err := disk.Write(other.path(cancelFile), nil)
	if errors.Is(err, fs.ErrNotExist) { // its folder is being removed
		return accepted
	} else if err != nil {
		b.log.Error("a job cannot be cancelled", "job", other.ID, "error", err)
		return unexpected
	}
	if at := slices.Index(b.queue, other); at >= 0 {
		b.queue = slices.Delete(b.queue, at, at+1)
		b.urgent = append(b.urgent, other)
		b.rouse()
	}
	return accepted
}

// start has an accepted job run when its turn comes. It does nothing with a job that cancels.
func (b *inbox) start(j *job) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if j == nil || b.jobs[j.Command] != j {
		return
	}
	if disk.Exists(j.path(cancelFile)) {
		b.urgent = append(b.urgent, j)
	} else {
		b.queue = append(b.queue, j)
	}
	b.rouse()
}

// rouse wakes run.
func (b *inbox) rouse() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// next gives the next job to attend to and whether it counts, or nil.
func (b *inbox) next() (j *job, counts bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
	case len(b.urgent) > 0:
		j, b.urgent = b.urgent[0], b.urgent[1:]
		counts = !disk.Exists(j.path(cancelFile))
	case b.rebooting > 0:
	case b.running < mostRunning && len(b.queue) > 0:
		j, b.queue, counts = b.queue[0], b.queue[1:], true
	}
	if counts {
		b.running++
	}
	return j, counts
}

// ended forgets a job that was attended to; done says that nothing is left of it to do.
func (b *inbox) ended(j *job, counts, done bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if counts {
		b.running--
	}
	if done {
		delete(b.jobs, j.Command)
	}
	b.rouse()
}

// rebootPending notes that a job waits for a reboot, or no longer does. Meanwhile no jobs are taken
// or started: they would be interrupted.
func (b *inbox) rebootPending(change int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rebooting += change
	b.rouse()
}

// run attends to jobs. When ctx ends no more are taken or started; those that run are attended to
// until run ends.
func (b *inbox) run(ctx, run context.Context) {
	var attending sync.WaitGroup
	defer attending.Wait()
	for {
		for {
			j, counts := b.next()
			if j == nil {
				break
			}
			attending.Go(func() { b.ended(j, counts, b.attend(run, j)) })
		}
		select {
		case <-b.wake:
		case <-run.Done():
			return
		case <-ctx.Done():
			b.mu.Lock()
			b.closed = true
			b.mu.Unlock()
			<-run.Done()
			return
		}
	}
}

// The times after which traces of commands are removed.
const (
	sweepTime = time.Hour
	seenLife  = 72 * time.Hour // servers repeat themselves within 48
)

// sweep removes what is left of commands that ended long ago, now and then.
func sweep(ctx context.Context, n *node, log *slog.Logger) {
	for {
		if err := sweepOnce(n, time.Now()); err != nil {
			log.Warn("traces of old commands could not be removed", "error", err)
		}
		if !sleep(ctx, sweepTime) {
			return
		}
	}
}

// sweepOnce removes the ids and the working folders of commands that ended long before now.
func sweepOnce(n *node, now time.Time) error {
	var failed []error
	for _, folder := range []string{seenFolder, orchestrationFolder} {
		entries, err := os.ReadDir(n.path(folder))
		failed = append(failed, err)
		for _, e := range entries {
			info, err := e.Info()
			if err != nil || now.Sub(info.ModTime()) < seenLife || !n.sweepable(e.Name()) {
				continue // also when it is gone meanwhile
			}
			if folder == orchestrationFolder && disk.Exists(n.path(seenFolder, e.Name())) {
				continue // it ended later than its folder says
			}
			failed = append(failed, os.RemoveAll(n.path(folder, e.Name())))
		}
	}
	return errors.Join(failed...)
}
