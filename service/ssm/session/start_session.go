package session

import (
	"context"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/document"
	"github.com/vennel/vennel/service/ssm/fleet"
	"github.com/vennel/vennel/service/ssm/session/internal/rows"
	"github.com/vennel/vennel/service/ssm/session/relay"
	"github.com/vennel/vennel/store"
)

// mostOnNode is how many sessions a node has at a time. An official agent that is given more than 1,000 stops listening for good.
// source: agent
const mostOnNode = 500

// StartSession begins a session with a node that holds its control channel. What the agent would not take is refused here, for it would
// only write about that in its own log.
func (s *Sessions) StartSession(ctx context.Context, in *ssm.StartSessionInput) (*ssm.StartSessionOutput, error) {
	call := api.CallFrom(ctx)
	id := newID(call.Principal)
	url, err := s.streamURL(ctx, call, id)
	if err != nil {
		return nil, err
	}
	var p *plan
	var row rows.SsmSession
	err = s.db.Update(ctx, func(tx *store.Tx) (err error) {
		if p, err = s.plan(ctx, tx, in); err != nil {
			return err
		}
		node, ok, err := fleet.Find(ctx, tx, call.Account, call.Region, in.Target)
		if err != nil {
			return err
		}
		if !ok || !s.fleet.Connected(in.Target) {
			return notConnected(in.Target)
		}
		q := rows.New(tx)
		if n, err := q.CountOpen(ctx, in.Target); err != nil {
			return err
		} else if n >= mostOnNode {
			return ssm.ErrServiceQuotaExceededException("%s has %d open sessions, which is as many as a node can have. Terminate some first.", in.Target, n)
		}
		err = q.PutSession(ctx, rows.PutSessionParams{
			ID: id, Account: call.Account, Region: call.Region, Target: in.Target, Owner: call.Principal.ARN(), OwnerID: call.Principal.UserID(),
			Document: p.name, Kind: p.kind, Reason: plain(api.Or(in.Reason, "")), Started: call.Time.UnixMilli(), Idle: int64(p.idle / time.Second),
			Duration: p.duration, Transcript: p.transcript, AgentVersion: node.AgentVersion,
			LogGroup: p.log.group, Streaming: p.log.streaming, RunAs: plain(p.log.runAs),
		})
		if err != nil {
			return err
		}
		row, _, err = get(ctx, tx, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.revive(&row, true, 0, time.Now())
	task, err := p.task(id, call.Principal.ARN())
	if err == nil {
		err = s.fleet.Tell(in.Target, "interactive_shell", task)
	}
	if err != nil {
		s.log.Info("a session could not be begun", "session", id, "node", in.Target, "error", err)
		if err := s.end(ctx, id, failed, "The node lost its control channel before it could be told of the session."); err != nil {
			return nil, err
		}
		return nil, notConnected(in.Target)
	}
	return &ssm.StartSessionOutput{SessionId: &id, TokenValue: new(s.token(id, relay.Client, call.Time, 0)), StreamUrl: &url}, nil
}

// notConnected is the error for a node that there is not, or that cannot be reached. source: aws
func notConnected(target string) error {
	return ssm.ErrTargetNotConnected("%s is not connected.", target)
}

// allow asks whether the caller may start a session with a target, and with the document where that is asked: when the caller names one, or
// when the caller's policies allow only that, by ssm:SessionDocumentAccessCheck, which says whether the document will be asked about.
// source: userguide, "Enforce a session document permission check"
func (s *Sessions) allow(ctx context.Context, tx *store.Tx, in *ssm.StartSessionInput, documentARN string, documentTags map[string]string) error {
	const action = "ssm:StartSession"
	call := api.CallFrom(ctx)
	tags, err := s.fleet.Tags(ctx, tx, call.Account, call.Region, in.Target)
	if err != nil {
		return err
	}
	target := fleet.ARN(call.Region, call.Account, in.Target)
	asked := func(checked bool) []iam.About {
		return []iam.About{iam.ResourceTags(tags), iam.Key("ssm:sessiondocumentaccesscheck", strconv.FormatBool(checked))}
	}
	if in.DocumentName == nil {
		if ok, _ := iam.Allowed(ctx, action, target, asked(false)...); ok {
			return iam.Allow(ctx, action, target, asked(false)...)
		}
	}
	if err := iam.Allow(ctx, action, target, asked(true)...); err != nil {
		return err
	}
	return iam.Allow(ctx, action, documentARN, iam.ResourceTags(documentTags), iam.Key("ssm:sessiondocumentaccesscheck", "true"))
}

// plan finds the document of a new session and asks whether the caller may start it.
func (s *Sessions) plan(ctx context.Context, tx *store.Tx, in *ssm.StartSessionInput) (*plan, error) {
	call := api.CallFrom(ctx)
	own, err := document.Exists(ctx, tx, call.Account, call.Region, preferences)
	if err != nil {
		return nil, err
	}
	defaults := builtin()
	if own {
		if defaults, err = document.Resolve(ctx, tx, call.Account, call.Region, preferences, ""); err != nil {
			return nil, err
		}
	}
	doc, name := defaults, preferences
	var missing error
	if in.DocumentName != nil {
		name = *in.DocumentName
		doc, missing = document.Resolve(ctx, tx, call.Account, call.Region, name, "")
	}
	_, documentARN := document.Name(call.Account, call.Region, name)
	var documentTags map[string]string
	if doc != nil {
		documentTags = doc.Tags
		if doc.ARN != "" {
			documentARN = doc.ARN
		}
	}
	if err := s.allow(ctx, tx, in, documentARN, documentTags); err != nil {
		return nil, err
	}
	if missing != nil {
		return nil, missing
	}
	if doc.Type != ssm.DocumentTypeSession { // source: userguide, "Troubleshooting Session Manager"
		return nil, ssm.ErrInvalidDocument("Document type: '%s' is not supported. Only type: 'Session' is supported for Session Manager.", doc.Type)
	}
	return newPlan(doc, defaults, in.Parameters, call.Principal)
}

// streamURL is the address of a session's data channel that the caller can reach: a name of the kind under which the call came.
func (s *Sessions) streamURL(ctx context.Context, call *api.Call, id string) (string, error) {
	host, err := s.streamHost(ctx, call)
	scheme := "ws"
	if call.TLS {
		scheme = "wss"
	}
	return scheme + "://" + host + "/v1/data-channel/" + id + "?role=publish_subscribe", err
}

// gateway is the service of the data channels.
const gateway = "ssmmessages"

// streamHost is the host of streamURL. A name of Systems Manager has one of the message gateway beside it; one of its endpoint in a VPC
// has none, so there it is that of the VPC's endpoint for the gateway, if it has one. Any other name or address is the whole server's.
func (s *Sessions) streamHost(ctx context.Context, call *api.Call) (string, error) {
	name, port, err := net.SplitHostPort(call.Host)
	if err != nil {
		name, port = call.Host, ""
	}
	at := func(name string) string {
		if port == "" {
			return name
		}
		return net.JoinHostPort(name, port)
	}
	for _, prefix := range []string{"ssm", "ssm-fips"} {
		if rest, ok := strings.CutPrefix(name, prefix+"."); ok {
			return at(gateway + strings.TrimPrefix(prefix, "ssm") + "." + rest), nil
		}
	}
	if call.Endpoint == nil {
		return call.Host, nil
	}
	own, err := s.endpoint(ctx, call.Endpoint.VPCID())
	if err != nil || own != "" {
		return at(own), err
	}
	return at(gateway + "." + call.Region + ".amazonaws.com"), nil
}
