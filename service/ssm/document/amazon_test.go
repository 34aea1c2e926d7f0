package document

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/ssmdoc"
)

// declared is a parameter as a fact: name, type, and the default after an equals sign if it has one.
func declared(doc *ssmdoc.Document) (out []string) {
	for _, p := range doc.Parameters {
		fact := p.Name + " " + p.Type
		if p.Default != nil {
			fact += "=" + ssmdoc.Text(p.Default)
		}
		out = append(out, fact)
	}
	return out
}

// TestAmazonDocuments holds Amazon's documents to what is known of AWS's own. source: userguide, aws
// (patterns as errors and answers show them)
func TestAmazonDocuments(t *testing.T) {
	const everywhere = "Windows,Linux,MacOS"
	tests := map[string]struct {
		kind, schema, platforms string
		parameters              []string
	}{
		"AWS-RunShellScript":      {"Command", "1.2", "Linux,MacOS", []string{"commands StringList", "workingDirectory String=", "executionTimeout String=3600"}},
		"AWS-RunPowerShellScript": {"Command", "1.2", "Windows,Linux", []string{"commands StringList", "workingDirectory String=", "executionTimeout String=3600"}},
		"AWS-RunDocument":         {"Command", "2.2", everywhere, []string{"sourceType String", "sourceInfo StringMap", "documentParameters StringMap={}"}},
		"AWS-RunRemoteScript": {"Command", "2.2", everywhere, []string{
			"sourceType String", "sourceInfo StringMap", "commandLine String", "workingDirectory String=", "executionTimeout String=3600",
		}},
		"AWS-UpdateSSMAgent": {"Command", "1.2", everywhere, []string{"version String=", "allowDowngrade String=false"}},
		"AWS-Noop":           {"Command", "2.2", everywhere, nil},
		"AWS-ConfigureAWSPackage": {"Command", "2.2", everywhere, []string{
			"action String", "installationType String=Uninstall and reinstall", "name String", "version String=", "additionalArguments StringMap={}",
		}},
		"AWS-GatherSoftwareInventory": {"Policy", "2.0", everywhere, []string{
			"applications String=Enabled", "awsComponents String=Enabled", "files String=", "networkConfig String=Enabled",
			"windowsUpdates String=Enabled", "instanceDetailedInformation String=Enabled", "services String=Enabled", "windowsRegistry String=",
			"windowsRoles String=Enabled", "customInventory String=Enabled", "billingInfo String=Enabled",
		}},
		"AWS-StartSSHSession":            {"Session", "1.0", everywhere, []string{"portNumber String=22"}},
		"AWS-StartPortForwardingSession": {"Session", "1.0", everywhere, []string{"portNumber String=80", "localPortNumber String=0"}},
		"AWS-StartPortForwardingSessionToRemoteHost": {"Session", "1.0", everywhere, []string{
			"portNumber String=80", "localPortNumber String=0", "host String=localhost",
		}},
		"AWS-StartInteractiveCommand": {"Session", "1.0", everywhere, []string{"command String"}},
		"AWS-StartNonInteractiveCommand": {"Session", "1.0", everywhere, []string{
			"command String", "separateOutputStream String=false", "stdoutSeparatorPrefix String=", "stderrSeparatorPrefix String=",
		}},
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(tests)), slices.Sorted(maps.Keys(amazon()))); diff != "" {
		t.Fatalf("the documents (-want +got)\n%s", diff)
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			b := amazon()[name]
			if b.document.Type != want.kind || b.version.SchemaVersion != want.schema || b.version.Platforms != want.platforms {
				t.Errorf("%s %s for %s, want %s %s for %s", b.document.Type, b.version.SchemaVersion, b.version.Platforms, want.kind, want.schema, want.platforms)
			}
			r, err := read(b.document.Type, b.version.Format, b.version.Hash, b.content)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want.parameters, declared(r.doc)); diff != "" {
				t.Errorf("parameters (-want +got)\n%s", diff)
			}
			for _, p := range r.doc.Parameters {
				if required := strings.HasPrefix(p.Description, "(Required)"); required != (p.Default == nil) {
					t.Errorf("the parameter %s is described as %q and has the default %v", p.Name, p.Description, p.Default)
				}
			}
			if !reserved(name) {
				t.Error("anybody could give this name")
			}
		})
	}
}

