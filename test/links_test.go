package test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/cloudtrail"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/dataplane/linux/netns"
	"github.com/vennel/vennel/service/ec2/instance"
	"github.com/vennel/vennel/wire"
	"github.com/vennel/vennel/wire/sigv4"
)

// The addresses of the test: the control plane's, and those of a private network with three gateways and a node in it.
const (
	planeAddress = "10.213.0.1"
	nodeAddress  = "192.168.77.50"
)

// carriedServices are what a node needs, with the addresses of their gateways.
var carriedServices = []struct{ name, address string }{{"ssm", "192.168.77.11"}, {"ssmmessages", "192.168.77.12"}, {"ec2messages", "192.168.77.13"}}

// linksNetwork is the network of the test, in namespaces that end with it: the control plane's machine, the one with the gateways in a
// network of its own, and a node there that reaches nothing else.
const linksNetwork = `
set -e
mount -t tmpfs tmpfs /run/netns
ip link set lo up
ip netns add private
ip netns add node
ip link add plane type veth peer name plane netns private
ip address add 10.213.0.1/30 dev plane
ip link set plane up
ip -n private address add 10.213.0.2/30 dev plane
ip -n private link set plane up
ip -n private link set lo up
ip -n private link add node type veth peer name eth0 netns node
for a in 1 11 12 13; do ip -n private address add 192.168.77.$a/24 dev node; done
ip -n private link set node up
ip -n node address add 192.168.77.50/24 dev eth0
ip -n node link set eth0 up
ip -n node link set lo up
`

// alone runs a test again, as root in network, mount and process namespaces of its own, and says whether this is that run. Where it
// cannot it skips the test, aloud.
func alone(t testing.TB) bool {
	t.Helper()
	const inside = "VENNEL_TEST_ALONE"
	if os.Getenv(inside) == "1" {
		return true
	}
	need(t, "unshare", "ip", "nft")
	if os.Geteuid() != 0 {
		if os.Getenv("REQUIRE") == "1" {
			t.Fatal("namespaces need root")
		}
		t.Skip("SKIPPED: namespaces need root")
	}
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL", "--",
		os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v", "-test.timeout", "5m")
	c.Env = append(os.Environ(), inside+"=1", "VENNEL_TEST_PROGRAM="+program)
	out, err := c.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
	return false
}

// links is a control plane with hosts and gateways elsewhere.
type links struct {
	testing.TB
	*server
	folder string
}

// run runs a program to its end.
func (l *links) run(name string, args ...string) string {
	l.Helper()
	out, err := exec.CommandContext(l.Context(), name, args...).CombinedOutput()
	if err != nil {
		l.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// linked is a program that stays.
type linked struct {
	l    *links
	args []string
	cmd  *exec.Cmd
	log  string
}

// daemon starts a program that stays until the test ends, then in good order.
func (l *links) daemon(name string, args ...string) *linked {
	l.Helper()
	d := &linked{l: l, args: args, log: filepath.Join(l.folder, name+".log")}
	d.start()
	l.Cleanup(func() {
		if err := d.end(syscall.SIGTERM); err != nil || l.Failed() {
			text, _ := os.ReadFile(d.log)
			l.Logf("%s: %v\n%s", name, err, text)
		}
	})
	return d
}

// start starts it, also again.
func (d *linked) start() {
	d.l.Helper()
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		d.l.Fatal(err)
	}
	defer log.Close()
	d.cmd = exec.Command(d.args[0], d.args[1:]...)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.cmd.Start(); err != nil {
		d.l.Fatal(err)
	}
}

// end ends it with a signal.
func (d *linked) end(s syscall.Signal) error {
	if d.cmd.ProcessState != nil {
		return nil
	}
	err := d.cmd.Process.Signal(s)
	ended := make(chan error, 1)
	go func() { ended <- d.cmd.Wait() }()
	select {
	case why := <-ended:
		if s == syscall.SIGTERM {
			err = errors.Join(err, why)
		}
		return err
	case <-time.After(20 * time.Second):
		return errors.Join(errors.New("it does not end"), d.cmd.Process.Kill(), <-ended)
	}
}

// client calls a service of the control plane, through a transport.
func (l *links) client(service, endpoint string, transport http.RoundTripper) *wire.Client {
	keys := administrator(l, l.server)
	return &wire.Client{
		Service: service, Endpoint: endpoint, HTTP: &http.Client{Transport: transport, Timeout: 20 * time.Second},
		Sign: func(_ context.Context, r *http.Request, body []byte) error {
			return sigv4.Sign(r, sigv4.HashPayload(body), keys, l.Region, service, time.Now())
		},
	}
}

// ask calls an operation of the control plane.
func ask[Out, In any](l *links, service, operation string, in *In) *Out {
	l.Helper()
	out := new(Out)
	if err := l.client(service, l.HTTP, http.DefaultTransport).Call(l.Context(), operation, in, out); err != nil {
		l.Fatalf("%s: %v", operation, err)
	}
	return out
}

// await waits until something holds.
func (l *links) await(what string, holds func() bool) {
	l.Helper()
	began := time.Now()
	for end := began.Add(patience); !holds(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			l.Fatalf("waited in vain for %s\n%s", what, l.logged())
		}
	}
	l.Logf("%s after %v", what, time.Since(began).Round(time.Millisecond))
}

