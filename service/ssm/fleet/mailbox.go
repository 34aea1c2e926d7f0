package fleet

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/vennel/vennel/service/ssm/fleet/internal/rows"
	"github.com/vennel/vennel/store"
)

// mailTopic wakes the delivery; its keys are nodes.
const mailTopic = "ssm mail"

// mostOutstanding is how many jobs a node has at a time. An official agent works on five; one that
// waits inside the agent can no longer be cancelled properly, so the rest waits here.
const mostOutstanding = 5

// Message is something for a node to do.
type Message struct {
	Job     string // aws.ssm.COMMAND.NODE
	Topic   string // aws.ssm.sendCommand.REGION.DOCUMENT, aws.ssm.cancelCommand…
	Content string // JSON
	Urgent  bool   // goes at once; it is done when it has been taken
	Created time.Time
}

// PutMessage keeps what messages say, once for all the nodes that get it.
func PutMessage(ctx context.Context, tx *store.Tx, id, topic, content string, expires time.Time) error {
	return rows.New(tx).PutMessage(ctx, rows.PutMessageParams{ID: id, Topic: topic, Content: content, Expires: expires.UnixMilli()})
}

// Enqueue puts a message into a node's mailbox. It stays until Done.
func Enqueue(ctx context.Context, tx *store.Tx, node, job, message string, created time.Time, urgent bool) error {
	tx.Notify(mailTopic, node)
	return rows.New(tx).PutMail(ctx, rows.PutMailParams{
		Node: node, Created: created.UnixMicro(), Job: job, Message: message, Urgent: urgent,
	})
}

// Done takes a message out of a mailbox, delivered or not. It says whether it was there.
func Done(ctx context.Context, tx *store.Tx, node, job string) (bool, error) {
	n, err := rows.New(tx).DeleteMail(ctx, rows.DeleteMailParams{Node: node, Job: job})
	if n > 0 {
		tx.Notify(mailTopic, node) // there is room for another
	}
	return n > 0, err
}

// Taken notes that a node has a message. It works on it from now on, or is done with it when the
// message was urgent.
func Taken(ctx context.Context, tx *store.Tx, node, job string) error {
	n, err := rows.New(tx).TakeMail(ctx, rows.TakeMailParams{Node: node, Job: job})
	if err != nil || n > 0 {
		return err
	}
	return rows.New(tx).DeleteUrgentMail(ctx, rows.DeleteUrgentMailParams{Node: node, Job: job})
}

// Waits says whether a message is in a node's mailbox.
func Waits(ctx context.Context, tx *store.Tx, node, job string) (bool, error) {
	n, err := rows.New(tx).HasMail(ctx, rows.HasMailParams{Node: node, Job: job})
	return n > 0, err
}

// waiting reads the mail that may go to a node now. busy are the jobs that are on their way.
func (f *Fleet) waiting(ctx context.Context, node string, busy map[string]time.Time) (out []Message, err error) {
	err = f.db.View(ctx, func(tx *store.Tx) error {
		out = nil
		q := rows.New(tx)
		taken, err := q.CountTaken(ctx, node)
		if err != nil {
			return err
		}
		list, err := q.ListMail(ctx, rows.ListMailParams{Node: node, Most: int32(2*mostOutstanding + len(busy))})
		if err != nil {
			return err
		}
		room := mostOutstanding - int(taken) - len(busy)
		for _, m := range list {
			if _, going := busy[m.Job]; going || !m.Urgent && room <= 0 {
				continue
			}
			message, err := q.GetMessage(ctx, m.Message)
			if errors.Is(err, sql.ErrNoRows) {
				continue // it expired; its sender's clock ends the job
			} else if err != nil {
				return err
			}
			out = append(out, Message{
				Job: m.Job, Topic: message.Topic, Content: message.Content, Urgent: m.Urgent, Created: time.UnixMicro(m.Created).UTC(),
			})
			if !m.Urgent {
				room--
			}
		}
		return nil
	})
	return out, err
}

// expireChunk bounds the rows of one transaction.
const expireChunk = 500

// ExpireMessages drops a chunk of what messages said and nobody needs any more; more says whether
// there may be others.
func ExpireMessages(ctx context.Context, tx *store.Tx, now time.Time) (more bool, err error) {
	n, err := rows.New(tx).ExpireMessages(ctx, rows.ExpireMessagesParams{Now: now.UnixMilli(), Most: expireChunk})
	return n == expireChunk, err
}
