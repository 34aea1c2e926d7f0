package cmd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/service/ec2/plan"
	"github.com/vennel/vennel/wire"
)

// The names of what the lab has on this machine.
const (
	labHost = "host" // the folder of the host daemon, in the lab's
	labDesk = "desk" // the machine in the office
)

// private starts a lab with a private network.
func (l *LabUp) private(ctx context.Context, folder string, log *os.File, v *view) (*lab, error) {
	ready, server, stop, err := l.carry(ctx, folder, log, v)
	out := &lab{stop: stop}
	if err != nil {
		return out, err
	}
	seed, nodes, err := l.furnish(ctx, ready, server, v)
	if err != nil {
		return out, err
	}
	out.ready, out.ready.Nodes = ready, nodes
	network, err := clientOf(ready, "ec2")
	if err != nil {
		return out, err
	}
	out.draw = func(ctx context.Context, client *wire.Client) (string, error) {
		above, err := endpointsPicture(ctx, network)
		if err != nil {
			return "", err
		}
		below, err := picture(ctx, client)
		return above + below, err
	}
	out.explain, err = l.explain(folder, ready, seed)
	return out, err
}

// carry starts the host daemon and the server; stop ends both, in that order, whatever came of it.
func (l *LabUp) carry(ctx context.Context, folder string, log *os.File, v *view) (ready Ready, server *Server, stop func() error, err error) {
	stop = func() error { return nil }
	if _, err := wire.OpenCA(folder); err != nil { // the machines are to trust it
		return ready, nil, stop, err
	}
	dir := filepath.Join(folder, labHost)
	done := v.step("Starting the host of the network")
	endHost, err := l.startHost(ctx, folder, dir, log)
	if err != nil {
		return ready, nil, stop, err
	}
	stop = endHost
	done()
	if err := giveUpPrivileges(); err != nil {
		return ready, nil, stop, err
	}
	cfg := Config{Data: folder, SSMAgent: l.SSMAgent, Plan: plan.Options{Sites: []dataplane.Site{seedOffice}}}
	if cfg.Host, err = localHost(filepath.Join(dir, hostSocket)); err != nil {
		return ready, nil, stop, err
	}
	ready, server, endServer, err := l.serve(ctx, cfg, log, v)
	if err != nil {
		return ready, nil, stop, err
	}
	return ready, server, func() error {
		err := endServer()
		if l.Keep {
			return errors.Join(err, endHost())
		}
		done := v.step("Taking the network away")
		if gone := endHost(); gone != nil {
			return errors.Join(err, gone)
		}
		done()
		return err
	}, nil
}

// hostArguments are those of a lab's host daemon.
func hostArguments(folder string) []string {
	sum := sha256.Sum256([]byte(folder)) // several labs on a machine have folders of their own
	return []string{
		"host", "--dir", filepath.Join(folder, labHost), "--prefix", "lab" + hex.EncodeToString(sum[:3]) + "-", "--ca", filepath.Join(folder, caFile), "--attached",
	}
}

// removeLab removes a lab's folder, after what an earlier lab has left of its network: a host daemon that is told to end at
// once takes everything away.
func removeLab(folder string) error {
	if _, err := os.Stat(filepath.Join(folder, labHost)); err == nil && cannotCarry() == nil {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		c := exec.Command(self, append(hostArguments(folder), "--no-leave")...) // its standard input is empty
		c.SysProcAttr = hostAttributes()
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("removing what an earlier lab has left: %w\n%s", err, out)
		}
	}
	return os.RemoveAll(folder)
}

