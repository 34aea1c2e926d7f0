package cmd

import (
	"bytes"
	"strings"
	"testing"
	"text/tabwriter"
)

// TestAuditShowsEndpoint names the endpoint through which a call came, and nothing where it came through none.
func TestAuditShowsEndpoint(t *testing.T) {
	for _, c := range []struct {
		event auditEvent
		want  string
	}{
		{auditEvent{EventName: "ListCommands", EventSource: "ssm.amazonaws.com", VPCEndpointID: "vpce-0a1b", UserIdentity: struct{ ARN, Type, AccessKeyID string }{ARN: "arn:aws:iam::123456789012:user/a"}},
			"user/a through vpce-0a1b  ssm:ListCommands  ok"},
		{auditEvent{EventName: "ListCommands", EventSource: "ssm.amazonaws.com", UserIdentity: struct{ ARN, Type, AccessKeyID string }{ARN: "arn:aws:iam::123456789012:user/a"}},
			"user/a  ssm:ListCommands  ok"},
		{auditEvent{EventName: "RegisterManagedInstance", EventSource: "ssm.amazonaws.com", VPCEndpointID: "vpce-0a1b", SourceIPAddress: "10.0.0.9", UserIdentity: struct{ ARN, Type, AccessKeyID string }{Type: "Anonymous"}},
			"anonymous from 10.0.0.9 through vpce-0a1b  ssm:RegisterManagedInstance  ok"},
	} {
		var out bytes.Buffer
		table := tabwriter.NewWriter(&out, 0, 4, 2, ' ', 0)
		if err := new(Audit).show(&out, table, nil, &c.event); err != nil {
			t.Fatal(err)
		}
		if err := table.Flush(); err != nil || !strings.Contains(out.String(), "  "+c.want) {
			t.Errorf("%q, want %q, %v", out.String(), c.want, err)
		}
	}
}
