package document

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/vennel/vennel/agent/disk"
	"github.com/vennel/vennel/agent/plugin"
)

// The files of a journal, beside those with the steps' outputs.
const (
	journalFile = "journal.json"
	planFile    = "plan.json"
)

// Journal is how far a document has come.
type Journal struct {
	Steps   []StepState // empty before the first run
	Resumes int         // runs that a reboot made necessary
	Reboot  bool        // waits for a reboot
	Done    bool        // nothing is left to do
	Failure string      // why the document as a whole failed; "" when its steps decide
	Changed time.Time   // when the journal was written
}

// StepState is how far a step has come.
type StepState struct {
	Name, Action string
	Status       plugin.Status // "" before it begins
	Code         int
	Start, End   time.Time
	Resumes      int  // of the document, when the step ended
	Stop         bool // the steps after it are not to be run
}

// Open reads the journal in a folder; without one it is empty.
func Open(folder string) (*Journal, error) {
	j := new(Journal)
	if err := disk.ReadJSON(filepath.Join(folder, journalFile), j); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return j, nil
}

// save writes the journal.
func (j *Journal) save(folder string) error {
	j.Changed = now()
	return disk.WriteJSON(filepath.Join(folder, journalFile), j)
}

// outputFile is the file of a step's output.
func outputFile(folder string, step int) string {
	return filepath.Join(folder, fmt.Sprintf("output.%d.json", step))
}

// ReadOutput reads what a step that has ended wrote.
func ReadOutput(folder string, step int) (*Output, error) {
	out := new(Output)
	return out, disk.ReadJSON(outputFile(folder, step), out)
}

// Begun says whether any step may have been run.
func (j *Journal) Begun() bool { return len(j.Steps) > 0 }

// begin notes the plan's steps.
func (j *Journal) begin(plan *Plan) {
	j.Steps = make([]StepState, len(plan.Steps))
	for i, s := range plan.Steps {
		j.Steps[i].Name, j.Steps[i].Action = s.Name, s.Action
	}
}

// fail ends the document without running any of its steps.
func (j *Journal) fail(err error) {
	j.Steps, j.Done, j.Failure = []StepState{}, true, err.Error()
}

// abandon ends a document that was cancelled before it began: all of its steps are cancelled.
func (j *Journal) abandon(source Source) error {
	d, _, err := source.Read()
	if err != nil {
		return err
	}
	j.Done, j.Steps = true, make([]StepState, len(d.Steps))
	for i, s := range d.Steps {
		j.Steps[i] = StepState{Name: s.Name, Action: s.Action, Status: plugin.Cancelled, Code: 1, Start: now(), End: now()}
	}
	return nil
}

// Settle ends a document that has not begun and never will: it has failed as a whole. It does
// nothing to a document that has begun.
func Settle(folder string, cause error) (*Journal, error) {
	j, err := Open(folder)
	if err != nil || j.Begun() || j.Done {
		return j, err
	}
	j.fail(cause)
	return j, j.save(folder)
}

// Deny ends a document that waits for a reboot which does not come: the step that asked for it has
// failed, for the cause given, and those after it are skipped. It does nothing to a document that
// does not wait.
func Deny(folder string, cause error) (*Journal, error) {
	j, err := Open(folder)
	if err != nil || !j.Reboot {
		return j, err
	}
	j.Reboot, j.Done = false, true
	j.Resumes++
	for i := range j.Steps {
		s := &j.Steps[i]
		out := new(Output)
		switch s.Status {
		case plugin.SuccessAndReboot:
			if out, err = ReadOutput(folder, i); err != nil {
				return nil, err
			}
			line := "The step asked for a reboot, but " + cause.Error() + "."
			out.Stderr += line
			out.Output = combine(out.Stdout, out.Stderr)
			out.cut()
			s.Status, s.Code = plugin.Failed, 1
		case "":
			out.Output = "The step was skipped because the reboot before it did not come."
			s.Status, s.Start = plugin.Skipped, now()
		default:
			continue
		}
		s.End, s.Resumes = now(), j.Resumes
		if err := disk.WriteJSON(outputFile(folder, i), out); err != nil {
			return nil, err
		}
	}
	return j, j.save(folder)
}

// Status is the status of the document as a whole. source: agent
func (j *Journal) Status() plugin.Status {
	if j.Failure != "" {
		return plugin.Failed
	}
	n := j.Counts(len(j.Steps))
	for _, s := range []plugin.Status{plugin.SuccessAndReboot, plugin.Failed, plugin.TimedOut, plugin.Cancelled} {
		if n[s] > 0 {
			return s
		}
	}
	if n[plugin.Success]+n[plugin.Skipped] == len(j.Steps) {
		return plugin.Success
	}
	return plugin.InProgress
}

// Counts counts the first n steps by status.
func (j *Journal) Counts(n int) map[plugin.Status]int {
	counts := map[plugin.Status]int{}
	for _, s := range j.Steps[:n] {
		if s.Status != "" {
			counts[s.Status]++
		}
	}
	return counts
}

// Worse is the graver of two statuses. source: agent
func Worse(a, b plugin.Status) plugin.Status {
	order := map[plugin.Status]int{
		plugin.Skipped: 1, plugin.Success: 2, plugin.SuccessAndReboot: 3, plugin.InProgress: 4,
		plugin.Failed: 5, plugin.Cancelled: 6, plugin.TimedOut: 7,
	}
	if order[a] > order[b] {
		return a
	}
	return b
}
