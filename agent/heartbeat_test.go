package agent

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/agent/platform"
	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
)

// listener takes heartbeats.
type listener struct {
	mu    sync.Mutex
	fail  int // how many of the next fail; guarded by mu
	heard []ssm.UpdateInstanceInformationInput
	at    []time.Time
}

// Call takes a heartbeat.
func (l *listener) Call(_ context.Context, operation string, in, _ any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = append(l.at, time.Now())
	if l.fail > 0 {
		l.fail--
		return errors.New("not now")
	}
	if operation != "UpdateInstanceInformation" {
		return errors.New(operation)
	}
	l.heard = append(l.heard, *in.(*ssm.UpdateInstanceInformationInput))
	return nil
}

// newHeartbeat makes a heartbeat for a listener.
func newHeartbeat(l *listener) *heartbeat {
	n := &node{Registration: Registration{InstanceID: "mi-0123456789abcdef0"}}
	facts := platform.Facts{Type: "Linux", Name: "Debian GNU/Linux", Version: "12", Host: "vm.example", Address: "10.9.8.7"}
	log := slog.New(slog.DiscardHandler)
	return &heartbeat{node: n, ssm: l, facts: facts, lines: newLines(n, nil, nil, pace{}, log), pace: pace{}.withDefaults(), log: log}
}

// TestFirstHeartbeat reports four members only, again and again until the server takes them, and
// loses no time over it. source: the protocol sheet of the official agent, measured, but for the
// waits: the official agent waits five minutes after any failure
func TestFirstHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &listener{fail: 3}
		begin := time.Now()
		if !newHeartbeat(l).begin(t.Context()) {
			t.Fatal("it gave up")
		}
		if took := time.Since(begin); took > 7*time.Second {
			t.Errorf("took %v", took)
		}
		want := []ssm.UpdateInstanceInformationInput{{AgentName: api.Given(Name), AgentVersion: api.Given(Version), InstanceId: "mi-0123456789abcdef0", PlatformType: api.Given("Linux")}}
		if diff := cmp.Diff(want, l.heard); diff != "" {
			t.Error(diff)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		l := &listener{fail: 1 << 30}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Hour)
		defer cancel()
		if newHeartbeat(l).begin(ctx) {
			t.Fatal("it succeeded")
		}
		last := l.at[len(l.at)-1].Sub(l.at[len(l.at)-2])
		if last < 150*time.Second || last > 5*time.Minute {
			t.Errorf("the waits grew to %v", last)
		}
	})
}

// TestHeartbeats reports at once, then every five minutes after a random part of that, and when the
// line changes. A failure changes nothing.
func TestHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &listener{}
		h := newHeartbeat(l)
		running(t, h.run)
		synctest.Wait()
		empty := ""
		want := ssm.UpdateInstanceInformationInput{
			AgentName: api.Given(Name), AgentStatus: api.Given("Active"), AgentVersion: api.Given(Version), InstanceId: "mi-0123456789abcdef0",
			AvailabilityZone: &empty, AvailabilityZoneId: &empty, ComputerName: api.Given("vm.example"), IPAddress: api.Given("10.9.8.7"),
			PlatformName: api.Given("Debian GNU/Linux"), PlatformType: api.Given("Linux"), PlatformVersion: api.Given("12"), SSMConnectionChannel: &empty,
		}
		if diff := cmp.Diff([]ssm.UpdateInstanceInformationInput{want}, l.heard); diff != "" {
			t.Error(diff)
		}
		begin := time.Now()
		h.lines.set(controlLine, nil)
		synctest.Wait()
		h.lines.set(controlLine, new(channel)) // the same line: nothing to report
		synctest.Wait()
		h.lines.set(pollLine, nil)
		synctest.Wait()
		if len(l.heard) != 3 || *l.heard[1].SSMConnectionChannel != "ssmmessages" || *l.heard[2].SSMConnectionChannel != "ec2messages" || time.Since(begin) != 0 {
			t.Errorf("%d reports after %v", len(l.heard), time.Since(begin))
		}
		l.mu.Lock()
		l.fail = 1
		l.mu.Unlock()
		time.Sleep(time.Hour)
		synctest.Wait()
		if first := l.at[3].Sub(l.at[2]); first > 5*time.Minute {
			t.Errorf("the first came after %v", first)
		}
		for i := 4; i < len(l.at); i++ {
			if gap := l.at[i].Sub(l.at[i-1]); gap != 5*time.Minute {
				t.Errorf("a gap of %v", gap)
			}
		}
		if len(l.at) < 15 {
			t.Errorf("%d reports", len(l.at))
		}
	})
}
