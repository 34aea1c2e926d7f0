package session_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/api/logs"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/internal/awstest"
	logsource "github.com/vennel/vennel/service/logs"
	"github.com/vennel/vennel/service/ssm/session"
	"github.com/vennel/vennel/store"
	"github.com/vennel/vennel/store/storetest"
)

// TestShown leaves out what steers a terminal, and nothing that could be text. source: agent; guess (what is not complete)
func TestShown(t *testing.T) {
	for line, want := range map[string]string{
		"plain":                          "plain",
		"\x1b[31mred\x1b[0m":             "red",
		"\x1b[?2004h$ ls":                "$ ls",
		"\x1b]0;title\a$ ":               "$ ",
		"\x1b]0;title\x1b\\$ ":           "$ ",
		"\x1bPq data\x1b\\x":             "x",
		"\x1b(Ba\x1b=b\x1bMc":            "abc",
		"a\x1b[1;2Hb\x1b[Kc":             "abc",
		"grüße ß 🌿\x1b[m":                "grüße ß 🌿",
		"a\x1b]hidden":                   "a\x1b]hidden",
		"\x1b]0;a\x18shown\a":            "\x1b]0;a\x18shown\a",
		"\x1b]0;a\x1b[mshown\a":          "\x1b]0;a\x1b[mshown\a",
		"\x1b]0;a\u009cshown\a":          "\x1b]0;a\u009cshown\a",
		"\x1bPa\x1ashown\x1b\\b":         "\x1bPa\x1ashown\x1b\\b",
		"\x1bPa\ashown\x1b\\b":           "\x1bPa\ashown\x1b\\b",
		"\x1b]Rshown\a":                  "\x1b]Rshown\a",
		"a\x1b[12":                       "a\x1b[12",
		"a\x1b[1é2m":                     "a\x1b[1é2m",
		"a\x1b":                          "a\x1b",
		"\x1b[1mb\x1b[22m\x1b]0;x\nnext": "b\x1b]0;x\nnext",
	} {
		if got := session.Shown(line); got != want {
			t.Errorf("%q is shown as %q, not %q", line, got, want)
		}
	}
}

// TestCut takes whole lines, or of one that is too long whole characters.
func TestCut(t *testing.T) {
	for _, c := range []struct {
		text string
		most int
		want int
	}{
		{"a\nb\nc", 10, 4}, {"a\nb\nc", 3, 2}, {"abc", 10, 0}, {"abc", 3, 0}, {"abcd", 3, 3}, {"aüüüü", 4, 3}, {"\xbc\xbc\xbc\xbc\xbc\xbc\xbc", 5, 5}, {"", 3, 0},
	} {
		if got := session.Cut([]byte(c.text), c.most); got != c.want {
			t.Errorf("%q, at most %d: %d, want %d", c.text, c.most, got, c.want)
		}
	}
}

// FuzzShown has every line without an escape stay as it is, and no line grow.
func FuzzShown(f *testing.F) {
	f.Add("\x1b[31mred\x1b]0;title\a\x1bP\x1b\\")
	f.Fuzz(func(t *testing.T, line string) {
		got := session.Shown(line)
		if !strings.Contains(line, "\x1b") && got != line || len(got) > len(line) || utf8.ValidString(line) && !utf8.ValidString(got) {
			t.Errorf("%q is shown as %q", line, got)
		}
	})
}

// preferences makes a session document.
func preferences(w *awstest.World, name, inputs string) {
	awstest.Call[ssm.CreateDocumentOutput](w, "ssm", "CreateDocument", &ssm.CreateDocumentInput{
		Name: name, DocumentType: new("Session"), Content: `{"schemaVersion":"1.0","sessionType":"Standard_Stream","inputs":` + inputs + `}`,
	})
}

// events are the messages of a log stream.
func events(w *awstest.World, group, stream string) (list []string) {
	out := awstest.Call[logs.FilterLogEventsOutput](w, "logs", "FilterLogEvents", &logs.FilterLogEventsInput{LogGroupName: &group, LogStreamNames: []string{stream}})
	for _, e := range out.Events {
		list = append(list, *e.Message)
	}
	return list
}

// data are the lines in the events of a stream of /sessions.
func data(t *testing.T, w *awstest.World, stream string) (lines []string) {
	t.Helper()
	for _, message := range events(w, "/sessions", stream) {
		var e struct{ SessionData []string }
		must(t, json.Unmarshal([]byte(message), &e))
		lines = append(lines, e.SessionData...)
	}
	return lines
}

