// Gendocs writes the documents that are made from the code.
package main

import (
	"fmt"
	"os"

	"github.com/vennel/vennel/internal/coverage"
)

func main() {
	if err := os.WriteFile("docs/coverage.md", coverage.Text(), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "gendocs:", err)
		os.Exit(1)
	}
}