// connected says whether a node can be reached.
func (l *links) connected(node string) bool {
	out := ask[ssm.GetConnectionStatusOutput](l, "ssm", "GetConnectionStatus", &ssm.GetConnectionStatusInput{Target: node})
	return *out.Status == "connected"
}

// online gives the node of a kind that is online and connected; "" for none.
func (l *links) online(kind string) string {
	out := ask[ssm.DescribeInstanceInformationOutput](l, "ssm", "DescribeInstanceInformation", &ssm.DescribeInstanceInformationInput{})
	for _, n := range out.InstanceInformationList {
		if *n.ResourceType == kind && *n.PingStatus == "Online" && l.connected(*n.InstanceId) {
			return *n.InstanceId
		}
	}
	return ""
}

// certificate writes a certificate.
func (l *links) certificate(kind, name string) string {
	l.Helper()
	file := filepath.Join(l.folder, kind+"-"+name+".pem")
	l.run(program, "certificate", "--data", l.data, kind, name, file)
	return file
}

// TestLinks has a host elsewhere carry a VPC with an instance, and gateways carry its endpoints into a network that exists already.
func TestLinks(t *testing.T) {
	if !alone(t) {
		return
	}
	l := newLinks(t)
	host := l.daemon("host", program, "host", "--dir", filepath.Join(l.folder, "host"), "--prefix", "elsewhere-", "--no-leave",
		"--connect", l.Links, "--certificate", l.certificate("host", "h1"))
	endpoints := l.vpc()
	node := ""
	l.await("the instance is online", func() bool { node = l.online("EC2Instance"); return node != "" })

	// Either side is killed, and everything comes back.
	if err := host.end(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	l.await("the instance is cut off", func() bool { return !l.connected(node) })
	host.start()
	l.await("the instance is back after the host's end", func() bool { return l.connected(node) })
	l.kill()
	l.args = []string{"--links", l.Links}
	if err := l.restart(); err != nil {
		t.Fatal(err)
	}
	l.await("the instance is back after the control plane's end", func() bool { return l.connected(node) })

	t.Run("Gateway", func(t *testing.T) { l.gateways(t, endpoints) })
}

// newLinks starts a control plane in the network.
func newLinks(t testing.TB) *links {
	l := &links{TB: t, folder: t.TempDir()}
	l.run("sh", "-c", linksNetwork)
	var err error
	if l.server, err = startServer(filepath.Join(l.folder, "data"), "--links", planeAddress+":0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.stop(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// vpc makes a VPC with endpoints for what a node needs, and an instance with our agent. It gives the endpoints by their services.
func (l *links) vpc() map[string]string {
	l.Helper()
	vpc := *ask[ec2.CreateVpcOutput](l, "ec2", "CreateVpc", &ec2.CreateVpcInput{CidrBlock: new("10.20.0.0/16")}).Vpc.VpcId
	ask[struct{}](l, "ec2", "ModifyVpcAttribute", &ec2.ModifyVpcAttributeInput{VpcId: vpc, EnableDnsHostnames: &ec2.AttributeBooleanValue{Value: new(true)}})
	subnet := *ask[ec2.CreateSubnetOutput](l, "ec2", "CreateSubnet", &ec2.CreateSubnetInput{VpcId: vpc, CidrBlock: new("10.20.1.0/24")}).Subnet.SubnetId
	group := ask[ec2.CreateSecurityGroupOutput](l, "ec2", "CreateSecurityGroup", &ec2.CreateSecurityGroupInput{VpcId: &vpc, GroupName: "https", Description: "HTTPS"}).GroupId
	ask[ec2.AuthorizeSecurityGroupIngressOutput](l, "ec2", "AuthorizeSecurityGroupIngress", &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: group, IpPermissions: []ec2.IpPermission{{IpProtocol: new("tcp"), FromPort: new(int64(443)), ToPort: new(int64(443)), IpRanges: []ec2.IpRange{{CidrIp: new("10.20.0.0/16")}}}},
	})
	endpoints := map[string]string{}
	for _, s := range carriedServices {
		endpoints[s.name] = *ask[ec2.CreateVpcEndpointOutput](l, "ec2", "CreateVpcEndpoint", &ec2.CreateVpcEndpointInput{
			VpcId: vpc, VpcEndpointType: new(ec2.VpcEndpointTypeInterface), ServiceName: new("com.amazonaws." + l.Region + "." + s.name),
			SubnetIds: []string{subnet}, SecurityGroupIds: []string{*group}, PrivateDnsEnabled: new(true),
		}).VpcEndpoint.VpcEndpointId
	}
	for role, service := range map[string]string{"instance": "ec2.amazonaws.com", "hybrid": "ssm.amazonaws.com"} {
		trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + service + `"},"Action":"sts:AssumeRole"}]}`
		ask[iam.CreateRoleOutput](l, "iam", "CreateRole", &iam.CreateRoleInput{RoleName: role, AssumeRolePolicyDocument: trust})
		ask[struct{}](l, "iam", "AttachRolePolicy", &iam.AttachRolePolicyInput{RoleName: role, PolicyArn: "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"})
	}
	ask[iam.CreateInstanceProfileOutput](l, "iam", "CreateInstanceProfile", &iam.CreateInstanceProfileInput{InstanceProfileName: "instance"})
	ask[struct{}](l, "iam", "AddRoleToInstanceProfile", &iam.AddRoleToInstanceProfileInput{InstanceProfileName: "instance", RoleName: "instance"})
	ask[ec2.RunInstancesOutput](l, "ec2", "RunInstances", &ec2.RunInstancesInput{
		ImageId: &instance.AgentImage.ID, InstanceType: new("t3.micro"), MinCount: 1, MaxCount: 1, SubnetId: &subnet,
		IamInstanceProfile: &ec2.IamInstanceProfileSpecification{Name: new("instance")},
	})
	return endpoints
}

// inNode gives a transport that connects from the node to an address.
func (l *links) inNode(address string) *http.Transport {
	l.Helper()
	authority, err := os.ReadFile(l.CA)
	if err != nil {
		l.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	return &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (conn net.Conn, err error) {
			space, err := netns.Open("/run/netns/node")
			if err != nil {
				return nil, err
			}
			defer space.Close()
			err = netns.Do(space, func() (err error) {
				conn, err = (&net.Dialer{FallbackDelay: -1}).DialContext(ctx, "tcp", address+":443")
				return err
			})
			return conn, err
		},
	}
}

// gateway starts a gateway for an endpoint.
func (l *links) gateway(endpoint, address string) *linked {
	l.Helper()
	return l.daemon("gateway-"+address, "ip", "netns", "exec", "private", program, "gateway", "--listen", address+":443", "--connect", l.Links,
		"--certificate", l.certificate("gateway", endpoint))
}

// hybridLife is a node in the private network, to which the names lead to the gateways.
const hybridLife = `
set -e
mount --bind "$FOLDER/hosts" /etc/hosts
"$PROGRAM" agent register --state "$FOLDER/node" --id "$ID" --region "$REGION" --ca "$CA"
exec "$PROGRAM" agent run --state "$FOLDER/node"
`

// linkRecord is what is looked at of an audit record.
type linkRecord struct {
	EventName, SourceIPAddress, VPCEndpointID, ErrorCode, ErrorMessage string
	AdditionalEventData                                                struct{ SourceIPAddressSaidByGateway bool }
}

// recorded finds a record of an operation; nil when there is none.
func (l *links) recorded(operation string, fits func(*linkRecord) bool) *linkRecord {
	l.Helper()
	out := ask[cloudtrail.LookupEventsOutput](l, "cloudtrail", "LookupEvents", &cloudtrail.LookupEventsInput{
		LookupAttributes: []cloudtrail.LookupAttribute{{AttributeKey: cloudtrail.LookupAttributeKeyEventName, AttributeValue: operation}},
	})
	for _, e := range out.Events {
		r := new(linkRecord)
		if err := json.Unmarshal([]byte(*e.CloudTrailEvent), r); err != nil {
			l.Fatal(err)
		}
		if fits(r) {
			return r
		}
	}
	return nil
}

// gateways carries the endpoints into the private network, and looks at what gets through them.
func (l *links) gateways(t *testing.T, endpoints map[string]string) {
	outer := l.TB
	l.TB = t
	t.Cleanup(func() { l.TB = outer })
	hosts := "127.0.0.1 localhost\n"
	for _, s := range carriedServices {
		hosts += s.address + " " + s.name + "." + l.Region + ".amazonaws.com\n"
		l.gateway(endpoints[s.name], s.address)
	}
	if err := os.WriteFile(filepath.Join(l.folder, "hosts"), []byte(hosts), 0o644); err != nil {
		t.Fatal(err)
	}
	inside := l.client("ssm", "https://ssm."+l.Region+".amazonaws.com", l.inNode(carriedServices[0].address))
	list := func() error {
		return inside.Call(t.Context(), "ListDocuments", &ssm.ListDocumentsInput{}, &ssm.ListDocumentsOutput{})
	}
	l.await("a call through the gateway", func() bool { return list() == nil })
	through := func(r *linkRecord) bool {
		return r.VPCEndpointID == endpoints["ssm"] && r.SourceIPAddress == nodeAddress && r.AdditionalEventData.SourceIPAddressSaidByGateway
	}
	l.await("its record", func() bool { return l.recorded("ListDocuments", through) != nil })

	activation := ask[ssm.CreateActivationOutput](l, "ssm", "CreateActivation", &ssm.CreateActivationInput{IamRole: "hybrid", RegistrationLimit: new(int64(1))})
	l.daemon("node", "env", "PROGRAM="+program, "FOLDER="+l.folder, "ID="+*activation.ActivationId, "REGION="+l.Region, "CA="+l.CA,
		"VENNEL_ACTIVATION_CODE="+*activation.ActivationCode, "ip", "netns", "exec", "node", "sh", "-c", hybridLife)
	l.await("the node is online through the gateways", func() bool { return l.online("ManagedInstance") != "" })
	for _, operation := range []string{"RegisterManagedInstance", "UpdateInstanceInformation"} {
		l.await("the record of "+operation, func() bool { return l.recorded(operation, through) != nil })
	}

	// The policy of the endpoint holds for what comes through its gateway, and for nothing else.
	policy := func(text string) {
		ask[ec2.ModifyVpcEndpointOutput](l, "ec2", "ModifyVpcEndpoint", &ec2.ModifyVpcEndpointInput{VpcEndpointId: endpoints["ssm"], PolicyDocument: &text})
	}
	allow := `{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}`
	policy(`{"Statement":[` + allow + `,{"Effect":"Deny","Principal":"*","Action":"ssm:ListDocuments","Resource":"*","Condition":{"IpAddress":{"aws:VpcSourceIp":"` + nodeAddress + `"}}}]}`)
	err := list()
	if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != "AccessDeniedException" || !strings.Contains(e.Message, "VPC endpoint policy") {
		t.Errorf("against the endpoint's policy: %v", err)
	}
	ask[ssm.ListDocumentsOutput](l, "ssm", "ListDocuments", &ssm.ListDocumentsInput{})
	policy(`{"Statement":[` + allow + `]}`)
	if err := list(); err != nil {
		t.Errorf("with another policy: %v", err)
	}

	// Nothing gets through a gateway for an endpoint that there is not, and nothing that forges a header.
	stranger := l.gateway("vpce-0fffffffffffffff0", "192.168.77.1")
	refused := func(what string, transport *http.Transport) {
		t.Helper()
		c := l.client("ssm", "https://ssm."+l.Region+".amazonaws.com", transport)
		err := c.Call(t.Context(), "ListDocuments", &ssm.ListDocumentsInput{}, &ssm.ListDocumentsOutput{})
		if _, ok := errors.AsType[*api.Error](err); err == nil || ok {
			t.Errorf("%s: %v", what, err)
		}
	}
	l.await("the stranger's link", func() bool {
		text, err := os.ReadFile(stranger.log)
		return err == nil && bytes.Contains(text, []byte("linked to the control plane"))
	})
	refused("an endpoint that there is not", l.inNode("192.168.77.1"))
	forged := l.inNode(carriedServices[0].address)
	dial := forged.DialContext
	forged.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err == nil {
			_, err = conn.Write([]byte("PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n"))
		}
		return conn, err
	}
	refused("a forged header", forged)
	ask[ec2.DeleteVpcEndpointsOutput](l, "ec2", "DeleteVpcEndpoints", &ec2.DeleteVpcEndpointsInput{VpcEndpointIds: []string{endpoints["ssm"]}})
	refused("an endpoint that is deleted", l.inNode(carriedServices[0].address))
	if l.recorded("ListDocuments", func(r *linkRecord) bool { return r.VPCEndpointID == "vpce-0fffffffffffffff0" }) != nil {
		t.Error("somebody has come through an endpoint that there is not")
	}
}
