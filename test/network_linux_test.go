package test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/cmd"
	"github.com/vennel/vennel/dataplane/linux/machine"
	"github.com/vennel/vennel/dataplane/linux/netns"
	"github.com/vennel/vennel/wire"
	"github.com/vennel/vennel/wire/sigv4"
)

// The office is the network on-premises of every estate.
const (
	officeCIDR   = "192.168.50.0/24"
	officeRouter = "192.168.50.1"
	officePublic = "198.19.255.10"
)

// lostAfter is how long a node of an estate may be silent.
const lostAfter = 3 * time.Second

// estate is an unprivileged control plane and the privileged daemon that carries its networks, as `vennel serve` and `vennel host`.
type estate struct {
	folder string
	prefix string // of network namespaces
	serve  *server
	host   *daemon
	keys   sigv4.Credentials
	trust  *tls.Config
}

// daemon is a running vennel host.
type daemon struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error
}

// privileged skips, aloud, what needs root and programs; with REQUIRE=1 it fails.
func privileged(t testing.TB, programs ...string) {
	t.Helper()
	why := ""
	if os.Geteuid() != 0 {
		why = "networks need root"
	} else if ns, err := netns.New(); err != nil {
		why = "no network namespaces here: " + err.Error()
	} else if err := ns.Close(); err != nil {
		t.Fatal(err)
	}
	switch {
	case why != "" && os.Getenv("REQUIRE") == "1":
		t.Fatal(why)
	case why != "":
		t.Skip("SKIPPED: " + why)
	}
	need(t, append([]string{"nft", "ip"}, programs...)...)
}

// newEstate starts both. At the end everything is removed, and it is seen that nothing is left.
func newEstate(t testing.TB, args ...string) *estate {
	t.Helper()
	privileged(t)
	folder, err := os.MkdirTemp("", "vn-*") // short, for the sockets in it
	if err != nil {
		t.Fatal(err)
	}
	e := &estate{folder: folder, prefix: "v" + strings.ToLower(strings.TrimLeft(filepath.Base(folder), "vn-")) + "-"}
	e.serve, err = startServer(filepath.Join(folder, "data"), append([]string{
		"--host", e.socket(), "--site", "office=" + officeCIDR + "@" + officePublic, "--lost-after", lostAfter.String(),
	}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.end(t) })
	if e.keys, err = cmd.ReadCredentials(e.serve.Credentials); err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(e.serve.CA)
	if err != nil {
		t.Fatal(err)
	}
	e.trust = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	e.trust.RootCAs.AppendCertsFromPEM(pem)
	if err := e.startHost(); err != nil {
		t.Fatal(err)
	}
	return e
}

// socket is that of the daemon.
func (e *estate) socket() string { return filepath.Join(e.folder, "host", "host.sock") }

// machines is the folder of the machines.
func (e *estate) machines() string { return filepath.Join(e.folder, "host", "machines") }

