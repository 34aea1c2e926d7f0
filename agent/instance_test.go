//go:build unix

package agent_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vennel/vennel/agent"
	"github.com/vennel/vennel/agent/agenttest"
	"github.com/vennel/vennel/service/ec2/metadata"
	"github.com/vennel/vennel/service/iam"
)

// machine is a machine that is an EC2 instance of a plane: it has a metadata service, and no registration.
type machine struct {
	*world
	metadata string

	mu      sync.Mutex
	profile *iam.Profile // nil for none; guarded by mu
	denied  string       // why its role cannot be assumed; guarded by mu
}

// instanceID is the id of machines.
const instanceID = "i-0123456789abcdef0"

// newMachine makes a machine.
func newMachine(t *testing.T) *machine {
	t.Helper()
	t.Parallel()
	w := &world{Plane: agenttest.New(t), t: t, state: filepath.Join(t.TempDir(), "state")}
	w.node = w.Instance(instanceID)
	m := &machine{world: w, profile: &iam.Profile{Role: &iam.Role{Name: "Web", ID: "AROAONE"}}}
	signer, err := metadata.OpenSigner(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.metadata = "http://" + l.Addr().String()
	service := metadata.New(metadata.Config{Instances: m, Issuer: m, Signer: signer, TokenKey: make([]byte, 32), Log: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- service.Serve(ctx, "vpc-1", l) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return m
}

// Find is the metadata service's.
func (m *machine) Find(context.Context, string, netip.Addr) (metadata.Instance, bool) {
	return metadata.Instance{
		ID: instanceID, Account: "123456789012", Region: agenttest.Region, Zone: "home-lab-1a", ZoneID: "hl1-az1", Profile: "arn:aws:iam::123456789012:instance-profile/web",
		Options: metadata.Options{TokensRequired: true},
	}, true
}

// InstanceProfile is the metadata service's.
func (m *machine) InstanceProfile(context.Context, string) (*iam.Profile, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.profile, m.profile != nil, nil
}

// InstanceCredentials is the metadata service's.
func (m *machine) InstanceCredentials(iam.Instance, *iam.Role) (*iam.Credentials, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.denied != "" {
		return nil, m.denied, nil
	}
	return m.credentials(agenttest.Role), "", nil
}

// IdentityCredentials is the metadata service's.
func (m *machine) IdentityCredentials(iam.Instance) (*iam.Credentials, error) {
	return m.credentials(agenttest.Identity), nil
}

// credentials are the plane's.
func (m *machine) credentials(kind agenttest.Kind) *iam.Credentials {
	c := new(iam.Credentials)
	c.AccessKeyID, c.SecretAccessKey, c.SessionToken, c.Expiration = m.Credentials(m.node, kind)
	return c
}

// set changes the machine.
func (m *machine) set(profile *iam.Profile, denied string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.profile, m.denied = profile, denied
}

// instance is the configuration of an agent on the machine.
func (m *machine) instance(c *agent.Config) {
	c.Endpoint, c.CA, c.Metadata = m.URL(), m.CA(), m.metadata
}

// TestInstanceByItsRole is a node without a registration, by the role in its instance profile.
func TestInstanceByItsRole(t *testing.T) {
	m := newMachine(t)
	stop := m.start(m.instance)
	m.node.Online(t)
	c := m.node.Script(t, "echo on $AWS_SSM_INSTANCE_ID in $AWS_SSM_REGION_NAME")
	if status := m.node.Wait(t, c); status != "Success" {
		t.Errorf("the command is %s", status)
	}
	m.Do(func() {
		if out := c.Step("runShellScript").StandardOutput; out != "on "+instanceID+" in "+agenttest.Region+"\n" {
			t.Errorf("it said %q", out)
		}
	})
	m.Wait(t, "a full heartbeat", func() bool {
		h := m.node.Heartbeats[len(m.node.Heartbeats)-1]
		return h.AvailabilityZone != nil && *h.AvailabilityZone == "home-lab-1a" && *h.AvailabilityZoneId == "hl1-az1" && *h.IPAddress != "" && *h.ComputerName != ""
	})
	stop()
	m.start(m.instance)
	m.node.Online(t)
	if n := m.Calls("RegisterManagedInstance"); n != 1 {
		t.Errorf("the key was registered %d times", n)
	}
	if n := m.Calls("RequestManagedInstanceRoleToken"); n != 0 {
		t.Errorf("it asked for the default role's credentials %d times", n)
	}
}

// TestInstanceByDefault is a node by Default Host Management, for every reason for which its own role does not make it one.
func TestInstanceByDefault(t *testing.T) {
	for what, prepare := range map[string]func(*machine){
		"NoProfile": func(m *machine) { m.set(nil, "") },
		"NoRole":    func(m *machine) { m.set(new(iam.Profile), "") },
		"NoTrust":   func(m *machine) { m.set(m.profile, "it trusts others") },
		"NoPolicy":  func(m *machine) { m.Do(func() { m.node.RoleDenied = true }) },
	} {
		t.Run(what, func(t *testing.T) {
			m := newMachine(t)
			m.Do(func() { m.node.HostManaged = true })
			prepare(m)
			m.start(m.instance)
			m.node.Online(t)
			if status := m.node.Wait(t, m.node.Script(t, "true")); status != "Success" {
				t.Errorf("the command is %s", status)
			}
			m.Do(func() {
				if m.node.Tokens == 0 {
					t.Error("it has no credentials of the default role")
				}
			})
		})
	}
}

// TestInstanceKeepsTrying says why an instance is no node, and becomes one when that has changed.
func TestInstanceKeepsTrying(t *testing.T) {
	m := newMachine(t)
	m.set(nil, "")
	log := new(safeBuffer)
	m.start(m.instance, func(c *agent.Config) { c.Log = slog.New(slog.NewTextHandler(log, nil)) })
	m.Wait(t, "two tries", func() bool { return m.Seen("RequestManagedInstanceRoleToken") >= 2 })
	m.set(&iam.Profile{Role: &iam.Role{Name: "Web", ID: "AROAONE"}}, "")
	m.node.Online(t)
	for _, want := range []string{"the role of the instance profile", "the instance has none", "the account's default role", "denied for a test"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, log)
		}
	}
}

// TestInstanceCredentialsAreRenewed holds its line though all credentials end after seconds.
func TestInstanceCredentialsAreRenewed(t *testing.T) {
	for _, byDefault := range []bool{false, true} {
		t.Run(map[bool]string{false: "Role", true: "Default"}[byDefault], func(t *testing.T) {
			m := newMachine(t)
			m.TokenLife(4 * time.Second)
			if byDefault {
				m.Do(func() { m.node.HostManaged, m.node.RoleDenied = true, true })
			}
			m.start(m.instance, func(c *agent.Config) { c.Hurry("heartbeat", 500*time.Millisecond) })
			m.node.Online(t)
			begin := time.Now()
			m.Wait(t, "heartbeats after the end of the first credentials", func() bool {
				return time.Since(begin) > 6*time.Second && len(m.node.Heartbeats) > 8
			})
		})
	}
}

// TestRegistrationComesFirst is the node that was registered, though the machine is an EC2 instance. source: agent
func TestRegistrationComesFirst(t *testing.T) {
	m := newMachine(t)
	m.node = m.Node(t, m.register(m.state))
	m.start(m.instance)
	m.node.Online(t)
}

// TestInstanceOfACopiedDisk gets a key of its own.
func TestInstanceOfACopiedDisk(t *testing.T) {
	m := newMachine(t)
	stop := m.start(m.instance)
	m.node.Online(t)
	stop()
	b, err := os.ReadFile(filepath.Join(m.state, "instance.json"))
	if err != nil {
		t.Fatal(err)
	}
	other := newCopy(t, m, bytes.ReplaceAll(b, []byte(instanceID), []byte("i-0fffffffffffffff0")))
	other.start(other.instance)
	other.node.Online(t)
	now, err := os.ReadFile(filepath.Join(other.state, "instance.json"))
	if err != nil || bytes.Contains(now, []byte("i-0fffffffffffffff0")) {
		t.Errorf("%v: it is still the other", err)
	}
	if n := m.Calls("RegisterManagedInstance"); n != 2 {
		t.Errorf("%d keys were registered", n)
	}
}

// newCopy is another state folder of a machine, with what an instance kept there.
func newCopy(t *testing.T, m *machine, kept []byte) *machine {
	t.Helper()
	w := &world{Plane: m.Plane, t: t, state: t.TempDir(), node: m.node}
	if err := os.WriteFile(filepath.Join(w.state, "instance.json"), kept, 0o600); err != nil {
		t.Fatal(err)
	}
	return &machine{world: w, metadata: m.metadata, profile: m.profile}
}

// TestNoInstance says what is missing on a machine that is neither registered nor an instance.
func TestNoInstance(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	err = agent.Run(t.Context(), agent.Config{State: t.TempDir(), Metadata: "http://" + l.Addr().String(), Log: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, agent.ErrNotRegistered) || !strings.Contains(err.Error(), "nor is this an EC2 instance") {
		t.Errorf("got %v", err)
	}
	err = agent.Run(t.Context(), agent.Config{State: t.TempDir(), Endpoint: "nowhere", Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("an endpoint that is none: %v", err)
	}
}

// TestInstanceByTheEnvironment starts the program as the init of a machine does.
func TestInstanceByTheEnvironment(t *testing.T) {
	m := newMachine(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self, "agent", "run")
	c.Env = []string{
		"PATH=" + os.Getenv("PATH"), "VENNEL_AGENT_STATE=" + m.state, "VENNEL_AGENT_ENDPOINT=" + m.URL(), "VENNEL_AGENT_CA=" + m.CAFile,
		"AWS_EC2_METADATA_SERVICE_ENDPOINT=" + m.metadata,
	}
	log := new(safeBuffer)
	c.Stderr = log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	m.node.Online(t)
	if status := m.node.Wait(t, m.node.Script(t, "true")); status != "Success" {
		t.Errorf("the command is %s", status)
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("it ended with %v\n%s", err, log)
	}
}
