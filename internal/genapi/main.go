// Genapi makes the Go vocabulary of the services from their models: types, the Server interface,
// the list of operations and the constructors of errors, one package a service under api.
//
// It is run by go generate ./api. A service whose folder holds an ops.txt gets the operations named
// there, one a line; the others get all of theirs.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/format"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vennel/vennel/api/model"
)

// services are the packages to make.
var services = []string{
	"cloudtrail", "ec2", "ec2messages", "iam", "kms", "logs", "route53resolver", "s3", "ssm", "ssmmessages", "sts",
}

// mostEnum is the number of values over which an enumeration gets no constants: a list of a
// thousand machine types serves nobody.
const mostEnum = 100

func main() {
	to := flag.String("to", ".", "the api `folder`")
	flag.Parse()
	for _, name := range services {
		if err := write(filepath.Join(*to, name), name); err != nil {
			fmt.Fprintf(os.Stderr, "genapi: %s: %v\n", name, err)
			os.Exit(1)
		}
	}
}

// write makes one package.
func write(folder, name string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	ops, err := operations(folder, model.Load(name))
	if err != nil {
		return err
	}
	g := newGenerator(name, ops)
	for file, text := range map[string]func(*bytes.Buffer){
		"gen_types.go":  g.types,
		"gen_server.go": g.server,
		"gen_errors.go": g.errors,
	} {
		var b bytes.Buffer
		text(&b)
		formatted, err := format.Source(b.Bytes())
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", file, err, b.Bytes())
		}
		if err := os.WriteFile(filepath.Join(folder, file), formatted, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// operations are the names to generate: those of ops.txt, or all that do not need an event stream.
func operations(folder string, m *model.Service) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(folder, "ops.txt"))
	if os.IsNotExist(err) {
		var names []string
		for _, name := range slices.Sorted(maps.Keys(m.Operations)) {
			if !streamsEvents(m, m.Operations[name]) {
				names = append(names, name)
			}
		}
		return names, nil
	} else if err != nil {
		return nil, err
	}
	names := strings.Fields(string(text))
	if !slices.IsSorted(names) {
		return nil, fmt.Errorf("ops.txt is not sorted")
	}
	for _, name := range names {
		if m.Operations[name] == nil {
			return nil, fmt.Errorf("ops.txt names %s, which the model lacks", name)
		}
	}
	return names, nil
}

// streamsEvents says whether an operation's output is an event stream, which no codec of ours has.
func streamsEvents(m *model.Service, o *model.Operation) bool {
	for _, ref := range []*model.Ref{o.Input, o.Output} {
		if ref == nil {
			continue
		}
		for _, member := range m.Shapes[ref.Shape].Members {
			if m.Shapes[member.Shape].EventStream {
				return true
			}
		}
	}
	return false
}

// generator holds what the files of one package share.
type generator struct {
	service string
	model   *model.Service
	ops     []string
	goName  map[string]string // shape -> Go type, for structures
	alias   map[string]string // extra Go name -> Go type, where a shape serves as more than one thing
	shapes  []string          // structures to declare, sorted by Go name
	enums   []string          // enumerations that they use, sorted
}

// newGenerator names every structure that the operations reach.
func newGenerator(service string, ops []string) *generator {
	g := &generator{
		service: service, model: model.Load(service), ops: ops,
		goName: map[string]string{}, alias: map[string]string{},
	}
	reached := map[string]bool{}
	for _, op := range ops {
		for _, ref := range []*model.Ref{g.model.Operations[op].Input, g.model.Operations[op].Output} {
			if ref != nil {
				g.reach(ref.Shape, reached)
			}
		}
	}
	uses := map[string]int{}
	for shape := range reached {
		s := g.model.Shapes[shape]
		for _, ref := range append([]*model.Ref{s.Member, s.Key, s.Value}, refs(s.Members)...) {
			if ref != nil {
				uses[ref.Shape]++
			}
		}
	}
	for _, op := range ops {
		for _, ref := range []*model.Ref{g.model.Operations[op].Input, g.model.Operations[op].Output} {
			if ref != nil {
				uses[ref.Shape]++
			}
		}
	}
	for shape := range reached {
		switch s := g.model.Shapes[shape]; {
		case s.Type == "structure":
			g.goName[shape] = exported(shape)
		case len(s.Enum) > 0 && len(s.Enum) <= mostEnum:
			g.enums = append(g.enums, shape)
		}
	}
	for _, op := range ops {
		o := g.model.Operations[op]
		for suffix, ref := range map[string]*model.Ref{"Input": o.Input, "Output": o.Output} {
			name := op + suffix
			switch {
			case ref == nil && !(o.WebSocket && suffix == "Output"):
				g.alias[name] = "struct{}"
			case ref == nil:
			case uses[ref.Shape] == 1:
				g.goName[ref.Shape] = name
			default:
				g.alias[name] = exported(ref.Shape)
			}
		}
	}
	g.shapes = slices.SortedFunc(maps.Keys(g.goName), func(a, b string) int {
		return strings.Compare(g.goName[a], g.goName[b])
	})
	slices.Sort(g.enums)
	return g
}

