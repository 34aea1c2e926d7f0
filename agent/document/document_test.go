//go:build linux

package document

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/agent/plugin"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/ssmdoc"
)

// fakeSSM answers GetParameters and GetDocument from maps, and counts the calls.
type fakeSSM struct {
	parameters map[string]ssm.Parameter
	documents  map[string]string
	calls      []string
}

// Call answers a call.
func (f *fakeSSM) Call(_ context.Context, operation string, in, out any) error {
	switch in := in.(type) {
	case *ssm.GetParametersInput:
		f.calls = append(f.calls, fmt.Sprintf("%s %d %v", operation, len(in.Names), *in.WithDecryption))
		got := out.(*ssm.GetParametersOutput)
		for _, name := range in.Names {
			if p, ok := f.parameters[name]; ok {
				got.Parameters = append(got.Parameters, p)
			} else {
				got.InvalidParameters = append(got.InvalidParameters, name)
			}
		}
	case *ssm.GetDocumentInput:
		f.calls = append(f.calls, operation+" "+in.Name)
		content, ok := f.documents[in.Name]
		if !ok {
			return ssm.ErrInvalidDocument("no document %s", in.Name)
		}
		out.(*ssm.GetDocumentOutput).Content = &content
	default:
		return errors.New(operation)
	}
	return nil
}

// stringParameter makes a stored parameter.
func stringParameter(name, kind, value string, version int64) ssm.Parameter {
	return ssm.Parameter{Name: &name, Type: &kind, Value: &value, Version: &version}
}

// newRunner makes a runner in folders of its own.
func newRunner(t *testing.T) *Runner {
	t.Helper()
	r := &Runner{
		Dir: filepath.Join(t.TempDir(), "journal"), Work: filepath.Join(t.TempDir(), "work"), Command: "c", SSM: &fakeSSM{parameters: map[string]ssm.Parameter{"q": stringParameter("q", "String", "x", 1)}},
		Log: slog.New(slog.DiscardHandler), Wake: new(bytes.Buffer),
	}
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return r
}

