package document

import (
	"errors"
	"testing"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssmdoc"
)

// FuzzCheck checks contents of all types. What passes can be read again, given in both formats, and
// has its parameters judged; what does not is told so in AWS's words.
func FuzzCheck(f *testing.F) {
	for _, b := range amazon() {
		f.Add(b.content, false)
		yaml, err := ssmdoc.Convert([]byte(b.content), ssmdoc.JSON, ssmdoc.YAML)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(yaml), true)
	}
	f.Fuzz(func(t *testing.T, content string, yaml bool) {
		format := ssmdoc.JSON
		if yaml {
			format = ssmdoc.YAML
		}
		ahead := checkAhead(format, content)
		for _, kind := range creatable {
			facts, err := check(kind, format, content)
			if _, errAhead := ahead(kind); (err == nil) != (errAhead == nil) {
				t.Fatalf("%s: %v when it is checked, %v when it was checked ahead", kind, err, errAhead)
			}
			if err != nil {
				if e, ok := errors.AsType[*api.Error](err); !ok || e.Code == "" {
					t.Fatalf("%s: %v", kind, err)
				}
				continue
			}
			if facts.schema == "" || facts.platforms == "" {
				t.Fatalf("%s: %+v", kind, facts)
			}
			r, err := read(kind, format, "", content)
			if err != nil {
				t.Fatalf("%s: what passed cannot be read: %v", kind, err)
			}
			readings = memory{} // the key is the same for all
			parameters(r.doc)
			if _, err := r.doc.Resolve(map[string][]string{"a": {"b"}}); err != nil {
				if _, ok := errors.AsType[*ssmdoc.Error](err); !ok {
					t.Fatalf("%s: %v", kind, err)
				}
			}
			for _, other := range []string{ssmdoc.JSON, ssmdoc.YAML} {
				if _, err := ssmdoc.Convert([]byte(content), format, other); err != nil {
					t.Fatalf("%s: what passed cannot be had in %s: %v", kind, other, err)
				}
			}
		}
	})
}
