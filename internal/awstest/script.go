package awstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/service/ec2/endpoint"
	"github.com/vennel/vennel/wire"
)

// A script is a text that a user could have written. Its first lines are comments, one of which
// states the source of what is expected (# source: aws, model, userguide, sdk or guess). Then:
//
//	call SERVICE OPERATION {JSON}     calls, and keeps the output as JSON
//	! call SERVICE OPERATION {JSON}   calls, and keeps the error as {"__type": …, "message": …}
//	match JSON                        the kept JSON is this, but for placeholders
//	has JSON                          the kept JSON has these members, at least
//	save PATH NAME                    keeps a part of it (A.0.B) as $NAME for later lines
//	user NAME POLICY                  makes a user with an inline policy ({} for none)
//	role NAME SERVICE MANAGED         makes a role that SERVICE assumes, with an AWS managed policy
//	as NAME                           calls as that user; admin and nobody are there from the start
//	through VPC ADDRESS FROM [TABLE]  calls over connections that arrive at an address in a VPC, from another address in it,
//	                                  led by the route table of a number; through nothing ends that
//	node NAME {TAGS}                  makes a simulated node, connected and online; $NAME is its id
//	node NAME ec2messages {TAGS}      the same on the older line
//	instance NAME {TAGS}              makes a simulated node that is an EC2 instance, connected and online
//	instance NAME ID ROLE             the same for an instance that EC2 has, with the role in its profile; it needs a host
//	state NAME STATE                  the instance is stopped, running or terminated
//	job NAME                          waits for the next job of a node, and keeps its content
//	reply NAME JSON                   the node answers its last job; so do ack NAME CODE and quiet NAME
//	task NAME                         waits for the next session that a node is told of, and keeps what it is told
//	begin NAME TOKEN URL              both ends of that session open, and the agent says something
//	complete NAME STATUS OUTPUT       the node says that the session is over
//	closed NAME                       keeps what the session's client is told about its end
//	drop NAME, connect NAME           the node's line ends, or begins again
//	ping NAME                         the node sends a heartbeat
//	advance DURATION                  lets time pass
//	host                              anywhere in the script: a host in memory carries the private network
//	settle                            waits until the network is as it is kept
//	fail ID WHY                       the host cannot carry an object from now on, or with a star all whose ids begin so; without
//	                                  WHY it can again
//	end ID HOW                        a machine ends by itself
//	console ID TEXT                   a machine writes a line to its console
//	carries                           keeps what the host carries
//	plan FILE                         what the host carries is, as text, what the file says; see Text
//	names VPC NAME TYPE               keeps what the resolver of a VPC answers
//	restart                           stops the server and starts it again on what it has kept
//	xfail HEADING                     what follows does not hold yet, as docs/divergences.md says under
//	                                  that heading; the script fails when it does
//
// A line that begins with white space goes on with the line before. Placeholders stand for a whole
// text: <any>, <time> (a number of seconds or an ISO time), <uuid>, <re:…> (a regular expression).
// A file of the archive stands for its content where FILE is written as @FILE.

// Script runs all scripts of a folder.
func Script(t *testing.T, folder string) {
	files, err := filepath.Glob(filepath.Join(folder, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in %s: %v", folder, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if RealTime() {
				if regexp.MustCompile(`(?m)^(advance .*|settle)$`).Match(archive.Comment) {
					t.Skip("fake time does not reach PostgreSQL")
				}
				runScript(t, file, archive)
				return
			}
			synctest.Test(t, func(t *testing.T) { runScript(t, file, archive) })
		})
	}
}

// RealTime says whether tests run against PostgreSQL, which fake time does not reach.
func RealTime() bool { return os.Getenv("VENNEL_TEST_DATABASE") == "postgres" }

// script is a running script.
type script struct {
	w       *World
	path    string
	archive *txtar.Archive

	file    string
	line    int
	xfail   string
	names   map[string]string
	files   map[string]string
	users   map[string]Keys
	nodes   map[string]*Node
	clients map[*Node]*Data // of the nodes' last sessions
	as      string
	via     *http.Client // instead of the world's
	last    any          // the kept JSON
}

