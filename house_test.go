package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// module is the path of everything of ours.
const module = "github.com/vennel/vennel/"

// mayImport says which packages of ours a package may import, by the longest prefix of its path.
// Functions go down, messages come up: a line that points up is a design gone wrong.
var mayImport = map[string][]string{
	".":                         {"cmd"},
	"agent":                     {"api", "datachannel", "wire", "agent", "internal/durable"},
	"api":                       {"api", "datachannel"},
	"cmd":                       {"*"},
	"datachannel":               {"internal/coalesce"},
	"dataplane":                 {"dataplane"},
	"dns":                       {},
	"internal":                  {},
	"internal/awstest":          {"*"},
	"internal/coverage":         {"*"},
	"internal/genapi":           {"api"},
	"internal/gendocs":          {"internal/coverage"},
	"internal/seal":             {"internal/durable"},
	"internal/selfsigned":       {"internal/durable"},
	"service/cloudtrail":        {"api", "store", "service/iam"},
	"service/ec2":               {"api", "store", "dataplane", "dns", "service/iam", "service/ec2"},
	"service/ec2/instance":      {"api", "store", "dataplane", "service/iam", "service/ec2", "service/ssm/fleet"},
	"service/ec2/flowlog":       {"api", "store", "dataplane", "service/iam", "service/ec2/resource", "service/logs"},
	"service/ec2/metadata":      {"api", "internal/selfsigned", "service/iam"},
	"service/ec2messages":       {"api", "service/iam", "service/ssm/fleet"},
	"service/iam":               {"api", "store", "internal/seal", "internal/durable", "service/iam"},
	"service/iam/actions":       {"service/iam/policy"},
	"service/iam/managed":       {},
	"service/iam/policy":        {},
	"service/logs":              {"api", "store", "service/iam"},
	"service/route53resolver":   {"api", "store", "dataplane", "service/iam", "service/ec2/resource", "service/ec2/networkinterface"},
	"service/ssm":               {"api", "service/ssm"},
	"service/ssm/association":   {"api", "service/iam", "service/ssm/fleet"},
	"service/ssm/command":       {"api", "store", "service/iam", "service/ssm/command", "service/ssm/document", "service/ssm/fleet", "service/ssm/tag"},
	"service/ssm/document":      {"api", "store", "service/iam", "service/ssm/document", "service/ssm/tag"},
	"service/ssm/fleet":         {"api", "store", "service/iam", "service/ssm/fleet", "service/ssm/setting", "service/ssm/tag"},
	"service/ssm/session":       {"api", "datachannel", "store", "internal/seal", "service/iam", "service/logs", "service/ssm/document", "service/ssm/fleet", "service/ssm/session", "service/ssm/tag"},
	"service/ssm/session/relay": {"api", "datachannel"},
	"service/ssm/setting":       {"api", "store", "service/iam", "service/ssm/setting"},
	"service/ssm/tag":           {"api", "store", "service/iam", "service/ssm/tag"},
	"service/ssmmessages":       {"api", "internal/seal", "service/iam", "service/ssm/fleet", "service/ssm/session"},
	"service/sts":               {"api", "store", "service/iam"},
	"store":                     {"store"},
	"test":                      {"*"},
	"wire":                      {"api", "datachannel", "wire", "internal/coalesce", "internal/selfsigned"},
	"wire/sigv4":                {},
}

// rules gives the imports that a package may have.
func rules(pkg string) (allowed []string, ok bool) {
	for at := pkg; ; at = filepath.Dir(at) {
		if allowed, ok = mayImport[at]; ok || at == "." {
			return allowed, ok
		}
	}
}

