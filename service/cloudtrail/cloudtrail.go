// Package cloudtrail is the audit trail: one record for each request, in CloudTrail's shape, with
// what decided it. It keeps the records in a log of its own, by day. It uses iam.
package cloudtrail

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/vennel/vennel/api"
	vocabulary "github.com/vennel/vennel/api/cloudtrail"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// Keep is how long records are kept. source: userguide, "event history"
const Keep = 90 * 24 * time.Hour

// Trail is the service.
type Trail struct {
	unclaimed
	log     *store.Log
	account string // gets the records of callers that nobody knows
	notice  *slog.Logger
}

// unclaimed holds the operations that are not built.
type unclaimed struct{ vocabulary.Unimplemented }

var _ vocabulary.Server = (*Trail)(nil)

// New gives the service. Records of callers that nobody knows go to an account, so that somebody
// sees them.
func New(log *store.Log, account string, notice *slog.Logger) *Trail {
	return &Trail{log: log, account: account, notice: notice}
}

// Run drops what is too old, until ctx ends.
func (t *Trail) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		if err := t.log.Expire(ctx, time.Now().Add(-Keep)); err != nil && ctx.Err() == nil {
			t.notice.Warn("old audit records not dropped", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// event is a record in CloudTrail's shape. source: userguide, "CloudTrail record contents"
type event struct {
	EventVersion       string         `json:"eventVersion"`
	UserIdentity       identity       `json:"userIdentity"`
	EventTime          string         `json:"eventTime"`
	EventSource        string         `json:"eventSource"`
	EventName          string         `json:"eventName"`
	AWSRegion          string         `json:"awsRegion"`
	SourceIPAddress    string         `json:"sourceIPAddress"`
	UserAgent          string         `json:"userAgent"`
	ErrorCode          string         `json:"errorCode,omitzero"`
	ErrorMessage       string         `json:"errorMessage,omitzero"`
	RequestParameters  jsontext.Value `json:"requestParameters"`
	ResponseElements   jsontext.Value `json:"responseElements"`
	AdditionalData     additional     `json:"additionalEventData"`
	RequestID          string         `json:"requestID"`
	EventID            string         `json:"eventID"`
	ReadOnly           bool           `json:"readOnly"`
	EventType          string         `json:"eventType"`
	ManagementEvent    bool           `json:"managementEvent"`
	RecipientAccountID string         `json:"recipientAccountId"`
	EventCategory      string         `json:"eventCategory"`
	VPCEndpointID      string         `json:"vpcEndpointId,omitzero"`
	VPCEndpointAccount string         `json:"vpcEndpointAccountId,omitzero"`
	TLSDetails         tlsDetails     `json:"tlsDetails"`
}

// identity is who made the call.
type identity struct {
	Type           string          `json:"type"`
	PrincipalID    string          `json:"principalId,omitzero"`
	ARN            string          `json:"arn,omitzero"`
	AccountID      string          `json:"accountId,omitzero"`
	AccessKeyID    string          `json:"accessKeyId,omitzero"`
	UserName       string          `json:"userName,omitzero"`
	SessionContext *sessionContext `json:"sessionContext,omitzero"`
}

// sessionContext is what a session came from.
type sessionContext struct {
	SessionIssuer *sessionIssuer    `json:"sessionIssuer,omitzero"`
	Attributes    sessionAttributes `json:"attributes"`
}

// sessionIssuer is the role behind a session.
type sessionIssuer struct {
	Type        string `json:"type"`
	PrincipalID string `json:"principalId"`
	ARN         string `json:"arn"`
	AccountID   string `json:"accountId"`
	UserName    string `json:"userName"`
}

// sessionAttributes say how a session began.
type sessionAttributes struct {
	CreationDate     string `json:"creationDate"`
	MFAAuthenticated string `json:"mfaAuthenticated"`
}

// timeForm is how records write a time.
const timeForm = "2006-01-02T15:04:05Z"

// additional is what decided the call, which AWS's records do not say.
type additional struct {
	Decisions []api.Decision `json:"decisions,omitzero"`
	TookMS    float64        `json:"tookMilliseconds"`
	Carried   bool           `json:"sourceIPAddressSaidByGateway,omitzero"` // otherwise it is what the packets had
}

// tlsDetails says which name the client asked for.
type tlsDetails struct {
	ClientProvidedHostHeader string `json:"clientProvidedHostHeader"`
}

// Record keeps a request. It returns when the record is in the queue of the log, which is on disk a
// moment later; a full queue makes the request wait, since a call that leaves no trace is worse
// than a slow one.
func (t *Trail) Record(ctx context.Context, call *api.Call, o *api.Outcome) {
	account := call.Account
	if account == "" {
		account = t.account
	}
	e := event{
		EventVersion: "1.11", EventTime: call.Time.UTC().Format(timeForm), EventSource: call.Service + ".amazonaws.com",
		EventName: call.Operation, AWSRegion: call.Region, UserAgent: call.UserAgent, ErrorCode: o.Code, ErrorMessage: o.Message,
		RequestParameters: o.Request, ResponseElements: o.Response, RequestID: call.RequestID, EventID: call.RequestID, ReadOnly: o.ReadOnly,
		EventType: "AwsApiCall", ManagementEvent: true, RecipientAccountID: account, EventCategory: "Management",
		AdditionalData: additional{Decisions: call.Decisions(), TookMS: float64(o.Took.Microseconds()) / 1000},
		TLSDetails:     tlsDetails{call.Host},
	}
	if call.SourceIP.IsValid() {
		e.SourceIPAddress = call.SourceIP.String()
	}
	if through := call.Endpoint; through != nil {
		e.VPCEndpointID, e.VPCEndpointAccount = through.ID(), through.AccountID()
		e.AdditionalData.Carried = through.Carried()
	}
	name := ""
	if p := call.Principal; p != nil {
		name = describe(&e.UserIdentity, p)
	}
	if e.RequestParameters == nil {
		e.RequestParameters = jsontext.Value("null")
	}
	if e.ResponseElements == nil {
		e.ResponseElements = jsontext.Value("null")
	}
	body, err := json.Marshal(&e, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		t.notice.Error("audit record not written", "request_id", call.RequestID, "error", err)
		return
	}
	resource := ""
	for _, d := range e.AdditionalData.Decisions {
		if d.Resource != "*" {
			resource = d.Resource
			break
		}
	}
	record := store.Record{
		Time: call.Time, ID: call.RequestID, Account: account, Region: call.Region, Name: plain(call.Operation), Principal: plain(name),
		Resource: plain(resource), Body: body,
	}
	if err := t.log.Append(context.WithoutCancel(ctx), record); err != nil {
		t.notice.Error("audit record not written", "request_id", call.RequestID, "error", err)
	}
}

// plain makes a text of a stranger's fit to be kept.
func plain(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// describe fills in who made a call, and gives the name under which it is found.
func describe(id *identity, p api.Principal) string {
	id.Type, id.PrincipalID, id.ARN, id.AccountID, id.AccessKeyID = p.Type(), p.UserID(), p.ARN(), p.AccountID(), p.KeyID()
	name := p.ARN()[strings.LastIndexByte(p.ARN(), '/')+1:]
	if p.ARN() == "" {
		name = p.KeyID()
	}
	if p.Type() == "IAMUser" {
		id.UserName = name
	}
	u, ok := p.(*iam.Principal)
	if !ok || !u.Temporary() {
		return name
	}
	id.SessionContext = &sessionContext{Attributes: sessionAttributes{u.Issued().UTC().Format(timeForm), "false"}}
	if role := u.RoleARN(); role != "" {
		unique, _, _ := strings.Cut(u.UserID(), ":")
		id.SessionContext.SessionIssuer = &sessionIssuer{
			Type: "Role", PrincipalID: unique, ARN: role, AccountID: u.AccountID(), UserName: role[strings.LastIndexByte(role, '/')+1:],
		}
	}
	return name
}