// refs are the uses that members make of shapes.
func refs(members model.Members) (out []*model.Ref) {
	for i := range members {
		out = append(out, &members[i].Ref)
	}
	return out
}

// reach marks a shape and all that it leads to.
func (g *generator) reach(shape string, reached map[string]bool) {
	if reached[shape] {
		return
	}
	reached[shape] = true
	s := g.model.Shapes[shape]
	for _, ref := range append([]*model.Ref{s.Member, s.Key, s.Value}, refs(s.Members)...) {
		if ref != nil {
			g.reach(ref.Shape, reached)
		}
	}
}

// header opens a generated file.
func (g *generator) header(b *bytes.Buffer, imports ...string) {
	fmt.Fprintf(b, "// Code generated by internal/genapi from api/model/%s.json. DO NOT EDIT.\n\n", g.service)
	fmt.Fprintf(b, "package %s\n\n", g.service)
	if len(imports) > 0 {
		b.WriteString("import (\n")
		for _, i := range imports {
			fmt.Fprintf(b, "%q\n", i)
		}
		b.WriteString(")\n\n")
	}
}

// types declares the structures and the constants of enumerations.
func (g *generator) types(b *bytes.Buffer) {
	var body bytes.Buffer
	taken := map[string]bool{}
	for _, shape := range g.shapes {
		name := g.goName[shape]
		taken[name] = true
		s := g.model.Shapes[shape]
		fmt.Fprintf(&body, "// %s is the shape %s.\ntype %s struct {\n", name, shape, name)
		for _, m := range s.Members {
			fmt.Fprintf(&body, "%s %s\n", exported(m.Name), g.memberType(s, &m))
		}
		body.WriteString("}\n\n")
	}
	for _, name := range slices.Sorted(maps.Keys(g.alias)) {
		taken[name] = true
		if g.alias[name] == "struct{}" {
			fmt.Fprintf(&body, "// %s has no members.\ntype %s struct{}\n\n", name, name)
		} else {
			fmt.Fprintf(&body, "// %s is another name of %s.\ntype %s = %s\n\n", name, g.alias[name], name, g.alias[name])
		}
	}
	for _, shape := range g.enums {
		var values bytes.Buffer
		for _, value := range g.model.Shapes[shape].Enum {
			name := exported(shape) + identifier(value)
			if taken[name] {
				continue // a second spelling, or a type of that name: write the text instead
			}
			taken[name] = true
			fmt.Fprintf(&values, "%s = %q\n", name, value)
		}
		if values.Len() > 0 {
			fmt.Fprintf(&body, "// The values of %s.\nconst (\n%s)\n\n", shape, &values)
		}
	}
	var imports []string
	for path, use := range map[string]string{"io": "io.Reader", "time": "time.Time"} {
		if bytes.Contains(body.Bytes(), []byte(use)) {
			imports = append(imports, path)
		}
	}
	slices.Sort(imports)
	g.header(b, imports...)
	b.Write(body.Bytes())
}

// memberType is the Go type of a structure's member: a plain value when it is required, a pointer
// when a scalar may be absent; lists, maps and blobs are absent when nil.
func (g *generator) memberType(s *model.Shape, m *model.Member) string {
	shape := g.model.Shapes[m.Shape]
	if shape.Type == "blob" && (m.Streaming || shape.EventStream) {
		return "io.Reader"
	}
	t := g.goType(m.Shape)
	switch shape.Type {
	case "list", "map", "blob":
		return t
	}
	if s.Requires(m.Name) {
		return t
	}
	return "*" + t
}