// runScript runs one script.
func runScript(t *testing.T, file string, archive *txtar.Archive) {
	var w *World
	if regexp.MustCompile(`(?m)^host$`).Match(archive.Comment) {
		w = NewWithHost(t)
	} else {
		w = New(t)
	}
	s := &script{
		w: w, path: file, archive: archive, file: filepath.Base(file), names: map[string]string{}, files: map[string]string{}, nodes: map[string]*Node{}, clients: map[*Node]*Data{},
		users: map[string]Keys{"admin": w.Admin, "nobody": {}}, as: "admin",
	}
	for _, f := range archive.Files {
		s.files[f.Name] = string(f.Data)
	}
	if !regexp.MustCompile(`(?m)^# source: (aws|model|userguide|sdk|agent|guess)\b`).Match(archive.Comment) {
		t.Errorf("%s does not say where its expectations come from (# source: …)", s.file)
	}
	lines := strings.Split(string(archive.Comment), "\n")
	for i := 0; i < len(lines); i++ {
		text := lines[i]
		s.line = i + 1
		for i+1 < len(lines) && lines[i+1] != "" && (lines[i+1][0] == ' ' || lines[i+1][0] == '\t') {
			i++
			text += "\n" + lines[i]
		}
		if text = strings.TrimSpace(text); text == "" || text[0] == '#' {
			continue
		}
		err := s.run(text)
		if err == nil {
			continue
		}
		if s.xfail != "" {
			t.Logf("%s:%d: expected to fail (%s): %v", s.file, s.line, s.xfail, err)
			return
		}
		t.Fatalf("%s:%d: %s\n%v", s.file, s.line, text, err)
	}
	if s.xfail != "" {
		t.Errorf("%s: %q is mended; remove the xfail and its heading in docs/divergences.md", s.file, s.xfail)
	}
}

// run runs one line.
func (s *script) run(text string) error {
	wantError := false
	if rest, ok := strings.CutPrefix(text, "! "); ok {
		wantError, text = true, strings.TrimSpace(rest)
	}
	verb, rest, _ := strings.Cut(text, " ")
	rest = strings.TrimSpace(rest)
	if verb == "xfail" {
		s.xfail = rest
		return nil
	}
	rest, err := s.expand(rest)
	if err != nil {
		return err
	}
	one, two, three := words(rest)
	switch verb {
	case "call":
		return s.call(one, two, three, wantError)
	case "match", "has":
		return s.match(rest, verb == "has")
	case "save":
		return s.save(one, two)
	case "user":
		if two = strings.TrimSpace(two + " " + three); two == "{}" {
			two = ""
		}
		s.users[one] = s.w.User(one, two)
	case "role":
		s.w.Role(one, two, three)
	case "as":
		if _, ok := s.users[one]; !ok {
			return fmt.Errorf("there is no user %s", one)
		}
		s.as = one
	case "through":
		return s.through(one, two, three)
	case "advance":
		d, err := time.ParseDuration(one)
		if err != nil {
			return err
		}
		time.Sleep(d)
		synctest.Wait()
	case "restart":
		for _, n := range s.nodes {
			n.Drop()
		}
		s.w.Stop()
		s.w.Start()
		for _, n := range s.nodes {
			n.Connect()
		}
	case "host": // it is there from the start
	case "settle", "fail", "end", "console", "carries", "plan", "names":
		return s.network(verb, one, strings.TrimSpace(two+" "+three))
	case "node":
		return s.node(one, strings.TrimSpace(two+" "+three))
	case "instance":
		return s.instance(one, strings.TrimSpace(two+" "+three))
	case "state", "job", "reply", "ack", "quiet", "drop", "connect", "ping", "task", "begin", "complete", "closed":
		return s.talk(verb, one, strings.TrimSpace(two+" "+three))
	default:
		return fmt.Errorf("there is no command %s", verb)
	}
	return nil
}

// words gives the first two words of a text and what follows them.
func words(text string) (one, two, rest string) {
	one, rest, _ = strings.Cut(text, " ")
	two, rest, _ = strings.Cut(strings.TrimSpace(rest), " ")
	return strings.TrimSpace(one), strings.TrimSpace(two), strings.TrimSpace(rest)
}

// reference is $NAME or "@FILE".
var reference = regexp.MustCompile(`\$[A-Z][A-Z0-9_]*|"@[\w.-]+"`)

// expand puts in what names and files stand for.
func (s *script) expand(text string) (string, error) {
	var missing string
	out := reference.ReplaceAllStringFunc(text, func(ref string) string {
		if name, ok := strings.CutPrefix(ref, "$"); ok {
			if v, ok := s.names[name]; ok {
				return v
			}
			missing = ref
			return ref
		}
		content, ok := s.files[strings.Trim(ref, `"@`)]
		if !ok {
			missing = ref
		}
		quoted, err := json.Marshal(content)
		if err != nil {
			missing = ref
		}
		return string(quoted)
	})
	if missing != "" {
		return "", fmt.Errorf("%s stands for nothing", missing)
	}
	return out, nil
}

