package test_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	iamapi "github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/internal/awstest"
	"github.com/vennel/vennel/service/ec2/metadata"
)

// inNamespaces is set inside the namespaces of a test.
const inNamespaces = "VENNEL_TEST_IN_NAMESPACES"

// instanceLife is an instance with an agent. The paths of the unmodified one are fixed, and so are the names and addresses that both ask.
const instanceLife = `
set -e
run() { env -i PATH="$PATH" HOME="$NODE/home" SSL_CERT_FILE="$NODE/ca.pem" "$@"; }
mount --bind "$NODE/hosts" /etc/hosts
if [ -n "$PROGRAM" ]; then
	run "$PROGRAM" agent run --state "$NODE/state"
	exit
fi
mkdir -p /var/lib/amazon /var/log/amazon
mount -t tmpfs tmpfs /var/lib/amazon
mount -t tmpfs tmpfs /var/log/amazon
if [ -e /sbin/shutdown ]; then mount --bind /bin/true /sbin/shutdown; fi
run "$NODE/bin/amazon-ssm-agent" &
until [ -e "$NODE/stop" ]; do sleep 0.2; done
run "$NODE/bin/ssm-cli" get-diagnostics > "$NODE/diagnostics" 2>&1 || true
cp /var/lib/amazon/ssm/runtimeconfig/identity_config.json /var/log/amazon/ssm/amazon-ssm-agent.log "$NODE" || true
`

// neighbours is the metadata service's view of the one instance.
type neighbours struct{ instance metadata.Instance }

// Find is the metadata service's.
func (n *neighbours) Find(context.Context, string, netip.Addr) (metadata.Instance, bool) {
	return n.instance, true
}

// TestOfficialAgentOnInstance has the unmodified SSM Agent on an EC2 instance.
func TestOfficialAgentOnInstance(t *testing.T) {
	agent := os.Getenv("VENNEL_SSM_AGENT_DIR")
	if agent == "" {
		t.Skip("SKIPPED: VENNEL_SSM_AGENT_DIR does not name the folder of an official agent")
	}
	onInstance(t, agent)
}

// TestOurAgentOnInstance has our own agent on an EC2 instance.
func TestOurAgentOnInstance(t *testing.T) { onInstance(t, "") }

