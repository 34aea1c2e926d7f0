package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/vennel/vennel/api/cloudtrail"
	"github.com/vennel/vennel/wire"
	"github.com/vennel/vennel/wire/sigv4"
)

// Audit shows who did what, and why it was allowed or not. It asks the server as any client does.
type Audit struct {
	DataFlag
	OutputFlag
	Operation string        `placeholder:"NAME" help:"Only this operation, such as SendCommand."`
	User      string        `placeholder:"NAME" help:"Only this user, session or node."`
	Denied    bool          `help:"Only what was refused."`
	Since     time.Duration `default:"24h" help:"How far back."`
	Limit     int           `default:"50" help:"How many at most."`
	All       bool          `help:"Also what nodes do all the time: heartbeats, polls and channels."`
}

// OutputFlag chooses between a table for people and JSON for scripts.
type OutputFlag struct {
	Output string `enum:"table,json" default:"table" help:"table or json."`
}

// routine are the calls that nodes make all the time.
var routine = map[string]bool{
	"UpdateInstanceInformation": true, "ListInstanceAssociations": true, "GetMessages": true, "CreateControlChannel": true,
	"OpenControlChannel": true, "RequestManagedInstanceRoleToken": true, "SendReply": true, "AcknowledgeMessage": true,
}

// decision is why something was allowed or not.
type decision struct {
	Action, Resource, Reason string
	Allowed                  bool
}

// auditEvent is what is shown of a record.
type auditEvent struct {
	EventTime           time.Time
	EventName           string
	EventSource         string
	ErrorCode           string
	ErrorMessage        string
	UserIdentity        struct{ ARN, Type, AccessKeyID string }
	SourceIPAddress     string
	VPCEndpointID       string
	AdditionalEventData struct {
		Decisions []decision
	}
}

// Run prints the newest records first.
func (a *Audit) Run(ctx context.Context, s Streams) error {
	client, err := newClient(a.DataFlag, "cloudtrail")
	if err != nil {
		return err
	}
	in := &cloudtrail.LookupEventsInput{StartTime: new(time.Now().Add(-a.Since)), MaxResults: new(int64(50))}
	if a.Operation != "" {
		in.LookupAttributes = []cloudtrail.LookupAttribute{{AttributeKey: cloudtrail.LookupAttributeKeyEventName, AttributeValue: a.Operation}}
	} else if a.User != "" {
		in.LookupAttributes = []cloudtrail.LookupAttribute{{AttributeKey: cloudtrail.LookupAttributeKeyUsername, AttributeValue: a.User}}
	}
	table := tabwriter.NewWriter(s.Out, 0, 4, 2, ' ', 0)
	if a.Output == "table" {
		fmt.Fprintln(table, "TIME\tWHO\tWHAT\tRESULT\tWHY")
	}
	for shown := 0; shown < a.Limit; {
		out := new(cloudtrail.LookupEventsOutput)
		if err := client.Call(ctx, "LookupEvents", in, out); err != nil {
			return err
		}
		for _, e := range out.Events {
			text := []byte(*e.CloudTrailEvent)
			var event auditEvent
			if err := json.Unmarshal(text, &event); err != nil {
				return err
			}
			if !a.shows(&event, e.Username) || shown == a.Limit {
				continue
			}
			shown++
			if err := a.show(s.Out, table, text, &event); err != nil {
				return err
			}
		}
		if out.NextToken == nil {
			break
		}
		in.NextToken = out.NextToken
	}
	return table.Flush()
}

// shows says whether a record is asked for.
func (a *Audit) shows(e *auditEvent, user *string) bool {
	if a.User != "" && (user == nil || *user != a.User) || a.Denied && e.ErrorCode == "" {
		return false
	}
	return a.All || a.Operation != "" || e.ErrorCode != "" || !routine[e.EventName]
}

// show prints one record.
func (a *Audit) show(out io.Writer, table io.Writer, text []byte, e *auditEvent) error {
	if a.Output == "json" {
		_, err := fmt.Fprintf(out, "%s\n", text)
		return err
	}
	who := e.UserIdentity.ARN
	if who == "" {
		who = strings.TrimSpace(strings.ToLower(e.UserIdentity.Type)+" "+e.UserIdentity.AccessKeyID) + " from " + e.SourceIPAddress
	}
	who = who[strings.LastIndexByte(who, ':')+1:]
	if e.VPCEndpointID != "" {
		who += " through " + e.VPCEndpointID
	}
	result, why := "ok", ""
	if e.ErrorCode != "" {
		result = e.ErrorCode
	}
	for _, d := range e.AdditionalEventData.Decisions {
		if why == "" || !d.Allowed {
			why = d.Reason
		}
	}
	if e.ErrorCode != "" && !slices.ContainsFunc(e.AdditionalEventData.Decisions, func(d decision) bool { return !d.Allowed }) {
		why = e.ErrorMessage // allowed, or not even asked
	}
	service, _, _ := strings.Cut(e.EventSource, ".")
	_, err := fmt.Fprintf(table, "%s\t%s\t%s:%s\t%s\t%s\n", e.EventTime.Format(time.DateTime), who, service, e.EventName, result, why)
	return err
}

// newClient gives a client of a service of the server in a data folder, with the administrator's
// key.
func newClient(d DataFlag, service string) (*wire.Client, error) {
	r, err := readReady(d)
	if err != nil {
		return nil, err
	}
	return clientOf(r, service)
}

// clientOf gives a client of a running server.
func clientOf(r Ready, service string) (*wire.Client, error) {
	keys, err := ReadCredentials(r.Credentials)
	if err != nil {
		return nil, err
	}
	endpoint, transport := r.HTTP, http.DefaultTransport.(*http.Transport).Clone()
	if endpoint == "" {
		endpoint = r.HTTPS
		if transport.TLSClientConfig, err = trust(r.CA); err != nil {
			return nil, err
		}
	}
	return &wire.Client{
		Service: service, Endpoint: endpoint, HTTP: &http.Client{Transport: transport}, UserAgent: "vennel",
		Sign: func(_ context.Context, request *http.Request, body []byte) error {
			return sigv4.Sign(request, sigv4.HashPayload(body), keys, r.Region, service, time.Now())
		},
	}, nil
}
