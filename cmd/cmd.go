// Package cmd is the command line: one file a command, each from flags to configuration to wiring,
// with no logic of its own.
package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"
)

// CLI is the whole command line.
type CLI struct {
	Lab         Lab         `cmd:"" help:"Start a server and a node on this machine and try them."`
	Serve       Serve       `cmd:"" help:"Run the control plane."`
	Agent       Agent       `cmd:"" help:"Be a managed node."`
	Host        Host        `cmd:"" help:"Carry VPCs on this machine."`
	Gateway     Gateway     `cmd:"" help:"Carry a VPC endpoint into a network that exists already."`
	Certificate Certificate `cmd:"" help:"Write the certificate of a host or a gateway."`
	SSH         SSH         `cmd:"" name:"ssh" help:"A shell on a node, or a command."`
	Forward     Forward     `cmd:"" help:"Carry connections to a port of a node, or of a host that it reaches."`
	Cp          Cp          `cmd:"" help:"Copy files to a node or from one."`
	Env         Env         `cmd:"" help:"Print shell exports for AWS's own tools."`
	Audit       Audit       `cmd:"" help:"Show who did what, and why it was allowed or not."`
	Flow        Flow        `cmd:"" help:"Show the records of flow logs: which connections were let through, and which were not."`
	Backup      Backup      `cmd:"" help:"Write a backup, also while the server runs."`
	Restore     Restore     `cmd:"" help:"Restore a backup, also while the server runs."`
	Boot        Boot        `cmd:"" hidden:"" help:"Boot a machine of the lab; its first process starts this."`
	Version     Version     `cmd:"" help:"Print the version."`
}

// Streams are what a command reads and writes; tests give their own.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Exit codes. Anything else is a command's own.
const (
	exitOK      = 0
	exitFailure = 1 // the command ran and failed
	exitUsage   = 2 // the command line is wrong
)

// ExitError is an error with an exit code of its own.
type ExitError struct {
	Code int
	Err  error // nil when everything has been said
}

// Error is the inner error's text.
func (e *ExitError) Error() string { return fmt.Sprint(e.Err) }

// Main runs one command line and gives the exit code. The first SIGINT or SIGTERM ends the
// command in good order, the second at once.
func Main(args []string, streams Streams) int {
	var cli CLI
	parser, err := kong.New(&cli,
		kong.Name("vennel"),
		kong.Description("Your own AWS Systems Manager."),
		kong.Writers(streams.Out, streams.Err),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Vars{"reboot": rebootCommand()},
	)
	if err != nil {
		fmt.Fprintln(streams.Err, "vennel:", err)
		return exitFailure
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		parser.Errorf("%s", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the next signal kills
	parsed.BindTo(ctx, (*context.Context)(nil))
	err = parsed.Run(streams)
	if e, ok := errors.AsType[*ExitError](err); ok {
		if e.Err != nil {
			fmt.Fprintln(streams.Err, "vennel:", e.Err)
		}
		return e.Code
	}
	if err != nil {
		fmt.Fprintln(streams.Err, "vennel:", err)
		return exitFailure
	}
	return exitOK
}

// Version prints what this binary is.
type Version struct{}

// Run prints the module's version, and the commit it was built from.
func (Version) Run(s Streams) error {
	version, revision := "devel", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" && info.Main.Version != "(devel)" {
			version = info.Main.Version
		}
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				revision = " " + setting.Value
			}
		}
	}
	_, err := fmt.Fprintf(s.Out, "vennel %s%s\n", version, revision)
	return err
}