// startHost starts the daemon.
func (e *estate) startHost() error {
	log, err := os.OpenFile(filepath.Join(e.folder, "host.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the daemon has its own
	d := &daemon{ended: make(chan struct{})}
	d.cmd = exec.Command(program, "host", "--dir", filepath.Join(e.folder, "host"), "--prefix", e.prefix, "--listen", e.socket(),
		"--ca", e.serve.CA, "--no-leave")
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.cmd.Start(); err != nil {
		return err
	}
	go func() { d.err = d.cmd.Wait(); close(d.ended) }()
	e.host = d
	return nil
}

// killHost ends the daemon without warning.
func (e *estate) killHost() {
	_ = e.host.cmd.Process.Kill()
	<-e.host.ended
}

// end stops both and looks for what is left of them.
func (e *estate) end(t testing.TB) {
	if t.Failed() {
		t.Logf("control plane:\n%s", tail(e.serve.logged()))
		log, _ := os.ReadFile(filepath.Join(e.folder, "host.log"))
		t.Logf("host:\n%s", tail(string(log)))
	}
	if err := e.serve.stop(); err != nil {
		t.Error(err)
	}
	if e.host != nil {
		_ = e.host.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-e.host.ended:
			if e.host.err != nil {
				t.Errorf("the host: %v", e.host.err)
			}
		case <-time.After(patience):
			t.Error("the host did not stop")
			e.killHost()
		}
	}
	for _, left := range e.left() {
		t.Errorf("left behind: %s", left)
	}
	if err := os.RemoveAll(e.folder); err != nil {
		t.Error(err)
	}
}

// tail is the end of a text.
func tail(text string) string { return text[max(0, len(text)-6000):] }

// left is what there is of the estate on this machine: network namespaces, processes, cgroups, disks.
func (e *estate) left() (list []string) {
	names, _ := filepath.Glob("/run/netns/" + e.prefix + "*")
	disks, _ := filepath.Glob(filepath.Join(e.machines(), "i-*"))
	list = append(names, disks...)
	sum := sha256.Sum256([]byte(e.machines()))
	group := "vennel-" + hex.EncodeToString(sum[:4])
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == group {
			list = append(list, path)
		}
		return nil
	})
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range commands {
		if line, err := os.ReadFile(file); err == nil && bytes.Contains(line, []byte(e.folder)) {
			list = append(list, file+": "+string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return list
}

// vennel runs the program against the estate and gives what it prints.
func (e *estate) vennel(t testing.TB, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), program, append(args, "--data", e.serve.data)...)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("vennel %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// area is the API of a Region as the administrator sees it.
type area struct {
	*estate
	region string
}

// in is the API of a Region.
func (e *estate) in(region string) *area { return &area{e, region} }

// signer signs a client's requests.
func signer(keys sigv4.Credentials, region, service string) func(context.Context, *http.Request, []byte) error {
	return func(_ context.Context, r *http.Request, body []byte) error {
		return sigv4.Sign(r, sigv4.HashPayload(body), keys, region, service, time.Now())
	}
}

// call calls an operation of a service.
func (a *area) call(ctx context.Context, service, operation string, in, out any) error {
	c := &wire.Client{Service: service, Endpoint: a.serve.HTTP, HTTP: http.DefaultClient, Sign: signer(a.keys, a.region, service)}
	return c.Call(ctx, operation, in, out)
}

// do calls an operation that must succeed.
func do[Out, In any](t testing.TB, a *area, service, operation string, in *In) *Out {
	t.Helper()
	out := new(Out)
	if err := a.call(t.Context(), service, operation, in, out); err != nil {
		t.Fatalf("%s: %v", operation, err)
	}
	return out
}

// act calls an operation that must succeed, and whose answer is of no interest.
func act(t testing.TB, a *area, service, operation string, in any) {
	t.Helper()
	if err := a.call(t.Context(), service, operation, in, nil); err != nil {
		t.Fatalf("%s: %v", operation, err)
	}
}

// refuses calls an operation that must be refused with a code, and gives the message.
func (a *area) refuses(t testing.TB, code, service, operation string, in, out any) string {
	t.Helper()
	err := a.call(t.Context(), service, operation, in, out)
	var said *api.Error
	if !errors.As(err, &said) || said.Code != code {
		t.Errorf("%s: %v, want %s", operation, err, code)
		return ""
	}
	return said.Message
}

// await waits until something is so. The last text says what was so instead.
func await(t testing.TB, what string, is func() (string, bool)) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		got, ok := is()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %s", what, got)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// vpc is a VPC with its main route table, default network ACL and default group.
type vpc struct {
	*area
	id, cidr           string
	table, acl, usual  string
	subnets, endpoints map[string]string // by the name that the test gives, and by service
}

// newVPC makes a VPC with DNS host names, so that endpoints may have private names.
func (a *area) newVPC(t testing.TB, cidr string) *vpc {
	t.Helper()
	v := &vpc{area: a, cidr: cidr, subnets: map[string]string{}, endpoints: map[string]string{}}
	v.id = *do[ec2.CreateVpcOutput](t, a, "ec2", "CreateVpc", &ec2.CreateVpcInput{CidrBlock: &cidr}).Vpc.VpcId
	v.attribute(t, true)
	mine := []ec2.Filter{{Name: new("vpc-id"), Values: []string{v.id}}}
	v.table = *do[ec2.DescribeRouteTablesOutput](t, a, "ec2", "DescribeRouteTables", &ec2.DescribeRouteTablesInput{Filters: mine}).RouteTables[0].RouteTableId
	v.acl = *do[ec2.DescribeNetworkAclsOutput](t, a, "ec2", "DescribeNetworkAcls", &ec2.DescribeNetworkAclsInput{Filters: mine}).NetworkAcls[0].NetworkAclId
	v.usual = *do[ec2.DescribeSecurityGroupsOutput](t, a, "ec2", "DescribeSecurityGroups", &ec2.DescribeSecurityGroupsInput{Filters: mine}).SecurityGroups[0].GroupId
	return v
}

// attribute sets enableDnsHostnames.
func (v *vpc) attribute(t testing.TB, hostnames bool) {
	t.Helper()
	act(t, v.area, "ec2", "ModifyVpcAttribute", &ec2.ModifyVpcAttributeInput{
		VpcId: v.id, EnableDnsHostnames: &ec2.AttributeBooleanValue{Value: &hostnames},
	})
}

// subnet makes a subnet in a zone.
func (v *vpc) subnet(t testing.TB, name, cidr, zone string) string {
	t.Helper()
	id := *do[ec2.CreateSubnetOutput](t, v.area, "ec2", "CreateSubnet", &ec2.CreateSubnetInput{
		VpcId: v.id, CidrBlock: &cidr, AvailabilityZone: new(v.region + zone),
	}).Subnet.SubnetId
	v.subnets[name] = id
	return id
}

// port is a permission of one port for ranges.
func port(protocol string, number int64, cidrs ...string) ec2.IpPermission {
	p := ec2.IpPermission{IpProtocol: &protocol, FromPort: &number, ToPort: &number}
	for _, cidr := range cidrs {
		p.IpRanges = append(p.IpRanges, ec2.IpRange{CidrIp: new(cidr)})
	}
	return p
}

// group makes a security group with what it lets in. It lets everything out.
func (v *vpc) group(t testing.TB, name string, in ...ec2.IpPermission) string {
	t.Helper()
	id := *do[ec2.CreateSecurityGroupOutput](t, v.area, "ec2", "CreateSecurityGroup", &ec2.CreateSecurityGroupInput{
		VpcId: &v.id, GroupName: name, Description: name,
	}).GroupId
	if len(in) > 0 {
		v.permit(t, id, in...)
	}
	return id
}

// permit adds what a group lets in.
func (v *vpc) permit(t testing.TB, group string, in ...ec2.IpPermission) {
	t.Helper()
	act(t, v.area, "ec2", "AuthorizeSecurityGroupIngress", &ec2.AuthorizeSecurityGroupIngressInput{GroupId: &group, IpPermissions: in})
}

// forbid takes away what a group lets in.
func (v *vpc) forbid(t testing.TB, group string, in ...ec2.IpPermission) {
	t.Helper()
	act(t, v.area, "ec2", "RevokeSecurityGroupIngress", &ec2.RevokeSecurityGroupIngressInput{GroupId: &group, IpPermissions: in})
}

// endpoint makes an interface endpoint with an address in a subnet, and waits until it is available.
func (v *vpc) endpoint(t testing.TB, service, subnet, address, group string) string {
	t.Helper()
	id := *do[ec2.CreateVpcEndpointOutput](t, v.area, "ec2", "CreateVpcEndpoint", &ec2.CreateVpcEndpointInput{
		VpcId: v.id, VpcEndpointType: new(ec2.VpcEndpointTypeInterface), ServiceName: new(v.service(service)), SubnetIds: []string{v.subnets[subnet]},
		SubnetConfigurations: []ec2.SubnetConfiguration{{SubnetId: new(v.subnets[subnet]), Ipv4: &address}}, SecurityGroupIds: []string{group},
	}).VpcEndpoint.VpcEndpointId
	v.endpoints[service] = id
	v.available(t, id)
	return id
}

// service is the name of an endpoint service.
func (a *area) service(name string) string { return "com.amazonaws." + a.region + "." + name }

// available waits until endpoints are.
func (v *vpc) available(t testing.TB, ids ...string) {
	t.Helper()
	await(t, "endpoints to be available", func() (got string, ok bool) {
		ok = true
		for _, e := range do[ec2.DescribeVpcEndpointsOutput](t, v.area, "ec2", "DescribeVpcEndpoints", &ec2.DescribeVpcEndpointsInput{VpcEndpointIds: ids}).VpcEndpoints {
			got, ok = got+" "+*e.State, ok && *e.State == "available"
		}
		return got, ok
	})
}

// drop deletes an endpoint, and waits until it is gone.
func (v *vpc) drop(t testing.TB, id string) {
	t.Helper()
	act(t, v.area, "ec2", "DeleteVpcEndpoints", &ec2.DeleteVpcEndpointsInput{VpcEndpointIds: []string{id}})
	await(t, "the endpoint to be gone", func() (string, bool) {
		out := do[ec2.DescribeVpcEndpointsOutput](t, v.area, "ec2", "DescribeVpcEndpoints", &ec2.DescribeVpcEndpointsInput{
			Filters: []ec2.Filter{{Name: new("vpc-endpoint-id"), Values: []string{id}}},
		})
		return "it is still there", len(out.VpcEndpoints) == 0
	})
}

// policy gives an endpoint a policy; "" for the default one.
func (v *vpc) policy(t testing.TB, endpoint, document string) {
	t.Helper()
	in := &ec2.ModifyVpcEndpointInput{VpcEndpointId: endpoint, PolicyDocument: &document}
	if document == "" {
		in.PolicyDocument, in.ResetPolicy = nil, new(true)
	}
	act(t, v.area, "ec2", "ModifyVpcEndpoint", in)
}

// route adds a route to the main route table.
func (v *vpc) route(t testing.TB, in *ec2.CreateRouteInput) {
	t.Helper()
	in.RouteTableId = v.table
	act(t, v.area, "ec2", "CreateRoute", in)
}

// unroute takes it away.
func (v *vpc) unroute(t testing.TB, cidr string) {
	t.Helper()
	act(t, v.area, "ec2", "DeleteRoute", &ec2.DeleteRouteInput{RouteTableId: v.table, DestinationCidrBlock: &cidr})
}

// The images, as their names are.
const (
	bareImage     = "vennel-linux-bare"
	agentImage    = "vennel-linux-agent"
	officialImage = "vennel-linux-ssm-agent"
)

// guest is an instance.
type guest struct {
	*place
	vpc     *vpc
	id, eni string
}

// launch starts an instance with an address in a subnet.
func (v *vpc) launch(t testing.TB, image, subnet, address, profile string, groups ...string) *guest {
	t.Helper()
	images := do[ec2.DescribeImagesOutput](t, v.area, "ec2", "DescribeImages", &ec2.DescribeImagesInput{
		Filters: []ec2.Filter{{Name: new("name"), Values: []string{image}}},
	}).Images
	if len(images) != 1 {
		t.Fatalf("there are %d images %s", len(images), image)
	}
	in := &ec2.RunInstancesInput{
		ImageId: images[0].ImageId, InstanceType: new("t3.micro"), MinCount: 1, MaxCount: 1, SubnetId: new(v.subnets[subnet]), PrivateIpAddress: &address,
		SecurityGroupIds: groups, MetadataOptions: &ec2.InstanceMetadataOptionsRequest{HttpTokens: new("required")},
	}
	if profile != "" {
		in.IamInstanceProfile = &ec2.IamInstanceProfileSpecification{Name: &profile}
	}
	i := do[ec2.RunInstancesOutput](t, v.area, "ec2", "RunInstances", in).Instances[0]
	g := &guest{vpc: v, id: *i.InstanceId, eni: *i.NetworkInterfaces[0].NetworkInterfaceId}
	base := netip.MustParsePrefix(v.cidr).Addr().Next().Next()
	g.place = &place{e: v.estate, region: v.region, name: g.id, address: netip.MustParseAddr(address), dns: base, open: func() (*os.File, error) { return v.machine(g.id) }}
	return g
}

// machine opens the network namespace of a machine.
func (e *estate) machine(id string) (*os.File, error) {
	text, err := os.ReadFile(filepath.Join(e.machines(), id, "run.json"))
	if err != nil {
		return nil, err
	}
	var run struct{ Process struct{ Pid int } }
	if err := json.Unmarshal(text, &run); err != nil {
		return nil, err
	}
	if run.Process.Pid == 0 {
		return nil, fmt.Errorf("%s does not run", id)
	}
	return os.Open(fmt.Sprintf("/proc/%d/ns/net", run.Process.Pid))
}

// running waits until instances run.
func running(t testing.TB, guests ...*guest) {
	t.Helper()
	for _, g := range guests {
		await(t, "the instance to run", func() (string, bool) {
			out := do[ec2.DescribeInstancesOutput](t, g.vpc.area, "ec2", "DescribeInstances", &ec2.DescribeInstancesInput{InstanceIds: []string{g.id}})
			state := *out.Reservations[0].Instances[0].State.Name
			if state != "running" {
				return state, false
			}
			_, err := g.exec(t.Context(), "true")
			return fmt.Sprint(err), err == nil
		})
	}
}

// exec runs a command line in the instance, as root, and gives what it prints.
func (g *guest) exec(ctx context.Context, line string) (string, error) {
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	status, err := machine.Exec(ctx, g.e.machines(), g.id, machine.ExecConfig{Argv: []string{"/bin/bash", "-c", line}, Stdout: &out, Stderr: &out})
	if err == nil && status != 0 {
		err = fmt.Errorf("exit status %d", status)
	}
	return strings.TrimSpace(out.String()), err
}

// must runs a command line that must succeed.
func (g *guest) must(t testing.TB, line string) string {
	t.Helper()
	out, err := g.exec(t.Context(), line)
	if err != nil {
		t.Fatalf("%s: %s: %v\n%s", g.id, line, err, out)
	}
	return out
}

// reboot has the instance begin again, with its agent.
func (g *guest) reboot(t testing.TB) {
	t.Helper()
	act(t, g.vpc.area, "ec2", "RebootInstances", &ec2.RebootInstancesInput{InstanceIds: []string{g.id}})
}

// stop stops the instance and waits until it is.
func (g *guest) stop(t testing.TB) {
	t.Helper()
	act(t, g.vpc.area, "ec2", "StopInstances", &ec2.StopInstancesInput{InstanceIds: []string{g.id}})
	await(t, "the instance to stop", func() (string, bool) {
		out := do[ec2.DescribeInstancesOutput](t, g.vpc.area, "ec2", "DescribeInstances", &ec2.DescribeInstancesInput{InstanceIds: []string{g.id}})
		state := *out.Reservations[0].Instances[0].State.Name
		return state, state == "stopped"
	})
}

// place is somewhere from which the network is tried.
type place struct {
	e       *estate
	region  string
	name    string
	address netip.Addr
	dns     netip.Addr // the resolver that it asks
	open    func() (*os.File, error)
	device  string // through which alone its packets go; "" for any
	keys    *sigv4.Credentials
}

// office is the router of the network on-premises.
func (e *estate) office(resolver string) *place {
	p := &place{e: e, region: "us-east-1", name: "office", address: netip.MustParseAddr(officeRouter), open: func() (*os.File, error) { return netns.Open("/run/netns/" + e.prefix + "office") }}
	if resolver != "" {
		p.dns = netip.MustParseAddr(resolver)
	}
	return p
}

// How long a probe waits for what should not come.
const silence = 500 * time.Millisecond

// What comes of a probe.
const (
	reached = "reached"
	silent  = "timeout"
	refused = "refused"
)

// dial connects to an address.
func (p *place) dial(network, to string, wait time.Duration) (net.Conn, error) {
	ns, err := p.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = ns.Close() }() // the socket stays in it
	var c net.Conn
	err = netns.Do(ns, func() (err error) {
		d := net.Dialer{Timeout: wait, FallbackDelay: -1}
		if network == "tcp" {
			d.LocalAddr = &net.TCPAddr{IP: p.address.AsSlice()}
		} else {
			d.LocalAddr = &net.UDPAddr{IP: p.address.AsSlice()}
		}
		if p.device != "" {
			d.Control = func(_, _ string, raw syscall.RawConn) (err error) {
				if e := raw.Control(func(fd uintptr) {
					err = syscall.SetsockoptString(int(fd), syscall.SOL_SOCKET, syscall.SO_BINDTODEVICE, p.device)
				}); e != nil {
					return e
				}
				return err
			}
		}
		c, err = d.Dial(network, to)
		return err
	})
	return c, err
}

// outcome is an error in a word.
func outcome(err error) string {
	var late net.Error
	switch {
	case err == nil:
		return reached
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF):
		return refused
	case errors.As(err, &late) && late.Timeout(), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, context.DeadlineExceeded):
		return silent
	}
	return err.Error()
}

