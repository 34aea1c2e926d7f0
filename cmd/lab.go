package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/wire"
)

// Lab is a private network on this machine to try, break and mend.
type Lab struct {
	Up   LabUp   `cmd:"" default:"withargs" help:"Start it, show a command run on its nodes, and stay up."`
	Exec LabExec `cmd:"" help:"Run a command in one of its machines; a shell without one."`
}

// LabUp starts a server, a private network with an instance in it and an office beside it, and shows them. Where no private
// network can be, it starts a managed node on this machine instead.
type LabUp struct {
	DataFlag
	HTTP     string `default:"127.0.0.1:4566" env:"VENNEL_HTTP" placeholder:"ADDR" help:"Address for plain HTTP; another is taken when it is in use."`
	HTTPS    string `default:"127.0.0.1:4443" env:"VENNEL_HTTPS" placeholder:"ADDR" help:"Address for HTTPS and agents; another is taken when it is in use."`
	Keep     bool   `help:"Leave everything in place when it stops; the next start goes on with it."`
	Plain    bool   `help:"No private network: a server and nodes on this machine."`
	Nodes    int    `default:"1" help:"How many nodes to start, with --plain."`
	SSMAgent string `name:"ssm-agent" type:"existingdir" placeholder:"DIR" env:"VENNEL_SSM_AGENT" help:"The folder of the official SSM Agent's programs: the instance then has it."`

	end context.CancelFunc // ends a lab that runs
}

// The names of what the lab makes.
const (
	labRole   = "LabNodeRole"
	labPolicy = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
	labTrust  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ssm.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
)

// labCommand is what the lab runs to show that it works.
const labCommand = `echo Hello from $(uname -n), a managed node`

// labPatience is how long a node may take to come online, and a command to run.
const labPatience = 30 * time.Second

// lab is what has been started.
type lab struct {
	ready   Ready        // with the nodes that are online
	stop    func() error // ends it, whatever came of it
	explain string       // what a user can do with it
	draw    func(context.Context, *wire.Client) (string, error)
}