// run runs a document and fails the test if its journal cannot be kept.
func (r *Runner) run(ctx context.Context, t *testing.T, content string, given map[string]any) *Journal {
	t.Helper()
	j, err := r.Run(ctx, Source{Content: []byte(content), Format: ssmdoc.JSON, Given: given})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// outline writes a journal as text: one line a step.
func (r *Runner) outline(t *testing.T, j *Journal) string {
	t.Helper()
	var b strings.Builder
	for i, s := range j.Steps {
		fmt.Fprintf(&b, "%s %s %d", s.Name, s.Status, s.Code)
		if out, err := ReadOutput(r.Dir, i); err == nil && s.Status != "" && s.Status != plugin.InProgress {
			fmt.Fprintf(&b, " %q %q", out.Stdout, out.Stderr)
			if s.Start.IsZero() || s.End.Before(s.Start) {
				t.Errorf("step %s begins at %v and ends at %v", s.Name, s.Start, s.End)
			}
		}
		b.WriteString("\n")
	}
	if j.Failure != "" {
		b.WriteString(j.Failure + "\n")
	}
	return b.String() + string(j.Status()) + "\n"
}

// doc makes a document of schema 2.2 from steps, each "name§inputs" of aws:runShellScript with the
// script under the key run, or "name§inputs§precondition".
func doc(steps ...string) string { return docOf("2.2", steps...) }

// docOf is doc for any schema.
func docOf(schema string, steps ...string) string {
	var all []string
	for _, s := range steps {
		parts := strings.Split(s, "§")
		step := map[string]any{"action": "aws:runShellScript", "name": parts[0]}
		if name, action, ok := strings.Cut(parts[0], "="); ok {
			step["name"], step["action"] = name, action
		}
		inputs := map[string]any{}
		if err := json.Unmarshal([]byte("{"+parts[1]+"}"), &inputs); err != nil {
			panic(err)
		}
		if run, ok := inputs["run"]; ok {
			delete(inputs, "run")
			inputs["runCommand"] = []any{run}
		}
		step["inputs"] = inputs
		if len(parts) > 2 {
			step["precondition"] = json.RawMessage(parts[2])
		}
		b, err := json.Marshal(step)
		if err != nil {
			panic(err)
		}
		all = append(all, string(b))
	}
	return `{"schemaVersion":"` + schema + `","parameters":{"p":{"type":"String","default":"on"},"q":{"type":"String","default":"{{ssm:q}}"}},"mainSteps":[` + strings.Join(all, ",") + `]}`
}

// TestRunControl runs documents whose steps decide about each other. source: agent, userguide
func TestRunControl(t *testing.T) {
	for _, tt := range []struct{ name, content, want string }{{
		"a failed step does not stop the next",
		doc(`a§"run":"echo 1; exit 3"`, `b§"run":"echo 2"`),
		"a Failed 3 \"1\\n\" \"failed to run commands: exit status 3\"\nb Success 0 \"2\\n\" \"\"\nFailed\n",
	}, {
		"onFailure exit",
		doc(`a§"run":"exit 3","onFailure":"exit"`, `b§"run":"echo 2"`, `c§"run":"echo 3"`),
		"a Failed 3 \"\\nThe step has failed and has onFailure exit: the steps after it are skipped.\" \"failed to run commands: exit status 3\\nThe step has failed and has onFailure exit: the steps after it are skipped.\"\n" +
			"b Skipped 0 \"\" \"\"\nc Skipped 0 \"\" \"\"\nFailed\n",
	}, {
		"onFailure exit of a success",
		doc(`a§"run":"exit 0","onFailure":"exit"`, `b§"run":"echo 2"`),
		"a Success 0 \"\" \"\"\nb Success 0 \"2\\n\" \"\"\nSuccess\n",
	}, {
		"onFailure successAndExit",
		doc(`a§"run":"exit 3","onFailure":"successAndExit"`, `b§"run":"echo 2"`),
		"a Success 168 \"\\nThe step has failed and has onFailure successAndExit: the steps after it are skipped.\" \"failed to run commands: exit status 3\\nThe step has failed and has onFailure successAndExit: the steps after it are skipped.\"\n" +
			"b Skipped 0 \"\" \"\"\nSuccess\n",
	}, {
		"onSuccess exit",
		doc(`a§"run":"echo 1","onSuccess":"exit"`, `b§"run":"echo 2"`),
		"a Success 0 \"1\\n\" \"\"\nb Skipped 0 \"\" \"\"\nSuccess\n",
	}, {
		"onSuccess exit of a failure",
		doc(`a§"run":"exit 1","onSuccess":"exit"`, `b§"run":"echo 2"`),
		"a Failed 1 \"\" \"failed to run commands: exit status 1\"\nb Success 0 \"2\\n\" \"\"\nFailed\n",
	}, {
		"code 168",
		doc(`a§"run":"echo 1; echo 2 >&2; exit 168"`, `b§"run":"echo 2"`),
		"a Success 168 \"1\\n\\nThe step ended with code 168: it counts as a success, and the steps after it are skipped.\" \"\"\nb Skipped 0 \"\" \"\"\nSuccess\n",
	}, {
		"code 169",
		doc(`a§"run":"exit 169"`, `b§"run":"echo 2"`),
		"a Failed 169 \"\\nThe step ended with code 169: it has failed, and the steps after it are skipped.\" \"failed to run commands: exit status 169\\nThe step ended with code 169: it has failed, and the steps after it are skipped.\"\nb Skipped 0 \"\" \"\"\nFailed\n",
	}, {
		"a finally step",
		doc(`a§"run":"exit 168"`, `b§"run":"echo 2"`, `c§"run":"echo 3","finallyStep":true`),
		"a Success 168 \"\\nThe step ended with code 168: it counts as a success, and the steps after it are skipped.\" \"\"\nb Skipped 0 \"\" \"\"\nc Success 0 \"3\\n\" \"\"\nSuccess\n",
	}, {
		"a finally step by text",
		doc(`a§"run":"exit 168"`, `c§"run":"echo 3","finallyStep":"true"`),
		"a Success 168 \"\\nThe step ended with code 168: it counts as a success, and the steps after it are skipped.\" \"\"\nc Success 0 \"3\\n\" \"\"\nSuccess\n",
	}, {
		"a finally step that is not the last",
		doc(`a§"run":"exit 168"`, `b§"run":"echo 2","finallyStep":true`, `c§"run":"echo 3"`),
		"a Success 168 \"\\nThe step ended with code 168: it counts as a success, and the steps after it are skipped.\" \"\"\nb Skipped 0 \"\" \"\"\nc Skipped 0 \"\" \"\"\nSuccess\n",
	}, {
		"a skipped step does not stop",
		doc(`a§"run":"echo 1","onSuccess":"exit"§{"StringEquals":["platformType","Windows"]}`, `b§"run":"echo 2"`),
		"a Skipped 0 \"\" \"\"\nb Success 0 \"2\\n\" \"\"\nSuccess\n",
	}, {
		"plugins of other platforms, unknown ones and those that are not built",
		doc(`a=aws:psModule§`, `b=aws:makeCoffee§`, `c=aws:updateSsmAgent§`, `d=aws:configurePackage§§{"StringEquals":["platformType","Windows"]}`, `e=aws:makeCoffee§§{"StringEquals":["platformType","Windows"]}`),
		"a Skipped 0 \"\" \"\"\n" +
			"b Failed 1 \"\" \"Step b needs the plugin aws:makeCoffee, which this version of the agent does not know.\"\n" +
			"c Failed 1 \"\" \"this agent is not the official one and is not updated by a command; to update it, replace its program\"\n" +
			"d Skipped 0 \"\" \"\"\ne Skipped 0 \"\" \"\"\nFailed\n",
	}, {
		"plugins of other platforms before 2.2",
		docOf("2.0", `a=aws:psModule§`, `b=aws:makeCoffee§`, `c=aws:softwareInventory§`, `d§"run":"echo 4"`, `e§"run":"echo 5"§{"StringEquals":["platformType","Linux"]}`),
		"a Failed 1 \"\" \"Step a needs the plugin aws:psModule, which does not exist for Linux.\"\n" +
			"b Failed 1 \"\" \"Step b needs the plugin aws:makeCoffee, which this version of the agent does not know.\"\n" +
			"c Failed 1 \"\" \"Step c needs the plugin aws:softwareInventory, which this agent does not have.\"\n" +
			"d Success 0 \"4\\n\" \"\"\n" +
			"e Failed 1 \"\" \"The precondition of step e cannot be judged: Preconditions need schema 2.2, but step e of schema 2.0 has one.\"\nFailed\n",
	}, {
		"schema 1.2",
		`{"schemaVersion":"1.2","parameters":{"c":{"type":"StringList","default":["echo 1","exit 2"]}},"runtimeConfig":{
		  "aws:runShellScript":{"properties":[{"id":"0","runCommand":"{{ c }}"},{"id":"1","runCommand":["echo 3; exit 4"]}]}}}`,
		"aws:runShellScript Failed 2 \"1\\n\\n3\\n\" \"failed to run commands: exit status 2\\nfailed to run commands: exit status 4\"\nFailed\n",
	}, {
		"schema 1.2 with all properties in a parameter",
		`{"schemaVersion":"1.2","parameters":{"c":{"type":"MapList","default":[{"runCommand":["echo 1"]}]}},"runtimeConfig":{"aws:runShellScript":{"properties":"{{ c }}"}}}`,
		"aws:runShellScript Success 0 \"1\\n\" \"\"\nSuccess\n",
	}, {
		"schema 1.2 without properties",
		`{"schemaVersion":"1.2","runtimeConfig":{"aws:runShellScript":{"properties":[]}}}`,
		"aws:runShellScript Failed 1 \"\" \"runCommand must be given\"\nFailed\n",
	}} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRunner(t)
			j := r.run(t.Context(), t, tt.content, nil)
			if diff := cmp.Diff(tt.want, r.outline(t, j)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if !j.Done || j.Reboot {
				t.Errorf("done %v, reboot %v", j.Done, j.Reboot)
			}
		})
	}
}