// goFiles parses every Go file of the module, by package folder.
func goFiles(t *testing.T, visit func(folder, name string, f *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil && path != "." || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != "." {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		visit(filepath.ToSlash(filepath.Dir(path)), d.Name(), f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestImports holds the import graph to the picture in docs/architecture.md.
func TestImports(t *testing.T) {
	goFiles(t, func(folder, name string, f *ast.File) {
		test := strings.HasSuffix(name, "_test.go")
		allowed, ok := rules(folder)
		if !ok {
			t.Errorf("%s is in no line of mayImport", folder)
			return
		}
		for _, i := range f.Imports {
			path, ours := strings.CutPrefix(strings.Trim(i.Path.Value, `"`), module)
			if !ours {
				continue
			}
			if path == "internal/awstest" && (!test || !strings.HasSuffix(f.Name.Name, "_test")) {
				t.Errorf("%s/%s imports internal/awstest, which is for external test packages", folder, name)
			}
			if test && strings.HasSuffix(f.Name.Name, "_test") || slices.Contains(allowed, "*") {
				continue
			}
			if !slices.ContainsFunc(allowed, func(a string) bool { return path == a || strings.HasPrefix(path, a+"/") }) && !(test && (strings.HasPrefix(path, "api") || path == "internal/bubble" || path == "internal/memnet")) && path != folder {
				t.Errorf("%s/%s imports %s; it may import %v", folder, name, path, allowed)
			}
		}
	})
}

// TestPackageComments wants a sentence that says what each package is.
func TestPackageComments(t *testing.T) {
	said := map[string]bool{}
	goFiles(t, func(folder, name string, f *ast.File) {
		if strings.HasSuffix(name, "_test.go") || strings.HasSuffix(folder, "/internal/rows") {
			return
		}
		said[folder] = said[folder] || f.Doc != nil && strings.Contains(f.Doc.Text(), ".")
	})
	for folder, ok := range said {
		if !ok {
			t.Errorf("package %s has no sentence that says what it is", folder)
		}
	}
}

// TestNoDrawers refuses folders whose names say nothing about what is in them.
func TestNoDrawers(t *testing.T) {
	goFiles(t, func(folder, name string, _ *ast.File) {
		switch filepath.Base(folder) {
		case "util", "utils", "common", "helpers", "helper", "misc", "types", "pkg", "lib":
			t.Errorf("%s: a package is named after what it does", folder)
		}
	})
}

// TestGeneratedIsFresh makes the vocabulary again and compares; for SQL it compares what the
// generated files were made from, because the generator takes minutes to build.
func TestGeneratedIsFresh(t *testing.T) {
	to := t.TempDir()
	for _, service := range []string{"cloudtrail", "ec2", "s3"} {
		ops, err := os.ReadFile(filepath.Join("api", service, "ops.txt"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(to, service), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, service, "ops.txt"), ops, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "go", "run", "./internal/genapi", "-to", to).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	made, err := filepath.Glob(filepath.Join(to, "*", "gen_*.go"))
	if err != nil || len(made) == 0 {
		t.Fatalf("nothing was generated: %v", err)
	}
	for _, file := range made {
		name := filepath.Join("api", filepath.Base(filepath.Dir(file)), filepath.Base(file))
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if have, err := os.ReadFile(name); err != nil || !bytes.Equal(have, want) {
			t.Errorf("%s is stale; run make gen (%v)", name, err)
		}
	}
	want, err := os.ReadFile("sqlc.sum")
	if err != nil {
		t.Fatal(err)
	}
	if have := sqlSum(t); have != strings.TrimSpace(string(want)) {
		t.Errorf("the SQL has changed since its Go files were generated; run make gen (%s)", have)
	}
}

// sqlSum is a hash of everything that sqlc reads, in the order in which make gen hashes it.
func sqlSum(t *testing.T) string {
	t.Helper()
	files := []string{"sqlc.yaml"}
	for _, pattern := range []string{"store/migrations/*.sql", "service/*/queries.sql", "service/*/*/queries.sql"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	sum := sha256.New()
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sum.Write(text)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// TestExpectedFailuresAreDivergences wants every xfail of a script under a heading of
// docs/divergences.md.
func TestExpectedFailuresAreDivergences(t *testing.T) {
	text, err := os.ReadFile("docs/divergences.md")
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".txtar") {
			return err
		}
		script, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range regexp.MustCompile(`(?m)^xfail (.*)$`).FindAllSubmatch(script, -1) {
			if !bytes.Contains(text, append([]byte("## "), m[1]...)) {
				t.Errorf("%s expects to fail under %q, which is no heading of docs/divergences.md", path, m[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNamesInDocuments wants every file that a document of ours names to be there.
func TestNamesInDocuments(t *testing.T) {
	documents, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("docs/*/*.md")
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile("`((?:agent|api|cmd|dataplane|dns|docs|internal|service|store|test|wire|\\.ci)/[A-Za-z0-9_./-]+)`")
	for _, document := range append(append(documents, more...), "README.md", "CONTRIBUTING.md") {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, m := range name.FindAllSubmatch(text, -1) {
			if _, err := os.Stat(strings.TrimSuffix(string(m[1]), "/")); err != nil {
				t.Errorf("%s names %s, which is not there", document, m[1])
			}
		}
	}
}

// TestReadmeNumbers holds the README to what is built.
func TestReadmeNumbers(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	coverage, err := os.ReadFile("docs/coverage.md")
	if err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile(`\b(ec2|iam|ssm|route53resolver|sts): (\d+)`).FindAllSubmatch(readme, -1)
	if len(said) != 5 {
		t.Errorf("the README gives %d numbers of operations, not 5", len(said))
	}
	for _, m := range said {
		if row := fmt.Sprintf("| %s | %s |", m[1], m[2]); !bytes.Contains(coverage, []byte(row)) {
			t.Errorf("the README says %s, but docs/coverage.md does not", m[0])
		}
	}
}
