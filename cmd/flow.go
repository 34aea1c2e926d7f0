package cmd

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/api/logs"
	"github.com/vennel/vennel/wire"
)

// Flow shows the records of flow logs: which connections were let through at which interfaces, and which were not. It asks the
// server as any client does.
type Flow struct {
	DataFlag
	OutputFlag
	Group  string        `placeholder:"NAME" help:"Only the flow logs of this log group."`
	Eni    string        `name:"eni" placeholder:"ID" help:"Only this network interface."`
	VPC    string        `name:"vpc" placeholder:"ID" help:"Only the network interfaces that this VPC has now."`
	Action string        `enum:",ACCEPT,REJECT" default:"" placeholder:"ACCEPT|REJECT" help:"Only what was accepted, or what was rejected."`
	Since  time.Duration `default:"1h" help:"How far back."`
	Follow bool          `short:"f" help:"Go on with what comes, until stopped."`
}

// How often a follower asks, and how far back, because what was kept at the same time may be seen late.
const (
	followEvery   = time.Second
	followOverlap = 10 * time.Second
)

// flowRow is a record in AWS's default format. source: userguide, "Flow log records"
type flowRow struct {
	Time        time.Time `json:"time"`
	Group       string    `json:"group"`
	Account     string    `json:"account"`
	Eni         string    `json:"eni"`
	Source      string    `json:"source"`
	SourcePort  string    `json:"sourcePort"`
	Destination string    `json:"destination"`
	Port        string    `json:"destinationPort"`
	Protocol    string    `json:"protocol"`
	Packets     string    `json:"packets"`
	Bytes       string    `json:"bytes"`
	Action      string    `json:"action"`
	Status      string    `json:"status"`

	id string
}

// flowFields is how many fields a record has.
const flowFields = 14

// readFlow reads a record.
func readFlow(group string, e *logs.FilteredLogEvent) (*flowRow, error) {
	f := strings.Fields(*e.Message)
	if len(f) != flowFields {
		return nil, fmt.Errorf("a record of %s is not in the default format: %s", group, *e.Message)
	}
	return &flowRow{
		Time: time.UnixMilli(*e.Timestamp), Group: group, Account: f[1], Eni: f[2], Source: f[3], Destination: f[4], SourcePort: f[5], Port: f[6],
		Protocol: f[7], Packets: f[8], Bytes: f[9], Action: f[12], Status: f[13], id: *e.EventId,
	}, nil
}

// Run prints the oldest records first.
func (f *Flow) Run(ctx context.Context, s Streams) error {
	r := &flowReader{flags: f}
	var err error
	if r.ec2, err = newClient(f.DataFlag, "ec2"); err != nil {
		return err
	}
	if r.logs, err = newClient(f.DataFlag, "logs"); err != nil {
		return err
	}
	if f.Output == "table" {
		fmt.Fprintf(s.Out, flowLine, "TIME", "INTERFACE", "FROM", "TO", "PROTOCOL", "BYTES", "ACTION")
	}
	since, seen := time.Now().Add(-f.Since), map[string]time.Time{}
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		rows, err := r.read(ctx, since)
		if err != nil && ctx.Err() == nil {
			return err
		}
		for _, row := range rows {
			if _, ok := seen[row.id]; ok {
				continue
			}
			seen[row.id] = row.Time
			if err := f.show(s.Out, row); err != nil {
				return err
			}
		}
		if !f.Follow || ctx.Err() != nil {
			return nil
		}
		if back := time.Now().Add(-followOverlap); back.After(since) {
			since = back
		}
		for id, at := range seen {
			if at.Before(since) {
				delete(seen, id)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// flowLine is a line of the table. It has fixed widths, so that what comes later stands under what came before.
const flowLine = "%-19s  %-21s  %-21s  %-21s  %-8s  %7s  %s\n"

// protocols are the names of the most common ones.
var protocols = map[string]string{"1": "icmp", "6": "tcp", "17": "udp"}

// show prints one record.
func (f *Flow) show(out io.Writer, row *flowRow) error {
	if f.Output == "json" {
		text, err := json.Marshal(row)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "%s\n", text)
		return err
	}
	if row.Status != "OK" {
		_, err := fmt.Fprintf(out, "%-19s  %-21s  some records are missing\n", row.Time.Format(time.DateTime), row.Eni)
		return err
	}
	_, err := fmt.Fprintf(out, flowLine, row.Time.Format(time.DateTime), row.Eni, row.Source+":"+row.SourcePort, row.Destination+":"+row.Port,
		cmp.Or(protocols[row.Protocol], row.Protocol), row.Bytes, row.Action)
	return err
}

// flowReader reads records.
type flowReader struct {
	flags     *Flow
	ec2, logs *wire.Client
}

// read gives the records of all log groups since a time, in the order of time.
func (r *flowReader) read(ctx context.Context, since time.Time) (rows []*flowRow, err error) {
	groups, err := r.groups(ctx)
	if err != nil {
		return nil, err
	}
	wanted, err := r.interfaces(ctx)
	if err != nil {
		return nil, err
	}
	for _, group := range groups {
		in := &logs.FilterLogEventsInput{LogGroupName: &group, StartTime: new(since.UnixMilli())}
		if r.flags.Eni != "" {
			in.LogStreamNamePrefix = new(r.flags.Eni + "-")
		}
		for {
			out := new(logs.FilterLogEventsOutput)
			if err := r.logs.Call(ctx, "FilterLogEvents", in, out); err != nil {
				return nil, err
			}
			for i := range out.Events {
				row, err := readFlow(group, &out.Events[i])
				if err != nil {
					return nil, err
				}
				if (wanted == nil || wanted[row.Eni]) && (r.flags.Action == "" || r.flags.Action == row.Action) {
					rows = append(rows, row)
				}
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				break
			}
		}
	}
	slices.SortStableFunc(rows, func(a, b *flowRow) int { return a.Time.Compare(b.Time) })
	return rows, nil
}

// groups are the log groups of flow logs, or the one that is asked for.
func (r *flowReader) groups(ctx context.Context) (groups []string, err error) {
	if r.flags.Group != "" {
		return []string{r.flags.Group}, nil
	}
	in := &ec2.DescribeFlowLogsInput{MaxResults: new(int64(1000))}
	for {
		out := new(ec2.DescribeFlowLogsOutput)
		if err := r.ec2.Call(ctx, "DescribeFlowLogs", in, out); err != nil {
			return nil, err
		}
		for _, l := range out.FlowLogs {
			groups = append(groups, *l.LogGroupName)
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			slices.Sort(groups)
			return slices.Compact(groups), nil
		}
	}
}

// interfaces are those of the VPC that is asked for; nil for all there are.
func (r *flowReader) interfaces(ctx context.Context) (map[string]bool, error) {
	if r.flags.VPC == "" {
		return nil, nil //nolint:nilnil // nothing is an answer
	}
	wanted := map[string]bool{}
	in := &ec2.DescribeNetworkInterfacesInput{
		Filters: []ec2.Filter{{Name: new("vpc-id"), Values: []string{r.flags.VPC}}}, MaxResults: new(int64(1000)),
	}
	for {
		out := new(ec2.DescribeNetworkInterfacesOutput)
		if err := r.ec2.Call(ctx, "DescribeNetworkInterfaces", in, out); err != nil {
			return nil, err
		}
		for _, n := range out.NetworkInterfaces {
			wanted[*n.NetworkInterfaceId] = true
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return wanted, nil
		}
	}
}
