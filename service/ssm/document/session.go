package document

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/vennel/vennel/api/ssmdoc"
)

// sessionSchema is the only schema of Session documents. source: userguide, "Session document schema"
const sessionSchema = "1.0"

// Types of sessions.
const (
	standardStream         = "Standard_Stream"
	interactiveCommands    = "InteractiveCommands"
	nonInteractiveCommands = "NonInteractiveCommands"
	portSession            = "Port"
)

// placeholder is a text that is a parameter and nothing else: its value is judged when it is known.
var placeholder = regexp.MustCompile(`^{{[^{}]+}}$`)

// judge says what is wrong with a member's value, or "".
type judge func(v any) string

// members are the members that an object may have.
type members map[string]judge

// The members of the parts of a Session document. source: userguide, "Session document schema", agent
var (
	sessionMembers = members{
		"schemaVersion": whatever, "description": text, "sessionType": text, "inputs": whatever, "parameters": whatever, "properties": whatever,
	}
	sessionInputs = members{
		"s3BucketName": text, "s3KeyPrefix": text, "s3EncryptionEnabled": flag, "cloudWatchLogGroupName": text,
		"cloudWatchEncryptionEnabled": flag, "cloudWatchStreamingEnabled": flag, "kmsKeyId": text, "runAsEnabled": flag,
		"runAsDefaultUser": text, "idleSessionTimeout": number(1, 60), "maxSessionDuration": number(1, 1440),
		"shellProfile": members{"windows": text, "linux": text}.judge,
	}
	commandPlatforms = []string{"windows", "linux", "macos"}
	commandMembers   = members{
		"commands": text, "runAsElevated": flag, "separateOutputStream": flagOrText, "stdOutSeparatorPrefix": text, "stdErrSeparatorPrefix": text,
	}
	portMembers = members{
		"portNumber": number(1, 65535), "host": text, "type": oneOf("LocalPortForwarding"), "localPortNumber": number(0, 65535),
		"localConnectionType": oneOf("unix"), "localUnixSocket": text,
	}
)

// sessionFlaw says what is wrong with the structure of a Session document, or "".
func sessionFlaw(root map[string]any) string {
	if what := sessionMembers.judge(root); what != "" {
		return what
	}
	inputs, hasInputs := root["inputs"]
	if hasInputs {
		if what := sessionInputs.judge(inputs); what != "" {
			return "inputs: " + what
		}
	}
	kind, ok := root["sessionType"].(string)
	if !ok {
		return "Missing SessionType in the document." // source: aws
	}
	properties, hasProperties := root["properties"].(map[string]any)
	switch kind {
	case standardStream:
		if !hasInputs {
			return "Missing inputs in session type " + kind + " document" // source: userguide; the words are a guess
		}
		return ""
	case interactiveCommands, nonInteractiveCommands, portSession:
	default:
		return "Invalid sessionType" // source: aws
	}
	if !hasProperties {
		return "Missing Properties in session type " + kind + " document" // source: aws
	}
	if kind == portSession {
		if properties["portNumber"] == nil {
			return "properties: portNumber is missing"
		}
		if what := portMembers.judge(properties); what != "" {
			return "properties: " + what
		}
		return ""
	}
	return commandFlaw(properties)
}

// commandFlaw says what is wrong with the properties of a session that runs a command, or "".
func commandFlaw(properties map[string]any) string {
	if len(properties) == 0 {
		return "properties: a command for at least one of " + strings.Join(commandPlatforms, ", ") + " is missing"
	}
	for platform, v := range properties {
		if !slices.Contains(commandPlatforms, platform) {
			return "properties: " + platform + " is not one of " + strings.Join(commandPlatforms, ", ")
		}
		if what := commandMembers.judge(v); what != "" {
			return "properties: " + platform + ": " + what
		}
		if commands, ok := v.(map[string]any)["commands"].(string); !ok || commands == "" {
			return "properties: " + platform + ": commands is missing"
		}
	}
	return ""
}

// judge judges an object by its members.
func (m members) judge(v any) string {
	object, ok := v.(map[string]any)
	if !ok {
		return "must be an object"
	}
	for name, value := range object {
		judge, ok := m[name]
		if !ok {
			return "Unknown property \"" + name + "\"." // source: aws
		}
		if what := judge(value); what != "" {
			return name + " " + what
		}
	}
	return ""
}

// whatever is judged elsewhere.
func whatever(any) string { return "" }

// text must be a string.
func text(v any) string {
	if _, ok := v.(string); !ok {
		return "must be a string"
	}
	return ""
}

// flag must be true or false, and not a text that says so, which agents do not take.
func flag(v any) string {
	if _, ok := v.(bool); !ok && !isPlaceholder(v) {
		return "must be true or false"
	}
	return ""
}

// flagOrText may be a text too.
func flagOrText(v any) string {
	if v == "true" || v == "false" {
		return ""
	}
	return flag(v)
}

// number must be a whole number within bounds, as a number or as text; an empty text is none.
func number(least, most int) judge {
	return func(v any) string {
		if isPlaceholder(v) || v == "" {
			return ""
		}
		if n, err := strconv.Atoi(ssmdoc.Text(v)); err != nil || n < least || n > most {
			return "must be a number from " + strconv.Itoa(least) + " to " + strconv.Itoa(most)
		}
		return ""
	}
}

// oneOf must be a certain text.
func oneOf(want string) judge {
	return func(v any) string {
		if v != want && !isPlaceholder(v) {
			return "must be " + want
		}
		return ""
	}
}

// isPlaceholder says whether a value is a parameter and nothing else.
func isPlaceholder(v any) bool {
	s, ok := v.(string)
	return ok && placeholder.MatchString(s)
}

// parseSession reads the parameters of a Session document and checks that what refers to them refers
// to any. They are those of Command documents, so it reads them out of one that has them.
func parseSession(content []byte) (*ssmdoc.Document, error) {
	var session struct {
		Description jsontext.Value `json:"description"`
		Parameters  jsontext.Value `json:"parameters"`
		Inputs      jsontext.Value `json:"inputs"`
		Properties  jsontext.Value `json:"properties"`
	}
	if err := json.Unmarshal(content, &session); err != nil {
		return nil, err
	}
	type step struct {
		Action string                    `json:"action"`
		Name   string                    `json:"name"`
		Inputs map[string]jsontext.Value `json:"inputs"`
	}
	command, err := json.Marshal(struct {
		SchemaVersion string         `json:"schemaVersion"`
		Description   jsontext.Value `json:"description"`
		Parameters    jsontext.Value `json:"parameters"`
		MainSteps     []step         `json:"mainSteps"`
	}{"2.2", session.Description, session.Parameters, []step{{"aws:runShellScript", "session", map[string]jsontext.Value{
		"inputs": session.Inputs, "properties": session.Properties,
	}}}})
	if err != nil {
		return nil, err
	}
	return ssmdoc.Parse(command, ssmdoc.JSON)
}
