package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/vennel/vennel/agent/document"
	"github.com/vennel/vennel/agent/plugin"
)

// post office: takes replies, as it is told.
type office struct {
	mu      sync.Mutex
	got     []string       // "job trace"; guarded by mu
	refuse  map[string]int // how often a reply is refused; guarded by mu
	at      []time.Time    // of every try; guarded by mu
	most    int            // at a time; guarded by mu
	now     int            // guarded by mu
	line    chan struct{}  // closed when the line changes
	err     error          // of refusals
	holding func(*reply)   // is called while a reply is on its way
}

// newOffice makes an office.
func newOffice() *office {
	return &office{refuse: map[string]int{}, line: make(chan struct{}), err: errors.New("refused")}
}

// post takes a reply.
func (o *office) post(_ context.Context, r *reply) error {
	o.mu.Lock()
	o.at = append(o.at, time.Now())
	o.now++
	o.most = max(o.most, o.now)
	o.mu.Unlock()
	if o.holding != nil {
		o.holding(r)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.now--
	key := r.JobID + " " + r.Trace
	if o.refuse[key] > 0 {
		o.refuse[key]--
		return o.err
	}
	o.got = append(o.got, key)
	return nil
}

// current is the line.
func (o *office) current() (string, <-chan struct{}) { return controlLine, o.line }

// openTest opens an outbox in a folder.
func openTest(t *testing.T, folder string, to poster) *outbox {
	t.Helper()
	o, err := openOutbox(folder, to, pace{}.withDefaults(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// letter is a reply with a text.
func letter(job, text string) *reply {
	return &reply{ID: uuid.New(), JobID: job, Trace: text, Status: plugin.InProgress, Made: time.Now()}
}

// put puts a letter.
func put(t *testing.T, o *outbox, job string, order int, text string) {
	t.Helper()
	if err := o.put(job, order, letter(job, text)); err != nil {
		t.Fatal(err)
	}
}

// TestOutboxOrder sends a job's replies in their order however they are put and whatever is refused;
// another job's do not wait for them.
func TestOutboxOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := newOffice()
		to.refuse["a 1"], to.refuse["a 3"] = 3, 2
		o := openTest(t, t.TempDir(), to)
		put(t, o, "a", 2, "2")
		put(t, o, "a", 1, "1")
		put(t, o, "b", 7, "only")
		running(t, o.run)
		synctest.Wait()
		put(t, o, "a", 1000, "4")
		put(t, o, "a", 3, "3")
		put(t, o, "a", 3, "3")
		time.Sleep(time.Hour)
		synctest.Wait()
		if want := []string{"b only", "a 1", "a 2", "a 3", "a 4"}; !slices.Equal(to.got, want) {
			t.Errorf("got %q", to.got)
		}
		if left, _ := os.ReadDir(o.folder); len(left) != 0 || o.left() != 0 {
			t.Errorf("%d files, %d replies left", len(left), o.left())
		}
		put(t, o, "a", 1001, "5")
		synctest.Wait()
		if !slices.Contains(to.got, "a 5") {
			t.Error("a reply after a pause was not sent")
		}
	})
}

// TestOutboxSurvives takes up what an earlier outbox has left; what cannot be read does not stop it.
func TestOutboxSurvives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := t.TempDir()
		first := openTest(t, folder, newOffice())
		put(t, first, "a", 1, "1")
		put(t, first, "a", 3, "3")
		put(t, first, "b", 1, "1")
		for name, text := range map[string]string{
			fileName("a", 2): "{", ".a.000000004.json-123": "{}", "something.else": "x", fileName("c", 1): "",
		} {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		old := letter("d", "old")
		old.Made = time.Now().Add(-49 * time.Hour)
		if err := first.put("d", 1, old); err != nil {
			t.Fatal(err)
		}
		to := newOffice()
		o := openTest(t, folder, to)
		running(t, o.run)
		o.farewell(time.Minute)
		synctest.Wait()
		slices.Sort(to.got)
		if want := []string{"a 1", "a 3", "b 1"}; !slices.Equal(to.got, want) || o.left() != 0 {
			t.Errorf("got %q, %d left", to.got, o.left())
		}
	})
}

