package model

import (
	"testing"
	"time"
)

// TestLoadEveryModel reads all models and follows every reference in them.
func TestLoadEveryModel(t *testing.T) {
	entries, err := files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := e.Name()[:len(e.Name())-len(".json")]
		if len(name) > 8 && name[len(name)-8:] == ".overlay" {
			continue
		}
		start := time.Now()
		s := Load(name)
		t.Logf("%s: %d operations, %d shapes in %v", name, len(s.Operations), len(s.Shapes), time.Since(start))
		check := func(where string, r *Ref) {
			if r != nil && s.Shapes[r.Shape] == nil {
				t.Errorf("%s: %s refers to shape %q, which is absent", name, where, r.Shape)
			}
		}
		for n, o := range s.Operations {
			check(n+" input", o.Input)
			check(n+" output", o.Output)
			for _, e := range o.Errors {
				check(n+" error", &e)
			}
		}
		for n, sh := range s.Shapes {
			check(n+" member", sh.Member)
			check(n+" key", sh.Key)
			check(n+" value", sh.Value)
			for _, m := range sh.Members {
				check(n+"."+m.Name, &m.Ref)
			}
			for _, required := range sh.Required {
				found := false
				for _, m := range sh.Members {
					found = found || m.Name == required
				}
				if !found {
					t.Errorf("%s: %s requires %s, which is no member", name, n, required)
				}
			}
		}
	}
}

// TestMembersKeepOrder holds the loader to the order of the file.
func TestMembersKeepOrder(t *testing.T) {
	members := Load("ssm").Shapes["GetCommandInvocationResult"].Members
	if members[0].Name != "CommandId" || members[1].Name != "InstanceId" {
		t.Errorf("members begin with %s, %s; the model has CommandId, InstanceId", members[0].Name, members[1].Name)
	}
}
