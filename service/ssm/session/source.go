package session

import (
	"context"
	"iter"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/vennel/vennel/service/logs"
	"github.com/vennel/vennel/service/ssm/document"
	"github.com/vennel/vennel/service/ssm/session/internal/rows"
	"github.com/vennel/vennel/store"
)

var _ logs.Source = (*Sessions)(nil)

// flushWait is how long a reader waits for what came before to be written.
const flushWait = 5 * time.Second

// Events gives what sessions have shown as events of log groups. A session is a stream with its id for a name. source: agent
func (s *Sessions) Events(ctx context.Context, q logs.Query) iter.Seq2[logs.Event, error] {
	return func(yield func(logs.Event, error) bool) {
		if err := s.events(ctx, q, func(e logs.Event) bool { return yield(e, nil) }); err != nil {
			yield(logs.Event{}, err)
		}
	}
}

// events calls look with events until it returns false.
func (s *Sessions) events(ctx context.Context, q logs.Query, look func(logs.Event) bool) error {
	wait, cancel := context.WithTimeout(ctx, flushWait)
	defer cancel()
	if err := s.transcripts.Flush(wait); err != nil {
		return err
	}
	var broken error
	by := store.Filter{Account: q.Account, Region: q.Region, Name: q.Group, Resource: q.Stream, NewestFirst: q.NewestFirst, After: q.After}
	err := s.transcripts.Query(ctx, q.From, q.To, by, func(r store.Record) bool {
		var p piece
		if broken = json.Unmarshal(r.Body, &p); broken != nil {
			return false
		}
		return look(logs.Event{Time: r.Time, ID: r.ID, Stream: r.Resource, Message: string(p.Output)})
	})
	if err == nil {
		err = broken
	}
	return err
}

// Groups gives the log groups of the sessions that are kept, and the one that an account's preferences name.
func (s *Sessions) Groups(ctx context.Context, account, region string) (list []logs.Group, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		list = nil
		named, err := rows.New(tx).ListLogGroups(ctx, rows.ListLogGroupsParams{Account: account, Region: region})
		if err != nil {
			return err
		}
		for _, g := range named {
			list = append(list, logs.Group{Name: g.LogGroup, Created: time.UnixMilli(g.Created)})
		}
		preferred, err := preferredGroup(ctx, tx, account, region)
		if preferred != "" {
			list = append(list, logs.Group{Name: preferred})
		}
		return err
	})
	return list, err
}

// preferredGroup is the log group that the preferences of an account name; "" when they name none.
func preferredGroup(ctx context.Context, tx *store.Tx, account, region string) (string, error) {
	own, err := document.Exists(ctx, tx, account, region, preferences)
	if err != nil || !own {
		return "", err
	}
	doc, err := document.Resolve(ctx, tx, account, region, preferences, "")
	if err != nil {
		return "", err
	}
	values, err := doc.Parsed.Resolve(nil)
	if err != nil {
		return "", nil //nolint:nilerr // preferences that need parameters name no group by themselves
	}
	inputs, err := inputsOf(doc, values)
	return groupOf(inputs), err
}

// Streams gives the log streams of a group: its sessions.
func (s *Sessions) Streams(ctx context.Context, account, region, group string) (list []logs.Stream, err error) {
	for after := ""; ; {
		var page []rows.ListLogStreamsRow
		err := s.db.View(ctx, func(tx *store.Tx) (err error) {
			page, err = rows.New(tx).ListLogStreams(ctx, rows.ListLogStreamsParams{Account: account, Region: region, LogGroup: group, After: after, Most: mostRows})
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, row := range page {
			after = row.ID
			stream := logs.Stream{Name: row.ID, Created: time.UnixMilli(row.Started), Grows: !row.Logged}
			if row.LastEvent > 0 {
				stream.First, stream.Last = time.UnixMilli(row.FirstEvent), time.UnixMilli(row.LastEvent)
			}
			list = append(list, stream)
		}
		if len(page) < mostRows {
			return list, nil
		}
	}
}
