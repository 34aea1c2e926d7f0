package command

import (
	"sync"

	"github.com/go-json-experiment/json"

	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/ssm/command/internal/rows"
)

// request is what a command keeps of the request that made it, for answers and for the targets that
// are looked up later.
type request struct {
	Parameters      map[string][]string         `json:"p,omitzero"`
	InstanceIDs     []string                    `json:"i,omitzero"`
	Targets         []ssm.Target                `json:"t,omitzero"`
	S3Region        *string                     `json:"r,omitzero"`
	S3Bucket        *string                     `json:"b,omitzero"`
	S3Prefix        *string                     `json:"k,omitzero"`
	ServiceRole     *string                     `json:"s,omitzero"`
	Notification    *ssm.NotificationConfig     `json:"n,omitzero"`
	CloudWatch      *ssm.CloudWatchOutputConfig `json:"c,omitzero"`
	DocumentVersion string                      `json:"v,omitzero"` // as asked for
}

// step is a step of a command's document.
type step struct {
	Name   string `json:"n"`
	Plugin string `json:"p"`
}

// plan is what does not change of a command.
type plan struct {
	request   request
	steps     []step
	platforms []string
	order     map[string]int // of the steps, by name
}

// plans keeps the plans of commands whose results come in.
type plans struct {
	mu    sync.Mutex
	known map[string]*plan // guarded by mu
}

// mostPlans bounds the cache; it is emptied when full.
const mostPlans = 1024

// of gives the plan of a command.
func (p *plans) of(c *rows.SsmCommand) (*plan, error) {
	p.mu.Lock()
	found := p.known[c.ID]
	p.mu.Unlock()
	if found != nil {
		return found, nil
	}
	made := &plan{order: map[string]int{}}
	for text, v := range map[string]any{c.Request: &made.request, c.Steps: &made.steps, c.Platforms: &made.platforms} {
		if err := json.Unmarshal([]byte(text), v); err != nil {
			return nil, err
		}
	}
	for i, s := range made.steps {
		made.order[s.Name] = i
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.known) >= mostPlans {
		clear(p.known)
	}
	p.known[c.ID] = made
	return made, nil
}
