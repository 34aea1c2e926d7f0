package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/vennel/vennel/agent/document"
	"github.com/vennel/vennel/agent/plugin"
	"github.com/vennel/vennel/api/ssmdoc"
	"github.com/vennel/vennel/datachannel"
)

// Task is the content of an interactive_shell message: a session that the node is to hold. source: agent
type Task struct {
	DocumentName    string
	DocumentContent json.RawMessage
	SessionID       string `json:"SessionId"`
	Parameters      map[string]any
	RunAsUser       string
	SessionOwner    string
}

// sessionDocument are the parts of a session document that are not read together with their parameters.
type sessionDocument struct {
	SchemaVersion plugin.Scalar   `json:"schemaVersion"`
	SessionType   string          `json:"sessionType"`
	Parameters    json.RawMessage `json:"parameters,omitempty"`
	Inputs        json.RawMessage `json:"inputs,omitempty"`
	Properties    json.RawMessage `json:"properties,omitempty"`
}

// flag is a boolean that documents may also write as a text; an empty text is false. source: agent
type flag bool

// UnmarshalJSON takes both forms.
func (f *flag) UnmarshalJSON(b []byte) error {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	switch text := strings.ToLower(ssmdoc.Text(v)); text {
	case "true":
		*f = true
	case "false", "", "null":
		*f = false
	default:
		return fmt.Errorf("%s is not a boolean", text)
	}
	return nil
}

// inputs are a session document's inputs. source: agent
type inputs struct {
	S3BucketName                string `json:"s3BucketName"`
	S3EncryptionEnabled         flag   `json:"s3EncryptionEnabled"`
	CloudWatchLogGroupName      string `json:"cloudWatchLogGroupName"`
	CloudWatchEncryptionEnabled flag   `json:"cloudWatchEncryptionEnabled"`
	KMSKeyID                    string `json:"kmsKeyId"`
	RunAsEnabled                flag   `json:"runAsEnabled"`
	RunAsDefaultUser            string `json:"runAsDefaultUser"`
	ShellProfile                struct {
		Windows string `json:"windows"`
		Linux   string `json:"linux"`
	} `json:"shellProfile"`
}

// command are the properties that one platform has in a session that runs a command. source: agent
type command struct {
	Commands              string `json:"commands"`
	RunAsElevated         flag   `json:"runAsElevated"`
	SeparateOutputStream  flag   `json:"separateOutputStream"`
	StdOutSeparatorPrefix string `json:"stdOutSeparatorPrefix"`
	StdErrSeparatorPrefix string `json:"stdErrSeparatorPrefix"`
}

// port are the properties of a Port session. source: agent
type port struct {
	Host       string        `json:"host"`
	PortNumber plugin.Scalar `json:"portNumber"`
	Type       string        `json:"type"`
}

// plan is a session document with all values put in.
type plan struct {
	kind       string
	inputs     inputs
	properties any // as the client is told them
	runAs      string
	command    command
	port       port
}

