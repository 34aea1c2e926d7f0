package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/vennel/vennel/agent/disk"
	"github.com/vennel/vennel/agent/document"
	"github.com/vennel/vennel/agent/plugin"
)

// The limits of attending to a job.
const (
	mostWorkers = 3               // that may die before they have begun the job
	keepPause   = 5 * time.Minute // the longest between two tries to keep something
	rebootTime  = 5 * time.Minute // for the command that reboots
)

// stepOrders is the room for the steps of one run in the order of a command's replies.
const stepOrders = 1 << 20

// attend sees a job to its end: it has a worker run it, unless one does, and puts what the journal
// says into the outbox. It returns whether nothing is left to do; otherwise ctx has ended, and the
// next agent attends to what is left.
func (b *inbox) attend(ctx context.Context, j *job) (done bool) {
	a := &attention{inbox: b, job: j, reported: map[int]bool{}, asked: j.reboots()}
	if disk.Exists(b.node.path(seenFolder, j.Command)) { // an earlier agent came as far as this
		return b.keep(ctx, func() error { return a.forget(ctx) })
	}
	for deaths := 0; ; deaths++ {
		journal, err := a.look(ctx)
		switch {
		case ctx.Err() != nil:
			return false
		case err != nil:
			b.log.Error("a job's journal cannot be read", "job", j.ID, "error", err)
		case journal.Done:
			b.log.Info("job ended", "job", j.ID, "status", string(journal.Status()))
			return b.keep(ctx, func() error { return a.forget(ctx) })
		case a.wantsReboot(journal):
			if !a.reboot(ctx, journal) {
				return false
			}
			continue
		case !journal.Begun() && a.settle(deaths):
			continue
		}
		if deaths > 0 && !sleep(ctx, backoff(deaths, time.Minute)) {
			return false
		}
		w := b.hire(ctx, j)
		for alive := true; alive; {
			select {
			case <-ctx.Done():
				w.leave()
				<-w.gone
				return false
			case <-w.news:
				if _, err := a.look(ctx); err != nil {
					b.log.Warn("a job's journal cannot be read", "job", j.ID, "error", err)
				}
			case <-w.gone:
				alive = false
			}
		}
	}
}

// attention is how far the replies about a job have come.
type attention struct {
	*inbox
	job      *job
	reported map[int]bool // orders of the replies that are in the outbox
	asked    int          // the resumes in the journal when a reboot was last asked for; -1 for never
}

// reboots reads how many resumes a job had when a reboot was last asked for; -1 means never.
func (j *job) reboots() int {
	n := -1
	if err := disk.ReadJSON(j.path(rebootFile), &n); err != nil {
		return -1
	}
	return n
}

// wantsReboot says whether a job waits for a reboot that was not asked for yet.
func (a *attention) wantsReboot(journal *document.Journal) bool {
	return journal.Reboot && journal.Resumes != a.asked
}

// look reads the journal and puts what is new in it into the outbox: replies about the steps that
// have ended, and then that about the job.
func (a *attention) look(ctx context.Context) (*document.Journal, error) {
	journal, err := document.Open(a.job.folder)
	if err != nil {
		return nil, err
	}
	put := func(order int, make func() (*reply, error), note ...func() error) bool {
		if a.reported[order] {
			return true
		}
		a.reported[order] = a.keep(ctx, func() error {
			r, err := make()
			if err != nil {
				return err
			}
			return a.out.put(a.job.Command, order, r, note...)
		})
		return a.reported[order]
	}
	for i, s := range journal.Steps {
		if s.Status == "" || s.Status == plugin.InProgress || s.Resumes <= a.asked {
			continue
		}
		if !put(s.Resumes*stepOrders+i+1, func() (*reply, error) {
			out, err := a.output(i)
			return stepEnded(a.job, journal, i, out), err
		}) {
			return journal, context.Cause(ctx)
		}
	}
	var note []func() error
	switch {
	case journal.Done: // when the last reply has gone none must be made again
		note = append(note, func() error { return a.remember(a.job.Command) })
	case !a.wantsReboot(journal):
		return journal, nil
	}
	if !put((journal.Resumes+1)*stepOrders-1, func() (*reply, error) { return a.end(journal) }, note...) {
		return journal, context.Cause(ctx)
	}
	return journal, nil
}