// probe says what comes of a connection.
func (p *place) probe(to string, wait time.Duration) string {
	c, err := p.dial("tcp", to, wait)
	if err == nil {
		_ = c.Close()
	}
	return outcome(err)
}

// reaches waits until a connection to an address has an outcome.
func (p *place) reaches(t testing.TB, to, want string) {
	t.Helper()
	wait := patience / 6
	if want == silent {
		wait = silence
	}
	await(t, fmt.Sprintf("from %s to %s, want %s", p.name, to, want), func() (string, bool) {
		got := p.probe(to, wait)
		return got, got == want
	})
}

// resolve asks for the addresses of a name, at the resolver that the place asks. As every client does, it asks again when a packet is lost.
func (p *place) resolve(name string, wait time.Duration) (list []string, err error) {
	for deadline := time.Now().Add(wait); ; {
		list, err = p.question(name, min(wait, time.Second))
		if outcome(err) != silent || time.Now().After(deadline) {
			return list, err
		}
	}
}

// question asks once.
func (p *place) question(name string, wait time.Duration) ([]string, error) {
	c, err := p.dial("udp", netip.AddrPortFrom(p.dns, 53).String(), wait)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }() // it has been read
	_ = c.SetDeadline(time.Now().Add(wait))
	question := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA)
	conn := &dns.Conn{Conn: c}
	if err := conn.WriteMsg(question); err != nil {
		return nil, err
	}
	answer, err := conn.ReadMsg()
	if err != nil {
		return nil, err
	}
	if answer.Rcode != dns.RcodeSuccess {
		return nil, errors.New(dns.RcodeToString[answer.Rcode])
	}
	list := []string{}
	for _, r := range answer.Answer {
		if a, ok := r.(*dns.A); ok {
			list = append(list, a.A.String())
		}
	}
	slices.Sort(list)
	return list, nil
}

