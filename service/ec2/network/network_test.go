package network_test

import (
	"testing"

	"github.com/vennel/vennel/internal/awstest"
)

// TestScripts lets a host carry networks, or not.
func TestScripts(t *testing.T) { awstest.Script(t, "testdata") }
