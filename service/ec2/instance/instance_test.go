package instance_test

import (
	"testing"

	"github.com/vennel/vennel/internal/awstest"
)

// TestScripts runs the operation scripts.
func TestScripts(t *testing.T) { awstest.Script(t, "testdata") }
