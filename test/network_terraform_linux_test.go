package test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/api/ssm"
)

// TestTerraformNetwork builds a private network with the stock provider and sees that it works, that a second plan is empty, that
// changes reach the packets, and that nothing is left. The provider comes from where TF_PLUGIN_MIRROR says.
func TestTerraformNetwork(t *testing.T) {
	t.Parallel()
	mirror := os.Getenv("TF_PLUGIN_MIRROR")
	if _, err := exec.LookPath("terraform"); err != nil || mirror == "" { // neither is a Debian package
		t.Skip("SKIPPED: terraform is not installed, or TF_PLUGIN_MIRROR does not name a folder with its AWS provider")
	}
	e := newEstate(t)
	home := e.in("us-east-1")
	work, config := filepath.Join(e.folder, "terraform"), filepath.Join(e.folder, "terraformrc")
	if err := os.CopyFS(work, os.DirFS("testdata/terraform-network")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, fmt.Appendf(nil, "provider_installation {\n  filesystem_mirror { path = %q }\n}\n", mirror), 0o600); err != nil {
		t.Fatal(err)
	}
	action, office := "ssm:GetDocument", "192.168.50.0/24"
	terraform := func(want int, args ...string) string {
		t.Helper()
		c := exec.CommandContext(t.Context(), "terraform", args...)
		c.Dir = work
		c.Env = append(os.Environ(), e.serve.env()...)
		c.Env = append(c.Env, "TF_CLI_CONFIG_FILE="+config, "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1", "TF_VAR_endpoint="+e.serve.HTTP,
			"TF_VAR_action="+action, "TF_VAR_office="+office)
		out, err := c.CombinedOutput()
		if err != nil && c.ProcessState == nil {
			t.Fatal(err)
		}
		if code := c.ProcessState.ExitCode(); code != want {
			t.Fatalf("terraform %s exits with %d, want %d\n%s", strings.Join(args, " "), code, want, out)
		}
		return string(out)
	}
	flags := []string{"-input=false", "-no-color"}
	apply := func() { t.Helper(); terraform(0, append([]string{"apply", "-auto-approve"}, flags...)...) }
	plan := func(want int) {
		t.Helper()
		terraform(want, append([]string{"plan", "-detailed-exitcode"}, flags...)...)
	}
	terraform(0, append([]string{"init"}, flags...)...)
	apply()
	plan(0)
	var out map[string]struct{ Value string }
	if err := json.Unmarshal([]byte(terraform(0, "output", "-json", "-no-color")), &out); err != nil {
		t.Fatal(err)
	}
	node, endpoint := out["node"].Value, out["endpoint"].Value
	home.online(t, node)
	home.runs(t, "echo planned", "planned", node)
	from := e.office(strings.Fields(out["inbound"].Value)[0])
	list, err := from.resolve(from.host("ssm"), patience/6)
	if err != nil || len(list) != 2 || !netip.MustParsePrefix("10.0.0.0/16").Contains(netip.MustParseAddr(list[0])) {
		t.Fatalf("in the office the name has the addresses %v, %v", list, err)
	}
	from.reaches(t, list[0]+":443", reached)

	from.keys = &e.keys // whoever signs: the endpoint's policy decides
	get := func() string {
		return said(from.client("ssm", from.host("ssm"), patience/6).Call(t.Context(), "GetDocument", &ssm.GetDocumentInput{Name: "AWS-RunShellScript"}, new(ssm.GetDocumentOutput)))
	}
	if got := get(); !strings.HasSuffix(got, endpoint+", statement Not") {
		t.Errorf("before the change: %s", got)
	}
	action = "ssm:CreateActivation" // of the policy
	apply()
	if got := get(); got != reached {
		t.Errorf("after the change: %s", got)
	}
	office = "192.168.51.0/24" // of a rule
	apply()
	plan(0)
	from.reaches(t, list[0]+":443", silent)
	home.runs(t, "echo still", "still", node)

	terraform(0, append([]string{"destroy", "-auto-approve"}, flags...)...)
	if left := do[ec2.DescribeVpcsOutput](t, home, "ec2", "DescribeVpcs", &ec2.DescribeVpcsInput{}).Vpcs; len(left) > 0 {
		t.Errorf("there are %d VPCs left", len(left))
	}
	if left := do[ec2.DescribeVpcEndpointsOutput](t, home, "ec2", "DescribeVpcEndpoints", &ec2.DescribeVpcEndpointsInput{}).VpcEndpoints; len(left) > 0 {
		t.Errorf("there are %d endpoints left", len(left))
	}
}
