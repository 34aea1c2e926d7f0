package session

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/ssmdoc"
	"github.com/vennel/vennel/datachannel"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/document"
)

// preferences is the document that an account keeps its preferences in, and that a session without a document has.
const preferences = "SSM-SessionManagerRunShell"

// defaultIdle is after how long without activity a session ends. source: userguide, "Specify an idle session timeout value"
const defaultIdle = 20 * time.Minute

// The bounds of what preferences say about time, in minutes. source: userguide
const (
	mostIdle     = 60
	mostDuration = 1440
)

// builtin is the preferences document of an account that has none.
func builtin() *document.Content {
	return &document.Content{
		Name: preferences, Type: ssm.DocumentTypeSession, Parsed: new(ssmdoc.Document),
		Text: []byte(`{"schemaVersion":"1.0","description":"Document to hold regional settings for Session Manager","sessionType":"Standard_Stream",` +
			`"inputs":{"s3BucketName":"","s3KeyPrefix":"","s3EncryptionEnabled":true,"cloudWatchLogGroupName":"","cloudWatchEncryptionEnabled":true,` +
			`"cloudWatchStreamingEnabled":false,"kmsKeyId":"","runAsEnabled":false,"runAsDefaultUser":"","shellProfile":{"windows":"","linux":""}}}`),
	}
}

// plan is what a new session will be.
type plan struct {
	name, kind string
	idle       time.Duration
	duration   int64 // minutes; 0 for no end
	transcript bool
	log        logging
	content    jsontext.Value // the document, with the preferences that hold
	parameters map[string]any
	runAs      string
}

// newPlan puts together a document, the preferences of the account where the document has none of its own, and parameters.
func newPlan(doc, defaults *document.Content, given map[string][]string, caller api.Principal) (*plan, error) {
	values, err := doc.Parsed.Resolve(given)
	if err != nil {
		return nil, ssm.ErrInvalidParameters("%s", err.Error())
	}
	members := map[string]jsontext.Value{}
	if err := json.Unmarshal(doc.Text, &members); err != nil {
		return nil, err
	}
	p := &plan{name: doc.Name, parameters: map[string]any{}}
	if err := json.Unmarshal(members["sessionType"], &p.kind); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if refers(values[name]) {
			return nil, ssm.ErrInvalidParameters("Parameter %s refers to a parameter of Parameter Store, which is not here", name)
		}
		p.parameters[name] = values[name]
	}
	inputs, err := inputsOf(doc, values)
	if err != nil {
		return nil, err
	}
	if inputs == nil {
		unset, err := defaults.Parsed.Resolve(nil)
		if err != nil {
			return nil, ssm.ErrInvalidParameters("The document %s, which holds the account's preferences: %s", preferences, err.Error())
		}
		if inputs, err = inputsOf(defaults, unset); err != nil {
			return nil, err
		}
		if members["inputs"], err = json.Marshal(inputs, json.Deterministic(true)); err != nil {
			return nil, err
		}
	}
	if err := p.prefer(inputs, caller); err != nil {
		return nil, err
	}
	if p.log.ours {
		if members["inputs"], err = withoutGroup(members["inputs"]); err != nil {
			return nil, err
		}
	}
	p.content, err = json.Marshal(members, json.Deterministic(true))
	return p, err
}

// logging is where the transcript of a session is shown, and how.
type logging struct {
	ours      bool   // the preferences name a log group of which the agent is not told
	group     string // the log group; "" for nowhere
	streaming bool   // event by event while the session lasts, else at its end
	runAs     string // the user that the preferences name; "" when they name none
}

// What a log group can be called. How long is not part of the pattern, which is made in each process of the program. source: model, "LogGroupName" of
// CloudWatch Logs
const mostGroupName = 512

var groupName = regexp.MustCompile(`^[.\-_/#A-Za-z0-9]+$`)

// groupOf is the log group that preferences name; "" when they name none.
func groupOf(inputs map[string]any) string {
	if group := textOf(inputs, "cloudWatchLogGroupName"); len(group) <= mostGroupName && groupName.MatchString(group) {
		return group
	}
	return ""
}