// resolves waits until a name has these addresses; none wait for no answer, or for one without addresses.
func (p *place) resolves(t testing.TB, name string, want ...string) {
	t.Helper()
	wait := patience / 6
	if len(want) == 0 {
		wait = silence
	}
	await(t, fmt.Sprintf("%s asks for %s, want %v", p.name, name, want), func() (string, bool) {
		got, err := p.resolve(name, wait)
		return fmt.Sprint(got, err), slices.Equal(got, want) && (err == nil || len(want) == 0)
	})
}

// client is a client of a service that asks for its name, and connects, from here.
func (p *place) client(service, host string, wait time.Duration) *wire.Client {
	transport := &http.Transport{TLSClientConfig: p.e.trust.Clone(), DisableKeepAlives: true, DialContext: func(_ context.Context, _, to string) (net.Conn, error) {
		name, number, err := net.SplitHostPort(to)
		if err != nil {
			return nil, err
		}
		list := []string{name}
		if _, err := netip.ParseAddr(name); err != nil {
			if list, err = p.resolve(name, wait); err != nil {
				return nil, err
			}
			if len(list) == 0 {
				return nil, errors.New("no addresses")
			}
		}
		return p.dial("tcp", net.JoinHostPort(list[0], number), wait)
	}}
	c := &wire.Client{Service: service, Endpoint: "https://" + host, HTTP: &http.Client{Transport: transport, Timeout: wait}, Region: p.region}
	if p.keys != nil {
		c.Sign = signer(*p.keys, p.region, service)
	}
	return c
}

