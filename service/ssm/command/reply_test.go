package command_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/internal/awstest"
)

// TestReplyTooLong takes more than agents send: everything is cut to what AWS answers at most, in
// characters, not bytes. source: model
func TestReplyTooLong(t *testing.T) {
	w := awstest.New(t)
	n := w.Node(awstest.NodeConfig{})
	c := awstest.Call[ssm.SendCommandOutput](w, "ssm", "SendCommand", &ssm.SendCommandInput{
		DocumentName: "AWS-RunShellScript", InstanceIds: []string{n.ID}, Parameters: map[string][]string{"commands": {"a"}},
	}).Command
	if _, err := n.Next(); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("é", 30000)
	reply, err := json.Marshal(map[string]any{
		"documentStatus": "Success", "documentTraceOutput": long[:2*3000],
		"runtimeStatus": map[string]any{"aws:runShellScript": map[string]any{
			"status": "Success", "code": 0, "output": long[:2*3000], "standardOutput": long, "standardError": long,
			"outputS3BucketName": long, "outputS3KeyPrefix": long,
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Reply(reply); err != nil {
		t.Fatal(err)
	}
	one := awstest.Call[ssm.GetCommandInvocationOutput](w, "ssm", "GetCommandInvocation", &ssm.GetCommandInvocationInput{CommandId: *c.CommandId, InstanceId: n.ID})
	list := awstest.Call[ssm.ListCommandInvocationsOutput](w, "ssm", "ListCommandInvocations", &ssm.ListCommandInvocationsInput{CommandId: c.CommandId, Details: new(true)})
	invocation := list.CommandInvocations[0]
	step := invocation.CommandPlugins[0]
	for _, c := range []struct {
		what string
		got  *string
		most int
	}{
		{"StandardOutputContent", one.StandardOutputContent, 24000},
		{"StandardErrorContent", one.StandardErrorContent, 8000},
		{"Output", step.Output, 2500},
		{"TraceOutput", invocation.TraceOutput, 2500},
		{"OutputS3BucketName", step.OutputS3BucketName, 512},
		{"OutputS3KeyPrefix", step.OutputS3KeyPrefix, 512},
	} {
		if *c.got != strings.Repeat("é", c.most) {
			t.Errorf("%s has %d bytes, want %d characters of two", c.what, len(*c.got), c.most)
		}
	}
}