// startHost starts the host daemon, unless the one of an earlier lab is still there, and waits until it listens. It ends when
// this program does, however that may be, but with --keep, where it is only told to end and leaves everything in place.
func (l *LabUp) startHost(ctx context.Context, folder, dir string, log *os.File) (stop func() error, err error) {
	socket := filepath.Join(dir, hostSocket)
	if reached(ctx, socket) {
		return func() error { return nil }, nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := hostArguments(folder)
	if !l.Keep {
		args = append(args, "--no-leave")
	}
	c := exec.Command(self, args...) // it is told to stop, not killed
	c.Stdout, c.Stderr = log, log
	c.SysProcAttr = hostAttributes()
	hold, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	var told atomic.Bool
	go func() { // stop waits for it
		err := c.Wait()
		if !told.Load() {
			err = fmt.Errorf("the host daemon has ended (%s), and what it carried is there until a lab starts again", c.ProcessState)
			l.end() // without it nothing that the server is asked would be done
		}
		ended <- err
	}()
	stop = func() error {
		told.Store(true)
		_ = hold.Close() // which tells it to end
		return <-ended
	}
	deadline := time.Now().Add(labPatience)
	for !reached(ctx, socket) {
		select {
		case err := <-ended:
			return nil, err
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), stop())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return nil, errors.Join(fmt.Errorf("the host daemon does not listen on %s", socket), stop())
		}
	}
	return stop, nil
}

// reached says whether somebody listens on a unix socket.
func reached(ctx context.Context, socket string) bool {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// furnish makes the network, unless it is there, and the machine in the office, and waits until both nodes are online.
func (l *LabUp) furnish(ctx context.Context, ready Ready, server *Server, v *view) (*Seed, []string, error) {
	made := &seeder{ready: ready, clients: map[string]*wire.Client{}}
	seed, err := made.find(ctx)
	if err != nil {
		return nil, nil, err
	}
	if seed == nil {
		done := v.step("Making a VPC with a private subnet, three endpoints and an instance, and an office on a VPN")
		if seed, err = made.make(ctx, l.SSMAgent != ""); err != nil {
			return nil, nil, err
		}
		done()
	}
	code, id, err := activate(ctx, ready, 1)
	if err != nil {
		return nil, nil, err
	}
	server.network.SetHosts([]dataplane.Machine{{
		ID: labDesk, Name: labDesk, Site: seedOffice.ID, Address: seedDesk, Boot: 1, Nameservers: seedResolver,
		Init:   []string{machineProgram, "boot"},
		Env:    []string{"VENNEL_ACTIVATION_ID=" + id, "VENNEL_ACTIVATION_CODE=" + code, "VENNEL_REGION=" + ready.Region},
		Mounts: []dataplane.Mount{{To: machineProgram}},
	}})
	done := v.step("Waiting until both nodes are online, the instance and the office's machine")
	client, err := clientOf(ready, "ssm")
	if err != nil {
		return nil, nil, err
	}
	var nodes []string
	err = until(ctx, func() (bool, error) {
		nodes, err = onlineNodes(ctx, client)
		return slices.Contains(nodes, seed.Instance) && len(nodes) > 1, err
	})
	if err == nil {
		done()
	}
	return seed, nodes, err
}

// onlineNodes lists the nodes that are online.
func onlineNodes(ctx context.Context, client *wire.Client) (ids []string, err error) {
	out := new(ssm.DescribeInstanceInformationOutput)
	err = client.Call(ctx, "DescribeInstanceInformation", &ssm.DescribeInstanceInformationInput{Filters: []ssm.InstanceInformationStringFilter{
		{Key: "PingStatus", Values: []string{ssm.PingStatusOnline}},
	}}, out)
	for _, n := range out.InstanceInformationList {
		ids = append(ids, *n.InstanceId)
	}
	return ids, err
}

// explain says how to use, break and mend the lab.
func (l *LabUp) explain(folder string, ready Ready, seed *Seed) (string, error) {
	self, named, err := callName(folder, ready)
	revoke := fmt.Sprintf("security-group-ingress --group-id %s --protocol tcp --port 443 --cidr %s", seed.Groups, seedVPC)
	return fmt.Sprintf(`
To use your own aws command, in another terminal:

    eval "$(%s env%s)"

Look, break, see the instance go dark, and mend:

    %s lab exec%s web -- getent hosts ssm.%s.amazonaws.com
    aws ec2 revoke-%s
    %s lab exec%s web -- curl -sS --max-time 3 https://ssm.%s.amazonaws.com
    aws ec2 authorize-%s

Ctrl-C stops the lab%s.

`, self, named, self, named, ready.Region, revoke, self, named, ready.Region, revoke, map[bool]string{true: " and keeps it", false: " and takes everything away"}[l.Keep]), err
}

// endpointsPicture is the table of the endpoints.
func endpointsPicture(ctx context.Context, client *wire.Client) (string, error) {
	out, interfaces := new(ec2.DescribeVpcEndpointsOutput), new(ec2.DescribeNetworkInterfacesOutput)
	if err := client.Call(ctx, "DescribeVpcEndpoints", &ec2.DescribeVpcEndpointsInput{}, out); err != nil {
		return "", err
	}
	if err := client.Call(ctx, "DescribeNetworkInterfaces", &ec2.DescribeNetworkInterfacesInput{}, interfaces); err != nil {
		return "", err
	}
	address := map[string]string{}
	for _, n := range interfaces.NetworkInterfaces {
		address[*n.NetworkInterfaceId] = api.Or(n.PrivateIpAddress, "")
	}
	var b bytes.Buffer
	table := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "ENDPOINT\tSERVICE\tADDRESSES\tPRIVATE DNS\tSTATE")
	for i, e := range out.VpcEndpoints {
		if i == liveRows {
			break
		}
		var addresses []string
		for _, id := range e.NetworkInterfaceIds {
			addresses = append(addresses, address[id])
		}
		service := (*e.ServiceName)[strings.LastIndexByte(*e.ServiceName, '.')+1:]
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", *e.VpcEndpointId, service, strings.Join(addresses, " "),
			map[bool]string{true: "on", false: "off"}[api.Or(e.PrivateDnsEnabled, false)], *e.State)
	}
	fmt.Fprintln(table, "\t\t\t\t")
	if err := table.Flush(); err != nil {
		return "", err
	}
	return paint(b.String()), nil
}

