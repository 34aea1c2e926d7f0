package document

import (
	"errors"
	"testing"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/ssmdoc"
)

// TestCheckSession checks Session documents. source: userguide ("Session document schema"), aws (the
// messages about sessionType, Properties and unknown properties), agent (what it takes); the other
// messages are ours
func TestCheckSession(t *testing.T) {
	tests := []struct{ name, content, want string }{
		{"shell", `"sessionType":"Standard_Stream","inputs":{"s3BucketName":"b","s3EncryptionEnabled":true,"idleSessionTimeout":"60","maxSessionDuration":1440}`, ""},
		{"shell with profile", `"sessionType":"Standard_Stream","inputs":{"shellProfile":{"linux":"bash","windows":""}}`, ""},
		{"shell without inputs", `"sessionType":"Standard_Stream"`, "Missing inputs in session type Standard_Stream document"},
		{"unknown member", `"sessionType":"Standard_Stream","inputs":{},"mainSteps":[]`, `Unknown property "mainSteps".`},
		{"unknown input", `"sessionType":"Standard_Stream","inputs":{"s3Bucket":"b"}`, `inputs: Unknown property "s3Bucket".`},
		{"inputs are no object", `"sessionType":"Standard_Stream","inputs":[]`, "inputs: must be an object"},
		{"flag as text", `"sessionType":"Standard_Stream","inputs":{"runAsEnabled":"true"}`, "inputs: runAsEnabled must be true or false"},
		{"idle too long", `"sessionType":"Standard_Stream","inputs":{"idleSessionTimeout":"61"}`, "inputs: idleSessionTimeout must be a number from 1 to 60"},
		{"idle not at all", `"sessionType":"Standard_Stream","inputs":{"idleSessionTimeout":"0"}`, "inputs: idleSessionTimeout must be a number from 1 to 60"},
		{"duration in words", `"sessionType":"Standard_Stream","inputs":{"maxSessionDuration":"a day"}`, "inputs: maxSessionDuration must be a number from 1 to 1440"},
		{"profile of another platform", `"sessionType":"Standard_Stream","inputs":{"shellProfile":{"beos":"sh"}}`, `inputs: shellProfile Unknown property "beos".`},
		{"number for text", `"sessionType":"Standard_Stream","inputs":{"kmsKeyId":1}`, "inputs: kmsKeyId must be a string"},

		{"command", `"sessionType":"InteractiveCommands","parameters":{"p":{"type":"String"}},"properties":{"linux":{"commands":"tail -f {{ p }}","runAsElevated":true}}`, ""},
		{"command with inputs", `"sessionType":"InteractiveCommands","inputs":{"kmsKeyId":"k"},"properties":{"macos":{"commands":"top"}}`, ""},
		{"command told apart", `"sessionType":"NonInteractiveCommands","properties":{"windows":{"commands":"dir","separateOutputStream":"true","stdOutSeparatorPrefix":"O"}}`, ""},
		{"command on no platform", `"sessionType":"InteractiveCommands","properties":{}`, "properties: a command for at least one of windows, linux, macos is missing"},
		{"command on another platform", `"sessionType":"InteractiveCommands","properties":{"beos":{"commands":"ls"}}`, "properties: beos is not one of windows, linux, macos"},
		{"no command", `"sessionType":"InteractiveCommands","properties":{"linux":{}}`, "properties: linux: commands is missing"},
		{"empty command", `"sessionType":"NonInteractiveCommands","properties":{"linux":{"commands":""}}`, "properties: linux: commands is missing"},
		{"list of commands", `"sessionType":"NonInteractiveCommands","properties":{"linux":{"commands":["ls"]}}`, "properties: linux: commands must be a string"},
		{"command is no object", `"sessionType":"InteractiveCommands","properties":{"linux":"ls"}`, "properties: linux: must be an object"},
		{"no properties", `"sessionType":"InteractiveCommands"`, "Missing Properties in session type InteractiveCommands document"},
		{"properties are no object", `"sessionType":"NonInteractiveCommands","properties":"ls"`, "Missing Properties in session type NonInteractiveCommands document"},

		{"port", `"sessionType":"Port","properties":{"portNumber":"22"}`, ""},
		{"port of a host", `"sessionType":"Port","properties":{"portNumber":22,"type":"LocalPortForwarding","localPortNumber":"0","host":"db"}`, ""},
		{"port by parameter", `"sessionType":"Port","parameters":{"p":{"type":"String"}},"properties":{"portNumber":"{{p}}","type":"{{ p }}"}`, ""},
		{"no port", `"sessionType":"Port","properties":{"type":"LocalPortForwarding"}`, "properties: portNumber is missing"},
		{"port 0", `"sessionType":"Port","properties":{"portNumber":"0"}`, "properties: portNumber must be a number from 1 to 65535"},
		{"port of no kind", `"sessionType":"Port","properties":{"portNumber":"1","type":"Remote"}`, "properties: type must be LocalPortForwarding"},
		{"port with more", `"sessionType":"Port","properties":{"portNumber":"1","colour":"red"}`, `properties: Unknown property "colour".`},

		{"no type", `"inputs":{}`, "Missing SessionType in the document."},
		{"another type", `"sessionType":"Telnet"`, "Invalid sessionType"},
		{"type is no text", `"sessionType":1`, "sessionType must be a string"},
		{"description is no text", `"description":1,"sessionType":"Port","properties":{"portNumber":"1"}`, "description must be a string"},
		{"undeclared parameter", `"sessionType":"Port","properties":{"portNumber":"{{ p }}"}`, "Step session uses the parameter p, which the document does not declare"},
		{"undeclared parameter in inputs", `"sessionType":"Standard_Stream","inputs":{"s3KeyPrefix":"x/{{ p }}"}`, "Step session uses the parameter p, which the document does not declare"},
		{"default against the pattern", `"parameters":{"p":{"type":"String","allowedPattern":"^a+$","default":"b"}},"sessionType":"Port","properties":{"portNumber":"1"}`,
			`Parameter "p" has value "b" not matching "^a+$".`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			facts, err := check(ssm.DocumentTypeSession, ssmdoc.JSON, `{"schemaVersion":"1.0",`+tt.content+`}`)
			if tt.want == "" {
				if err != nil || facts.schema != "1.0" || facts.platforms != "Windows,Linux,MacOS" {
					t.Errorf("%+v, %v", facts, err)
				}
				return
			}
			if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != "InvalidDocumentContent" || e.Message != tt.want {
				t.Errorf("the error is %v, want %s", err, tt.want)
			}
		})
	}
}
