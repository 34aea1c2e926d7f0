// Command simfleet is a fleet of simulated managed nodes in one process, for benchmarks: thousands of
// nodes that register, connect and answer jobs over TLS as the official agent does, but run nothing.
// It is also the baseline for memory: a server and a client that only hold TLS connections.
//
// It is told what to do on stdin, a line of JSON at a time (see order), and says what happens on
// stdout likewise (see report). It ends when stdin does.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// order is one line of stdin. The first decides what the process is; later ones may be reports.
type order struct {
	Do string `json:"do"` // fleet, hold (TLS client), listen (TLS server); report, offline, online, beat, converse, part of a fleet; free of listen

	Address     string       `json:"address"` // host:port of the server
	CA          string       `json:"ca"`      // file with its certificate
	Region      string       `json:"region"`
	Activations []activation `json:"activations"` // of fleet
	Heartbeat   float64      `json:"heartbeat"`   // of beat: seconds between heartbeats
	Count       int          `json:"count"`       // connections of hold or sessions of converse, in all
	AtOnce      int          `json:"at_once"`     // of converse: sessions that are opened at a time
	AccessKey   string       `json:"access_key"`  // of converse: of who starts the sessions
	SecretKey   string       `json:"secret_key"`
	Folder      string       `json:"folder"` // for the authority of listen
}

// activation is what some of the nodes register with.
type activation struct {
	ID    string `json:"id"`
	Code  string `json:"code"`
	Nodes int    `json:"nodes"`
}

// actor is what the process has become.
type actor interface {
	// obey does what an order says. It returns what to report, or nil.
	obey(ctx context.Context, o *order) (any, error)
	// wait returns when everything has ended, after ctx.
	wait()
}

// main runs until stdin ends or a signal comes.
func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdin, newPrinter(os.Stdout)); err != nil {
		fmt.Fprintln(os.Stderr, "simfleet:", err)
		os.Exit(1)
	}
}

// run obeys orders.
func run(ctx context.Context, in io.Reader, out *printer) error {
	ctx, cancel := context.WithCancel(ctx)
	var who actor
	defer func() {
		cancel()
		if who != nil {
			who.wait()
		}
	}()
	lines := make(chan []byte)
	go scan(ctx, in, lines) // a read of stdin cannot be interrupted, so nothing waits for it
	for {
		var line []byte
		var more bool
		select {
		case line, more = <-lines:
		case <-ctx.Done():
		}
		if !more {
			return nil
		}
		o := new(order)
		if err := json.Unmarshal(line, o); err != nil {
			return fmt.Errorf("an order cannot be read: %w", err)
		}
		if who == nil {
			var err error
			if who, err = become(ctx, o, out); err != nil {
				return err
			}
		}
		answer, err := who.obey(ctx, o)
		if err != nil {
			return err
		}
		if answer != nil {
			out.print(answer)
		}
	}
}

// scan passes lines on until there are no more.
func scan(ctx context.Context, in io.Reader, lines chan<- []byte) {
	defer close(lines)
	scanner := bufio.NewScanner(in)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		select {
		case lines <- bytes.Clone(scanner.Bytes()):
		case <-ctx.Done():
			return
		}
	}
}

// become makes what the first order asks for.
func become(ctx context.Context, o *order, out *printer) (actor, error) {
	switch o.Do {
	case "fleet":
		return newFleet(ctx, o, out)
	case "listen":
		return newListener(ctx, o)
	case "hold":
		return newHolder(o)
	}
	return nil, fmt.Errorf("the first order is %q; it must be fleet, listen or hold", o.Do)
}
