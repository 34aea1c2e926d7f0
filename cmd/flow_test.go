package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/service/ec2/flowlog"
)

// flowServer is a running server with an interface that a flow log is about.
type flowServer struct {
	data string
	eni  string
	keep func(accepted bool, at time.Time)
}

// startFlows starts a server in a data folder.
func startFlows(t *testing.T) *flowServer {
	t.Helper()
	data := t.TempDir()
	server, err := OpenServer(t.Context(), Config{Data: data, Region: "us-east-1", Account: "111111111111", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(server.Mux)
	t.Cleanup(func() {
		web.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	ready, err := json.Marshal(&Ready{HTTP: web.URL, Region: "us-east-1", Account: "111111111111", Credentials: filepath.Join(data, credentialsFile)})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, readyFile), ready, 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := newClient(DataFlag{data}, "ec2")
	if err != nil {
		t.Fatal(err)
	}
	call := func(operation string, in, out any) {
		t.Helper()
		if err := client.Call(t.Context(), operation, in, out); err != nil {
			t.Fatal(err)
		}
	}
	vpc, subnet, eni := new(ec2.CreateVpcOutput), new(ec2.CreateSubnetOutput), new(ec2.CreateNetworkInterfaceOutput)
	call("CreateVpc", &ec2.CreateVpcInput{CidrBlock: new("10.0.0.0/16")}, vpc)
	call("CreateSubnet", &ec2.CreateSubnetInput{VpcId: *vpc.Vpc.VpcId, CidrBlock: new("10.0.1.0/24")}, subnet)
	call("CreateNetworkInterface", &ec2.CreateNetworkInterfaceInput{SubnetId: *subnet.Subnet.SubnetId}, eni)
	call("CreateFlowLogs", &ec2.CreateFlowLogsInput{
		ResourceType: "VPC", ResourceIds: []string{*vpc.Vpc.VpcId}, TrafficType: new("ALL"), LogGroupName: new("flows"),
	}, new(ec2.CreateFlowLogsOutput))
	logs := flowlog.New(server.db, server.flows, slog.New(slog.DiscardHandler))
	s := &flowServer{data: data, eni: *eni.NetworkInterface.NetworkInterfaceId}
	s.keep = func(accepted bool, at time.Time) {
		t.Helper()
		err := logs.Keep(t.Context(), []dataplane.Flow{{
			Time: at, ENI: s.eni, Accepted: accepted, Protocol: 6, Bytes: 52,
			From: netip.MustParseAddrPort("10.0.9.9:40000"), To: netip.MustParseAddrPort("10.0.1.5:443"),
		}}, 0)
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// run runs the command and gives what it prints.
func (s *flowServer) run(t *testing.T, f Flow) string {
	t.Helper()
	var out bytes.Buffer
	f.Data = s.data
	if err := f.Run(t.Context(), Streams{Out: &out}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestFlow shows records in both forms, and some of them.
func TestFlow(t *testing.T) {
	s := startFlows(t)
	now := time.Now()
	s.keep(true, now.Add(-2*time.Hour))
	s.keep(true, now.Add(-2*time.Minute))
	s.keep(false, now.Add(-time.Minute))
	table := Flow{OutputFlag: OutputFlag{"table"}, Since: time.Hour}
	lines := strings.Split(strings.TrimSpace(s.run(t, table)), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "TIME") || strings.Index(lines[0], "ACTION") != strings.Index(lines[1], "ACCEPT") {
		t.Fatalf("%s", strings.Join(lines, "\n"))
	}
	if want := []string{s.eni, "10.0.9.9:40000", "10.0.1.5:443", "tcp", "52", "REJECT"}; strings.Join(strings.Fields(lines[2])[2:], " ") != strings.Join(want, " ") {
		t.Errorf("%s, want %v", lines[2], want)
	}
	for _, c := range []struct {
		flow Flow
		want int
	}{
		{Flow{Since: 3 * time.Hour}, 3},
		{Flow{Since: time.Hour, Action: "REJECT"}, 1},
		{Flow{Since: time.Hour, Eni: s.eni}, 2},
		{Flow{Since: time.Hour, Eni: "eni-00000000000000000"}, 0},
		{Flow{Since: time.Hour, VPC: "vpc-00000000000000000"}, 0},
	} {
		c.flow.Output = "json"
		if text := s.run(t, c.flow); strings.Count(text, "\n") != c.want || c.want > 0 && !strings.Contains(text, `"eni":"`+s.eni+`"`) {
			t.Errorf("%+v shows\n%s", c.flow, text)
		}
	}
	var out bytes.Buffer
	wrong := Flow{DataFlag: DataFlag{s.data}, OutputFlag: OutputFlag{"json"}, Group: "nothing"}
	if err := wrong.Run(t.Context(), Streams{Out: &out}); err == nil || !strings.Contains(err.Error(), "ResourceNotFoundException") {
		t.Errorf("a group that there is not: %v", err)
	}
}

// TestFlowFollow shows each record once, while they come.
func TestFlowFollow(t *testing.T) {
	s := startFlows(t)
	s.keep(true, time.Now())
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	read, write := io.Pipe()
	f := Flow{DataFlag: DataFlag{s.data}, OutputFlag: OutputFlag{"json"}, Since: time.Minute, Follow: true}
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx, Streams{Out: write}) }()
	rows := json.NewDecoder(read)
	for i := range 3 {
		var row flowRow
		if err := rows.Decode(&row); err != nil {
			t.Fatal(err)
		}
		if want := []string{"ACCEPT", "REJECT", "REJECT"}[i]; row.Action != want {
			t.Errorf("row %d is %s, want %s", i, row.Action, want)
		}
		if i < 2 {
			s.keep(false, time.Now())
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
