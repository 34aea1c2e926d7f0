package agent

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/vennel/vennel/agent/document"
	"github.com/vennel/vennel/agent/platform"
	"github.com/vennel/vennel/agent/plugin"
)

// The topics of jobs, which a job's own topic begins with, and of replies. source: agent
const (
	sendTopic   = "aws.ssm.sendCommand"
	cancelTopic = "aws.ssm.cancelCommand"
)

// mostContent is the largest content of a reply, in bytes. A server may rely on it. source: agent
const mostContent = 120000

// spareContent is what is cut beyond the limit, so that the marks of what was cut fit in.
const spareContent = 200

// timeFormat is how times are written in replies. source: agent
const timeFormat = "2006-01-02T15:04:05.000Z"

// reply is one report about a job, as it is kept in the outbox.
type reply struct {
	ID     uuid.UUID // the same whenever it is sent
	JobID  string
	Topic  string
	Line   string // on which the job came
	Status plugin.Status
	Trace  string `json:",omitzero"`
	Counts map[plugin.Status]int
	Steps  map[string]stepReply // nil is not the same as empty
	Made   time.Time
}

// stepReply is what a reply tells of a step. source: agent
type stepReply struct {
	Status             plugin.Status `json:"status"`
	Code               int           `json:"code"`
	Name               string        `json:"name"` // of the plugin
	Output             string        `json:"output"`
	StartDateTime      string        `json:"startDateTime"`
	EndDateTime        string        `json:"endDateTime"`
	OutputS3BucketName string        `json:"outputS3BucketName"`
	OutputS3KeyPrefix  string        `json:"outputS3KeyPrefix"`
	StepName           string        `json:"stepName"`
	StandardOutput     string        `json:"standardOutput"`
	StandardError      string        `json:"standardError"`
}

// agentInfo names the agent in replies. source: agent
type agentInfo struct {
	Lang  string `json:"lang"`
	Name  string `json:"name"`
	Os    string `json:"os"`
	OsVer string `json:"osver"`
	Ver   string `json:"ver"`
}

// additionalInfo is the part of a reply that is not about the job itself. source: agent
type additionalInfo struct {
	Agent                   agentInfo             `json:"agent"`
	DateTime                string                `json:"dateTime"`
	RunID                   string                `json:"runId"`
	RuntimeStatusCounts     map[plugin.Status]int `json:"runtimeStatusCounts"`
	AbleToOpenMGSConnection *bool                 `json:"ableToOpenMGSConnection,omitempty"`
}

// replyContent is the content of a reply on either line. source: agent
type replyContent struct {
	AdditionalInfo      additionalInfo       `json:"additionalInfo"`
	DocumentStatus      plugin.Status        `json:"documentStatus"`
	DocumentTraceOutput string               `json:"documentTraceOutput"`
	RuntimeStatus       map[string]stepReply `json:"runtimeStatus"`
}

// content writes a reply's content. Where ec2messages is the line, ableToOpen says whether there
// is a control channel, too.
func (r *reply) content(ableToOpen *bool) ([]byte, error) {
	c := replyContent{
		AdditionalInfo: additionalInfo{
			Agent:    agentInfo{Lang: "en-US", Name: Name, Os: strings.ToLower(platform.Type()), OsVer: "1", Ver: Version},
			DateTime: r.Made.Format(timeFormat), RuntimeStatusCounts: r.Counts, AbleToOpenMGSConnection: ableToOpen,
		},
		DocumentStatus: r.Status, DocumentTraceOutput: r.Trace, RuntimeStatus: r.Steps,
	}
	b, err := json.Marshal(c)
	if err != nil || len(b) <= mostContent {
		return b, err
	}
	c.RuntimeStatus = shorten(r.Steps, len(b)-mostContent+spareContent)
	c.DocumentTraceOutput = document.Cut(c.DocumentTraceOutput, 1000)
	return json.Marshal(c)
}