// TestOutboxPatience waits longer and longer, but not when the line changes.
func TestOutboxPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := newOffice()
		to.err = errNoLine
		to.refuse["a x"] = 1000
		o := openTest(t, t.TempDir(), to)
		put(t, o, "a", 1, "x")
		running(t, o.run)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		last := to.at[len(to.at)-1].Sub(to.at[len(to.at)-2])
		if last < 150*time.Second || last > 5*time.Minute {
			t.Errorf("the waits grew to %v", last)
		}
		tries := len(to.at)
		line := to.line
		to.line = make(chan struct{})
		close(line)
		synctest.Wait()
		if len(to.at) != tries+1 {
			t.Errorf("%d tries after the line changed", len(to.at)-tries)
		}
		begin := time.Now()
		o.farewell(time.Second)
		if took := time.Since(begin); took != time.Second {
			t.Errorf("the farewell took %v", took)
		}
	})
}

// TestOutboxIsBounded sends the replies of a few jobs at a time.
func TestOutboxIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := newOffice()
		to.holding = func(*reply) { time.Sleep(time.Second) }
		o := openTest(t, t.TempDir(), to)
		for i := range 50 {
			put(t, o, fmt.Sprintf("job%02d", i), 1, "x")
		}
		running(t, o.run)
		o.farewell(time.Hour)
		synctest.Wait()
		if len(to.got) != 50 || to.most != mostPosting {
			t.Errorf("%d sent, %d at a time", len(to.got), to.most)
		}
	})
}