// host is the Regional name of a service.
func (p *place) host(service string) string { return service + "." + p.region + ".amazonaws.com" }

// said is what comes of a call in words: an error's code and message, or the outcome of the connection.
func said(err error) string {
	var answer *api.Error
	if errors.As(err, &answer) {
		return answer.Code + ": " + answer.Message
	}
	return outcome(err)
}

// list is a call that any node can be allowed: it lists documents.
func (p *place) list(host string, wait time.Duration) error {
	return p.client("ssm", host, wait).Call(context.Background(), "ListDocuments", &ssm.ListDocumentsInput{}, &ssm.ListDocumentsOutput{})
}

// lists waits until the call has an outcome: reached, timeout, refused, or the beginning of an error's code and message.
func (p *place) lists(t testing.TB, want string) {
	t.Helper()
	p.listsAt(t, p.host("ssm"), want)
}

// listsAt is lists at another name of the service.
func (p *place) listsAt(t testing.TB, host, want string) {
	t.Helper()
	wait := patience / 6
	if want == silent {
		wait = silence
	}
	await(t, fmt.Sprintf("from %s, ListDocuments at %s, want %s", p.name, host, want), func() (string, bool) {
		got := said(p.list(host, wait))
		return got, strings.HasPrefix(got, want)
	})
}

