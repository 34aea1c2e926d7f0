// Package bubble counts the goroutines of a test's synctest bubble, where those that other tests have left behind do not count.
package bubble

import (
	"regexp"
	"runtime"
)

// Goroutines is the number of goroutines in the bubble of the caller, its own among them; without a bubble those outside of any.
func Goroutines() int {
	stacks := make([]byte, 16<<20)
	head := regexp.MustCompile(`^goroutine \d+ \[[^]]*?(, synctest bubble \d+)?\]:`)
	own := string(head.FindSubmatch(stacks[:runtime.Stack(stacks, false)])[1])
	n := 0
	for _, h := range regexp.MustCompile(`(?m)`+head.String()).FindAllSubmatch(stacks[:runtime.Stack(stacks, true)], -1) {
		if string(h[1]) == own {
			n++
		}
	}
	return n
}
