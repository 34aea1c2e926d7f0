package plan_test

import (
	"testing"

	"github.com/vennel/vennel/internal/awstest"
)

// TestScripts makes networks as a user would, and compares what the host carries then with a text, and what the resolvers answer.
func TestScripts(t *testing.T) { awstest.Script(t, "testdata") }
