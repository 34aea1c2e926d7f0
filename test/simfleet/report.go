package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// printer writes reports, a line each.
type printer struct {
	mu  sync.Mutex // held while a line is written
	out io.Writer
}

// newPrinter prints to out.
func newPrinter(out io.Writer) *printer { return &printer{out: out} }

// print prints a report. A reader that is gone ends the process soon by closing stdin too.
func (p *printer) print(v any) {
	line, err := json.Marshal(v)
	if err != nil {
		fmt.Fprintln(os.Stderr, "simfleet:", err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = p.out.Write(append(line, '\n'))
}

// report is one line of stdout. Counts are since the start; times, in milliseconds, are those of the
// replies acknowledged since the last report that was asked for.
type report struct {
	Event      string            `json:"event"` // progress, or report when asked for
	Nodes      int               `json:"nodes"`
	Registered int64             `json:"registered"`
	Online     int64             `json:"online"`
	Connects   int64             `json:"connects"` // control channels opened
	Failed     int64             `json:"failed"`   // attempts at anything
	Beats      int64             `json:"beats"`    // heartbeats answered
	Jobs       int64             `json:"jobs"`     // deliveries of jobs
	Replies    int64             `json:"replies"`
	Acked      int64             `json:"acked"`            // of the replies
	Commands   map[string]*spent `json:"commands"`         // by id; only when asked for
	Errors     map[string]int64  `json:"errors,omitempty"` // by text; only when asked for
	AckP50     float64           `json:"ack_p50_ms"`
	AckP99     float64           `json:"ack_p99_ms"`
	AckMost    float64           `json:"ack_most_ms"`
	AckLate    int               `json:"ack_late"` // took so long that an agent writes the reply to its disk
}

// spent is what became of a command.
type spent struct {
	Nodes      int `json:"nodes"`      // that ran it; a node runs it once however often it is delivered
	Deliveries int `json:"deliveries"` // of its jobs
}

// stats counts what happens.
type stats struct {
	nodes                                       int
	registered, online, connects, failed, beats atomic.Int64
	jobs, replies, acked                        atomic.Int64
	mu                                          sync.Mutex
	commands                                    map[string]*spent // guarded by mu
	errors                                      map[string]int64  // guarded by mu
	times                                       []time.Duration   // from reply to acknowledgement; guarded by mu
}

// mostErrors bounds the texts that are told apart.
const mostErrors = 20

// fail counts a failure.
func (s *stats) fail(doing string, err error) {
	s.failed.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.errors == nil {
		s.errors = map[string]int64{}
	}
	text := doing + ": " + cause(err)
	if _, ok := s.errors[text]; !ok && len(s.errors) >= mostErrors {
		text = "others"
	}
	s.errors[text]++
}

// delivered counts a job. fresh says that the node runs it.
func (s *stats) delivered(command string, fresh bool) {
	s.jobs.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.commands == nil {
		s.commands = map[string]*spent{}
	}
	c := s.commands[command]
	if c == nil {
		c = new(spent)
		s.commands[command] = c
	}
	c.Deliveries++
	if fresh {
		c.Nodes++
	}
}

// acknowledged counts an acknowledged reply.
func (s *stats) acknowledged(took time.Duration) {
	s.acked.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.times = append(s.times, took)
}

// agentPatience is how long an agent waits for the acknowledgement of a reply before it writes the
// reply to its disk. source: agent
const agentPatience = time.Second

// report sums up.
func (s *stats) report(event string, whole bool) *report {
	r := &report{
		Event: event, Nodes: s.nodes, Registered: s.registered.Load(), Online: s.online.Load(), Connects: s.connects.Load(),
		Failed: s.failed.Load(), Beats: s.beats.Load(), Jobs: s.jobs.Load(), Replies: s.replies.Load(), Acked: s.acked.Load(),
	}
	if !whole {
		return r
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Commands = map[string]*spent{}
	for id, c := range s.commands {
		r.Commands[id] = &spent{c.Nodes, c.Deliveries}
	}
	r.Errors = maps.Clone(s.errors)
	slices.Sort(s.times)
	if n := len(s.times); n > 0 {
		r.AckP50, r.AckP99, r.AckMost = milliseconds(s.times[n/2]), milliseconds(s.times[n*99/100]), milliseconds(s.times[n-1])
		late, _ := slices.BinarySearch(s.times, agentPatience)
		r.AckLate = n - late
	}
	s.times = nil
	return r
}

// milliseconds is a duration as reports have it.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
