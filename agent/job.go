package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/vennel/vennel/agent/disk"
	"github.com/vennel/vennel/agent/document"
	"github.com/vennel/vennel/api/ssmdoc"
)

// The files of a job's folder, beside the journal.
const (
	jobFile      = "job.json"
	workerLock   = "lock"   // held by the worker as long as it lives
	cancelFile   = "cancel" // is there when the job is to be cancelled
	rebootFile   = "reboot" // holds how often the machine was rebooted for the job
	workerLog    = "worker.log"
	mostAge      = 48 * time.Hour // of a job that has not begun. source: agent
	jobIDPattern = `^aws\.ssm\.([A-Za-z0-9_-]{1,100})\.[A-Za-z0-9_:-]{1,200}$`
)

// goodJobID is the id of a job; the command's id in it names files.
var goodJobID = regexp.MustCompile(jobIDPattern)

// delivery is a message with a job, as either line delivers it.
type delivery struct {
	JobID, Topic, Content string
	Line                  string
}

// topicOf is what a topic begins with: sendTopic, cancelTopic, or "" for anything else.
func topicOf(topic string) string {
	for _, t := range []string{sendTopic, cancelTopic} {
		if strings.HasPrefix(topic, t) {
			return t
		}
	}
	return ""
}

// commandOf is the command's id in a job's id.
func commandOf(jobID string) (command string, ok bool) {
	m := goodJobID.FindStringSubmatch(jobID)
	if m == nil {
		return "", false
	}
	return m[1], true
}

// job is a command that this node was sent, as it is kept.
type job struct {
	ID       string // aws.ssm.COMMAND.NODE
	Command  string
	Line     string
	Accepted time.Time
	Content  string // as it was delivered

	folder string
}

// sendCommand is the content of a job. source: agent
type sendCommand struct {
	Parameters              map[string]any
	DocumentContent         json.RawMessage
	DocumentName            string
	OutputS3BucketName      string
	CloudWatchOutputEnabled string
}

// cancelCommand is the content of a job that cancels another. source: agent
type cancelCommand struct {
	CancelMessageID string `json:"CancelMessageId"`
}

// parse reads a job's content.
func (j *job) parse() (c sendCommand, source document.Source, err error) {
	if err := json.Unmarshal([]byte(j.Content), &c); err != nil {
		return c, source, fmt.Errorf("the job's content is malformed: %w", err)
	}
	if len(c.DocumentContent) == 0 {
		return c, source, errors.New("the job has no document")
	}
	return c, document.Source{Content: c.DocumentContent, Format: ssmdoc.JSON, Given: c.Parameters}, nil
}

// readJob reads a job from its folder.
func readJob(folder string) (*job, error) {
	j := &job{folder: folder}
	if err := disk.ReadJSON(filepath.Join(folder, jobFile), j); err != nil {
		return nil, err
	}
	if command, ok := commandOf(j.ID); !ok || command != j.Command || command != filepath.Base(folder) {
		return nil, fmt.Errorf("%s is damaged", filepath.Join(folder, jobFile))
	}
	return j, nil
}

// keep writes a job into a folder of its own. When it returns the job is not forgotten any more.
func (j *job) keep() error {
	if err := disk.Folder(j.folder); err != nil {
		return err
	}
	if err := disk.WriteJSON(filepath.Join(j.folder, jobFile), j); err != nil {
		return err
	}
	return disk.Sync(filepath.Dir(j.folder))
}

// path is a file of the job's.
func (j *job) path(name string) string { return filepath.Join(j.folder, name) }
