package cmd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/vennel/vennel/agent"
)

// Agent is the managed node.
type Agent struct {
	Register AgentRegister `cmd:"" help:"Register this machine as a managed node."`
	Run      AgentRun      `cmd:"" help:"Run as a managed node until told to stop."`
	Work     AgentWork     `cmd:"" hidden:"" help:"Run one command; the agent starts this."`
	Session  AgentSession  `cmd:"" hidden:"" help:"Hold one session; the agent starts this."`
}

// LogLevel is how much is logged.
type LogLevel struct {
	LogLevel slog.Level `help:"Log from this level on: debug, info, warn or error." default:"info"`
}

// logger logs as text.
func (l LogLevel) logger(to io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: l.LogLevel}))
}

// AgentRegister registers this machine.
type AgentRegister struct {
	State         string `required:"" type:"path" help:"The folder that keeps what the node is."`
	Code          string `required:"" env:"VENNEL_ACTIVATION_CODE" help:"The activation's code; - reads it from standard input."`
	ID            string `required:"" name:"id" help:"The activation's id."`
	Region        string `required:"" help:"The activation's Region."`
	Endpoint      string `help:"The URL of the control plane. Without it the names of AWS's services are used."`
	ServiceDomain string `help:"The domain of these names, instead of the Region's; it may have a port."`
	CA            string `name:"ca" type:"existingfile" help:"The file of a certificate authority that alone is trusted."`
	Force         bool   `help:"Replace a registration."`
	Output        string `enum:"text,json" default:"text" help:"text or json."`
	LogLevel
}

// Run registers.
func (c *AgentRegister) Run(ctx context.Context, s Streams) error {
	a := agent.Activation{
		State: c.State, Code: c.Code, ID: c.ID, Region: c.Region, Endpoint: c.Endpoint, Domain: c.ServiceDomain, Force: c.Force, Log: c.logger(s.Err),
	}
	if c.Code == "-" {
		line, err := bufio.NewReader(io.LimitReader(s.In, 4096)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("reading the activation code: %w", err)
		}
		a.Code = strings.TrimSpace(line)
	}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return err
		}
		a.CA = string(pem)
	}
	id, err := agent.Register(ctx, a)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return json.NewEncoder(s.Out).Encode(struct {
			InstanceID string `json:"InstanceId"`
		}{id})
	}
	_, err = fmt.Fprintf(s.Out, "Successfully registered the instance with Systems Manager in %s using managed instance-id: %s\n", c.Region, id)
	return err
}

// AgentRun runs a node: the one that is registered, or the EC2 instance that this machine is.
type AgentRun struct {
	State         string `required:"" env:"VENNEL_AGENT_STATE" type:"path" help:"The folder that keeps what the node is."`
	Endpoint      string `env:"VENNEL_AGENT_ENDPOINT" help:"On an EC2 instance, the URL of the control plane. Without it the names of AWS's services are used."`
	ServiceDomain string `env:"VENNEL_AGENT_SERVICE_DOMAIN" help:"On an EC2 instance, the domain of these names, instead of the Region's; it may have a port."`
	CA            string `name:"ca" env:"VENNEL_AGENT_CA" type:"existingfile" help:"On an EC2 instance, the file of a certificate authority that is trusted beside the system's."`
	Metadata      string `name:"metadata-endpoint" env:"AWS_EC2_METADATA_SERVICE_ENDPOINT" help:"The URL of the instance metadata service."`
	RotateKeyDays int    `help:"Replace the node's key when it is this many days old; 0 is never." default:"0"`
	SessionUser   string `env:"VENNEL_AGENT_SESSION_USER" help:"The user that sessions run as when nothing says otherwise. Without it that is ssm-user, who is created, or the agent's own user if that is not root."`
	RebootCommand string `help:"The command that reboots the machine when a step asks for it." default:"${reboot}"`
	LogLevel
}

// rebootCommand is what reboots a machine in a minute.
func rebootCommand() string {
	if runtime.GOOS == "windows" {
		return "shutdown /r /t 60"
	}
	return "/sbin/shutdown -r +1"
}

// mostRotateDays is the oldest that a key may become. source: agent
const mostRotateDays = 365

// Run runs the agent.
func (c *AgentRun) Run(ctx context.Context, s Streams) error {
	if c.RotateKeyDays < 0 || c.RotateKeyDays > mostRotateDays {
		return &ExitError{exitUsage, fmt.Errorf("--rotate-key-days must be between 0 and %d", mostRotateDays)}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	authority := ""
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return err
		}
		authority = string(pem)
	}
	log := c.logger(s.Err)
	session := []string{self, "agent", "session", "--log-level", c.LogLevel.LogLevel.String()}
	if c.SessionUser != "" {
		session = append(session, "--session-user", c.SessionUser)
	}
	if c.Metadata != "" {
		session = append(session, "--metadata-endpoint", c.Metadata)
	}
	return agent.Run(ctx, agent.Config{
		Endpoint: c.Endpoint, Domain: c.ServiceDomain, CA: authority, Metadata: c.Metadata,
		State: c.State, RotateKeyDays: c.RotateKeyDays, RebootCommand: strings.Fields(c.RebootCommand), Log: log,
		Worker: []string{self, "agent", "work", "--log-level", c.LogLevel.LogLevel.String()}, Session: session,
	})
}

// AgentWork runs one command that the agent has accepted.
type AgentWork struct {
	State   string `required:"" help:"The state folder."`
	Command string `required:"" help:"The command's id."`
	LogLevel
}

// Run runs the worker. Its standard output is a pipe of which the agent may have let go.
func (c *AgentWork) Run(ctx context.Context, s Streams) error {
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE) // caught, not ignored: scripts would inherit that
	defer signal.Stop(broken)
	return agent.Work(ctx, c.State, c.Command, s.Out, c.logger(s.Err).With("command", c.Command))
}

// AgentSession holds one session that the agent has accepted.
type AgentSession struct {
	State       string        `required:"" help:"The state folder."`
	Session     string        `required:"" help:"The session's id."`
	SessionUser string        `help:"The user that sessions run as when nothing says otherwise."`
	Metadata    string        `name:"metadata-endpoint" help:"The URL of the instance metadata service."`
	Patience    time.Duration `default:"10m" help:"The time without a connection after which the session ends."`
	LogLevel
}

// Run runs the session's process.
func (c *AgentSession) Run(ctx context.Context, s Streams) error {
	oneAtATime()
	idle, end := context.WithCancel(ctx)
	defer end()
	go giveBack(idle) // which the end of the process need not wait for
	return agent.Hold(ctx, agent.Holder{
		State: c.State, Session: c.Session, User: c.SessionUser, Metadata: c.Metadata, Patience: c.Patience, Log: c.logger(s.Err).With("session", c.Session),
	})
}