// TestPreconditions judges conditions. source: agent
func TestPreconditions(t *testing.T) {
	for _, tt := range []struct {
		condition string
		want      plugin.Status
	}{
		{`{"StringEquals":["platformType","Linux"]}`, plugin.Success},
		{`{"StringEquals":["linux","platformType"]}`, plugin.Success},
		{`{"StringEquals":["platformType","Windows"]}`, plugin.Skipped},
		{`{"StringEquals":["{{ p }}","on"]}`, plugin.Success},
		{`{"StringEquals":["on","{{p}}"]}`, plugin.Success},
		{`{"StringEquals":["{{ p }}","off"]}`, plugin.Skipped},
		{`{"StringEquals":["x{{ p }}","xon"]}`, plugin.Success},
		{`{"StringEquals":["a","b"]}`, plugin.Failed},
		{`{"StringEquals":["a","a"]}`, plugin.Failed},
		{`{"StringEquals":["{{ p }}","{{ p }}"]}`, plugin.Failed},
		{`{"StringEquals":["platformType","platformType"]}`, plugin.Failed},
		{`{"StringEquals":["platformType","{{ p }}"]}`, plugin.Failed},
		{`{"StringEquals":["{{ p }}","{{ssm:x}}"]}`, plugin.Failed},
		{`{"StringEquals":["{{ p }}","{{ ssm-secure:x }}"]}`, plugin.Failed},
		{`{"StringEquals":["{{ q }}","x"]}`, plugin.Failed},
		{`{"StringLike":["platformType","Linux"]}`, plugin.Failed},
		{`{"StringEquals":["platformType"]}`, plugin.Failed},
		{`{"StringEquals":"platformType"}`, plugin.Failed},
		{`["platformType"]`, plugin.Failed},
		{`{}`, plugin.Success},
	} {
		r := newRunner(t)
		j := r.run(t.Context(), t, doc(`a§"run":"true"§`+tt.condition), nil)
		if got := j.Steps[0].Status; got != tt.want {
			out, _ := ReadOutput(r.Dir, 0)
			t.Errorf("%s: %s, want %s (%s)", tt.condition, got, tt.want, out.Output)
		}
	}
}

