package command_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/internal/awstest"
)

// TestSendCommandExecutionTime adds up the steps' timeouts, each read as agents read it: beside the
// time for delivery they are the time after which a command is given up. source: agent
func TestSendCommandExecutionTime(t *testing.T) {
	w := awstest.New(t)
	n := w.Node(awstest.NodeConfig{})
	for timeout, want := range map[string]int64{
		`"x"`: 3600, `""`: 3600, `4`: 3600, `5`: 5, `"5.9"`: 5, `" 60 "`: 60, `172800`: 172800, `172801`: 3600, `-1`: 3600, `"NaN"`: 3600,
		`"1e3"`: 1000, `9223372036854775807`: 3600, `"9223372036854775807"`: 3600, `null`: 3600, `"{{ wait }}"`: 70, `[7]`: 3600,
	} {
		name := fmt.Sprintf("Timed%x", timeout)
		awstest.Call[ssm.CreateDocumentOutput](w, "ssm", "CreateDocument", &ssm.CreateDocumentInput{
			Name: name, DocumentType: new(ssm.DocumentTypeCommand), Content: `{"schemaVersion": "2.2", "parameters": {"wait": {"type": "String", "default": "70"}},
				"mainSteps": [{"action": "aws:runShellScript", "name": "a", "inputs": {"runCommand": ["a"], "timeoutSeconds": ` + timeout + `}},
				{"action": "aws:runShellScript", "name": "b", "inputs": {"runCommand": ["b"], "timeoutSeconds": 10}}]}`,
		})
		c := awstest.Call[ssm.SendCommandOutput](w, "ssm", "SendCommand", &ssm.SendCommandInput{
			DocumentName: name, InstanceIds: []string{n.ID}, TimeoutSeconds: new(int64(30)),
		}).Command
		if got := c.ExpiresAfter.Sub(*c.RequestedDateTime); got != time.Duration(30+want+10)*time.Second {
			t.Errorf("timeoutSeconds %s: the command is given up after %v, want %ds", timeout, got, 30+want+10)
		}
	}
}
