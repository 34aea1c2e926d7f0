package coverage

import (
	"bytes"
	"os"
	"testing"
)

// TestOwner knows one operation of each kind: built by a capability, by the service itself, and not.
func TestOwner(t *testing.T) {
	for _, want := range []struct {
		service, operation, pkg string
		ok                      bool
	}{
		{"ssm", "CreateActivation", "service/ssm/fleet", true},
		{"ssm", "ListInstanceAssociations", "service/ssm/association", true},
		{"iam", "CreateUser", "service/iam", true},
		{"ssm", "CreateOpsItem", "", false},
		{"kms", "Encrypt", "", false},
	} {
		if pkg, ok := Owner(want.service, want.operation); pkg != want.pkg || ok != want.ok {
			t.Errorf("Owner(%s, %s) = %q, %v; want %q, %v", want.service, want.operation, pkg, ok, want.pkg, want.ok)
		}
	}
}

// TestDocumentIsFresh compares docs/coverage.md with the code.
func TestDocumentIsFresh(t *testing.T) {
	have, err := os.ReadFile("../../docs/coverage.md")
	if err != nil || !bytes.Equal(have, Text()) {
		t.Errorf("docs/coverage.md is stale; run make gen (%v)", err)
	}
}