// output is what a step that has ended wrote; one that never began wrote nothing.
func (a *attention) output(i int) (*document.Output, error) {
	out, err := document.ReadOutput(a.job.folder, i)
	if errors.Is(err, fs.ErrNotExist) {
		return new(document.Output), nil
	}
	return out, err
}

// end is the reply about the job as a whole.
func (a *attention) end(journal *document.Journal) (*reply, error) {
	out := new(document.Output)
	if len(journal.Steps) == 1 {
		var err error
		if out, err = a.output(0); err != nil {
			return nil, err
		}
	}
	return jobEnded(a.job, journal, out), nil
}

// forget removes a job that has ended and was reported. It holds the worker's lock, so that a late
// worker cannot find half of the job.
func (a *attention) forget(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	lock, err := disk.WaitLock(ctx, a.job.path(workerLock))
	if err != nil {
		return fmt.Errorf("the job's worker does not end: %w", err)
	}
	err = disk.Remove(a.job.path(jobFile)) // without it a worker that comes late does nothing
	lock.Release()
	if err != nil {
		return err
	}
	return os.RemoveAll(a.job.folder)
}

// settle ends a job that has not begun and never will: it came too late, or its workers die. It says
// whether it has done so; the worker's lock makes sure that none begins it.
func (a *attention) settle(deaths int) bool {
	var cause error
	switch {
	case time.Since(a.job.Accepted) > mostAge:
		cause = fmt.Errorf("the command was accepted more than %v ago and never begun", mostAge)
	case deaths >= mostWorkers:
		cause = fmt.Errorf("the command could not be begun: %d workers ended before; %s on the node may say why", deaths, workerLog)
	default:
		return false
	}
	lock, err := disk.TryLock(a.job.path(workerLock))
	if err != nil {
		return false // a worker lives, and finds the same
	}
	defer lock.Release()
	if _, err := document.Settle(a.job.folder, cause); err != nil {
		a.log.Error("a job cannot be settled", "job", a.job.ID, "error", err)
		return false
	}
	return true
}

// keep does something that must not be left undone, until it succeeds or ctx ends.
func (b *inbox) keep(ctx context.Context, do func() error) bool {
	for n := 1; ; n++ {
		err := do()
		if err == nil {
			return true
		}
		b.log.Error("a result cannot be kept", "error", err)
		if !sleep(ctx, backoff(n, keepPause)) {
			return false
		}
	}
}

// reboot asks for the reboot that a job waits for. It returns false when ctx ends, as it does if the
// reboot comes; otherwise the job has failed.
func (a *attention) reboot(ctx context.Context, journal *document.Journal) bool {
	a.rebootPending(1)
	defer a.rebootPending(-1)
	if !a.keep(ctx, func() error {
		return disk.Write(a.job.path(rebootFile), strconv.AppendInt(nil, int64(journal.Resumes), 10))
	}) {
		return false
	}
	a.asked = journal.Resumes
	a.log.Warn("rebooting the machine", "job", a.job.ID, "command", a.cfg.RebootCommand)
	err := a.runReboot(ctx)
	if err == nil {
		if !sleep(ctx, a.cfg.pace.reboot) {
			return false
		}
		err = fmt.Errorf("the machine did not go down within %v", a.cfg.pace.reboot)
	}
	if ctx.Err() != nil {
		return false
	}
	a.log.Error("the reboot did not come", "job", a.job.ID, "error", err)
	return a.keep(ctx, func() error {
		_, err := document.Deny(a.job.folder, err)
		return err
	})
}

// runReboot runs the command that reboots.
func (a *attention) runReboot(ctx context.Context) error {
	if len(a.cfg.RebootCommand) == 0 {
		return errors.New("this agent has no command that reboots")
	}
	ctx, cancel := context.WithTimeout(ctx, rebootTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, a.cfg.RebootCommand[0], a.cfg.RebootCommand[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("the command that reboots has failed: %w: %s", err, out[:min(len(out), 500)])
	}
	return nil
}