// goType is the Go type of a shape.
func (g *generator) goType(shape string) string {
	s := g.model.Shapes[shape]
	switch s.Type {
	case "structure":
		return g.goName[shape]
	case "list":
		return "[]" + g.goType(s.Member.Shape)
	case "map":
		return "map[string]" + g.goType(s.Value.Shape)
	case "string", "character":
		return "string"
	case "integer", "long":
		return "int64"
	case "double", "float":
		return "float64"
	case "boolean":
		return "bool"
	case "timestamp":
		return "time.Time"
	case "blob":
		return "[]byte"
	}
	panic("genapi: shape " + shape + " has type " + s.Type)
}

// server declares the Server interface, Unimplemented and Operations.
func (g *generator) server(b *bytes.Buffer) {
	fmt.Fprintf(b, "// Code generated by internal/genapi from api/model/%s.json. DO NOT EDIT.\n\n", g.service)
	fmt.Fprintf(b, "// Package %s is the vocabulary of %s, generated from its model.\n", g.service, g.model.Metadata.ServiceFullName)
	fmt.Fprintf(b, "package %s\n\nimport (\n\"context\"\n\n\"github.com/vennel/vennel/api\"\n)\n\n", g.service)
	b.WriteString("// Server is the service: one method an operation.\ntype Server interface {\n")
	for _, op := range g.ops {
		fmt.Fprintf(b, "%s%s\n", op, g.signature(op))
	}
	b.WriteString("}\n\n// Unimplemented answers every operation as AWS answers one that it does not know.\ntype Unimplemented struct{}\n\n")
	for _, op := range g.ops {
		result := "nil, "
		if g.model.Operations[op].WebSocket {
			result = ""
		}
		fmt.Fprintf(b, "// %s is not built.\nfunc (Unimplemented) %s%s {\nreturn %sapi.NotBuilt(%q)\n}\n\n", op, op, g.signature(op), result, op)
	}
	fmt.Fprintf(b, "// Service binds a server's methods to their names.\nfunc Service(s Server) api.Service {\nreturn api.Service{Name: %q, Server: s, Operations: []api.Operation{\n", g.service)
	for _, op := range g.ops {
		bind := "Bind"
		if g.model.Operations[op].WebSocket {
			bind = "BindStream"
		}
		fmt.Fprintf(b, "api.%s(%q, s.%s),\n", bind, op, op)
	}
	b.WriteString("}}\n}\n")
}

// signature is the parameter and result list of an operation's method.
func (g *generator) signature(op string) string {
	if g.model.Operations[op].WebSocket {
		return fmt.Sprintf("(context.Context, *%sInput, api.Stream) error", op)
	}
	return fmt.Sprintf("(context.Context, *%sInput) (*%sOutput, error)", op, op)
}

// errors declares a constructor for each modelled error of the operations.
func (g *generator) errors(b *bytes.Buffer) {
	used := map[string]bool{}
	for _, op := range g.ops {
		for _, ref := range g.model.Operations[op].Errors {
			used[ref.Shape] = true
		}
	}
	if len(used) == 0 {
		g.header(b)
		return
	}
	g.header(b, "github.com/vennel/vennel/api")
	for _, shape := range slices.Sorted(maps.Keys(used)) {
		s := g.model.Shapes[shape]
		status := s.Error.HTTPStatusCode
		if status == 0 && s.Fault {
			status = 500
		}
		fmt.Fprintf(b, "// Err%s is the error %s.\nfunc Err%s(format string, args ...any) *api.Error {\nreturn api.NewError(%q, %d, %v, format, args)\n}\n\n",
			exported(shape), s.ErrorCode(shape), exported(shape), s.ErrorCode(shape), status, s.Fault)
	}
}

// exported is a model's name as an exported Go name.
func exported(name string) string { return strings.ToUpper(name[:1]) + name[1:] }

// identifier is an enumeration's value as part of a Go name.
func identifier(value string) string {
	var b strings.Builder
	up := true
	for _, r := range value {
		switch {
		case r >= 'a' && r <= 'z' && up:
			b.WriteRune(r - 'a' + 'A')
			up = false
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			b.WriteRune(r)
			up = false
		case r == '*':
			b.WriteString("Star")
			up = true
		default:
			up = true
		}
	}
	return b.String()
}