// borrow takes the credentials of the role that the instance has, from its metadata.
func (g *guest) borrow(t testing.TB) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(_ context.Context, _, to string) (net.Conn, error) { return g.dial("tcp", to, patience/6) }}
	ask := func(method, path, header, value string) (string, error) {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://169.254.169.254/latest/"+path, nil)
		if err != nil {
			return "", err
		}
		r.Header.Set(header, value)
		answer, err := (&http.Client{Transport: transport}).Do(r)
		if err != nil {
			return "", err
		}
		defer func() { _ = answer.Body.Close() }() // it has been read
		body, err := io.ReadAll(answer.Body)
		if err == nil && answer.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", path, answer.Status)
		}
		return string(body), err
	}
	await(t, "credentials of "+g.id, func() (string, bool) {
		token, err := ask(http.MethodPut, "api/token", "X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
		if err != nil {
			return err.Error(), false
		}
		const folder = "meta-data/iam/security-credentials/"
		role, err := ask(http.MethodGet, folder, "X-Aws-Ec2-Metadata-Token", token)
		if err != nil {
			return err.Error(), false
		}
		text, err := ask(http.MethodGet, folder+strings.TrimSpace(role), "X-Aws-Ec2-Metadata-Token", token)
		if err != nil {
			return err.Error(), false
		}
		var keys struct{ AccessKeyId, SecretAccessKey, Token string }
		if err := json.Unmarshal([]byte(text), &keys); err != nil {
			return err.Error(), false
		}
		g.keys = &sigv4.Credentials{AccessKeyID: keys.AccessKeyId, SecretAccessKey: keys.SecretAccessKey, SessionToken: keys.Token}
		return "", true
	})
}