// onInstance runs an agent, ours if there is no folder of the official one, on an instance whose metadata service is where it is on every
// instance and whose names are AWS's: by the role in its profile, and by Default Host Management.
func onInstance(t *testing.T, agent string) {
	switch {
	case os.Geteuid() != 0 && os.Getenv("REQUIRE") == "1":
		t.Fatal("namespaces need root")
	case os.Geteuid() != 0:
		t.Skip("SKIPPED: namespaces need root")
	case os.Getenv(inNamespaces) == "":
		c := exec.CommandContext(t.Context(), "unshare", "--net", "--mount", "--", os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
		c.Env = append(os.Environ(), inNamespaces+"=1")
		out, err := c.CombinedOutput()
		t.Logf("%s", out)
		if err != nil {
			t.Error(err)
		}
		return
	}
	for _, args := range [][]string{{"link", "set", "lo", "up"}, {"address", "add", "169.254.169.254/32", "dev", "lo"}} {
		if out, err := exec.CommandContext(t.Context(), "ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	for _, source := range []string{"EC2", "SSM"} {
		t.Run(source, func(t *testing.T) { workOnInstance(t, agent, source) })
	}
}

// workOnInstance runs the agent until it has run a command with credentials of a source: EC2 is the role, SSM is Default Host Management.
func workOnInstance(t *testing.T, agent, source string) {
	w := awstest.New(t)
	n := w.Instance("", map[string]string{"role": "web"})
	told := metadata.Instance{
		ID: n.ID, Account: awstest.Account, Region: awstest.Region, Zone: awstest.Region + "a", ZoneID: "use1-az1", Type: "t3.micro", Launched: time.Now(),
		Interfaces: []metadata.Interface{{MAC: "02:00:00:00:00:01", VPC: "vpc-1", VPCBlocks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.7")}}},
		Options:    metadata.Options{TokensRequired: true, HopLimit: 1},
	}
	if source == "EC2" {
		role := w.InstanceRole()
		profile := awstest.Call[iamapi.CreateInstanceProfileOutput](w, "iam", "CreateInstanceProfile", &iamapi.CreateInstanceProfileInput{InstanceProfileName: "web"}).InstanceProfile
		awstest.Call[iamapi.AddRoleToInstanceProfileOutput](w, "iam", "AddRoleToInstanceProfile", &iamapi.AddRoleToInstanceProfileInput{InstanceProfileName: "web", RoleName: role})
		told.Profile, told.ProfileID = profile.Arn, profile.InstanceProfileId
	} else {
		w.DefaultHostManagement()
	}
	signer, err := metadata.OpenSigner(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	imds := metadata.New(metadata.Config{
		Instances: &neighbours{told}, Issuer: w.Server().IAM, Signer: signer, TokenKey: make([]byte, 32), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	web := &http.Server{Handler: w.Server().Mux, ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)}
	ended := make(chan error, 2)
	go func() { ended <- imds.Serve(ctx, "vpc-1", listen(t, "169.254.169.254:80")) }()
	go func() {
		ended <- web.Serve(tls.NewListener(listen(t, "127.0.0.1:443"), w.Server().CA.Config(w.Server().Mux.Serves)))
	}()
	defer func() {
		stop()
		_ = web.Close()
		for range 2 {
			if err := <-ended; err != nil && !errors.Is(err, http.ErrServerClosed) {
				t.Error(err)
			}
		}
	}()
	folder := t.TempDir()
	defer runInstance(t, agent, folder, string(w.Server().CA.PEM()))()

	await(t, "the instance to be Online", func() bool {
		out := awstest.Call[ssm.DescribeInstanceInformationOutput](w, "ssm", "DescribeInstanceInformation", &ssm.DescribeInstanceInformationInput{})
		list := out.InstanceInformationList
		return len(list) == 1 && *list[0].InstanceId == n.ID && *list[0].PingStatus == "Online" && *list[0].ResourceType == "EC2Instance"
	})
	sent := awstest.Call[ssm.SendCommandOutput](w, "ssm", "SendCommand", &ssm.SendCommandInput{
		DocumentName: "AWS-RunShellScript", Targets: []ssm.Target{{Key: new("tag:role"), Values: []string{"web"}}},
		Parameters: map[string][]string{"commands": {"echo $AWS_SSM_INSTANCE_ID"}},
	})
	await(t, "the command to end", func() bool {
		out := new(ssm.GetCommandInvocationOutput)
		err := w.Client("ssm", w.Admin).Call(t.Context(), "GetCommandInvocation", &ssm.GetCommandInvocationInput{CommandId: *sent.Command.CommandId, InstanceId: n.ID}, out)
		if err != nil || *out.Status == "Pending" || *out.Status == "InProgress" {
			return false
		}
		if *out.Status != "Success" || *out.StandardOutputContent != n.ID+"\n" {
			t.Errorf("the command is %s: %s", *out.Status, *out.StandardOutputContent)
		}
		return true
	})
	if agent == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(folder, "stop"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, "what the agent keeps", func() bool {
		b, err := os.ReadFile(filepath.Join(folder, "identity_config.json"))
		return err == nil && bytes.Contains(b, []byte(`"CredentialSource":"`+source+`"`))
	})
	diagnostics, err := os.ReadFile(filepath.Join(folder, "diagnostics"))
	if err != nil {
		t.Fatal(err)
	}
	for _, check := range []string{"EC2 IMDS", "AWS Credentials"} {
		if _, after, _ := strings.Cut(string(diagnostics), `"Check": "`+check+`",`); !strings.HasPrefix(strings.TrimSpace(after), `"Status": "Success"`) {
			t.Errorf("%s did not succeed: %s", check, diagnostics)
		}
	}
}

// listen opens a listener.
func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Error(err)
		return closed{}
	}
	return l
}

// closed is a listener that could not be opened.
type closed struct{ net.Listener }

// Accept fails.
func (closed) Accept() (net.Conn, error) { return nil, net.ErrClosed }

// Close does nothing.
func (closed) Close() error { return nil }

// runInstance starts the agent in namespaces of its own, and gives what ends it.
func runInstance(t *testing.T, agent, folder, authority string) (end func()) {
	t.Helper()
	hosts := "127.0.0.1 localhost\n"
	for _, service := range []string{"ssm", "ssmmessages", "ec2messages", "s3", "logs", "kms", "sts", "monitoring"} {
		hosts += "127.0.0.1 " + service + "." + awstest.Region + ".amazonaws.com\n"
	}
	for _, sub := range []string{"bin", "home"} {
		if err := os.Mkdir(filepath.Join(folder, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"hosts": hosts, "ca.pem": authority} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program := ""
	if agent == "" {
		program = os.Getenv("VENNEL_TEST_PROGRAM")
	} else {
		binaries, err := filepath.Glob(filepath.Join(agent, "*ssm*"))
		if err != nil || len(binaries) == 0 {
			t.Fatalf("no agent in %s: %v", agent, err)
		}
		for _, from := range binaries {
			if err := copyProgram(from, filepath.Join(folder, "bin", filepath.Base(from))); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := exec.Command("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL", "bash", "-c", instanceLife)
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "NODE=" + folder, "PROGRAM=" + program}
	var console strings.Builder
	c.Stdout, c.Stderr = &console, &console
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(folder, "amazon-ssm-agent.log"))
			t.Logf("%s\n%s", console.String(), log)
		}
	}
}

// copyProgram copies a program, so that it belongs to root and its folder decides which workers it uses.
func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // it is only read
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// await waits until something holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(90 * time.Second); !holds(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