// TestReplyIsFitted shortens replies of every kind to what a server takes, and no more than needed.
func TestReplyIsFitted(t *testing.T) {
	j := &job{ID: "aws.ssm.c.mi-1"}
	for name, s := range map[string]stepReply{
		"control characters": {StandardOutput: strings.Repeat("\x01", 24000), StandardError: strings.Repeat("\x02", 24000), Output: strings.Repeat("\x01", 2500)},
		"one stream":         {StandardOutput: strings.Repeat("\x01", 24000), StandardError: "why"},
		"no text":            {StandardOutput: strings.Repeat("\xff", 24000), StandardError: strings.Repeat("\xfe", 24000)},
		"characters":         {StandardOutput: strings.Repeat("\x01\x01\x01€", 4000), StandardError: strings.Repeat("€\x01\x01\x01", 4000)},
		"quotes":             {StandardOutput: strings.Repeat(`"`, 24000), StandardError: strings.Repeat("<", 24000)},
	} {
		r := newReply(j, "x", time.Now())
		r.Steps = map[string]stepReply{"step": s}
		b, err := r.content(nil)
		if err != nil || len(b) > mostContent || len(b) < mostContent-2*spareContent {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
	r := newReply(j, "x", time.Now())
	r.Trace = strings.Repeat("\x01", 200000)
	if b, err := r.content(nil); err != nil || len(b) > mostContent {
		t.Errorf("a long trace: %d bytes, %v", len(b), err)
	}
	small := newReply(j, "x", time.Now())
	small.Steps = map[string]stepReply{"step": {StandardOutput: strings.Repeat("x", 24000), StandardError: strings.Repeat("y", 24000)}}
	if b, err := small.content(nil); err != nil || strings.Contains(string(b), "truncated") {
		t.Errorf("%d bytes were cut, %v", len(b), err)
	}
}

// TestRepliesRepeat makes the same reply whenever it is made: of an early step also when later ones
// have ended.
func TestRepliesRepeat(t *testing.T) {
	j := &job{ID: "aws.ssm.c.mi-1", Accepted: time.Unix(1, 0)}
	first := document.StepState{Name: "a", Status: plugin.Success, End: time.Unix(2, 0)}
	second := document.StepState{Name: "b", Status: plugin.Failed, End: time.Unix(3, 0)}
	early := &document.Journal{Steps: []document.StepState{first, {Name: "b"}}, Changed: time.Unix(2, 0)}
	late := &document.Journal{Steps: []document.StepState{first, second}, Changed: time.Unix(3, 0), Done: true}
	if diff := cmp.Diff(stepEnded(j, early, 0, new(document.Output)), stepEnded(j, late, 0, new(document.Output))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(jobEnded(j, late, new(document.Output)), jobEnded(j, late, new(document.Output))); diff != "" {
		t.Error(diff)
	}
	ids := map[uuid.UUID]bool{}
	for _, r := range []*reply{
		begun(j, sendTopic), begun(j, sendTopic), invalid(j, "x"), stepEnded(j, late, 0, new(document.Output)), stepEnded(j, late, 1, new(document.Output)), jobEnded(j, late, new(document.Output)),
	} {
		if ids[r.ID] {
			t.Errorf("%s has the id of another", r.Status)
		}
		ids[r.ID] = true
	}
}

// FuzzFit never exceeds its room by more than the mark.
func FuzzFit(f *testing.F) {
	f.Add("abc\x01€", 100, 50)
	f.Fuzz(func(t *testing.T, text string, times, most int) {
		text = strings.Repeat(text, max(0, min(times, 200)))
		most = max(0, min(most, 5000))
		if got := fit(text, most); written(got) > max(most, 20) {
			t.Errorf("%d bytes in %d", written(got), most)
		}
	})
}

// TestCommandOf takes ids of jobs apart; what could be a path is no id.
func TestCommandOf(t *testing.T) {
	for id, want := range map[string]string{
		"aws.ssm.0a1b2c3d-1111-4222-8333-444455556666.mi-0123456789abcdef0": "0a1b2c3d-1111-4222-8333-444455556666",
		"aws.ssm.x.i-1": "x", "aws.ssm...mi-1": "", "aws.ssm.a/b.mi-1": "", "aws.ssm.x": "", "": "", "aws.ssm.x.": "", "aws.ssm.a.b.c": "",
		"aws.ssm." + strings.Repeat("x", 101) + ".mi-1": "", "aws.ssm.x.mi-1\n": "",
	} {
		got, ok := commandOf(id)
		if got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", id, got, ok)
		}
	}
}

// TestBackoff doubles up to its limit, from the upper half.
func TestBackoff(t *testing.T) {
	for n, want := range map[int]time.Duration{0: time.Second, 1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 10: time.Minute, 1000: time.Minute} {
		for range 100 {
			if got := backoff(n, time.Minute); got < want/2 || got > want {
				t.Errorf("backoff(%d) = %v", n, got)
			}
		}
	}
}

// TestSweep removes what is old, and nothing that is young or still needed.
func TestSweep(t *testing.T) {
	n := &node{state: t.TempDir(), Registration: Registration{InstanceID: "mi-0123456789abcdef0"}}
	now := time.Now()
	make := func(age time.Duration, parts ...string) string {
		name := n.path(parts...)
		if err := os.MkdirAll(name, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
		return name
	}
	gone := []string{
		make(80*time.Hour, seenFolder, "old"), make(90*time.Hour, orchestrationFolder, "old"), make(90*time.Hour, orchestrationFolder, "alone"),
	}
	stay := []string{
		make(49*time.Hour, seenFolder, "young"), make(90*time.Hour, orchestrationFolder, "young"),
		make(90*time.Hour, jobsFolder, "running"), make(90*time.Hour, orchestrationFolder, "running"), make(time.Hour, orchestrationFolder, "new"),
	}
	if err := sweepOnce(n, now); err != nil {
		t.Fatal(err)
	}
	for _, name := range gone {
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%s stays", name)
		}
	}
	for _, name := range stay {
		if _, err := os.Stat(name); err != nil {
			t.Errorf("%s is gone", name)
		}
	}
}

// TestEndpoints derives names as the official agent does. source: agent
func TestEndpoints(t *testing.T) {
	for _, tt := range []struct {
		r    Registration
		want string
	}{
		{Registration{Region: "eu-west-1"}, "https://ssm.eu-west-1.amazonaws.com"},
		{Registration{Region: "cn-north-1"}, "https://ssm.cn-north-1.amazonaws.com.cn"},
		{Registration{Region: "us-iso-east-1"}, "https://ssm.us-iso-east-1.c2s.ic.gov"},
		{Registration{Region: "us-isob-east-1"}, "https://ssm.us-isob-east-1.sc2s.sgov.gov"},
		{Registration{Region: "us-isof-south-1"}, "https://ssm.us-isof-south-1.csp.hci.ic.gov"},
		{Registration{Region: "eu-isoe-west-1"}, "https://ssm.eu-isoe-west-1.cloud.adc-e.uk"},
		{Registration{Region: "eusc-de-east-1"}, "https://ssm.eusc-de-east-1.amazonaws.eu"},
		{Registration{Region: "home-lab-1"}, "https://ssm.home-lab-1.amazonaws.com"},
		{Registration{Region: "home-lab-1", Domain: "selfhost.test:8443"}, "https://ssm.home-lab-1.selfhost.test:8443"},
		{Registration{Region: "home-lab-1", Endpoint: "https://10.0.0.1:4443/", Domain: "x"}, "https://10.0.0.1:4443"},
	} {
		if got := tt.r.endpoint("ssm"); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.r, got, tt.want)
		}
	}
}
