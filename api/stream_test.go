package api

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// TestAside gives the error and the panic of what was done aside.
func TestAside(t *testing.T) {
	for _, want := range []error{nil, io.EOF} {
		if err := Aside(func() error { return want }); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	defer func() {
		if p := fmt.Sprint(recover()); !strings.Contains(p, "secret") || !strings.Contains(p, "TestAside") {
			t.Errorf("the panic is %s", p)
		}
	}()
	_ = Aside(func() error { panic("secret") })
	t.Error("no panic")
}
