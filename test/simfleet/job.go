package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/vennel/vennel/api"
)

// jobTime is how long a job takes on a node: what the official agent needs for an echo.
const jobTime = 20 * time.Millisecond

// resendAfter is when a reply that was not acknowledged is sent again. source: agent
const resendAfter = 5 * time.Minute

// job is a job as it comes.
type job struct {
	JobID   string `json:"JobId"`
	Topic   string
	Content string
}

// sentReply is a reply that has not been acknowledged.
type sentReply struct {
	payload []byte
	at      time.Time // of the first attempt
	last    time.Time
}

// receive acts on a message of the server.
func (n *node) receive(ctx context.Context, m *api.Message) error {
	switch m.Type {
	case "interactive_shell":
		return n.hold(ctx, m.Payload)
	case "agent_task_acknowledge", "channel_closed":
		return nil // the data channel says the same
	case "agent_job":
		return n.take(m)
	case "agent_job_reply_ack":
		var ack struct {
			AcknowledgedMessageID uuid.UUID `json:"acknowledgedMessageId"`
		}
		if err := json.Unmarshal(m.Payload, &ack); err != nil {
			return err
		}
		n.mu.Lock()
		sent := n.unacked[ack.AcknowledgedMessageID]
		delete(n.unacked, ack.AcknowledgedMessageID)
		n.mu.Unlock()
		if sent != nil {
			n.fleet.stats.acknowledged(time.Since(sent.at))
		}
		return nil
	}
	return fmt.Errorf("the server sent a message of type %s", m.Type)
}

// The codes of an acknowledgement. source: agent
const (
	codeTaken     = "200"
	codeDuplicate = "51405"
)

// take acknowledges a job, and runs it unless that was done before.
func (n *node) take(m *api.Message) error {
	var j job
	if err := json.Unmarshal(m.Payload, &j); err != nil {
		return err
	}
	parts := strings.Split(j.JobID, ".")
	if len(parts) != 4 || parts[3] != n.id {
		return fmt.Errorf("the job %s is not for %s", j.JobID, n.id)
	}
	n.mu.Lock()
	fresh := !n.ran[j.JobID]
	if n.ran == nil {
		n.ran = map[string]bool{}
	}
	n.ran[j.JobID] = true
	n.mu.Unlock()
	n.fleet.stats.delivered(parts[2], fresh)
	code, message := codeTaken, "Successful"
	if !fresh {
		code, message = codeDuplicate, "duplicate"
	}
	ack, err := json.Marshal(map[string]string{
		"jobId": j.JobID, "acknowledgedMessageId": m.ID.String(), "createdDate": m.Created.UTC().Format("2006-01-02T15:04:05.000Z"),
		"statusCode": code, "errorMessage": message,
	})
	if err != nil {
		return err
	}
	if err := n.send("agent_job_ack", uuid.New(), ack); err != nil || !fresh {
		return err
	}
	return n.run(&j)
}

// run says that a job has begun, and after a while what came of it.
func (n *node) run(j *job) error {
	began := time.Now()
	steps, err := stepsOf(j.Content)
	if err != nil {
		return err
	}
	if err := n.reply(j, "InProgress", nil); err != nil {
		return err
	}
	time.AfterFunc(jobTime, func() {
		results := map[string]any{}
		output := "simulated by node " + n.id + "\n"
		for _, s := range steps {
			results[s.name] = map[string]any{
				"status": "Success", "code": 0, "name": s.action, "output": output, "standardOutput": output, "standardError": "",
				"startDateTime": stamp(began), "endDateTime": stamp(time.Now()), "outputS3BucketName": "", "outputS3KeyPrefix": "", "stepName": "",
			}
		}
		_ = n.reply(j, "Success", results) // a connection that is gone is noticed by its reader
	})
	return nil
}

// reply says something about a job, and remembers it until it is acknowledged.
func (n *node) reply(j *job, status string, results map[string]any) error {
	counts := map[string]int{}
	if results != nil {
		counts["Success"] = len(results)
	}
	content, err := json.Marshal(map[string]any{
		"additionalInfo": map[string]any{
			"agent":    map[string]string{"lang": "en-US", "name": "amazon-ssm-agent", "os": "linux", "osver": "1", "ver": agentVersion},
			"dateTime": stamp(time.Now()), "runId": "", "runtimeStatusCounts": counts,
		},
		"documentStatus": status, "documentTraceOutput": "", "runtimeStatus": results,
	})
	if err != nil {
		return err
	}
	payload, err := json.Marshal(map[string]any{"schemaVersion": 1, "jobId": j.JobID, "topic": "aws.ssm.sendCommand", "content": string(content)})
	if err != nil {
		return err
	}
	id, now := uuid.New(), time.Now()
	n.mu.Lock()
	if n.unacked == nil {
		n.unacked = map[uuid.UUID]*sentReply{}
	}
	n.unacked[id] = &sentReply{payload: payload, at: now, last: now}
	n.mu.Unlock()
	n.fleet.stats.replies.Add(1)
	return n.send("agent_job_reply", id, payload)
}

// resend sends again what has not been acknowledged for long.
func (n *node) resend() {
	again := map[uuid.UUID][]byte{}
	n.mu.Lock()
	for id, r := range n.unacked {
		if time.Since(r.last) > resendAfter {
			r.last = time.Now()
			again[id] = r.payload
		}
	}
	n.mu.Unlock()
	for id, payload := range again {
		_ = n.send("agent_job_reply", id, payload) // or the next time
	}
}

// step is a step of a job's document.
type step struct{ name, action string }

// stepsOf reads the steps of a job's document under the names that their results have.
func stepsOf(content string) ([]step, error) {
	var c struct {
		DocumentContent struct {
			MainSteps     []struct{ Action, Name string }
			RuntimeConfig map[string]json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(content), &c); err != nil {
		return nil, err
	}
	var steps []step
	for _, s := range c.DocumentContent.MainSteps {
		steps = append(steps, step{s.Name, s.Action})
	}
	for name := range c.DocumentContent.RuntimeConfig {
		steps = append(steps, step{name, name})
	}
	return steps, nil
}

// stamp is a time as agents write it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