// TestParameters puts values in, or refuses them.
func TestParameters(t *testing.T) {
	stored := map[string]ssm.Parameter{
		"plain": stringParameter("plain", "String", "value {{ssm:other}}", 3), "/a/b.c": stringParameter("/a/b.c", "String", "deep", 1),
		"list": stringParameter("list", "StringList", "echo 1,echo 2", 1), "secret": stringParameter("secret", "SecureString", "s", 1),
		"plain:2": stringParameter("plain", "String", "older", 2), "upper": stringParameter("upper", "String", "UP", 1),
	}
	content := func(run string) string {
		return `{"schemaVersion":"2.2","parameters":{"c":{"type":"StringList","default":["echo default"]},"s":{"type":"String","default":"","allowedPattern":"^[a-z {}:]*$"},"n":{"type":"String"}},
		  "mainSteps":[{"action":"aws:runShellScript","name":"a","inputs":{"runCommand":` + run + `}}]}`
	}
	for _, tt := range []struct {
		name, run string
		given     map[string]any
		want      string
	}{
		{"a default", `"{{ c }}"`, nil, `a Success 0 "default\n" ""`},
		{"a list", `"{{ c }}"`, map[string]any{"c": []any{"echo 1", "echo 2"}}, `a Success 0 "1\n2\n" ""`},
		{"within a line", `["echo '{{ c }}'"]`, map[string]any{"c": []any{"a"}}, `a Success 0 "[\"a\"]\n" ""`},
		{"a value that the document does not declare", `["echo '{{ z }}'"]`, map[string]any{"z": "x"}, `a Success 0 "{{ z }}\n" ""`},
		{"a stored parameter", `["echo '{{ssm:plain}}'"]`, nil, `a Success 0 "value {{ssm:other}}\n" ""`},
		{"a version of it", `["echo '{{ssm:plain:2}} {{ ssm:plain }} {{ ssm:/a/b.c }}'"]`, nil, `a Success 0 "older value {{ssm:other}} deep\n" ""`},
		{"a stored parameter in a value", `["echo '{{ s }}'"]`, map[string]any{"s": "{{ssm:/a/b.c}}"}, `a Success 0 "deep\n" ""`},
		{"a stored list", `["echo 0","{{ ssm:list }}"]`, nil, `a Success 0 "0\n1\n2\n" ""`},
		{"a stored list in a value", `"{{ c }}"`, map[string]any{"c": []any{"{{ssm:list}}"}}, `a Success 0 "1\n2\n" ""`},
		{"a stored list within text", `["echo {{ ssm:list }}"]`, nil, "cannot be part of a text"},
		{"a secret", `["echo {{ ssm:secret }}"]`, nil, "the stored parameters secret are of type SecureString"},
		{"one that does not exist", `["echo {{ ssm:none }} {{ ssm:plain }}"]`, nil, "do not exist: none"},
		{"a version that does not exist", `["echo {{ ssm:plain:9 }}"]`, nil, "do not exist: plain:9"},
		{"a stored value that is not allowed", `["echo {{ s }}"]`, map[string]any{"s": "{{ssm:upper}}"}, "not matching"},
		{"a value that is not allowed", `["echo {{ s }}"]`, map[string]any{"s": "UP"}, "not matching"},
		{"a missing value", `["echo {{ n }}"]`, map[string]any{"n": nil}, "Parameter n is required"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRunner(t)
			r.SSM = &fakeSSM{parameters: stored}
			given := map[string]any{"n": "x"}
			maps.Copy(given, tt.given)
			got := r.outline(t, r.run(t.Context(), t, content(tt.run), given))
			if !strings.Contains(got, tt.want) {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if !strings.Contains(tt.want, "Success") && (!strings.HasSuffix(got, "Failed\n") || strings.Contains(got, "Success")) {
				t.Errorf("got %s", got)
			}
		})
	}
}

// TestStoredParametersInBatches reads many stored parameters, ten a call, each once, and never
// decrypted.
func TestStoredParametersInBatches(t *testing.T) {
	f := &fakeSSM{parameters: map[string]ssm.Parameter{}}
	var run []string
	for i := range 23 {
		name := fmt.Sprintf("p%02d", i)
		f.parameters[name] = stringParameter(name, "String", fmt.Sprint(i), 1)
		run = append(run, fmt.Sprintf(`"echo {{ssm:%s}} {{ ssm:%s }}"`, name, name))
	}
	r := newRunner(t)
	r.SSM = f
	j := r.run(t.Context(), t, `{"schemaVersion":"2.2","mainSteps":[{"action":"aws:runShellScript","name":"a","inputs":{"runCommand":[`+strings.Join(run, ",")+`]}}]}`, nil)
	if j.Status() != plugin.Success {
		t.Error(r.outline(t, j))
	}
	if want := []string{"GetParameters 10 false", "GetParameters 10 false", "GetParameters 3 false"}; !slices.Equal(f.calls, want) {
		t.Errorf("calls %q", f.calls)
	}
}

// TestNames matches answers with the names asked for.
func TestNames(t *testing.T) {
	label, arn := ":prod", "arn:aws:ssm:r:1:parameter/x"
	p := stringParameter("x", "String", "v", 4)
	p.Selector, p.ARN = &label, &arn
	for _, tt := range []struct{ asked, want string }{{"x", "x"}, {"x:4", "x:4"}, {"x:prod", "x:prod"}, {arn, arn}, {arn + ":4", arn + ":4"}, {"x:5", ""}, {"y", ""}} {
		if got := named(p, []string{tt.asked}); got != tt.want {
			t.Errorf("asked for %q: %q", tt.asked, got)
		}
	}
}