// TestStreamed writes whole lines while the session lasts, and the rest when it ends or the server stops. source: agent
func TestStreamed(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		w := awstest.New(t)
		n := w.Node(awstest.NodeConfig{})
		preferences(w, "Logged", `{"cloudWatchLogGroupName":"/sessions","cloudWatchStreamingEnabled":true,"runAsEnabled":true,"runAsDefaultUser":"ops"}`)
		p := newPair(t, w, n, &ssm.StartSessionInput{DocumentName: new("Logged")})
		say := func(text string) {
			t.Helper()
			must(t, p.agent.Stream("output_stream_data", 1, text))
			must(t, p.agent.Settled())
			time.Sleep(3 * time.Second)
		}
		say("")
		if got := events(w, "/sessions", p.id); got != nil {
			t.Errorf("a line that is not complete is in %q", got)
		}
		say("\x1b[1mls\x1b[0m\t-l\r\nfile\r\n$ ")
		list := events(w, "/sessions", p.id)
		if len(list) != 1 {
			t.Fatalf("%q", list)
		}
		var got map[string]any
		must(t, json.Unmarshal([]byte(list[0]), &got))
		at, _ := got["eventTime"].(string)
		if _, err := time.Parse(time.RFC3339, at); err != nil {
			t.Error(err)
		}
		delete(got, "eventTime")
		want := map[string]any{
			"eventVersion": "1.0", "awsRegion": "us-east-1", "target": map[string]any{"id": n.ID}, "userIdentity": map[string]any{"arn": "arn:aws:iam::123456789012:user/admin"},
			"runAsUser": "ops", "sessionId": p.id, "sessionData": []any{"$ ls -l", "file"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		for _, d := range []*awstest.Data{p.agent, p.client} {
			d.Drop()
		}
		n.Drop()
		w.Stop() // in which the last line, which is not complete, is written
		w.Start()
		if diff := cmp.Diff([]string{"$ ls -l", "file", "$ "}, data(t, w, p.id)); diff != "" {
			t.Error(diff)
		}
		out := awstest.Call[logs.DescribeLogStreamsOutput](w, "logs", "DescribeLogStreams", &logs.DescribeLogStreamsInput{LogGroupName: new("/sessions")})
		if len(out.LogStreams) != 1 || *out.LogStreams[0].LogStreamName != p.id || *out.LogStreams[0].LastEventTimestamp <= *out.LogStreams[0].FirstEventTimestamp {
			t.Errorf("%+v", out.LogStreams)
		}
	})
}

// TestUnwritable has no reader wait for good for transcripts that cannot be written: there are other sources of log groups.
func TestUnwritable(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		address := storetest.SQLite(t)
		db := storetest.Open(t, address, store.Options{})
		log, err := store.OpenLog(t.Context(), db, "transcript", nil)
		must(t, err)
		s := session.New(session.Config{DB: db, Transcripts: log})
		_, path, _ := strings.Cut(address, ":")
		must(t, os.RemoveAll(filepath.Join(filepath.Dir(path), "transcript")))
		must(t, log.Append(t.Context(), store.Record{Time: time.Now(), ID: "1"}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for _, err = range s.Events(ctx, logsource.Query{Group: "/sessions"}) {
		}
		if err == nil || ctx.Err() != nil {
			t.Errorf("%v, %v", err, ctx.Err())
		}
		if err := log.Close(); err == nil {
			t.Error("the transcript could be written")
		}
	})
}

// TestNotTwice writes down once what an agent sends again to a server that was started anew, because its client had not acknowledged it.
func TestNotTwice(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		w := awstest.New(t)
		n := w.Node(awstest.NodeConfig{})
		preferences(w, "Logged", `{"cloudWatchLogGroupName":"/sessions","cloudWatchStreamingEnabled":true}`)
		p := newPair(t, w, n, &ssm.StartSessionInput{DocumentName: new("Logged")})
		must(t, p.agent.Stream("output_stream_data", 1, "one\r\n"))
		must(t, p.agent.Settled())
		for _, d := range []*awstest.Data{p.agent, p.client} {
			d.Drop()
		}
		n.Drop()
		w.Stop()
		time.Sleep(time.Second) // no server starts within the microsecond in which another has written something
		w.Start()
		n.Connect()
		agent, err := n.OpenData(p.id)
		must(t, err)
		agent.Again(p.agent)
		must(t, agent.Stream("output_stream_data", 1, "one\r\n"))
		must(t, agent.Stream("output_stream_data", 1, "two\r\n"))
		must(t, agent.Settled())
		time.Sleep(3 * time.Second)
		if diff := cmp.Diff([]string{"$ one", "two"}, data(t, w, p.id)); diff != "" {
			t.Error(diff)
		}
	})
}

