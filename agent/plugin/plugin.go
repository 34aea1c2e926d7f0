// Package plugin holds what the steps of a Command document do: one file a plugin. A plugin gets
// its inputs with all parameters put in, writes to two streams, and says how it ended. What is
// around a step (preconditions, control flow, reports) is the business of the package document,
// which also has aws:runDocument, since that plugin runs documents.
//
// Where the official agent has a plugin that is not built here, the step fails: a step that is
// skipped would count as a success.
package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/vennel/vennel/agent/platform"
	"github.com/vennel/vennel/api/ssmdoc"
)

// Status is the status of a step or of a whole document, in the words of the SSM Agent.
type Status string

// The statuses that are used here.
const (
	InProgress       Status = "InProgress"
	Success          Status = "Success"
	SuccessAndReboot Status = "SuccessAndReboot" // run me again after the reboot that I ask for
	Failed           Status = "Failed"
	TimedOut         Status = "TimedOut"
	Cancelled        Status = "Cancelled"
	Skipped          Status = "Skipped"
)

// The causes for which a context is cancelled while a step runs. Anything else is the end of its
// time.
var (
	ErrCancelled = errors.New("the command was cancelled")
	ErrShutdown  = errors.New("the machine or the agent was shut down")
)

// Node is what steps may know of the node that they run on.
type Node struct {
	InstanceID  string
	Region      string
	Platform    platform.Facts
	Credentials string // the node's credentials, a file in AWS's shared format
}

// Caller calls operations of ssm with the node's credentials, as a *wire.Client does.
type Caller interface {
	Call(ctx context.Context, operation string, in, out any) error
}

// Step is what a plugin is given. Its folders exist.
type Step struct {
	Command        string // the command's id
	Inputs         map[string]any
	Dir            string // this step's own folder, the same after a reboot
	Downloads      string // where steps of a command leave files for each other; may not exist
	Node           Node
	SSM            Caller
	HTTP           *http.Client // for downloads
	Stdout, Stderr *Stream
}

// Result is how a step ended. Code is what scripts gave, or a number of the agent's.
type Result struct {
	Status Status
	Code   int
}

// Plugin runs one step until it ends or the context does.
type Plugin func(ctx context.Context, s *Step) Result

// Find gives the plugin of a name, nil when it is not built for this platform.
func Find(name string) Plugin {
	if !ssmdoc.RunsOn(name, platform.Type()) && name != "aws:runPowerShellScript" { // PowerShell exists for all platforms
		return nil
	}
	switch name {
	case "aws:runShellScript":
		return runShellScript
	case "aws:runPowerShellScript":
		return runPowerShellScript
	case "aws:downloadContent":
		return downloadContent
	case "aws:updateSsmAgent":
		return updateSsmAgent
	}
	return nil
}

// Fail ends a step because of an error, which is what its standard error then says.
func (s *Step) Fail(err error) Result {
	fmt.Fprint(s.Stderr, err)
	return Result{Failed, 1}
}

// Input reads the inputs into a struct with JSON tags.
func (s *Step) Input(into any) error {
	b, err := json.Marshal(s.Inputs)
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		return fmt.Errorf("the inputs of the step are malformed: %w", err)
	}
	return nil
}

// Scalar is a text that documents may also write as a number or a boolean.
type Scalar string

// UnmarshalJSON takes any scalar; null is empty.
func (t *Scalar) UnmarshalJSON(b []byte) error {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	switch v.(type) {
	case nil:
		*t = ""
	case []any, map[string]any:
		return fmt.Errorf("%s is not a text", b)
	default:
		*t = Scalar(ssmdoc.Text(v))
	}
	return nil
}