// trusts are the trust policies of instances and of machines on-premises.
func trusts(service string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + service + `"},"Action":"sts:AssumeRole"}]}`
}

// corePolicy lets an agent be managed.
const corePolicy = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"

// role makes a role with a profile of the same name, which may be managed and do some actions more.
func (e *estate) role(t testing.TB, name string, actions ...string) {
	t.Helper()
	a := e.in("us-east-1")
	service := "ec2.amazonaws.com"
	if strings.HasPrefix(name, "Hybrid") {
		service = "ssm.amazonaws.com"
	}
	do[iam.CreateRoleOutput](t, a, "iam", "CreateRole", &iam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: trusts(service)})
	act(t, a, "iam", "AttachRolePolicy", &iam.AttachRolePolicyInput{RoleName: name, PolicyArn: corePolicy})
	if len(actions) > 0 {
		act(t, a, "iam", "PutRolePolicy", &iam.PutRolePolicyInput{RoleName: name, PolicyName: "more", PolicyDocument: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["` +
			strings.Join(actions, `","`) + `"],"Resource":"*"}]}`})
	}
	if service == "ec2.amazonaws.com" {
		do[iam.CreateInstanceProfileOutput](t, a, "iam", "CreateInstanceProfile", &iam.CreateInstanceProfileInput{InstanceProfileName: name})
		act(t, a, "iam", "AddRoleToInstanceProfile", &iam.AddRoleToInstanceProfileInput{InstanceProfileName: name, RoleName: name})
	}
}

// ping is a node's ping status; "" for one that is not known.
func (a *area) ping(t testing.TB, node string) string {
	t.Helper()
	out := do[ssm.DescribeInstanceInformationOutput](t, a, "ssm", "DescribeInstanceInformation", &ssm.DescribeInstanceInformationInput{
		Filters: []ssm.InstanceInformationStringFilter{{Key: "InstanceIds", Values: []string{node}}},
	})
	if len(out.InstanceInformationList) == 0 {
		return ""
	}
	return *out.InstanceInformationList[0].PingStatus
}

