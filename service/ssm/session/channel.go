package session

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssmmessages"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/fleet"
	"github.com/vennel/vennel/service/ssm/session/internal/rows"
	"github.com/vennel/vennel/service/ssm/session/relay"
	"github.com/vennel/vennel/store"
)

// errOver is the error that makes an agent stop trying to come back. source: agent
func errOver() error { return api.Errorf(api.Invalid, "Session is already terminated") }

// errForeign refuses a node that speaks of another's session.
func errForeign() error {
	return api.Errorf(api.AccessDenied, "A node may only speak of its own sessions")
}

// allowAgent finds the session of a data channel for its agent, which must be the target.
func (s *Sessions) allowAgent(ctx context.Context, action, id string) (row rows.SsmSession, err error) {
	if err := iam.Allow(ctx, action, "*"); err != nil {
		return row, err
	}
	var ok bool
	err = s.db.View(ctx, func(tx *store.Tx) (err error) {
		row, ok, err = get(ctx, tx, id)
		return err
	})
	if err != nil {
		return row, err
	}
	if call := api.CallFrom(ctx); !ok || row.Account != call.Account || row.Region != call.Region {
		return row, api.Errorf(api.Invalid, "Session %s does not exist", id)
	}
	if err := fleet.AllowNode(ctx, action, "*", row.Target); err != nil {
		return row, err
	}
	if !row.Open {
		return row, errOver()
	}
	return row, nil
}

// CreateChannel gives the node of a session the token with which it opens its data channel.
func (s *Sessions) CreateChannel(ctx context.Context, id string) (token string, err error) {
	row, err := s.allowAgent(ctx, "ssmmessages:CreateDataChannel", id)
	if err != nil {
		return "", err
	}
	return s.token(id, relay.Agent, api.CallFrom(ctx).Time, row.AgentToken), nil
}

// Open is one end of a session on a stream, for as long as that lasts. Agents sign; a client has nothing but its token.
func (s *Sessions) Open(ctx context.Context, in *ssmmessages.OpenDataChannelInput, stream api.Stream) error {
	r, role, err := s.admit(ctx, in, stream) // which leaves little on the stack of a stream that may stay for days
	if err != nil {
		return err
	}
	return r.Serve(stream, role)
}

// admit gives the relay for a stream, and which end it is.
func (s *Sessions) admit(ctx context.Context, in *ssmmessages.OpenDataChannelInput, stream api.Stream) (r *relay.Relay, role relay.Role, err error) {
	role = relay.Client
	if _, signed := api.CallFrom(ctx).Principal.(*iam.Principal); signed {
		role = relay.Agent
	}
	err = api.Aside(func() (err error) {
		r, err = s.open(ctx, in, role, stream)
		return err
	})
	return r, role, err
}

// open accepts a stream and its token, and gives the relay that serves it.
func (s *Sessions) open(ctx context.Context, in *ssmmessages.OpenDataChannelInput, role relay.Role, stream api.Stream) (*relay.Relay, error) {
	const action = "ssmmessages:OpenDataChannel"
	row, err := s.allowAgentOrClient(ctx, action, in.SessionId, role)
	if err != nil {
		return nil, err
	}
	call, begins := api.CallFrom(ctx), untouched(&row) // before its token is used
	address, endpoint := call.SourceIP.String(), ""
	if call.Endpoint != nil {
		endpoint = call.Endpoint.ID()
	}
	_, err = stream.Accept(in, func(ctx context.Context) (err error) {
		if row.ID == "" {
			return denied()
		}
		row, err = s.useToken(ctx, in, row, role, address, endpoint)
		return err
	})
	if err != nil {
		return nil, err
	}
	if l, err := s.attach(ctx, &row, begins, time.Now()); err != nil {
		return nil, err
	} else if l != nil {
		return l.relay, nil
	}
	if role == relay.Agent {
		return nil, errOver()
	}
	r := relay.New(row.ID, row.Target, silent{}, relay.Options{})
	r.Close(row.Output) // it learns how its session has ended
	return r, nil
}

// useToken checks and uses up the token that opens a data channel, and gives the session as it is then.
func (s *Sessions) useToken(ctx context.Context, in *ssmmessages.OpenDataChannelInput, row rows.SsmSession, role relay.Role, address, endpoint string) (rows.SsmSession, error) {
	made, err := s.checkToken(row.ID, role, in.TokenValue, time.Now())
	if err != nil {
		return row, err
	}
	if instance := api.Or(in.ClientInstanceId, ""); role == relay.Agent && instance != row.Target || role == relay.Client && instance != "" {
		return row, denied()
	}
	err = s.db.Update(ctx, func(tx *store.Tx) (err error) {
		q, n := rows.New(tx), int64(0)
		if role == relay.Agent {
			n, err = q.UseAgentToken(ctx, rows.UseAgentTokenParams{ID: row.ID, Made: made, Address: address, Endpoint: endpoint})
		} else {
			n, err = q.UseClientToken(ctx, rows.UseClientTokenParams{
				ID: row.ID, Made: made, Address: address, Endpoint: endpoint, Version: plain(clip(api.Or(in.ClientVersion, ""), mostVersion)),
			})
		}
		if err == nil && n == 0 {
			err = denied() // it was used before, or a later one was
		}
		if err == nil {
			row, _, err = get(ctx, tx, row.ID)
		}
		return err
	})
	return row, err
}