// LabExec runs a command in a machine of the lab.
type LabExec struct {
	DataFlag
	Machine string   `arg:"" help:"An instance, by id or Name, or desk, the office's machine."`
	Command []string `arg:"" optional:"" passthrough:"" help:"The command and its arguments, after --; a shell without one."`
}

// Run runs it, with the terminal where there is one, and exits with its status.
func (c *LabExec) Run(ctx context.Context, s Streams) error {
	folder, err := c.folder()
	if err != nil {
		return err
	}
	if c.Data == "" {
		if folder, err = defaultFolder(labFolder); err != nil {
			return err
		}
	}
	ready, err := readReady(DataFlag{folder})
	if err != nil {
		return fmt.Errorf("no lab runs in %s; start one with vennel lab", folder)
	}
	id, err := machineOf(ctx, ready, c.Machine)
	if err != nil {
		return err
	}
	command := c.Command
	if len(command) > 0 && command[0] == "--" {
		command = command[1:]
	}
	if len(command) == 0 {
		command = []string{"/bin/bash", "-l"}
	}
	code, err := execIn(ctx, filepath.Join(folder, labHost, "machines"), id, command, s)
	if err != nil {
		return err
	}
	if code != 0 {
		return &ExitError{Code: code}
	}
	return nil
}

// machineOf finds a machine by id or by the tag Name.
func machineOf(ctx context.Context, ready Ready, name string) (string, error) {
	if name == labDesk || strings.HasPrefix(name, instancePrefix) {
		return name, nil
	}
	client, err := clientOf(ready, "ec2")
	if err != nil {
		return "", err
	}
	out := new(ec2.DescribeInstancesOutput)
	if err := client.Call(ctx, "DescribeInstances", &ec2.DescribeInstancesInput{Filters: []ec2.Filter{
		{Name: new("tag:Name"), Values: []string{name}}, {Name: new("instance-state-name"), Values: []string{"running"}},
	}}, out); err != nil {
		return "", err
	}
	for _, r := range out.Reservations {
		for _, i := range r.Instances {
			return *i.InstanceId, nil
		}
	}
	return "", fmt.Errorf("no running instance has the id or the Name %q", name)
}

// instancePrefix is how the ids of instances begin.
const instancePrefix = "i-"