// online waits until nodes are.
func (a *area) online(t testing.TB, nodes ...string) {
	t.Helper()
	for _, node := range nodes {
		await(t, node+" to be Online", func() (string, bool) { got := a.ping(t, node); return got, got == "Online" })
	}
}

// send sends a command line to nodes.
func (a *area) send(t testing.TB, line string, nodes ...string) string {
	t.Helper()
	return *do[ssm.SendCommandOutput](t, a, "ssm", "SendCommand", &ssm.SendCommandInput{
		DocumentName: "AWS-RunShellScript", InstanceIds: nodes, Parameters: map[string][]string{"commands": {line}},
	}).Command.CommandId
}

// invocation is the status of a command on a node, and what it said.
func (a *area) invocation(t testing.TB, command, node string) (status, output string) {
	t.Helper()
	out := new(ssm.GetCommandInvocationOutput)
	if err := a.call(t.Context(), "ssm", "GetCommandInvocation", &ssm.GetCommandInvocationInput{CommandId: command, InstanceId: node}, out); err != nil {
		return err.Error(), ""
	}
	return *out.Status, strings.TrimSpace(*out.StandardOutputContent)
}

// runs runs a command line on nodes and wants it to say something on each.
func (a *area) runs(t testing.TB, line, want string, nodes ...string) {
	t.Helper()
	command := a.send(t, line, nodes...)
	for _, node := range nodes {
		await(t, "the command on "+node, func() (string, bool) {
			status, output := a.invocation(t, command, node)
			return status + " " + output, status == "Success" && output == want
		})
	}
}

// record is what a test wants of an audit record.
type record struct {
	EventName, ErrorCode, ErrorMessage, SourceIPAddress string
	VPCEndpointID                                       string `json:"vpcEndpointId"`
	UserIdentity                                        struct{ ARN string }
}

// audited gives the records of an operation, the newest first, as `vennel audit` shows them.
func (e *estate) audited(t testing.TB, operation string) (list []record) {
	t.Helper()
	lines := bufio.NewScanner(strings.NewReader(e.vennel(t, "audit", "--operation", operation, "--output", "json", "--limit", "200")))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%v: %s", err, lines.Text())
		}
		list = append(list, r)
	}
	return list
}

// ip runs the ip command in a network namespace of the host's, by the id of what it is of.
func (e *estate) ip(t testing.TB, id string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ip", append([]string{"-n", e.prefix + id}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %v: %v: %s", args, err, out)
	}
	return string(out)
}

// packets is how many packets have gone out on a device of a namespace, and come in.
func (e *estate) packets(t testing.TB, id, device string) (out, in int) {
	t.Helper()
	var links []struct {
		Stats64 struct{ RX, TX struct{ Packets int } } `json:"stats64"`
	}
	if err := json.Unmarshal([]byte(e.ip(t, id, "-s", "-j", "link", "show", "dev", device)), &links); err != nil {
		t.Fatal(err)
	}
	return links[0].Stats64.TX.Packets, links[0].Stats64.RX.Packets
}

// within runs a program in a network namespace until the test ends.
func (p *place) within(t testing.TB, argv ...string) {
	t.Helper()
	ns, err := p.open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ns.Close() }() // the program stays in it
	c := exec.Command(argv[0], argv[1:]...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := netns.Do(ns, c.Start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", argv[0], out.String())
		}
	})
}

// listen answers on a port of a place until the test ends, with the address that whoever connects comes from.
func (p *place) listen(t testing.TB, number int) {
	t.Helper()
	ns, err := p.open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ns.Close() }() // the socket stays in it
	var l net.Listener
	if err := netns.Do(ns, func() (err error) { l, err = net.Listen("tcp4", ":"+strconv.Itoa(number)); return err }); err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wait.Go(func() {
				defer func() { _ = c.Close() }() // it has been told
				fmt.Fprintln(c, c.RemoteAddr())
				_, _ = io.Copy(c, c)
			})
		}
	})
	t.Cleanup(func() { _ = l.Close() })
}
