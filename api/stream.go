package api

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/vennel/vennel/datachannel"
)

// Stream is one conversation of messages, such as a node's control channel. Until Accept the
// request can still be refused like any other. Accept and Receive are called one after the other;
// Send and Close by any goroutine at any time.
//
// A stream waits for most of its life, and there may be many. So its context knows nothing of the
// request, which need not be kept, what goes deep is done aside, and who only listens needs no goroutine.
type Stream interface {
	// Accept upgrades, reads the opening message into the rest of the input, and has check judge that.
	// What check says is the outcome in the audit trail. It gives the context of the conversation,
	// which is that of check, too.
	Accept(in any, check func(context.Context) error) (context.Context, error)
	Receive() (*Message, error) // io.EOF when the peer is gone
	// Listen is the last that an operation does: after it has returned, receive is called for each message, until it gives an
	// error, which ends the stream, or the peer is gone; and then ended.
	Listen(receive func(*Message) error, ended func()) error
	Send(*Message) error // returns when the bytes are handed to the kernel
	Post(*Message) error // Send, but it may leave bytes for the next Post or Flush to hand over
	Flush() error        // after Post
	// Ping asks whether the peer is there. answered is called within Receive, between what came before
	// the answer and what came after it; it is not called when the stream ends before.
	// It may be nil.
	Ping(answered func()) error
	// Patience is for a peer that may be busy for as long as it likes: it may say nothing for so long, and take
	// whatever time it needs for what is sent to it. Called by the goroutine that receives.
	Patience(silence time.Duration)
	Close(reason string) error
}

// Aside does f in a goroutine of its own and waits for it: the stack that f needs goes with it, where
// that of a goroutine which then waits would stay. A panic of f is the caller's.
func Aside(f func() error) (err error) {
	var failure any
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				failure = fmt.Errorf("%v\n%s", p, debug.Stack())
			}
		}()
		err = f()
	}()
	<-done
	if failure != nil {
		panic(failure)
	}
	return err
}

// Message is one AgentMessage, the unit of the ssmmessages channels.
type Message = datachannel.Message
