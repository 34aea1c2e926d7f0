package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/ssmmessages"
	"github.com/vennel/vennel/datachannel"
	"github.com/vennel/vennel/wire"
	"github.com/vennel/vennel/wire/sigv4"
)

// alreadyTerminated is in a refusal that is final. source: agent
const alreadyTerminated = "Session is already terminated"

// prompt is the output of a shell in which nothing happens.
const prompt = "$ "

// shells are the clients of sessions with the fleet's nodes. Both ends are those of the package datachannel; only there is no program
// behind the agent's.
type shells struct {
	mu   sync.Mutex
	open []*datachannel.Session // guarded by mu
}

// opened is the report of new sessions: how many there are in all, and how long one took from StartSession to the prompt.
type opened struct {
	Event string  `json:"event"`
	Count int     `json:"count"`
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
}

// converse opens sessions with the nodes in turn, until there are as many as ordered, some of them at a time. None is lost from then on.
func (f *fleet) converse(ctx context.Context, o *order) (any, error) {
	transport := f.nodes[0].transport()
	defer transport.CloseIdleConnections()
	caller := &wire.Client{
		Service: "ssm", Endpoint: "https://" + f.name("ssm"), HTTP: &http.Client{Transport: transport, Timeout: callPatience},
		Sign: func(_ context.Context, r *http.Request, body []byte) error {
			keys := sigv4.Credentials{AccessKeyID: o.AccessKey, SecretAccessKey: o.SecretKey}
			return sigv4.Sign(r, sigv4.HashPayload(body), keys, f.order.Region, "ssm", time.Now())
		},
	}
	f.shells.mu.Lock()
	first := len(f.shells.open)
	f.shells.mu.Unlock()
	var took []time.Duration
	var g errgroup.Group
	g.SetLimit(max(1, o.AtOnce))
	for i := first; i < o.Count; i++ {
		g.Go(func() error {
			begin := time.Now()
			s, err := f.shell(ctx, caller, f.nodes[i%len(f.nodes)])
			if err != nil {
				return err
			}
			f.shells.mu.Lock()
			defer f.shells.mu.Unlock()
			f.shells.open, took = append(f.shells.open, s), append(took, time.Since(begin))
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	r := &opened{Event: "opened", Count: len(f.shells.open)}
	if slices.Sort(took); len(took) > 0 {
		r.P50, r.P99 = milliseconds(took[len(took)/2]), milliseconds(took[len(took)*99/100])
	}
	return r, nil
}

// shell opens a session with a node.
func (f *fleet) shell(ctx context.Context, caller *wire.Client, n *node) (*datachannel.Session, error) {
	out := new(ssm.StartSessionOutput)
	if err := caller.Call(ctx, "StartSession", &ssm.StartSessionInput{Target: n.id}, out); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*callPatience)
	defer cancel()
	s, err := datachannel.Open(ctx, datachannel.Start{SessionID: *out.SessionId, Token: *out.TokenValue, StreamURL: *out.StreamUrl}, datachannel.ClientOptions{
		Dial: n.dialing(), Lost: func(err error) { f.stats.fail("session", err) },
	})
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = s.Close() })() // which ends the read
	if err = s.Resize(80, 24); err == nil {
		_, err = io.ReadFull(s, make([]byte, len(prompt)))
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// part ends all sessions, as their users do. It leaves those of earlier fleets alone.
func (f *fleet) part() {
	f.shells.mu.Lock()
	list := f.shells.open
	f.shells.open = nil
	f.shells.mu.Unlock()
	var g errgroup.Group
	g.SetLimit(ramp)
	for _, s := range list {
		g.Go(s.Close)
	}
	if err := g.Wait(); err != nil {
		f.stats.fail("close", err)
	}
}

// dialing is how both ends of a node's sessions reach the server.
func (n *node) dialing() datachannel.DialOptions {
	return datachannel.DialOptions{TLS: n.fleet.tls(""), NetDial: dialer(n.fleet.order.Address, n.number)}
}

// hold holds a session that the server has told the node of, until it ends, and tells how.
func (n *node) hold(ctx context.Context, payload []byte) error {
	var task struct {
		TaskID string `json:"TaskId"`
	}
	if err := json.Unmarshal(payload, &task); err != nil {
		return err
	}
	n.fleet.running.Go(func() {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		var all sync.WaitGroup
		defer all.Wait()
		a := datachannel.NewAgent(func(ctx context.Context) (datachannel.Conn, error) { return n.openData(ctx, task.TaskID) }, datachannel.AgentOptions{
			SessionID: task.TaskID, InstanceID: n.id, Kind: datachannel.StandardStream, Version: agentVersion,
		})
		all.Go(func() {
			if err := a.Run(ctx); err != nil && ctx.Err() == nil {
				n.fleet.stats.fail("hold", err)
			}
		})
		_, _, err := a.Handshake(ctx)
		if err == nil {
			_, err = a.Write([]byte(prompt))
		}
		if err != nil && ctx.Err() == nil {
			n.fleet.stats.fail("begin", err)
		}
		select {
		case <-a.Ended():
		case <-ctx.Done():
		}
		_ = a.Finish(ctx) // mostly its client is gone
		end, err := json.Marshal(map[string]any{
			"SchemaVersion": 1, "TaskId": task.TaskID, "Topic": "agent_task_complete", "FinalTaskStatus": "Success", "InstanceId": n.id, "RetryNumber": 1,
		})
		if err == nil {
			_ = n.send("agent_task_complete", uuid.New(), end) // a connection that is gone is noticed by its reader
		}
	})
	return nil
}

// openData creates and opens a session's data channel.
func (n *node) openData(ctx context.Context, id string) (datachannel.Conn, error) {
	transport := n.transport()
	defer transport.CloseIdleConnections()
	created := new(ssmmessages.CreateDataChannelOutput)
	err := n.client("ssmmessages", transport).Call(ctx, "CreateDataChannel", &ssmmessages.CreateDataChannelInput{
		SessionId: id, MessageSchemaVersion: "1.0", RequestId: uuid.NewString(), ClientId: new(string),
	}, created)
	if e, ok := errors.AsType[*api.Error](err); ok && strings.Contains(e.Message, alreadyTerminated) {
		return nil, errors.Join(datachannel.ErrEnded, err)
	} else if err != nil {
		return nil, err
	}
	url := "https://" + n.fleet.name("ssmmessages") + "/v1/data-channel/" + id + "?role=publish_subscribe"
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	if err := n.sign("ssmmessages")(ctx, r, nil); err != nil {
		return nil, err
	}
	return datachannel.DialWebsocket(ctx, "wss"+strings.TrimPrefix(url, "https"), r.Header, datachannel.Opening{
		MessageSchemaVersion: "1.0", RequestID: uuid.NewString(), TokenValue: created.TokenValue, ClientInstanceID: n.id,
	}, n.dialing())
}
