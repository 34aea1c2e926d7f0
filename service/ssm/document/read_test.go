package document

import (
	"strconv"
	"strings"
	"testing"

	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/ssmdoc"
)

// script is a document of a certain size.
func script(text string) string {
	return `{"schemaVersion":"2.2","mainSteps":[{"action":"aws:runShellScript","name":"a","inputs":{"runCommand":["` + text + `"]}}]}`
}

// TestReadRemembers wants a content to be read once, whoever uses it.
func TestReadRemembers(t *testing.T) {
	content := script("echo once")
	if _, err := check(ssm.DocumentTypeCommand, ssmdoc.JSON, content); err != nil {
		t.Fatal(err)
	}
	// The text is not looked at: what was checked is remembered.
	first, err := read(ssm.DocumentTypeCommand, ssmdoc.JSON, hash(content), "")
	if err != nil {
		t.Fatal(err)
	}
	if allocations := testing.AllocsPerRun(100, func() {
		if again, err := read(ssm.DocumentTypeCommand, ssmdoc.JSON, hash(content), ""); err != nil || again != first {
			t.Errorf("read again: %p, %v; first %p", again, err, first)
		}
	}); allocations > 5 {
		t.Errorf("%v allocations", allocations)
	}
	// The same bytes in another format are another content.
	if yaml, err := read(ssm.DocumentTypeCommand, ssmdoc.YAML, hash(content), content); err != nil || yaml == first {
		t.Errorf("as YAML: %p, %v", yaml, err)
	}
}

// TestMemoryIsBounded fills the memory: it forgets, but not what is used all the time.
func TestMemoryIsBounded(t *testing.T) {
	var m memory
	used := &reading{json: []byte(script("echo used"))}
	m.keep("used", used)
	size := ssmdoc.MostContent
	for i := range 10 * mostRemembered / size {
		m.keep(strconv.Itoa(i), &reading{json: []byte(strings.Repeat("x", size))})
		if m.get("used") != used {
			t.Fatalf("forgotten after %d others", i)
		}
		if weight := (len(m.young) + len(m.old)) * size; weight > 2*mostRemembered+2*size {
			t.Fatalf("%d bytes are remembered", weight)
		}
	}
	if m.get("0") != nil {
		t.Error("nothing was forgotten")
	}
}