// TestStreamedLong cuts what is long into events that are not, and loses nothing. source: agent (the size)
func TestStreamedLong(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		w := awstest.New(t)
		n := w.Node(awstest.NodeConfig{})
		preferences(w, "Logged", `{"cloudWatchLogGroupName":"/sessions","cloudWatchStreamingEnabled":true}`)
		p := newPair(t, w, n, &ssm.StartSessionInput{DocumentName: new("Logged")})
		want := "$ "
		for i := range 30 {
			text := fmt.Sprintf("%d ", i) + strings.Repeat("ü", 2500)
			if i%10 == 9 {
				text += "\r\n"
			}
			want += strings.ReplaceAll(text, "\r\n", "")
			must(t, p.agent.Stream("output_stream_data", 1, text))
		}
		must(t, p.agent.Settled())
		must(t, n.Complete(p.id, "Success", ""))
		time.Sleep(20 * time.Second)
		if got := strings.Join(data(t, w, p.id), ""); got != want {
			t.Errorf("%d bytes, want %d", len(got), len(want))
		}
		for _, e := range events(w, "/sessions", p.id) {
			if len(e) > 33_500 {
				t.Errorf("an event of %d bytes", len(e))
			}
		}
	})
}

// TestLoggedAtEnd writes what was shown, as it came, when the session has ended: also when the server was stopped before it could be written,
// and once. source: agent
func TestLoggedAtEnd(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		w := awstest.New(t)
		n := w.Node(awstest.NodeConfig{})
		preferences(w, "Logged", `{"cloudWatchLogGroupName":"/sessions","s3BucketName":"b"}`)
		p := newPair(t, w, n, &ssm.StartSessionInput{DocumentName: new("Logged")})
		must(t, p.agent.Stream("output_stream_data", 1, "\x1b[1mls\x1b[0m\r\n\xfffile\r\n"))
		must(t, p.agent.Settled())
		time.Sleep(10 * time.Second)
		if got := events(w, "/sessions", p.id); got != nil {
			t.Errorf("before the end: %q", got)
		}
		must(t, n.Complete(p.id, "Success", ""))
		w.Stop()
		w.Start()
		time.Sleep(time.Second)
		want := []string{"$ \x1b[1mls\x1b[0m\n\uFFFDfile"}
		if diff := cmp.Diff(want, events(w, "/sessions", p.id)); diff != "" {
			t.Error(diff)
		}
		time.Sleep(2 * time.Hour)
		if diff := cmp.Diff(want, events(w, "/sessions", p.id)); diff != "" {
			t.Error(diff)
		}

		n2 := w.Node(awstest.NodeConfig{})
		long := newPair(t, w, n2, &ssm.StartSessionInput{DocumentName: new("Logged")})
		line := strings.Repeat(strings.Repeat("x", 999)+"\n", 10)
		for range 50 {
			must(t, long.agent.Stream("output_stream_data", 1, line))
		}
		must(t, long.agent.Settled())
		must(t, n2.Complete(long.id, "Success", ""))
		time.Sleep(20 * time.Second)
		list := events(w, "/sessions", long.id)
		if got := strings.Join(list, "\n"); len(list) != 3 || got != "$ "+strings.TrimSuffix(strings.Repeat(line, 50), "\n") {
			t.Errorf("%d events with %d bytes", len(list), len(got))
		}
	})
}