// TestDocumentThatCannotBeRun fails as a whole.
func TestDocumentThatCannotBeRun(t *testing.T) {
	r := newRunner(t)
	j := r.run(t.Context(), t, `{"schemaVersion":"7"}`, nil)
	if !j.Done || j.Status() != plugin.Failed || !strings.Contains(j.Failure, "schemaVersion") || len(j.Steps) != 0 {
		t.Errorf("%+v", j)
	}
	if again := r.run(t.Context(), t, doc(`a§"run":"true"`), nil); again.Failure != j.Failure {
		t.Errorf("%+v", again)
	}
}

// TestReboot runs a step again after each reboot that it asks for, and no other.
func TestReboot(t *testing.T) {
	r := newRunner(t)
	content := doc(`a§"run":"echo first >> `+r.Dir+`/log"`, `b§"run":"echo run $(ls `+r.Dir+`/again* 2>/dev/null | wc -l); touch `+r.Dir+`/again.$$; [ $(ls `+r.Dir+`/again* | wc -l) -ge 3 ] || exit 194"`, `c§"run":"echo third"`)
	for n := 1; n <= 2; n++ {
		j := r.run(t.Context(), t, content, nil)
		if !j.Reboot || j.Done || j.Status() != plugin.SuccessAndReboot || j.Steps[1].Code != 194 || j.Steps[2].Status != "" {
			t.Fatalf("run %d: %+v", n, j)
		}
	}
	j := r.run(t.Context(), t, "this is not read again", nil)
	want := "a Success 0 \"\" \"\"\nb Success 0 \"run 0\\nrun 1\\nrun 2\\n\" \"\"\nc Success 0 \"third\\n\" \"\"\nSuccess\n"
	if diff := cmp.Diff(want, r.outline(t, j)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if !j.Done || j.Reboot || j.Resumes != 2 {
		t.Errorf("%+v", j)
	}
	if log, _ := os.ReadFile(r.Dir + "/log"); string(log) != "first\n" {
		t.Errorf("the first step ran again: %q", log)
	}
}

// TestRebootForEver stops a step that always asks for one more.
func TestRebootForEver(t *testing.T) {
	r := newRunner(t)
	content := doc(`a§"run":"echo x; exit 194"`, `b§"run":"echo y"`)
	for n := range mostResumes + 1 {
		if j := r.run(t.Context(), t, content, nil); !j.Reboot {
			t.Fatalf("run %d: %+v", n, j)
		}
	}
	j := r.run(t.Context(), t, content, nil)
	want := "a Failed 1 \"\" \"The step asked for more than 15 reboots.\"\nb Skipped 0 \"\" \"\"\nFailed\n"
	if diff := cmp.Diff(want, r.outline(t, j)); diff != "" || !j.Done {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestInterrupted opens a journal in which a step has begun and not ended: the step has failed, it
// is not run again, nor are those after it, but for a finally step.
func TestInterrupted(t *testing.T) {
	r := newRunner(t)
	content := doc(`a§"run":"echo 1"`, `b§"run":"echo 2 >> `+r.Dir+`/log"`, `c§"run":"echo 3"`, `d§"run":"echo 4","finallyStep":true`)
	plan, err := Prepare(t.Context(), Source{Content: []byte(content), Format: ssmdoc.JSON}, r.SSM)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.Dir, planFile), b, 0o600); err != nil {
		t.Fatal(err)
	}
	j := new(Journal)
	j.begin(plan)
	j.Steps[0].Status, j.Steps[0].Start, j.Steps[0].End = plugin.Success, now(), now()
	j.Steps[1].Status, j.Steps[1].Start = plugin.InProgress, now()
	if err := j.save(r.Dir); err != nil {
		t.Fatal(err)
	}
	j = r.run(t.Context(), t, content, nil)
	if got := []plugin.Status{j.Steps[0].Status, j.Steps[1].Status, j.Steps[2].Status, j.Steps[3].Status}; !slices.Equal(got, []plugin.Status{plugin.Success, plugin.Failed, plugin.Skipped, plugin.Success}) {
		t.Errorf("got %v", got)
	}
	out, err := ReadOutput(r.Dir, 1)
	if err != nil || !strings.Contains(out.Stderr, "interrupted") || out.Output != out.Stderr {
		t.Errorf("%+v, %v", out, err)
	}
	if _, err := os.Stat(r.Dir + "/log"); err == nil {
		t.Error("the interrupted step ran again")
	}
	if !j.Done || j.Status() != plugin.Failed {
		t.Errorf("%+v", j)
	}
}

// TestCancel cancels while a step runs, and before any does.
func TestCancel(t *testing.T) {
	for _, tt := range []struct {
		cause error
		want  string
	}{
		{plugin.ErrCancelled, "a Cancelled 137 \"1\\n\" \"\"\nb Cancelled 1 \"\" \"\"\nCancelled\n"},
		{plugin.ErrShutdown, "a Failed 137 \"1\\n\" \"\"\nb Cancelled 1 \"\" \"\"\nFailed\n"},
	} {
		r := newRunner(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			for ctx.Err() == nil {
				if b, err := os.ReadFile(filepath.Join(r.Work, "0.a", "stdout")); err == nil && len(b) > 0 {
					cancel(tt.cause)
				}
			}
		}()
		got := r.outline(t, r.run(ctx, t, doc(`a§"run":"echo 1; sleep 100"`, `b§"run":"echo 2"`), nil))
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%v (-want +got)\n%s", tt.cause, diff)
		}
	}

	r := newRunner(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(plugin.ErrCancelled)
	j := r.run(ctx, t, doc(`a§"run":"echo 1"`, `b§"run":"echo 2"`), nil)
	if !j.Done || j.Status() != plugin.Cancelled || len(j.Steps) != 2 {
		t.Errorf("before it began: %+v", j)
	}

	r = newRunner(t)
	stored := new(fakeSSM)
	r.SSM = stored
	j = r.run(ctx, t, doc(`a§"run":"echo {{ ssm:none }}"`), nil)
	if !j.Done || j.Status() != plugin.Cancelled || len(stored.calls) != 0 {
		t.Errorf("before it began: %+v, %v", j, stored.calls)
	}

	r = newRunner(t)
	ctx, cancel = context.WithCancelCause(t.Context())
	cancel(plugin.ErrShutdown)
	if j, err := r.Run(ctx, Source{Content: []byte(doc(`a§"run":"echo 1"`)), Format: ssmdoc.JSON}); !errors.Is(err, plugin.ErrShutdown) || j.Begun() {
		t.Errorf("a document began while the machine went down: %+v, %v", j, err)
	}
}

// TestSettle ends a document that has not begun, and leaves one that has alone.
func TestSettle(t *testing.T) {
	r := newRunner(t)
	if j, err := Settle(r.Dir, errors.New("too old")); err != nil || j.Status() != plugin.Failed || j.Failure != "too old" {
		t.Errorf("%+v, %v", j, err)
	}
	if again := r.run(t.Context(), t, doc(`a§"run":"echo 1"`), nil); again.Failure != "too old" {
		t.Errorf("it ran: %+v", again)
	}
	r = newRunner(t)
	r.run(t.Context(), t, doc(`a§"run":"echo 1"`), nil)
	if j, err := Settle(r.Dir, errors.New("too old")); err != nil || j.Status() != plugin.Success {
		t.Errorf("%+v, %v", j, err)
	}
}

// TestDeny ends a document that waits for a reboot, and leaves one that does not alone.
func TestDeny(t *testing.T) {
	r := newRunner(t)
	content := doc(`a§"run":"echo 1"`, `b§"run":"echo 2; exit 194"`, `c§"run":"echo 3"`)
	r.run(t.Context(), t, content, nil)
	j, err := Deny(r.Dir, errors.New("it must not"))
	if err != nil {
		t.Fatal(err)
	}
	want := "a Success 0 \"1\\n\" \"\"\nb Failed 1 \"2\\n\" \"The step asked for a reboot, but it must not.\"\nc Skipped 0 \"\" \"\"\nFailed\n"
	if diff := cmp.Diff(want, r.outline(t, j)); diff != "" || !j.Done || j.Reboot {
		t.Errorf("%+v (-want +got)\n%s", j, diff)
	}
	if again := r.run(t.Context(), t, content, nil); again.Status() != plugin.Failed {
		t.Errorf("it ran: %+v", again)
	}
	r = newRunner(t)
	r.run(t.Context(), t, doc(`a§"run":"echo 1"`), nil)
	if j, err := Deny(r.Dir, errors.New("x")); err != nil || j.Status() != plugin.Success {
		t.Errorf("%+v, %v", j, err)
	}
}

// TestJournalSurvives writes the journal before a step begins and wakes whoever waits.
func TestJournalSurvives(t *testing.T) {
	r := newRunner(t)
	j := r.run(t.Context(), t, doc(`a§"run":"cat `+filepath.Join(r.Dir, journalFile)+`"`), map[string]any{"q": "x"})
	out, err := ReadOutput(r.Dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	var seen Journal
	if err := json.Unmarshal([]byte(out.Stdout), &seen); err != nil || seen.Steps[0].Status != plugin.InProgress {
		t.Errorf("while the step ran the journal was %s", out.Stdout)
	}
	if n := r.Wake.(*bytes.Buffer).Len(); n != 2 {
		t.Errorf("%d changes", n)
	}
	again, err := Open(r.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(j, again); diff != "" {
		t.Errorf("(-returned +kept)\n%s", diff)
	}
}

// TestUnkeptJournal runs nothing when it cannot be noted first.
func TestUnkeptJournal(t *testing.T) {
	r := newRunner(t)
	if err := os.MkdirAll(filepath.Join(r.Dir, journalFile, "x"), 0o700); err != nil { // a folder cannot be replaced
		t.Fatal(err)
	}
	if _, err := r.Run(t.Context(), Source{Content: []byte(doc(`a§"run":"touch ` + r.Dir + `/ran"`)), Format: ssmdoc.JSON, Given: map[string]any{"q": "x"}}); err == nil {
		t.Error("no error")
	}
	if _, err := os.Stat(r.Dir + "/ran"); err == nil {
		t.Error("the step ran")
	}
}

// TestPanic turns a plugin's panic into a failed step.
func TestPanic(t *testing.T) {
	r := newRunner(t)
	s := &plugin.Step{}
	var err error
	if s.Stderr, err = plugin.OpenStream(filepath.Join(r.Dir, "stderr")); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Stderr.Close() }() // it has been read
	got := r.guarded(t.Context(), func(context.Context, *plugin.Step) plugin.Result { panic("boom") }, s)
	if text, _ := s.Stderr.Head(100); got.Status != plugin.Failed || text != "the plugin crashed: boom" {
		t.Errorf("%v %q", got, text)
	}
}

// TestRunDocument runs documents within documents.
func TestRunDocument(t *testing.T) {
	nested := func(members string) string {
		return `{"schemaVersion":"2.2","mainSteps":[{"action":"aws:runDocument","name":"outer","inputs":{` + members + `}},{"action":"aws:runShellScript","name":"after","inputs":{"runCommand":["echo after"]}}]}`
	}
	inner := `{"schemaVersion":"2.2","parameters":{"who":{"type":"String","allowedValues":["me","you"]}},"mainSteps":[
	  {"action":"aws:runShellScript","name":"x","inputs":{"runCommand":["printf 'hello {{ who }}'"]}},
	  {"action":"aws:runShellScript","name":"y","inputs":{"runCommand":["echo bye; echo why >&2; exit 4"]}}]}`
	ok := `{"schemaVersion":"2.2","mainSteps":[{"action":"aws:runShellScript","name":"x","inputs":{"runCommand":["echo fine"]}}]}`
	self := `{"schemaVersion":"2.2","mainSteps":[{"action":"aws:runDocument","name":"again","inputs":{"documentType":"SSMDocument","documentPath":"Self"}}]}`
	three := `{"schemaVersion":"2.2","mainSteps":[{"action":"aws:runDocument","name":"n","inputs":{"documentType":"SSMDocument","documentPath":"Two"}}]}`
	two := `{"schemaVersion":"2.2","mainSteps":[{"action":"aws:runDocument","name":"n","inputs":{"documentType":"SSMDocument","documentPath":"Ok"}}]}`
	local := filepath.Join(t.TempDir(), "doc.yaml")
	if err := os.WriteFile(local, []byte("schemaVersion: '2.2'\nparameters:\n  n: {type: Integer, default: 7}\nmainSteps:\n- action: aws:runShellScript\n  name: x\n  inputs: {runCommand: ['echo {{ n }}']}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, members, want string }{
		{"a document with parameters", `"documentType":"SSMDocument","documentPath":"Inner","documentParameters":{"who":"me"}`, `outer Failed 1 "hello me\nbye\n" "why\nfailed to run commands: exit status 4\n"`},
		{"parameters as JSON text", `"documentType":"SSMDocument","documentPath":"Inner","documentParameters":"{\"who\":\"you\"}"`, `"hello you\nbye\n"`},
		{"parameters as YAML text", `"documentType":"SSMDocument","documentPath":"Inner","documentParameters":"who: you"`, `"hello you\nbye\n"`},
		{"a file", `"documentType":"LocalPath","documentPath":"` + local + `"`, `outer Success 0 "7\n" ""`},
		{"a file with a parameter", `"documentType":"LocalPath","documentPath":"` + local + `","documentParameters":{"n":null}`, `outer Success 0 "7\n" ""`},
		{"nothing", `"documentType":"SSMDocument","documentPath":"AWS-Noop"`, `outer Success 0 "" ""`},
		{"three deep", `"documentType":"SSMDocument","documentPath":"Three"`, `outer Success 0 "fine\n" ""`},
		{"too deep", `"documentType":"SSMDocument","documentPath":"Self"`, `to a depth of 3 only`},
		{"a parameter that is not allowed", `"documentType":"SSMDocument","documentPath":"Inner","documentParameters":{"who":"them"}`, `which is not one of`},
		{"a parameter that is missing", `"documentType":"SSMDocument","documentPath":"Inner"`, `Parameter who is required`},
		{"parameters that are none", `"documentType":"SSMDocument","documentPath":"Inner","documentParameters":"{"`, `documentParameters are malformed`},
		{"no such document", `"documentType":"SSMDocument","documentPath":"None"`, `no document None`},
		{"no such file", `"documentType":"LocalPath","documentPath":"none.json"`, `could not be read`},
		{"no path", `"documentType":"LocalPath"`, `documentPath must be given`},
		{"no type", `"documentPath":"x"`, `must be SSMDocument or LocalPath`},
		{"a text that is no document", `"documentType":"SSMDocument","documentPath":"Text"`, `must be an object`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRunner(t)
			r.SSM = &fakeSSM{documents: map[string]string{"Inner": inner, "Ok": ok, "Self": self, "Three": three, "Two": two, "Text": "hello"}}
			got := r.outline(t, r.run(t.Context(), t, nested(tt.members), nil))
			if !strings.Contains(got, tt.want) || !strings.Contains(got, "after Success") {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if n := r.Wake.(*bytes.Buffer).Len(); n != 4 {
				t.Errorf("%d changes of the outer journal", n)
			}
		})
	}
}

// TestRunDocumentReboot reboots within an inner document: its own steps before are not run again,
// and the outer step's output is that of all.
func TestRunDocumentReboot(t *testing.T) {
	r := newRunner(t)
	inner := `{"schemaVersion":"2.2","mainSteps":[
	  {"action":"aws:runShellScript","name":"x","inputs":{"runCommand":["echo once | tee -a ` + r.Dir + `/log"]}},
	  {"action":"aws:runShellScript","name":"y","inputs":{"runCommand":["[ -e ` + r.Dir + `/flag ] && echo two && exit 0; touch ` + r.Dir + `/flag; echo one; exit 194"]}}]}`
	r.SSM = &fakeSSM{documents: map[string]string{"Inner": inner}}
	content := `{"schemaVersion":"2.2","mainSteps":[{"action":"aws:runDocument","name":"outer","inputs":{"documentType":"SSMDocument","documentPath":"Inner"}}]}`
	if j := r.run(t.Context(), t, content, nil); !j.Reboot || j.Steps[0].Status != plugin.SuccessAndReboot {
		t.Fatalf("%+v", j)
	}
	j := r.run(t.Context(), t, content, nil)
	want := "outer Success 0 \"once\\none\\ntwo\\n\" \"\"\nSuccess\n"
	if diff := cmp.Diff(want, r.outline(t, j)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if log, _ := os.ReadFile(r.Dir + "/log"); string(log) != "once\n" {
		t.Errorf("log %q", log)
	}
}

// TestDownloadThenRun lets a step download a document and the next run it.
func TestDownloadThenRun(t *testing.T) {
	r := newRunner(t)
	r.SSM = &fakeSSM{documents: map[string]string{"Inner": `{"schemaVersion":"2.2","mainSteps":[{"action":"aws:runShellScript","name":"x","inputs":{"runCommand":["echo inner"]}}]}`}}
	content := `{"schemaVersion":"2.2","mainSteps":[
	  {"action":"aws:downloadContent","name":"get","inputs":{"sourceType":"SSMDocument","sourceInfo":"{\"name\":\"Inner\"}"}},
	  {"action":"aws:runDocument","name":"run","inputs":{"documentType":"LocalPath","documentPath":"Inner.json"}},
	  {"action":"aws:runShellScript","name":"look","inputs":{"runCommand":["ls"]}}]}`
	got := r.outline(t, r.run(t.Context(), t, content, nil))
	if !strings.Contains(got, `run Success 0 "inner\n" ""`) || !strings.Contains(got, `look Success 0 "Inner.json\n" ""`) {
		t.Error(got)
	}
}

// TestStatus aggregates. source: agent
func TestStatus(t *testing.T) {
	for _, tt := range []struct {
		steps []plugin.Status
		want  plugin.Status
	}{
		{[]plugin.Status{plugin.Success, plugin.Skipped}, plugin.Success},
		{[]plugin.Status{plugin.Success, ""}, plugin.InProgress},
		{[]plugin.Status{plugin.Success, plugin.InProgress}, plugin.InProgress},
		{[]plugin.Status{plugin.Cancelled, plugin.Success}, plugin.Cancelled},
		{[]plugin.Status{plugin.Cancelled, plugin.TimedOut}, plugin.TimedOut},
		{[]plugin.Status{plugin.TimedOut, plugin.Failed}, plugin.Failed},
		{[]plugin.Status{plugin.Failed, plugin.SuccessAndReboot}, plugin.SuccessAndReboot},
	} {
		j := new(Journal)
		for _, s := range tt.steps {
			j.Steps = append(j.Steps, StepState{Status: s})
		}
		if got := j.Status(); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.steps, got, tt.want)
		}
	}
	if Worse("", plugin.Skipped) != plugin.Skipped || Worse(plugin.Failed, plugin.Success) != plugin.Failed || Worse(plugin.Failed, plugin.TimedOut) != plugin.TimedOut {
		t.Error("Worse is wrong")
	}
}

// TestTimes keeps times as they are written.
func TestTimes(t *testing.T) {
	n := now()
	b, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	var back time.Time
	if err := json.Unmarshal(b, &back); err != nil || back != n {
		t.Errorf("%v became %v, %v", n, back, err)
	}
}
