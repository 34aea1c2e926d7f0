package flowlog_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/api/ec2"
	logsapi "github.com/vennel/vennel/api/logs"
	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/internal/awstest"
	"github.com/vennel/vennel/service/ec2/flowlog"
	"github.com/vennel/vennel/service/ec2/networkinterface"
	"github.com/vennel/vennel/service/ec2/vpc"
	"github.com/vennel/vennel/service/logs"
	"github.com/vennel/vennel/store"
)

// TestScripts runs the scripts.
func TestScripts(t *testing.T) { awstest.Script(t, "testdata") }

// site is a subnet with two interfaces, and the flow logs' records.
type site struct {
	*awstest.Desk
	logs     *flowlog.FlowLogs
	ctx      context.Context //nolint:containedctx // of one test
	vpc      string
	a, b     string // interfaces
	at       time.Time
	attempts int
}

// settle makes a site.
func settle(t *testing.T) *site {
	d := awstest.NewDesk(t)
	records, err := store.OpenLog(t.Context(), d.DB, "flow", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := records.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &site{Desk: d, logs: flowlog.New(d.DB, records, slog.New(slog.DiscardHandler)), at: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	s.ctx = d.As("111111111111", "us-east-1", s.at)
	vpcs, interfaces := vpc.New(d.DB), networkinterface.New(d.DB)
	v, err := vpcs.CreateVpc(s.ctx, &ec2.CreateVpcInput{CidrBlock: new("10.0.0.0/16")})
	if err != nil {
		t.Fatal(err)
	}
	s.vpc = *v.Vpc.VpcId
	subnet, err := vpcs.CreateSubnet(s.ctx, &ec2.CreateSubnetInput{VpcId: s.vpc, CidrBlock: new("10.0.1.0/24")})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []*string{&s.a, &s.b} {
		n, err := interfaces.CreateNetworkInterface(s.ctx, &ec2.CreateNetworkInterfaceInput{SubnetId: *subnet.Subnet.SubnetId})
		if err != nil {
			t.Fatal(err)
		}
		*id = *n.NetworkInterface.NetworkInterfaceId
	}
	return s
}

// watch makes a flow log.
func (s *site) watch(kind, id, traffic, group string) string {
	s.T.Helper()
	out, err := s.logs.CreateFlowLogs(s.ctx, &ec2.CreateFlowLogsInput{ResourceType: kind, ResourceIds: []string{id}, TrafficType: &traffic, LogGroupName: &group})
	if err != nil {
		s.T.Fatal(err)
	}
	return out.FlowLogIds[0]
}

// flow is a decision at an interface.
func (s *site) flow(eni string, accepted bool) dataplane.Flow {
	s.attempts++
	return dataplane.Flow{
		Time: s.at.Add(time.Duration(s.attempts) * time.Second), VPC: s.vpc, ENI: eni, Accepted: accepted, Egress: true, Protocol: 6, Bytes: 60,
		From: netip.MustParseAddrPort("10.0.1.9:40000"), To: netip.MustParseAddrPort("10.0.1.10:443"),
	}
}

// keep keeps what a host has decided.
func (s *site) keep(lost int, flows ...dataplane.Flow) {
	s.T.Helper()
	if err := s.logs.Keep(s.T.Context(), flows, lost); err != nil {
		s.T.Fatal(err)
	}
}

// read gives the records of a group, without what is the same in all.
func (s *site) read(group string) string {
	s.T.Helper()
	var lines []string
	for e, err := range s.logs.Events(s.T.Context(), logs.Query{Account: "111111111111", Region: "us-east-1", Group: group}) {
		if err != nil {
			s.T.Fatal(err)
		}
		lines = append(lines, strings.NewReplacer(s.a, "A", s.b, "B").Replace(e.Stream+": "+e.Message))
	}
	return strings.Join(lines, "\n")
}

// TestKeep keeps what flow logs are about, and nothing else. source: userguide, "Flow log records"
func TestKeep(t *testing.T) {
	s := settle(t)
	s.keep(0, s.flow(s.a, true)) // no flow log is about it
	s.watch("NetworkInterface", s.a, "REJECT", "rejects")
	s.keep(0, s.flow(s.a, true), s.flow(s.a, false), s.flow(s.b, false))
	all := s.watch("VPC", s.vpc, "ALL", "all")
	s.keep(0, s.flow(s.a, false), s.flow(s.b, true), s.flow("eni-00000000000000000", true))
	if _, err := s.logs.DeleteFlowLogs(s.ctx, &ec2.DeleteFlowLogsInput{FlowLogIds: []string{all}}); err != nil {
		t.Fatal(err)
	}
	s.keep(0, s.flow(s.b, true))
	line := func(stream, eni, action string, second int) string {
		at := s.at.Unix() + int64(second)
		return fmt.Sprintf("%s: 2 111111111111 %s 10.0.1.9 10.0.1.10 40000 443 6 1 60 %d %d %s OK", stream, eni, at, at, action)
	}
	if diff := cmp.Diff(line("A-reject", "A", "REJECT", 3)+"\n"+line("A-reject", "A", "REJECT", 5), s.read("rejects")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(line("A-all", "A", "REJECT", 5)+"\n"+line("B-all", "B", "ACCEPT", 6), s.read("all")); diff != "" {
		t.Error(diff)
	}
	nowhere := s.flow(s.a, false)
	nowhere.From = netip.AddrPort{}
	s.keep(0, nowhere)
	if got := s.read("rejects"); !strings.Contains(got, "2 111111111111 A - 10.0.1.10 0 443 6 1 60 ") {
		t.Errorf("without an address: %s", got)
	}
	for e, err := range s.logs.Events(t.Context(), logs.Query{Account: "111111111111", Region: "eu-west-1", Group: "all"}) {
		t.Errorf("another Region has the group: %v, %v", e, err)
	}
}

// TestLost says at each interface that records are missing, once a minute. source: userguide, "Flow log records"
func TestLost(t *testing.T) {
	s := settle(t)
	s.watch("VPC", s.vpc, "ALL", "all")
	s.keep(7, s.flow(s.a, true))
	s.keep(7, s.flow(s.a, true))
	got := s.read("all")
	for _, eni := range []string{"A", "B"} {
		want := fmt.Sprintf("2 111111111111 %s - - - - - - - %d %d - SKIPDATA", eni, s.at.Unix()+1-60, s.at.Unix()+1)
		if strings.Count(got, want) != 1 || strings.Count(got, "SKIPDATA") != 2 {
			t.Errorf("%s\nhas not %q once", got, want)
		}
	}
	s.attempts += 60
	s.keep(1, s.flow(s.a, true))
	if n := strings.Count(s.read("all"), "SKIPDATA"); n != 4 {
		t.Errorf("%d records say that some are missing", n)
	}
}

// TestEvents reads records as events of CloudWatch Logs. source: model, "FilterLogEventsRequest"
func TestEvents(t *testing.T) {
	s := settle(t)
	s.watch("VPC", s.vpc, "ALL", "all")
	for range 5 {
		s.keep(0, s.flow(s.a, true), s.flow(s.b, false))
	}
	l := logs.New(s.logs)
	ask := func(in logsapi.FilterLogEventsInput) (seconds []int64, next *string) {
		t.Helper()
		in.LogGroupName = new("all")
		out, err := l.FilterLogEvents(s.ctx, &in)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range out.Events {
			seconds = append(seconds, (*e.Timestamp-s.at.UnixMilli())/1000)
		}
		return seconds, out.NextToken
	}
	ms := func(second int) *int64 { return new(s.at.UnixMilli() + int64(second)*1000) }
	for _, c := range []struct {
		in   logsapi.FilterLogEventsInput
		want []int64
	}{
		{logsapi.FilterLogEventsInput{}, []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
		{logsapi.FilterLogEventsInput{StartTime: ms(4), EndTime: ms(6)}, []int64{4, 5, 6}},
		{logsapi.FilterLogEventsInput{LogStreamNamePrefix: &s.b}, []int64{2, 4, 6, 8, 10}},
		{logsapi.FilterLogEventsInput{LogStreamNames: []string{s.a + "-all"}}, []int64{1, 3, 5, 7, 9}},
		{logsapi.FilterLogEventsInput{LogStreamNames: []string{s.a}}, nil},
	} {
		if got, _ := ask(c.in); !cmp.Equal(got, c.want) {
			t.Errorf("%v, want %v", got, c.want)
		}
	}
	var all []int64
	for next, pages := (*string)(nil), 0; ; pages++ {
		page, after := ask(logsapi.FilterLogEventsInput{Limit: new(int64(3)), NextToken: next, LogStreamNamePrefix: &s.a})
		all = append(all, page...)
		if next = after; next == nil || pages > 5 {
			break
		}
	}
	if want := []int64{1, 3, 5, 7, 9}; !cmp.Equal(all, want) {
		t.Errorf("in pages %v, want %v", all, want)
	}
}