// TestLogGroup says which sessions are in the log group that their preferences name, and what their agents are told of it. source: guess
func TestLogGroup(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		w := awstest.New(t)
		n := w.Node(awstest.NodeConfig{})
		for name, c := range map[string]struct {
			inputs string
			shown  bool
			told   string
		}{
			"Plain":     {`{"cloudWatchLogGroupName":"/g","s3BucketName":"b"}`, true, ""},
			"Encrypted": {`{"cloudWatchLogGroupName":"/g","cloudWatchEncryptionEnabled":true}`, false, "/g"},
			"Key":       {`{"cloudWatchLogGroupName":"/g","kmsKeyId":"alias/k"}`, false, ""},
			"NoName":    {`{"cloudWatchLogGroupName":"a b"}`, false, "a b"},
			"Long":      {`{"cloudWatchLogGroupName":"` + strings.Repeat("g", 512) + `"}`, true, ""},
			"TooLong":   {`{"cloudWatchLogGroupName":"` + strings.Repeat("g", 513) + `"}`, false, strings.Repeat("g", 513)},
			"Bucket":    {`{"s3BucketName":"b","cloudWatchLogGroupName":""}`, false, ""},
		} {
			preferences(w, name, c.inputs)
			out := awstest.Call[ssm.StartSessionOutput](w, "ssm", "StartSession", &ssm.StartSessionInput{Target: n.ID, DocumentName: &name})
			task, err := n.Task()
			must(t, err)
			told, _ := task.DocumentContent["inputs"].(map[string]any)
			if told["cloudWatchLogGroupName"] != c.told || strings.Contains(c.inputs, "s3Bucket") != (told["s3BucketName"] == "b") {
				t.Errorf("%s: the agent is told %v", name, told)
			}
			agent, err := n.OpenData(*out.SessionId)
			must(t, err)
			client, err := w.OpenData(out)
			must(t, err)
			must(t, agent.Stream("output_stream_data", 1, "hello"))
			must(t, agent.Settled())
			must(t, n.Complete(*out.SessionId, "Success", ""))
			client.Drop()
			agent.Drop()
			time.Sleep(20 * time.Second)
			groups := awstest.Call[logs.DescribeLogGroupsOutput](w, "logs", "DescribeLogGroups", &logs.DescribeLogGroupsInput{})
			found := false
			for _, g := range groups.LogGroups {
				for _, e := range events(w, *g.LogGroupName, *out.SessionId) {
					found = found || e == "hello"
				}
			}
			if found != c.shown {
				t.Errorf("%s: shown is %v", name, found)
			}
			got := ""
			must(t, w.Server().Sessions().Transcript(t.Context(), *out.SessionId, func(output []byte) bool {
				got += string(output)
				return true
			}))
			if want := map[bool]string{true: "", false: "hello"}[name == "Key"]; got != want {
				t.Errorf("%s: the transcript is %q, not %q", name, got, want)
			}
		}
	})
}

// TestStreamedNow reads a stream while its session lasts, also from PostgreSQL, which fake time does not reach.
func TestStreamedNow(t *testing.T) {
	w := awstest.New(t)
	n := w.Node(awstest.NodeConfig{})
	preferences(w, "Logged", `{"cloudWatchLogGroupName":"/sessions","cloudWatchStreamingEnabled":true}`)
	p := newPair(t, w, n, &ssm.StartSessionInput{DocumentName: new("Logged")})
	must(t, p.agent.Stream("output_stream_data", 1, "hello\r\n"))
	must(t, p.agent.Settled())
	for begin := time.Now(); events(w, "/sessions", p.id) == nil; time.Sleep(50 * time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			t.Fatal("nothing is shown")
		}
	}
	if diff := cmp.Diff([]string{"$ hello"}, data(t, w, p.id)); diff != "" {
		t.Error(diff)
	}
	groups := awstest.Call[logs.DescribeLogGroupsOutput](w, "logs", "DescribeLogGroups", &logs.DescribeLogGroupsInput{})
	if len(groups.LogGroups) != 1 || *groups.LogGroups[0].LogGroupName != "/sessions" || groups.LogGroups[0].CreationTime == nil {
		t.Errorf("%+v", groups.LogGroups)
	}
	newest := awstest.Call[logs.GetLogEventsOutput](w, "logs", "GetLogEvents", &logs.GetLogEventsInput{LogGroupName: new("/sessions"), LogStreamName: p.id, Limit: new(int64(1))})
	if len(newest.Events) != 1 {
		t.Errorf("%+v", newest)
	}
	streams := awstest.Call[logs.DescribeLogStreamsOutput](w, "logs", "DescribeLogStreams", &logs.DescribeLogStreamsInput{LogGroupName: new("/sessions")})
	if len(streams.LogStreams) != 1 || *streams.LogStreams[0].LastEventTimestamp != *newest.Events[0].Timestamp {
		t.Errorf("%+v", streams.LogStreams)
	}
	must(t, n.Complete(p.id, "Success", ""))
}