// resolve reads a task's document, holds the values of its parameters to their declarations and puts them in, and the stored
// parameters that they refer to. Parameters of sessions are those of commands, so they are read as those of a command that has them.
func resolve(ctx context.Context, t *Task, from plugin.Caller) (*plan, error) {
	var d sessionDocument
	if err := json.Unmarshal(t.DocumentContent, &d); err != nil {
		return nil, fmt.Errorf("the session document is malformed: %w", err)
	}
	if d.SchemaVersion != "1.0" && d.SchemaVersion != "1" { // an unquoted 1.0 is the number 1
		return nil, fmt.Errorf("Document with schema version %s is not supported by this version of ssm agent, please update to latest version", d.SchemaVersion) //nolint:staticcheck,revive // the official agent's words, which the user is shown
	}
	content, err := json.Marshal(map[string]any{"schemaVersion": "2.2", "parameters": orNull(d.Parameters), "mainSteps": []any{map[string]any{
		"action": "aws:runShellScript", "name": "session", "inputs": map[string]any{"inputs": orNull(d.Inputs), "properties": orNull(d.Properties)},
	}}})
	if err != nil {
		return nil, err
	}
	filled, err := document.Prepare(ctx, document.Source{Content: content, Format: ssmdoc.JSON, Given: t.Parameters}, from)
	if err != nil {
		return nil, err
	}
	step := filled.Steps[0].Inputs[0]
	p := &plan{kind: d.SessionType, properties: step["properties"]}
	if err := remarshal(step["inputs"], &p.inputs); err != nil {
		return nil, fmt.Errorf("the inputs of the session document are malformed: %w", err)
	}
	if p.runAs = p.inputs.RunAsDefaultUser; strings.TrimSpace(t.RunAsUser) != "" {
		p.runAs = t.RunAsUser
	}
	switch p.kind {
	case datachannel.StandardStream:
		return p, nil
	case datachannel.InteractiveCommands, datachannel.NonInteractiveCommands:
		return p, p.readCommand()
	case datachannel.Port:
		if err := remarshal(p.properties, &p.port); err != nil {
			return nil, fmt.Errorf("Unable to remarshal session properties. %w", err) //nolint:staticcheck,revive // the official agent's words, which the user is shown
		}
		if p.port.PortNumber == "" {
			return nil, errors.New("Port number is empty in session properties.") //nolint:staticcheck,revive // the official agent's words, which the user is shown
		}
		return p, nil
	}
	return nil, fmt.Errorf("a session of the type %q cannot be held by this agent", p.kind)
}

// readCommand reads what is to be run on this platform.
func (p *plan) readCommand() error {
	var all struct {
		Windows command `json:"windows"`
		Linux   command `json:"linux"`
		MacOS   command `json:"macos"`
	}
	if err := remarshal(p.properties, &all); err != nil {
		return fmt.Errorf("Invalid format in session properties; error %w", err) //nolint:staticcheck,revive // the official agent's words, which the user is shown
	}
	switch runtime.GOOS {
	case "windows":
		p.command = all.Windows
	case "darwin":
		p.command = all.MacOS
	default:
		p.command = all.Linux
	}
	if strings.TrimSpace(p.command.Commands) == "" {
		return fmt.Errorf("Commands cannot be empty for session type %s", p.kind) //nolint:staticcheck,revive // the official agent's words, which the user is shown
	}
	if p.kind == datachannel.NonInteractiveCommands && p.command.SeparateOutputStream {
		for name, prefix := range map[string]string{"stdoutSeparatorPrefix": p.command.StdOutSeparatorPrefix, "stderrSeparatorPrefix": p.command.StdErrSeparatorPrefix} {
			if !goodPrefix(prefix) {
				return fmt.Errorf("invalid %s %v", name, prefix)
			}
		}
	}
	return nil
}

// mostPrefix is the longest prefix of an output. source: agent
const mostPrefix = 30

// goodPrefix says whether outputs may have a prefix. source: agent
func goodPrefix(prefix string) bool {
	return len(prefix) <= mostPrefix && strings.IndexFunc(prefix, func(c rune) bool {
		return !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.ContainsRune("\r\n_:-", c))
	}) < 0
}

// unlogged refuses a session whose log must be encrypted, because this agent delivers no logs, and so cannot promise it.
func (p *plan) unlogged() error {
	switch {
	case p.kind == datachannel.Port:
		return nil // is never logged. source: agent
	case p.inputs.CloudWatchLogGroupName != "" && bool(p.inputs.CloudWatchEncryptionEnabled):
		return errors.New("Couldn't start the session because we are unable to validate encryption on CloudWatch Logs log group. Error: this agent does not deliver session logs yet") //nolint:staticcheck,revive // the official agent's words, which the user is shown
	case p.inputs.S3BucketName != "" && bool(p.inputs.S3EncryptionEnabled):
		return errors.New("Couldn't start the session because we are unable to validate encryption on Amazon S3 bucket. Error: this agent does not deliver session logs yet") //nolint:staticcheck,revive // the official agent's words, which the user is shown
	}
	return nil
}

// orNull is a part of a document, which may be absent.
func orNull(part json.RawMessage) any {
	if len(part) == 0 {
		return nil
	}
	return part
}

// remarshal reads a value into a struct with JSON tags.
func remarshal(v, into any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}