// Run starts everything, shows it, and waits for the signal to stop.
func (l *LabUp) Run(ctx context.Context, s Streams) (err error) {
	ctx, l.end = context.WithCancel(ctx)
	defer l.end()
	v, up := newView(s.Out), l.private
	if l.Plain {
		up = l.plain
	} else if why := cannotCarry(); why != nil {
		v.say("No private network: %v. This is a server and a node instead.\n\n", why)
		up = l.plain
	}
	folder, remove, err := l.scratch(ctx)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(folder, "lab.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // each line was written at once
	started, err := up(ctx, folder, log, v)
	defer func() {
		if err = errors.Join(err, started.stop()); err == nil {
			err = remove()
		} else {
			err = fmt.Errorf("%w; see %s", err, log.Name())
		}
	}()
	switch {
	case err != nil && ctx.Err() != nil:
		return nil // it was told to stop before it was up
	case err != nil:
		return err
	case !v.terminal:
		if err := sayReady(s.Out, folder, started.ready); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	}
	client, err := clientOf(started.ready, "ssm")
	if err != nil {
		return err
	}
	if err := l.show(ctx, client, v, started.ready.Nodes); ctx.Err() != nil {
		return nil // it was told to stop meanwhile
	} else if err != nil {
		return err
	}
	v.say("%s", started.explain)
	return v.live(ctx, client, started.draw)
}

// plain starts a lab without a private network.
func (l *LabUp) plain(ctx context.Context, folder string, log *os.File, v *view) (*lab, error) {
	out := &lab{draw: picture, stop: func() error { return nil }}
	ready, _, stop, err := l.serve(ctx, Config{Data: folder}, log, v)
	if err != nil {
		return out, err
	}
	out.stop = stop
	nodes, ids, err := l.startNodes(ctx, folder, ready, log, v)
	out.stop = func() error { nodes.stop(); return stop() }
	if err != nil {
		return out, err
	}
	out.ready, out.ready.Nodes = ready, ids
	self, named, err := callName(folder, ready)
	out.explain = fmt.Sprintf(`
To use your own aws command, in another terminal:

    eval "$(%s env%s)"
    aws ssm describe-instance-information

Ctrl-C stops the lab.

`, self, named)
	return out, err
}

// callName is how a user calls this program, and names a folder where it is not the one that is found without a name.
func callName(folder string, ready Ready) (self, named string, err error) {
	if self, err = os.Executable(); err != nil {
		return "", "", err
	}
	if found, err := readReady(DataFlag{}); err != nil || found.HTTP != ready.HTTP {
		named = " --data " + quote(folder)
	}
	return shorten(self), named, nil
}

// labFolder is the name of the folder of a lab that is given none.
const labFolder = "vennel-lab"

// scratch is the lab's folder: the one that was named, or one that goes away with the lab. What a
// lab that was killed has left there goes first.
func (l *LabUp) scratch(ctx context.Context) (folder string, remove func() error, err error) {
	stays := func() error { return nil }
	if l.Data != "" {
		if folder, err = l.folder(); err != nil {
			return "", nil, err
		}
		return folder, stays, os.MkdirAll(folder, 0o700)
	}
	if folder, err = defaultFolder(labFolder); err != nil {
		return "", nil, err
	}
	if r, err := readReady(DataFlag{folder}); err == nil {
		endpoint := cmp.Or(r.HTTP, r.HTTPS)
		_, address, _ := strings.Cut(endpoint, "://")
		var dialer net.Dialer
		if conn, err := dialer.DialContext(ctx, "tcp", address); err == nil {
			return "", nil, errors.Join(fmt.Errorf("a lab runs already, on %s; name another folder with --data to have one more", endpoint), conn.Close())
		}
	}
	if l.Keep {
		return folder, stays, os.MkdirAll(folder, 0o700)
	}
	if err := removeLab(folder); err != nil {
		return "", nil, err
	}
	return folder, func() error { return os.RemoveAll(folder) }, os.MkdirAll(folder, 0o700)
}

// serve starts the server in this process.
func (l *LabUp) serve(ctx context.Context, cfg Config, log io.Writer, v *view) (Ready, *Server, func() error, error) {
	s := Serve{HTTP: l.HTTP, HTTPS: l.HTTPS, Region: "us-east-1", Account: "000000000000"}
	sockets, err := s.listen(ctx)
	if err != nil {
		s.HTTP, s.HTTPS = other(l.HTTP), other(l.HTTPS)
		if sockets, err = s.listen(ctx); err != nil {
			return Ready{}, nil, nil, err
		}
	}
	ready := sockets.ready(cfg.Data, &s)
	done := v.step("Starting the server on %s", ready.HTTP)
	serving, stop := context.WithCancel(ctx)
	up, ended := make(chan *Server, 1), make(chan error, 1)
	cfg.Region, cfg.Account, cfg.Log = s.Region, s.Account, slog.New(slog.NewTextHandler(log, nil))
	go func() {
		ended <- serve(serving, cfg, sockets, func(server *Server) error {
			up <- server
			return sayReady(io.Discard, cfg.Data, ready)
		})
	}()
	select {
	case server := <-up:
		done()
		return ready, server, func() error { stop(); return <-ended }, nil
	case err := <-ended:
		stop()
		return Ready{}, nil, nil, err
	}
}

// other is the same host with whatever port is free.
func other(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return net.JoinHostPort(host, "0")
}

// running are the agents that the lab has started.
type running []*exec.Cmd

// stop ends the agents and waits for them.
func (r running) stop() {
	for _, agent := range r {
		_ = agent.Process.Signal(os.Interrupt) // it may have ended by itself
	}
	for _, agent := range r {
		_ = agent.Wait() // how it ended is of no matter any more
	}
}

// startNodes registers and starts the nodes and waits until all are online.
func (l *LabUp) startNodes(ctx context.Context, folder string, r Ready, log io.Writer, v *view) (agents running, ids []string, err error) {
	code, id, err := activate(ctx, r, l.Nodes)
	if err != nil {
		return nil, nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	done := v.step("Registering %s through a hybrid activation", count(l.Nodes, "node"))
	for n := range l.Nodes {
		state := filepath.Join(folder, fmt.Sprintf("node%d", n+1))
		register := exec.CommandContext(ctx, self, "agent", "register", "--state", state, "--endpoint", r.HTTPS, "--ca", r.CA, "--id", id, "--region", r.Region)
		register.Env = append(os.Environ(), "VENNEL_ACTIVATION_CODE="+code) // not among the arguments, which anybody can read
		register.Stdout, register.Stderr = log, log
		if err := register.Run(); err != nil {
			return agents, nil, fmt.Errorf("registering a node: %w", err)
		}
		agent := exec.Command(self, "agent", "run", "--state", state) // it is told to stop, not killed
		agent.Stdout, agent.Stderr = log, log
		if err := agent.Start(); err != nil {
			return agents, nil, fmt.Errorf("starting a node: %w", err)
		}
		agents = append(agents, agent)
	}
	done()
	done = v.step("Waiting until it is online")
	client, err := clientOf(r, "ssm")
	if err != nil {
		return agents, nil, err
	}
	err = until(ctx, func() (bool, error) {
		ids, err = online(ctx, client, id)
		return len(ids) == l.Nodes, err
	})
	if err == nil {
		done()
	}
	return agents, ids, err
}

// online lists the nodes of an activation that are online.
func online(ctx context.Context, client *wire.Client, activation string) (ids []string, err error) {
	in := &ssm.DescribeInstanceInformationInput{Filters: []ssm.InstanceInformationStringFilter{
		{Key: "ActivationIds", Values: []string{activation}}, {Key: "PingStatus", Values: []string{ssm.PingStatusOnline}},
	}}
	for {
		out := new(ssm.DescribeInstanceInformationOutput)
		if err := client.Call(ctx, "DescribeInstanceInformation", in, out); err != nil {
			return nil, err
		}
		for _, n := range out.InstanceInformationList {
			ids = append(ids, *n.InstanceId)
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return ids, nil
		}
	}
}

// activate makes the nodes' role, unless an earlier lab in the folder has, and an activation.
func activate(ctx context.Context, r Ready, nodes int) (code, id string, err error) {
	identity, err := clientOf(r, "iam")
	if err != nil {
		return "", "", err
	}
	err = identity.Call(ctx, "GetRole", &iam.GetRoleInput{RoleName: labRole}, &iam.GetRoleOutput{})
	if err != nil {
		in := &iam.CreateRoleInput{RoleName: labRole, AssumeRolePolicyDocument: labTrust}
		if err := identity.Call(ctx, "CreateRole", in, &iam.CreateRoleOutput{}); err != nil {
			return "", "", err
		}
	}
	attach := &iam.AttachRolePolicyInput{RoleName: labRole, PolicyArn: labPolicy}
	if err := identity.Call(ctx, "AttachRolePolicy", attach, &iam.AttachRolePolicyOutput{}); err != nil {
		return "", "", err
	}
	manager, err := clientOf(r, "ssm")
	if err != nil {
		return "", "", err
	}
	out := new(ssm.CreateActivationOutput)
	err = manager.Call(ctx, "CreateActivation", &ssm.CreateActivationInput{
		IamRole: labRole, DefaultInstanceName: new("lab"), RegistrationLimit: new(int64(nodes)), Tags: []ssm.Tag{{Key: "lab", Value: "yes"}},
	}, out)
	if err != nil {
		return "", "", err
	}
	return *out.ActivationCode, *out.ActivationId, nil
}

// show runs a command on nodes as the aws command would, and prints what came back.
func (l *LabUp) show(ctx context.Context, client *wire.Client, v *view, nodes []string) error {
	v.say("\n$ aws ssm send-command --document-name AWS-RunShellScript \\\n      --instance-ids %s --parameters 'commands=[\"%s\"]'\n", strings.Join(nodes, " "), labCommand)
	sent := new(ssm.SendCommandOutput)
	err := client.Call(ctx, "SendCommand", &ssm.SendCommandInput{
		DocumentName: "AWS-RunShellScript", InstanceIds: nodes, Parameters: map[string][]string{"commands": {labCommand}},
	}, sent)
	if err != nil {
		return err
	}
	id := *sent.Command.CommandId
	for _, node := range nodes {
		v.say("$ aws ssm get-command-invocation --command-id %s \\\n      --instance-id %s --query StandardOutputContent --output text\n", id, node)
		out := new(ssm.GetCommandInvocationOutput)
		err = until(ctx, func() (bool, error) {
			err := client.Call(ctx, "GetCommandInvocation", &ssm.GetCommandInvocationInput{CommandId: id, InstanceId: node}, out)
			return err == nil && *out.Status != "Pending" && *out.Status != "InProgress" && *out.Status != "Delayed", err
		})
		if err != nil {
			return err
		}
		if *out.Status != "Success" {
			return fmt.Errorf("the command ended as %s: %s", *out.StatusDetails, *out.StandardErrorContent)
		}
		v.say("%s", *out.StandardOutputContent)
	}
	return nil
}

// until asks again and again until the answer is yes, for a while.
func until(outer context.Context, ask func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(outer, labPatience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		yes, err := ask()
		if yes || err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			if err := outer.Err(); err != nil {
				return err
			}
			return fmt.Errorf("this took longer than %s", labPatience)
		case <-tick.C:
		}
	}
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "a " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// shorten is how a user would call this program: by its name where that finds it.
func shorten(self string) string {
	if found, err := exec.LookPath("vennel"); err == nil {
		if same, err := filepath.EvalSymlinks(found); err == nil && same == self {
			return "vennel"
		}
	}
	if here, err := os.Getwd(); err == nil {
		if relative, err := filepath.Rel(here, self); err == nil && len(relative) < len(self) {
			return "./" + relative
		}
	}
	return self
}
