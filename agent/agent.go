// Package agent is a managed node: it registers a machine with Systems Manager, keeps the machine
// Online, and runs the commands that it is sent. To any server it looks like Amazon's SSM Agent,
// whose protocols it speaks; it needs no root, and many can run on one machine, each with a state
// folder of its own. A machine that is not registered and is an EC2 instance is the node that the
// instance metadata service says it is.
//
// A command comes in over one of two lines: the control channel (a websocket of ssmmessages) or,
// where the control channel is refused, polling (ec2messages). The inbox writes it down before it
// is acknowledged, and starts a worker for it: a process of its own, in a session of its own, that
// outlives the agent. The worker runs the document and keeps a journal; the agent reads the journal
// and puts the replies in the outbox, which keeps each one until the server has acknowledged it.
// Whatever dies, the files tell how things stand: nothing is run twice and no result is lost.
//
// A session comes in over the control channel and gets a process of its own in the same way. That process holds the session over a data
// channel, which is a connection of its own; the agent tells the service how it ended.
//
// It uses disk, document, imds, platform, plugin and session below it, datachannel and the client half of wire. The server's
// packages are strangers to it.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/vennel/vennel/agent/disk"
	"github.com/vennel/vennel/agent/platform"
)

// Version is the version that the agent gives as its own. Servers, consoles and documents compare
// it, part by part, with versions of the official agent to know what a node can do: from 3.3.40.0
// on commands come over the control channel alone. The first three parts name the release whose
// behaviour this agent has; the last, which is 0 in every official release, counts ours.
const Version = "3.3.987.1"

// Name is the name that the agent gives as its own: servers and tools know nodes by it.
const Name = "amazon-ssm-agent"

// Config is what a running agent needs.
type Config struct {
	State         string       // the state folder
	Worker        []string     // the command that runs this program's `agent work`
	Session       []string     // the command that runs this program's `agent session`; without it no sessions are held
	RebootCommand []string     // what reboots the machine when a step asks for it
	RotateKeyDays int          // the age at which the node's key is replaced; 0 is never
	Log           *slog.Logger // never gets a secret
	pace          pace
	mostSessions  int // 0 is the default

	// These are for an EC2 instance, which has no registration that says them.
	Endpoint string // see Registration
	Domain   string // see Registration
	CA       string // PEM; trusted beside the system's
	Metadata string // URL of the instance metadata service; "" is where it is on every instance
}

// pace are the times that pass between things. The zero value of each stands for its default.
type pace struct {
	heartbeat time.Duration // between two reports of the node's state
	ping      time.Duration // between two pings on the control channel
	silence   time.Duration // after which a control channel is dead
	steady    time.Duration // how long a control channel must last to count as good
	ack       time.Duration // for an acknowledgement, before a reply is sent again
	watch     time.Duration // between two looks at a worker that is not our child
	reboot    time.Duration // for a reboot to come
	farewell  time.Duration // for the outbox when the agent is told to stop
}

// withDefaults fills in what is not set.
func (p pace) withDefaults() pace {
	for at, d := range map[*time.Duration]time.Duration{
		&p.heartbeat: 5 * time.Minute, &p.ping: 54 * time.Second, &p.silence: 84 * time.Second, &p.steady: 10 * time.Second, &p.ack: 5 * time.Second,
		&p.watch: 500 * time.Millisecond, &p.reboot: 10 * time.Minute, &p.farewell: 2 * time.Second,
	} {
		if *at == 0 {
			*at = d
		}
	}
	return p
}

// ErrRunning says that an agent already runs on a state folder.
var ErrRunning = errors.New("an agent is running on this state folder")

// Run is a registered node until ctx ends; then it takes no more jobs, gives the outbox a moment
// and returns nil. Workers go on. The error is ErrRunning when another agent has the folder, and
// ErrNotRegistered when there is no registration in it and this is no EC2 instance.
func Run(ctx context.Context, cfg Config) error {
	cfg.pace = cfg.pace.withDefaults()
	if err := disk.Folder(cfg.State); err != nil {
		return err
	}
	lock, err := disk.TryLock(filepath.Join(cfg.State, lockFile))
	if errors.Is(err, disk.ErrLocked) {
		return fmt.Errorf("%s: %w", cfg.State, ErrRunning)
	} else if err != nil {
		return err
	}
	defer lock.Release()
	node, err := openNode(ctx, &cfg)
	if err != nil {
		return err
	}
	log := cfg.Log.With("node", node.InstanceID)
	calls, err := node.connect()
	if err != nil {
		return err
	}
	defer calls.close()
	creds := openCredentials(node, calls, cfg.RotateKeyDays, log)
	lines := newLines(node, calls, creds, cfg.pace, log)
	out, err := openOutbox(node.path(outboxFolder), lines, cfg.pace, log)
	if err != nil {
		return err
	}
	in, err := openInbox(node, &cfg, out, log)
	if err != nil {
		return err
	}
	sessions := newSessions(node, &cfg, lines, log)
	facts := platform.Get(ctx)
	log.Info("agent started", "version", Version, "region", node.Region, "platform", facts.Name)

	// Everything but the inbox stays for the farewell.
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var parts sync.WaitGroup
	parts.Go(func() { creds.run(run) })
	parts.Go(func() { out.run(run) })
	parts.Go(func() { in.run(ctx, run) })
	parts.Go(func() { sessions.run(ctx) })
	parts.Go(func() { sweep(run, node, log) })
	parts.Go(func() {
		heart := &heartbeat{node: node, ssm: calls.ssm(creds), facts: facts, lines: lines, pace: cfg.pace, log: log}
		if heart.begin(run) {
			parts.Go(func() { heart.run(run) })
			parts.Go(func() { lines.run(run, in, sessions) })
		}
	})
	<-ctx.Done()
	log.Info("agent stopping")
	out.farewell(cfg.pace.farewell)
	stop()
	parts.Wait()
	log.Info("agent stopped", "replies_left", out.left())
	return nil
}
