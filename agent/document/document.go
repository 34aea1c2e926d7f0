// Package document runs Command documents: it judges preconditions, runs one step after the other,
// heeds what steps say about the steps after them, and keeps a journal of all that in a folder.
//
// The journal is what makes a command run at most once. Before a step begins the journal says so,
// and says it so that a power cut does not undo it; whoever finds a step that has begun but not
// ended knows that it was interrupted and never begins it again. Only a step that asked for a
// reboot is run again, by whoever opens the journal next.
//
// It uses plugin for the steps themselves and ssmdoc for the documents.
package document

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/vennel/vennel/agent/disk"
	"github.com/vennel/vennel/agent/plugin"
)

// mostResumes is how often a document may ask for a reboot. source: agent
const mostResumes = 15

// The folders inside of a runner's.
const (
	downloadsFolder = "downloads"
	nestedFolder    = "document"
)

// Runner runs one document.
type Runner struct {
	Dir     string // keeps the journal
	Work    string // keeps scripts, streams and downloads
	Command string // the command's id
	Node    plugin.Node
	SSM     plugin.Caller
	HTTP    *http.Client
	Log     *slog.Logger
	Wake    io.Writer // gets a byte whenever the journal has changed; nil if nobody waits
	depth   int       // how many documents are around this one
}

// Source is a document with the values given for its parameters.
type Source struct {
	Content []byte
	Format  string // ssmdoc.JSON or ssmdoc.YAML
	Given   map[string]any
}

// Run runs the document from where its journal ends and returns the journal: the document is done,
// or it waits for a reboot. The context's cause, plugin.ErrCancelled or plugin.ErrShutdown, says
// what becomes of the steps that did not run. An error means that the journal cannot be kept, so
// that nothing more may be run.
func (r *Runner) Run(ctx context.Context, source Source) (*Journal, error) {
	j, err := Open(r.Dir)
	if err != nil || j.Done {
		return j, err
	}
	if cause := context.Cause(ctx); !j.Begun() && errors.Is(cause, plugin.ErrShutdown) {
		return j, cause // it can begin later
	}
	plan, err := r.plan(ctx, j, source)
	if err != nil || j.Done {
		return j, err
	}
	if j.Reboot {
		j.Reboot = false
		j.Resumes++
	}
	for i := range plan.Steps {
		s := &j.Steps[i]
		switch {
		case s.Status == plugin.InProgress:
			err = r.interrupted(j, i)
		case s.Status == plugin.SuccessAndReboot && j.Resumes > mostResumes:
			err = r.end(j, i, plugin.Failed, 1, fmt.Sprintf("The step asked for more than %d reboots.", mostResumes))
			s.Stop = true
		case s.Status == plugin.SuccessAndReboot || s.Status == "":
			err = r.step(ctx, plan, j, i)
		}
		if err != nil {
			return j, err
		}
		if s.Status == plugin.SuccessAndReboot {
			j.Reboot = true
			return j, r.save(j)
		}
	}
	j.Done = true
	return j, r.save(j)
}

// plan gives the plan in the journal, or makes it when the document is run for the first time. A
// document that cannot be run is done, and the journal says why.
func (r *Runner) plan(ctx context.Context, j *Journal, source Source) (*Plan, error) {
	plan := new(Plan)
	if j.Steps != nil {
		return plan, disk.ReadJSON(filepath.Join(r.Dir, planFile), plan)
	}
	var err error
	if errors.Is(context.Cause(ctx), plugin.ErrCancelled) {
		err = j.abandon(source)
	} else if plan, err = Prepare(ctx, source, r.SSM); err == nil {
		if err := disk.WriteJSON(filepath.Join(r.Dir, planFile), plan); err != nil {
			return nil, err
		}
		j.begin(plan)
		return plan, nil
	}
	if err != nil {
		j.fail(err)
	}
	return nil, r.save(j)
}

// interrupted settles a step that an earlier process began and did not end.
func (r *Runner) interrupted(j *Journal, i int) error {
	j.Steps[i].Stop = true
	return r.end(j, i, plugin.Failed, 1,
		"The step was interrupted: the process that ran it is gone, after a power cut, a crash or a kill. How far the step came is not known; it is not run again.")
}

// end gives a step that did not run a status, with a message for its output.
func (r *Runner) end(j *Journal, i int, status plugin.Status, code int, message string) error {
	out := &Output{Output: message}
	if status == plugin.Failed {
		out.Stderr = message
	}
	return r.finish(j, i, plugin.Result{Status: status, Code: code}, out)
}

// finish notes how a step ended: first its output, then, in one write, that it has ended.
func (r *Runner) finish(j *Journal, i int, result plugin.Result, out *Output) error {
	if err := disk.WriteJSON(outputFile(r.Dir, i), out); err != nil {
		return err
	}
	s := &j.Steps[i]
	s.Status, s.Code, s.End, s.Resumes = result.Status, result.Code, now(), j.Resumes
	if s.Start.IsZero() {
		s.Start = s.End
	}
	if i == len(j.Steps)-1 {
		return nil // Run saves it together with the end of the document
	}
	return r.save(j)
}

