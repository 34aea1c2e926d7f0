package flowlog

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// covered is an interface that flow logs are about.
type covered struct {
	account, region, vpc string
	logs                 []destination
}

// destination is where a flow log's records of an interface go.
type destination struct {
	group, stream, traffic string
	created                time.Time // the flow log
}

// takes says whether a flow log is about what is accepted, or what is not.
func (d *destination) takes(accepted bool) bool {
	switch d.traffic {
	case ec2.TrafficTypeACCEPT:
		return accepted
	case ec2.TrafficTypeREJECT:
		return !accepted
	}
	return true
}

// entry is what is kept of a record beside what it is found by.
type entry struct {
	Stream  string `json:"stream"`
	Message string `json:"message"`
}

// skipEvery is how often it is recorded that records are missing: AWS's shortest interval.
const skipEvery = time.Minute

// Keep keeps the decisions of a host that flow logs are about, each as a record in AWS's format. When some were lost on the way,
// the interfaces have a record that says so. What cannot be kept does not keep the others from it.
func (f *FlowLogs) Keep(ctx context.Context, flows []dataplane.Flow, lost int) error {
	of, err := f.interfaces(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for i := range flows {
		w := &flows[i]
		c := of[w.ENI]
		if c == nil {
			continue
		}
		message := format(c.account, w)
		for j := range c.logs {
			if c.logs[j].takes(w.Accepted) {
				errs = append(errs, f.append(ctx, c, &c.logs[j], w.ENI, w.Time, message))
			}
		}
	}
	if lost > 0 {
		errs = append(errs, f.skip(ctx, of, flows))
	}
	return errors.Join(errs...)
}

// format writes a record. source: userguide, "Flow log records"
func format(account string, w *dataplane.Flow) string {
	action := ec2.TrafficTypeREJECT
	if w.Accepted {
		action = ec2.TrafficTypeACCEPT
	}
	at := w.Time.Unix()
	return fmt.Sprintf("2 %s %s %s %s %d %d %d 1 %d %d %d %s OK",
		account, w.ENI, address(w.From), address(w.To), w.From.Port(), w.To.Port(), w.Protocol, w.Bytes, at, at, action)
}

// address is an address of a record.
func address(a netip.AddrPort) string {
	if !a.IsValid() {
		return "-"
	}
	return a.Addr().String()
}

// skip records at all interfaces that records are missing, but not more often than there is to say so.
func (f *FlowLogs) skip(ctx context.Context, of map[string]*covered, flows []dataplane.Flow) error {
	now := time.Now()
	if len(flows) > 0 {
		now = flows[len(flows)-1].Time
	}
	f.mu.Lock()
	since := f.skipped
	due := now.Sub(since) >= skipEvery
	if due {
		f.skipped = now
	}
	f.mu.Unlock()
	if !due {
		return nil
	}
	var errs []error
	for eni, c := range of {
		message := fmt.Sprintf("2 %s %s - - - - - - - %d %d - SKIPDATA", c.account, eni, now.Add(-skipEvery).Unix(), now.Unix())
		for i := range c.logs {
			errs = append(errs, f.append(ctx, c, &c.logs[i], eni, now, message))
		}
	}
	return errors.Join(errs...)
}

// append keeps one record.
func (f *FlowLogs) append(ctx context.Context, c *covered, d *destination, eni string, at time.Time, message string) error {
	body, err := json.Marshal(&entry{d.stream, message})
	if err != nil {
		return err
	}
	f.mu.Lock()
	n := f.next
	f.next++
	f.mu.Unlock()
	return f.records.Append(ctx, store.Record{
		Time: at, ID: fmt.Sprintf("%s-%012d", f.boot, n), Account: c.account, Region: c.region, Name: d.group, Principal: eni, Resource: c.vpc, Body: body,
	})
}

// interfaces are those that flow logs are about, by id, as of now.
func (f *FlowLogs) interfaces(ctx context.Context) (map[string]*covered, error) {
	seq := f.db.Seq(resource.Topic)
	f.mu.Lock()
	of, fresh := f.covered, f.covered != nil && f.seq == seq
	f.mu.Unlock()
	if fresh {
		return of, nil
	}
	err := f.db.View(ctx, func(tx *store.Tx) (err error) {
		of, err = read(ctx, tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.covered, f.seq = of, seq
	f.mu.Unlock()
	return of, nil
}

// read finds the interfaces that flow logs are about.
func read(ctx context.Context, tx *store.Tx) (map[string]*covered, error) {
	logs, err := resource.FlowLogs.All(ctx, tx)
	if err != nil {
		return nil, err
	}
	byVPC := map[string][]*record{}
	for _, l := range logs {
		byVPC[l.VPC] = append(byVPC[l.VPC], l)
	}
	of := map[string]*covered{}
	for vpc, logs := range byVPC {
		list, err := resource.NetworkInterfaces.Of(ctx, tx, vpc)
		if err != nil {
			return nil, err
		}
		for _, n := range list {
			about := []string{vpc, api.Or(n.Data.SubnetId, ""), n.ID}
			c := &covered{account: n.Account, region: n.Region, vpc: vpc}
			for _, l := range logs {
				if slices.Contains(about, *l.Data.ResourceId) {
					c.logs = append(c.logs, destination{*l.Data.LogGroupName, stream(n.ID, *l.Data.TrafficType), *l.Data.TrafficType, api.Or(l.Data.CreationTime, time.Time{})})
				}
			}
			if len(c.logs) > 0 {
				of[n.ID] = c
			}
		}
	}
	return of, nil
}

// stream is the name of the log stream of an interface. source: userguide, "Publish flow logs to CloudWatch Logs"
func stream(eni, traffic string) string { return eni + "-" + strings.ToLower(traffic) }