// TestAmazonDocumentsResolve gives Amazon's documents parameters, good ones and bad.
func TestAmazonDocumentsResolve(t *testing.T) {
	type values = map[string][]string
	tests := []struct {
		name  string
		given values
		fails string // what the error names; "" when there is none
	}{
		{"AWS-RunShellScript", values{"commands": {"uptime", "date"}}, ""},
		{"AWS-RunShellScript", values{"commands": {"uptime"}, "workingDirectory": {"/tmp"}, "executionTimeout": {"172800"}}, ""},
		{"AWS-RunShellScript", values{}, "commands"},
		{"AWS-RunShellScript", values{"commands": {}}, "commands"},
		{"AWS-RunShellScript", values{"commands": {"uptime"}, "executionTimeout": {"soon"}}, "executionTimeout"},
		{"AWS-RunShellScript", values{"commands": {"uptime"}, "workingDirectory": {strings.Repeat("x", 4097)}}, "workingDirectory"},
		{"AWS-RunShellScript", values{"commands": {"uptime"}, "command": {"uptime"}}, "command"},
		{"AWS-RunPowerShellScript", values{"commands": {"Get-Date"}}, ""},
		{"AWS-RunDocument", values{"sourceType": {"SSMDocument"}, "sourceInfo": {`{"name":"Mine"}`}, "documentParameters": {`{"a":["b"]}`}}, ""},
		{"AWS-RunDocument", values{"sourceType": {"HTTP"}, "sourceInfo": {`{"url":"https://h/d"}`}}, ""},
		{"AWS-RunDocument", values{"sourceType": {"Tape"}, "sourceInfo": {`{}`}}, "sourceType"},
		{"AWS-RunDocument", values{"sourceType": {"S3"}, "sourceInfo": {`no map`}}, "sourceInfo"},
		{"AWS-RunRemoteScript", values{"sourceType": {"S3"}, "sourceInfo": {`{"path":"https://h/b/s.sh"}`}, "commandLine": {"sh s.sh"}}, ""},
		{"AWS-RunRemoteScript", values{"sourceType": {"S3"}, "sourceInfo": {`{"path":"https://h/b/s.sh"}`}}, "commandLine"},
		{"AWS-UpdateSSMAgent", values{}, ""},
		{"AWS-UpdateSSMAgent", values{"allowDowngrade": {"maybe"}}, "allowDowngrade"},
		{"AWS-Noop", values{}, ""},
		{"AWS-ConfigureAWSPackage", values{"action": {"Install"}, "name": {"AmazonCloudWatchAgent"}}, ""},
		{"AWS-ConfigureAWSPackage", values{"action": {"Uninstall"}, "name": {"arn:aws:ssm:us-east-1:123456789012:document/Mine"}}, ""},
		{"AWS-ConfigureAWSPackage", values{"action": {"Install"}, "name": {"a b"}}, "name"},
		{"AWS-ConfigureAWSPackage", values{"action": {"Install"}, "name": {"x"}, "installationType": {"By hand"}}, "installationType"},
		{"AWS-GatherSoftwareInventory", values{}, ""},
		{"AWS-GatherSoftwareInventory", values{"services": {"Maybe"}}, "services"},
		{"AWS-StartSSHSession", values{}, ""},
		{"AWS-StartSSHSession", values{"portNumber": {"65536"}}, "portNumber"},
		{"AWS-StartPortForwardingSession", values{"portNumber": {"65535"}, "localPortNumber": {"0"}}, ""},
		{"AWS-StartPortForwardingSession", values{"portNumber": {"0"}}, "portNumber"},
		{"AWS-StartPortForwardingSession", values{"localPortNumber": {"70000"}}, "localPortNumber"},
		{"AWS-StartPortForwardingSessionToRemoteHost", values{"host": {"db.internal"}, "portNumber": {"5432"}}, ""},
		{"AWS-StartPortForwardingSessionToRemoteHost", values{"host": {"a;b"}}, "host"},
		{"AWS-StartInteractiveCommand", values{"command": {"top"}}, ""},
		{"AWS-StartInteractiveCommand", values{}, "command"},
		{"AWS-StartNonInteractiveCommand", values{"command": {"uptime"}, "separateOutputStream": {"true"}, "stdoutSeparatorPrefix": {"STD_OUT:\n"}}, ""},
		{"AWS-StartNonInteractiveCommand", values{"command": {"uptime"}, "stderrSeparatorPrefix": {"STD@ERR"}}, "stderrSeparatorPrefix"},
	}
	resolved := map[string]bool{}
	for _, tt := range tests {
		b := amazon()[tt.name]
		r, err := read(b.document.Type, b.version.Format, b.version.Hash, b.content)
		if err != nil {
			t.Fatal(err)
		}
		values, err := r.doc.Resolve(tt.given)
		if tt.fails != "" {
			if _, ok := errors.AsType[*ssmdoc.Error](err); !ok || !strings.Contains(strings.ReplaceAll(err.Error(), `"`, ""), "arameter "+tt.fails+" ") {
				t.Errorf("%s with %v: the error is %v, want one about %s", tt.name, tt.given, err, tt.fails)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s with %v: %v", tt.name, tt.given, err)
			continue
		}
		resolved[tt.name] = true
		for _, s := range r.doc.Steps {
			for _, inputs := range s.Inputs {
				if text := ssmdoc.Text(ssmdoc.Substitute(inputs, values)); strings.Contains(text, "{{") {
					t.Errorf("%s: the step %s keeps a placeholder: %s", tt.name, s.Name, text)
				}
			}
		}
	}
	for name := range amazon() {
		if !resolved[name] {
			t.Errorf("%s is not resolved", name)
		}
	}
}

// TestAmazonRunsOnEveryPlatform wants no platform on which a document says that it did what it did not.
func TestAmazonRunsOnEveryPlatform(t *testing.T) {
	r, err := read(ssm.DocumentTypeCommand, ssmdoc.JSON, "", amazon()["AWS-RunRemoteScript"].content)
	if err != nil {
		t.Fatal(err)
	}
	for _, platform := range r.doc.PlatformTypes() {
		ran := false
		for _, s := range r.doc.Steps {
			condition := s.Precondition["StringEquals"]
			ran = ran || s.Action != "aws:downloadContent" && ssmdoc.RunsOn(s.Action, platform) && slices.Contains(condition, platform)
		}
		if !ran {
			t.Errorf("on %s nothing runs", platform)
		}
	}
}