// save writes the journal and wakes whoever waits for it.
func (r *Runner) save(j *Journal) error {
	if err := j.save(r.Dir); err != nil {
		return err
	}
	if r.Wake != nil {
		if _, err := r.Wake.Write([]byte{'\n'}); err != nil {
			r.Log.Debug("nobody waits", "error", err) // the journal is the truth
		}
	}
	return nil
}

// step runs a step, or settles it without.
func (r *Runner) step(ctx context.Context, plan *Plan, j *Journal, i int) error {
	step := &plan.Steps[i]
	if cause := context.Cause(ctx); cause != nil {
		return r.end(j, i, plugin.Cancelled, 1, "The step did not run: "+cause.Error()+".")
	}
	run, status, message := r.judge(plan, j, i)
	if run == nil {
		code := 0
		if status == plugin.Failed {
			code = 1
		}
		j.Steps[i].Stop = step.stops(plugin.Result{Status: status, Code: code})
		return r.end(j, i, status, code, message)
	}
	j.Steps[i].Status = plugin.InProgress
	if j.Steps[i].Start.IsZero() {
		j.Steps[i].Start = now()
	}
	if err := r.save(j); err != nil {
		return err
	}
	r.Log.Info("step begins", "step", step.Name, "action", step.Action)
	result, out := r.execute(ctx, run, step, i)
	result = step.remark(result, out)
	out.cut()
	j.Steps[i].Stop = step.stops(result)
	r.Log.Info("step ended", "step", step.Name, "status", string(result.Status), "code", result.Code)
	return r.finish(j, i, result, out)
}

// execute runs a step's plugin, once for each of its inputs.
func (r *Runner) execute(ctx context.Context, run plugin.Plugin, step *Step, i int) (all plugin.Result, out *Output) {
	folder := filepath.Join(r.Work, strconv.Itoa(i)+"."+safe(step.Name))
	if len(step.Inputs) == 1 {
		return r.once(ctx, run, step.Inputs[0], folder)
	}
	out = new(Output)
	for n, inputs := range step.Inputs {
		result, more := r.once(ctx, run, inputs, filepath.Join(folder, strconv.Itoa(n)))
		out.add(more)
		if all.Code == 0 {
			all.Code = result.Code
		}
		all.Status = Worse(all.Status, result.Status)
		if result.Status == plugin.SuccessAndReboot {
			break
		}
	}
	out.Output = combine(out.Stdout, out.Stderr)
	return all, out
}

// once runs a plugin with one set of inputs.
func (r *Runner) once(ctx context.Context, run plugin.Plugin, inputs map[string]any, folder string) (plugin.Result, *Output) {
	s := &plugin.Step{
		Command: r.Command, Inputs: inputs, Dir: folder, Downloads: filepath.Join(r.Work, downloadsFolder),
		Node: r.Node, SSM: r.SSM, HTTP: r.HTTP,
	}
	err := disk.Folder(folder)
	if err == nil {
		s.Stdout, err = plugin.OpenStream(filepath.Join(folder, "stdout"))
	}
	if err != nil {
		return unable(err)
	}
	defer r.close(s.Stdout)
	if s.Stderr, err = plugin.OpenStream(filepath.Join(folder, "stderr")); err != nil {
		return unable(err)
	}
	defer r.close(s.Stderr)
	result := r.guarded(ctx, run, s)
	out, err := read(s, result.Code)
	if err != nil {
		return unable(err)
	}
	return result, out
}

// unable is the result of a step that has nowhere to write.
func unable(err error) (plugin.Result, *Output) {
	return plugin.Result{Status: plugin.Failed, Code: 1}, &Output{Output: err.Error(), Stderr: err.Error()}
}

// close closes a stream.
func (r *Runner) close(s *plugin.Stream) {
	if err := s.Close(); err != nil {
		r.Log.Warn("output was lost", "error", err)
	}
}

// guarded runs a plugin; if it panics, the step fails and the document goes on.
func (r *Runner) guarded(ctx context.Context, run plugin.Plugin, s *plugin.Step) (result plugin.Result) {
	defer func() {
		if p := recover(); p != nil {
			r.Log.Error("plugin failed", "panic", p, "stack", string(debug.Stack()))
			result = s.Fail(fmt.Errorf("the plugin crashed: %v", p))
		}
	}()
	return run(ctx, s)
}

// safe makes a step's name fit for a folder's name.
func safe(name string) string {
	name = strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
			return c
		}
		return -1
	}, name)
	return name[:min(len(name), 64)]
}

// now is the time, as journals keep it.
func now() time.Time { return time.Now().UTC().Round(0) }