// logs reads of the preferences where the transcript is shown. A log group that must be encrypted is left to the agent, which refuses the
// session, for none of ours is. source: agent
func (p *plan) logs(inputs map[string]any) {
	group := groupOf(inputs)
	p.log.ours = group != "" && textOf(inputs, "cloudWatchEncryptionEnabled") != "true"
	if !p.log.ours || !p.transcript {
		return
	}
	p.log.group, p.log.streaming = group, textOf(inputs, "cloudWatchStreamingEnabled") == "true"
	if textOf(inputs, "runAsEnabled") == "true" {
		p.log.runAs = cmp.Or(p.runAs, textOf(inputs, "runAsDefaultUser"))
	}
}

// withoutGroup takes the log group out of the preferences that an agent is told: nobody but the server writes to it, and an agent that would
// asks for the group before it begins, may try for good to write to it before it ends, and says that the log is there. source: agent
func withoutGroup(inputs jsontext.Value) (jsontext.Value, error) {
	all := map[string]jsontext.Value{}
	if err := json.Unmarshal(inputs, &all); err != nil {
		return nil, err
	}
	all["cloudWatchLogGroupName"], all["cloudWatchStreamingEnabled"] = jsontext.Value(`""`), jsontext.Value("false")
	return json.Marshal(all, json.Deterministic(true))
}

// refers says whether a value names one that Parameter Store would have.
func refers(value any) (found bool) {
	ssmdoc.Walk(value, func(text string) { found = found || ssmdoc.Reference.MatchString(text) })
	return found
}

// inputsOf are the preferences that a document holds, with the values of its parameters; nil when it holds none.
func inputsOf(doc *document.Content, values map[string]any) (map[string]any, error) {
	var content struct {
		Inputs map[string]any `json:"inputs"`
	}
	if err := json.Unmarshal(doc.Text, &content); err != nil || content.Inputs == nil {
		return nil, err
	}
	inputs, _ := ssmdoc.Substitute(content.Inputs, values).(map[string]any)
	return inputs, nil
}

// prefer reads of the preferences what is the server's to do.
func (p *plan) prefer(inputs map[string]any, caller api.Principal) error {
	idle, err := minutesOf(inputs, "idleSessionTimeout", mostIdle)
	if err != nil {
		return err
	}
	if p.idle = minutes(idle); idle == 0 {
		p.idle = defaultIdle
	}
	if p.duration, err = minutesOf(inputs, "maxSessionDuration", mostDuration); err != nil {
		return err
	}
	logged := (p.kind == datachannel.StandardStream || p.kind == datachannel.InteractiveCommands) && (textOf(inputs, "s3BucketName") != "" || textOf(inputs, "cloudWatchLogGroupName") != "")
	p.transcript = logged && textOf(inputs, "kmsKeyId") == ""
	if who, ok := caller.(*iam.Principal); ok && textOf(inputs, "runAsEnabled") == "true" {
		p.runAs = who.Tag("SSMSessionRunAs") // source: userguide, "Turn on Run As support"
	}
	p.logs(inputs)
	return nil
}

// textOf is one of the preferences as text; empty when it is not there.
func textOf(inputs map[string]any, name string) string {
	if inputs[name] == nil {
		return ""
	}
	return ssmdoc.Text(inputs[name])
}

// minutesOf is one of the preferences as a number of minutes; 0 when it is not there.
func minutesOf(inputs map[string]any, name string, most int64) (int64, error) {
	text := textOf(inputs, name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || n > most {
		return 0, ssm.ErrInvalidParameters("%s must be a number of minutes from 1 to %d, not %q", name, most, text)
	}
	return n, nil
}

// task is a session as its agent is told of it. Content is JSON in a text. source: agent
type task struct {
	Content       string
	TaskID        string `json:"TaskId"`
	Topic         string
	SchemaVersion int
}

// taskContent is the content of a task.
type taskContent struct {
	DocumentName    string
	DocumentContent jsontext.Value
	SessionID       string `json:"SessionId"`
	Parameters      map[string]any
	RunAsUser       string
	SessionOwner    string
}

// task writes the plan for the agent. Parameters that were not given are left to the document's defaults.
func (p *plan) task(id, owner string) (*task, error) {
	text, err := json.Marshal(taskContent{
		DocumentName: p.name, DocumentContent: p.content, SessionID: id, Parameters: p.parameters, RunAsUser: p.runAs, SessionOwner: owner,
	}, json.Deterministic(true))
	return &task{Content: string(text), TaskID: id, Topic: "InteractiveShell", SchemaVersion: 1}, err
}