// call calls an operation.
func (s *script) call(service, operation, input string, wantError bool) error {
	op, err := s.w.operation(service, operation)
	if err != nil {
		return err
	}
	in, out := reflect.New(op.In).Interface(), reflect.New(op.Out).Interface()
	if input == "" {
		input = "{}"
	}
	if err := wire.ReadInput(service, operation, []byte(input), in); err != nil {
		return fmt.Errorf("the input: %w", err)
	}
	client := s.w.Client(service, s.users[s.as])
	if s.via != nil {
		client.HTTP = s.via
	}
	err = client.Call(context.Background(), operation, in, out)
	var text []byte
	if e, ok := errors.AsType[*api.Error](err); ok {
		if !wantError {
			return err
		}
		fields := map[string]any{"__type": e.Code, "message": e.Message}
		maps.Copy(fields, e.Fields)
		text, err = json.Marshal(fields)
	} else if err == nil {
		if text, err = wire.WriteOutput(service, operation, out); err == nil && wantError {
			err = fmt.Errorf("no error, but %s", text)
		}
	}
	if err != nil {
		return err
	}
	return s.keep(text)
}

// through lets connections arrive in a VPC.
func (s *script) through(vpc, local, rest string) error {
	if s.via = nil; vpc == "nothing" {
		return nil
	}
	to, err := netip.ParseAddr(local)
	if err != nil {
		return err
	}
	from, table, _ := strings.Cut(rest, " ")
	source, err := netip.ParseAddr(from)
	if err != nil {
		return err
	}
	number := 0
	if table != "" {
		if number, err = strconv.Atoi(table); err != nil {
			return err
		}
	}
	s.via = s.w.Through(endpoint.Arrival{VPC: vpc, Local: to, Table: number}, source)
	return nil
}

// keep keeps a JSON text as the last.
func (s *script) keep(text []byte) error {
	s.last = nil
	if err := json.Unmarshal(text, &s.last); err != nil {
		return fmt.Errorf("%w in %s", err, text)
	}
	return nil
}

// match compares the kept JSON.
func (s *script) match(pattern string, subset bool) error {
	var want any
	if err := json.Unmarshal([]byte(pattern), &want); err != nil {
		return fmt.Errorf("the pattern: %w", err)
	}
	if err := compare(want, s.last, subset, ""); err != nil {
		got, _ := json.MarshalIndent(s.last, "", "  ")
		return fmt.Errorf("%w\ngot %s", err, got)
	}
	return nil
}

// compare compares a value with a pattern.
func compare(want, got any, subset bool, at string) error {
	switch want := want.(type) {
	case map[string]any:
		m, ok := got.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is no object", at)
		}
		for name, w := range want {
			g, ok := m[name]
			if !ok {
				return fmt.Errorf("%s.%s is missing", at, name)
			}
			if err := compare(w, g, subset, at+"."+name); err != nil {
				return err
			}
		}
		for name := range m {
			if _, ok := want[name]; !ok && !subset {
				return fmt.Errorf("%s.%s is not expected", at, name)
			}
		}
		return nil
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return fmt.Errorf("%s has not %d items", at, len(want))
		}
		for i := range want {
			if err := compare(want[i], list[i], subset, at+"."+strconv.Itoa(i)); err != nil {
				return err
			}
		}
		return nil
	case string:
		if strings.HasPrefix(want, "<") && strings.HasSuffix(want, ">") {
			return placeholder(want[1:len(want)-1], got, at)
		}
	}
	if !reflect.DeepEqual(want, got) {
		return fmt.Errorf("%s is %v, want %v", at, got, want)
	}
	return nil
}