// mostVersion is how much is kept of what a client calls its version.
const mostVersion = 64

// allowAgentOrClient finds the session of a data channel. For a client it gives none when there is none, which a client is told as late as
// that its token is wrong.
func (s *Sessions) allowAgentOrClient(ctx context.Context, action, id string, role relay.Role) (row rows.SsmSession, err error) {
	if role == relay.Agent {
		return s.allowAgent(ctx, action, id)
	}
	if err := iam.AllowUngranted(ctx, action, "whoever has the token of a session may open its data channel"); err != nil {
		return row, err
	}
	var ok bool
	err = s.db.View(ctx, func(tx *store.Tx) (err error) {
		row, ok, err = get(ctx, tx, id)
		return err
	})
	call := api.CallFrom(ctx)
	if err != nil || !ok || call.Endpoint != nil && call.Endpoint.Region() != row.Region {
		return rows.SsmSession{}, err
	}
	call.Account, call.Region = row.Account, row.Region // an unsigned request does not say
	return row, nil
}

// silent is for relays of which no news is wanted.
type silent struct{}

// Connected is relay's.
func (silent) Connected(relay.Role) {}

// Lost is relay's.
func (silent) Lost(relay.Role) {}

// Begun is relay's.
func (silent) Begun() {}

// Ending is relay's.
func (silent) Ending() {}

// Failed is relay's.
func (silent) Failed(string) {}

// Completion is what an agent says about a session that is over there.
type Completion struct {
	Session             string
	Status              string // Success, Failed
	Output              string // for its client
	S3Bucket, S3Key     string // where the log is
	LogGroup, LogStream string
}

// Completed takes what a node says about a session that is over there. It may say so more than once.
func (s *Sessions) Completed(ctx context.Context, node string, c *Completion) error {
	now := time.Now()
	output := printable(clip(c.Output, mostOutput))
	var ends, ok bool
	var row rows.SsmSession
	begun := false
	if l := s.lookup(c.Session); l != nil {
		begun = l.hasBegun()
	}
	err := s.db.Update(ctx, func(tx *store.Tx) (err error) {
		ends = false
		if row, ok, err = get(ctx, tx, c.Session); err != nil || !ok {
			return err
		}
		if row.Target != node {
			return errForeign()
		}
		q, status := rows.New(tx), terminated
		if row.Status == connecting && !begun && c.Status != "Success" {
			status = failed
		}
		n, err := q.EndSession(ctx, rows.EndSessionParams{
			ID: row.ID, Status: status, Ended: now.UnixMilli(), Details: clip(output, mostDetails), Output: output,
		})
		if err != nil {
			return err
		}
		ends = n > 0
		if err := q.ConfirmSession(ctx, row.ID); err != nil {
			return err
		}
		if c.S3Bucket != "" || c.LogGroup != "" {
			if err := q.SetOutput(ctx, rows.SetOutputParams{ID: row.ID, S3Url: c.s3URL(row.Region), LogUrl: c.logURL(row.Region)}); err != nil {
				return err
			}
		}
		row, _, err = get(ctx, tx, row.ID)
		return err
	})
	if l := s.lookup(c.Session); err == nil && ends && l != nil {
		s.finished(l, row.Status, row.Output)
	}
	return err
}

// mostOutput is how much is kept of what an agent tells the client at the end.
const mostOutput = 8192

// mostURL is how long a location may be. source: model
const mostURL = 2083

// s3URL is where a log is in S3; empty for nowhere. source: guess
func (c *Completion) s3URL(region string) string {
	if c.S3Bucket == "" {
		return ""
	}
	return plain(clip("https://s3."+region+".amazonaws.com/"+c.S3Bucket+"/"+c.S3Key, mostURL))
}

// logURL is where a log is in CloudWatch Logs; empty for nowhere. source: guess
func (c *Completion) logURL(region string) string {
	if c.LogGroup == "" {
		return ""
	}
	return clip("https://console.aws.amazon.com/cloudwatch/home?region="+region+"#logEventViewer:group="+url.QueryEscape(c.LogGroup)+
		";stream="+url.QueryEscape(c.LogStream), mostURL)
}

// reminded is for how long a node is reminded that a session has ended, when it does not confirm that.
const reminded = 24 * time.Hour

// NodeConnected tells a node that has opened its control channel which of its sessions have ended: an agent that had given up its data
// channel lives on with the shell until somebody says so. source: agent
func (s *Sessions) NodeConnected(ctx context.Context, node string) error {
	var list []rows.ListUnconfirmedRow
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		list, err = rows.New(tx).ListUnconfirmed(ctx, rows.ListUnconfirmedParams{
			Target: node, Since: time.Now().Add(-reminded).UnixMilli(), Most: 2 * mostOnNode,
		})
		return err
	})
	for _, l := range list {
		if err != nil {
			break
		}
		err = s.fleet.Tell(node, "channel_closed", relay.NewClosed(uuid.New(), time.Now(), l.ID, node, l.Output))
	}
	if errors.Is(err, fleet.ErrNotConnected) {
		return nil // it is gone again, and hears of it the next time
	}
	return err
}
