// Package api is AWS's vocabulary. Its subpackages, generated from the service models, hold the
// inputs, outputs, errors and Server interface of each service; this file holds what they share:
// how an operation is bound to the method that does it, and how an error is said.
package api

import (
	"context"
	"fmt"
	"reflect"
)

//go:generate go run ../internal/genapi

// Service is a service with the operations that are served.
type Service struct {
	Name       string // model and signing name: ssm, ec2, …
	Server     any    // whose methods the operations are
	Operations []Operation
}

// Operation binds a name of the model to the method that does the work.
type Operation struct {
	Name    string
	In, Out reflect.Type // the structs; Out is nil for a stream
	call    func(ctx context.Context, in any) (any, error)
	open    func(ctx context.Context, in any, s Stream) error
}

// Bind makes an Operation of a method.
func Bind[In, Out any](name string, method func(context.Context, *In) (*Out, error)) Operation {
	return Operation{
		Name: name,
		In:   reflect.TypeFor[In](),
		Out:  reflect.TypeFor[Out](),
		call: func(ctx context.Context, in any) (any, error) {
			out, err := method(ctx, in.(*In))
			if err != nil {
				return nil, err // a nil *Out in an any would not be nil
			}
			return out, nil
		},
	}
}

// BindStream makes an Operation of a method that converses until it returns.
func BindStream[In any](name string, method func(context.Context, *In, Stream) error) Operation {
	return Operation{
		Name: name,
		In:   reflect.TypeFor[In](),
		open: func(ctx context.Context, in any, s Stream) error { return method(ctx, in.(*In), s) },
	}
}

// Call does the work; in points to a struct of type In.
func (o *Operation) Call(ctx context.Context, in any) (out any, err error) { return o.call(ctx, in) }

// Open converses on a stream until it ends; in points to a struct of type In.
func (o *Operation) Open(ctx context.Context, in any, s Stream) error { return o.open(ctx, in, s) }

// Error is an error in AWS's words. Code is what clients match on; Reason, where it is set, says
// that each protocol has a code of its own for it. Status 0 means what the protocol uses for a
// caller's mistake, mostly 400.
type Error struct {
	Code    string
	Reason  Reason
	Message string
	Status  int
	Fault   bool           // ours, not the caller's
	Fields  map[string]any // further members of the modelled error
	Cause   error          // for the log, never for the caller
}

// Error gives code and message, for logs and tests.
func (e *Error) Error() string {
	code := e.Code
	if code == "" {
		code = string(e.Reason)
	}
	if e.Cause != nil {
		return fmt.Sprintf("%s: %s: %v", code, e.Message, e.Cause)
	}
	return fmt.Sprintf("%s: %s", code, e.Message)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// With adds a further member of the modelled error and returns e.
func (e *Error) With(member string, value any) *Error {
	if e.Fields == nil {
		e.Fields = map[string]any{}
	}
	e.Fields[member] = value
	return e
}

// Reason is an error that all services share, each protocol under a code of its own.
type Reason string

// The shared errors. The text is what a log shows.
const (
	AccessDenied        Reason = "AccessDenied"        // a policy does not let the caller
	BadSignature        Reason = "BadSignature"        // the signature does not fit the request
	BadToken            Reason = "BadToken"            // the access key or session token is not known
	ExpiredToken        Reason = "ExpiredToken"        // the session is over
	IncompleteSignature Reason = "IncompleteSignature" // the signature cannot be read
	MissingToken        Reason = "MissingToken"        // the request is not signed
	RequestExpired      Reason = "RequestExpired"      // the signature is too old or not yet valid
	UnknownOperation    Reason = "UnknownOperation"    // no such operation
	Unserializable      Reason = "Unserializable"      // the body cannot be read
	Invalid             Reason = "Invalid"             // a modelled constraint is broken
	Missing             Reason = "Missing"             // a required parameter is absent (ec2)
	TooLarge            Reason = "TooLarge"            // the body is over the limit
	Throttled           Reason = "Throttled"           // too many requests
	Unavailable         Reason = "Unavailable"         // not now
	Internal            Reason = "Internal"            // our fault
)

// Errorf makes a shared error.
func Errorf(reason Reason, format string, args ...any) *Error {
	return &Error{Reason: reason, Message: sprintf(format, args)}
}

// NewError makes a modelled error; the generated constructors call it.
func NewError(code string, status int, fault bool, format string, args []any) *Error {
	return &Error{Code: code, Status: status, Fault: fault, Message: sprintf(format, args)}
}

// sprintf leaves a message without arguments alone, per cent signs and all.
func sprintf(format string, args []any) string {
	if len(args) == 0 {
		return format
	}
	return fmt.Sprintf(format, args...)
}

// NotBuilt is the answer of every operation that we have not built: to a caller it is unknown.
func NotBuilt(operation string) error {
	return Errorf(UnknownOperation, "%s", operation)
}

// Or gives what p points to, or otherwise when p is nil.
func Or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// Given gives a pointer to v, or nil when v is its type's zero: an absent member.
func Given[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