// placeholders by name.
var placeholders = map[string]*regexp.Regexp{
	"any":  regexp.MustCompile(`(?s)^.*$`),
	"time": regexp.MustCompile(`^(\d+(\.\d+)?(e\+\d+)?|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z)$`),
	"uuid": regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`),
}

// placeholder compares a value with a placeholder.
func placeholder(name string, got any, at string) error {
	if name == "any" {
		return nil
	}
	re := placeholders[name]
	if pattern, ok := strings.CutPrefix(name, "re:"); ok {
		var err error
		if re, err = regexp.Compile("^(?s:" + pattern + ")$"); err != nil {
			return err
		}
	}
	if re == nil {
		return fmt.Errorf("there is no placeholder <%s>", name)
	}
	if text := fmt.Sprint(got); !re.MatchString(text) {
		return fmt.Errorf("%s is %q, want <%s>", at, text, name)
	}
	return nil
}

// save keeps a part of the kept JSON.
func (s *script) save(path, name string) error {
	v := s.last
	for part := range strings.SplitSeq(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i >= len(at) {
				return fmt.Errorf("there is no %s", path)
			}
			v = at[i]
		}
	}
	switch v := v.(type) {
	case string:
		s.names[name] = v
	case nil:
		return fmt.Errorf("there is no %s", path)
	default:
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		s.names[name] = string(text)
	}
	return nil
}

// node makes a simulated node.
func (s *script) node(name, rest string) error {
	older := false
	if after, ok := strings.CutPrefix(rest, "ec2messages"); ok {
		older, rest = true, strings.TrimSpace(after)
	}
	tags := map[string]string{}
	if rest != "" {
		if err := json.Unmarshal([]byte(rest), &tags); err != nil {
			return err
		}
	}
	n := s.w.Node(NodeConfig{Tags: tags, Older: older})
	s.nodes[name], s.names[strings.ToUpper(name)] = n, n.ID
	return nil
}

// instance makes a simulated node that is an EC2 instance.
func (s *script) instance(name, rest string) error {
	tags := map[string]string{}
	if id, role, ok := strings.Cut(rest, " "); ok && strings.HasPrefix(id, "i-") {
		return s.online(name, s.w.InstanceNode(id, role))
	}
	if rest != "" {
		if err := json.Unmarshal([]byte(rest), &tags); err != nil {
			return err
		}
	}
	return s.online(name, s.w.Instance(s.w.InstanceRole(), tags))
}

// online connects an instance.
func (s *script) online(name string, n *Node) error {
	n.Ping()
	n.Connect()
	s.nodes[name], s.names[strings.ToUpper(name)] = n, n.ID
	return nil
}

// talk lets a node take or answer a job.
func (s *script) talk(verb, name, rest string) error {
	n := s.nodes[name]
	if n == nil {
		return fmt.Errorf("there is no node %s", name)
	}
	switch verb {
	case "job":
		job, err := n.Next()
		if err != nil {
			return err
		}
		text, err := json.Marshal(map[string]any{"JobId": job.ID, "Topic": job.Topic, "Content": json.RawMessage(job.Content)})
		if err != nil {
			return err
		}
		return s.keep(text)
	case "task", "begin", "complete", "closed":
		return s.converse(n, verb, rest)
	case "state":
		n.SetState(rest)
		return nil
	case "ack":
		return n.Ack(rest)
	case "drop":
		n.Drop()
		return n.gone()
	case "connect":
		n.Connect()
		return nil
	case "ping":
		n.Token() // the last one may have expired
		n.Ping()
		return nil
	case "reply":
		return n.Reply([]byte(rest))
	}
	return n.Quiet()
}

// converse has a node and a client hold a session.
func (s *script) converse(n *Node, verb, rest string) error {
	one, two, _ := words(rest)
	switch verb {
	case "task":
		task, err := n.Task()
		if err != nil {
			return err
		}
		n.session = task.SessionID
		text, err := json.Marshal(task)
		if err != nil {
			return err
		}
		return s.keep(text)
	case "begin":
		agent, err := n.OpenData(n.session)
		if err != nil {
			return err
		}
		client, err := s.w.OpenDataWith(two, one)
		if err != nil {
			return err
		}
		s.clients[n] = client
		if err := agent.Stream("output_stream_data", 1, "$ "); err != nil {
			return err
		}
		m, err := client.Next("output_stream_data")
		if err != nil {
			return err
		}
		return client.Acknowledge(m)
	case "complete":
		status, output, _ := strings.Cut(rest, " ")
		return n.Complete(n.session, status, output)
	}
	output, err := s.clients[n].Closed()
	if err != nil {
		return err
	}
	text, err := json.Marshal(map[string]string{"Output": output})
	if err != nil {
		return err
	}
	return s.keep(text)
}

// operation finds an operation of a service.
func (w *World) operation(service, name string) (*api.Operation, error) {
	for _, s := range w.services {
		if s.Name != service {
			continue
		}
		i := slices.IndexFunc(s.Operations, func(o api.Operation) bool { return o.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("%s has no operation %s", service, name)
		}
		return &s.Operations[i], nil
	}
	return nil, fmt.Errorf("there is no service %s", service)
}