// shorten takes at least the given number of bytes, as JSON counts them, out of the longest streams
// of steps. What is escaped takes up to six bytes for one; the official agent never sends a reply
// that exceeds the limit for that reason.
func shorten(steps map[string]stepReply, excess int) map[string]stepReply {
	var sizes []int
	total := 0
	for _, s := range steps {
		sizes = append(sizes, written(s.StandardOutput), written(s.StandardError))
	}
	for _, n := range sizes {
		total += n
	}
	// most is what a stream may take: the highest level at which all together take little enough.
	most := sort.Search(total, func(level int) bool {
		sum := 0
		for _, n := range sizes {
			sum += min(n, level+1)
		}
		return sum > total-excess
	})
	out := make(map[string]stepReply, len(steps))
	for name, s := range steps {
		s.StandardOutput, s.StandardError = fit(s.StandardOutput, most), fit(s.StandardError, most)
		out[name] = s
	}
	return out
}

// written is the number of bytes that a text takes in JSON.
func written(text string) int {
	b, err := json.Marshal(text)
	if err != nil {
		return 0 // texts can always be written
	}
	return len(b) - len(`""`)
}

// fit shortens a text until it takes no more than a number of bytes in JSON.
func fit(text string, most int) string {
	if written(text) <= most {
		return text
	}
	return document.Cut(text, sort.Search(len(text), func(n int) bool { return written(document.Cut(text, n+1)) > most }))
}

// replySpace is the name space of the ids of replies.
var replySpace = uuid.MustParse("5f4b6a0e-3a64-4f0c-9b5e-6a1f0f3f5d11")

// newReply begins a reply. Its id depends on nothing but the job and the moment in the job's life
// that it reports, so that an agent that is started again makes the same reply again.
func newReply(j *job, moment string, made time.Time) *reply {
	return &reply{ID: uuid.NewSHA1(replySpace, []byte(j.ID+" "+moment)), JobID: j.ID, Topic: sendTopic, Line: j.Line, Made: made}
}

// begun is the reply to a job that was accepted.
func begun(j *job, topic string) *reply {
	r := newReply(j, "accepted", j.Accepted)
	r.ID, r.Topic, r.Status = uuid.New(), topic, plugin.InProgress
	return r
}

// invalid is the reply to a job that cannot be run.
func invalid(j *job, trace string) *reply {
	r := newReply(j, "invalid", j.Accepted)
	r.Status, r.Trace = plugin.Failed, trace
	return r
}

// stepEnded is the reply about a step that has ended.
func stepEnded(j *job, journal *document.Journal, i int, out *document.Output) *reply {
	s := journal.Steps[i]
	r := newReply(j, fmt.Sprintf("step %d run %d", i, s.Resumes), s.End)
	r.Status, r.Counts = plugin.InProgress, journal.Counts(i+1)
	r.Steps = map[string]stepReply{s.Name: step(s, out)}
	return r
}

// jobEnded is the reply about the job as a whole, when it has ended or waits for a reboot. Only that
// of a document of one step has the step again.
func jobEnded(j *job, journal *document.Journal, out *document.Output) *reply {
	r := newReply(j, fmt.Sprintf("end run %d %s", journal.Resumes, journal.Status()), journal.Changed)
	r.Status, r.Trace, r.Counts, r.Steps = journal.Status(), journal.Failure, journal.Counts(len(journal.Steps)), map[string]stepReply{}
	if len(journal.Steps) == 1 {
		r.Steps[journal.Steps[0].Name] = step(journal.Steps[0], out)
	}
	return r
}

// step puts a step's state into a reply's form.
func step(s document.StepState, out *document.Output) stepReply {
	return stepReply{
		Status: s.Status, Code: s.Code, Name: s.Action, Output: out.Output, StandardOutput: out.Stdout, StandardError: out.Stderr,
		StartDateTime: s.Start.Format(timeFormat), EndDateTime: s.End.Format(timeFormat),
	}
}
