package agent

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/vennel/vennel/agent/platform"
	"github.com/vennel/vennel/agent/plugin"
	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
)

// heartbeat reports the node's state. The server takes a node for Online that it hears of.
type heartbeat struct {
	node  *node
	ssm   plugin.Caller
	facts platform.Facts
	lines *lines
	pace  pace
	log   *slog.Logger
}

// begin reports that the node is there, as often as it takes, and says whether it has succeeded
// before ctx ended. The first report has four members only: it must not erase what the server
// knows.
func (h *heartbeat) begin(ctx context.Context) bool {
	in := firstHeartbeat(h.node.InstanceID, h.facts.Type)
	for n := 1; ; n++ {
		err := h.ssm.Call(ctx, "UpdateInstanceInformation", in, new(ssm.UpdateInstanceInformationOutput))
		if err == nil {
			return true
		}
		pause := backoff(n, passingWait)
		if ctx.Err() == nil {
			h.log.Warn("the server does not take this node yet", "error", err, "next_try", pause.Round(time.Second).String())
		}
		if !sleep(ctx, pause) {
			return false
		}
	}
}

// firstHeartbeat is the first report of a node.
func firstHeartbeat(id, platform string) *ssm.UpdateInstanceInformationInput {
	return &ssm.UpdateInstanceInformationInput{AgentName: api.Given(Name), AgentVersion: api.Given(Version), InstanceId: id, PlatformType: &platform}
}

// run reports at once, whenever the line changes, and at intervals of which the first is random.
func (h *heartbeat) run(ctx context.Context) {
	next := time.NewTimer(rand.N(h.pace.heartbeat))
	defer next.Stop()
	last := ""
	for {
		line, changed := h.lines.current()
		if err := h.report(ctx, line); err != nil && ctx.Err() == nil {
			h.log.Warn("the node's state was not reported", "error", err)
		}
		last = line
		for line == last {
			select {
			case <-ctx.Done():
				return
			case <-changed:
				line, changed = h.lines.current()
				continue
			case <-next.C:
				next.Reset(h.pace.heartbeat)
			}
			break
		}
	}
}

// report makes a full report.
func (h *heartbeat) report(ctx context.Context, line string) error {
	return h.ssm.Call(ctx, "UpdateInstanceInformation", &ssm.UpdateInstanceInformationInput{
		AgentName: api.Given(Name), AgentStatus: api.Given("Active"), AgentVersion: api.Given(Version), InstanceId: h.node.InstanceID,
		AvailabilityZone: &h.node.Zone, AvailabilityZoneId: &h.node.ZoneID, ComputerName: &h.facts.Host, IPAddress: &h.facts.Address,
		PlatformName: &h.facts.Name, PlatformType: &h.facts.Type, PlatformVersion: &h.facts.Version, SSMConnectionChannel: &line,
	}, new(ssm.UpdateInstanceInformationOutput))
}
