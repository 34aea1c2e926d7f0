// Vennel is a self-hosted AWS Systems Manager with the private network around it.
package main

import (
	"os"

	"github.com/vennel/vennel/cmd"
)

func main() {
	cmd.First()
	os.Exit(cmd.Main(os.Args[1:], cmd.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
