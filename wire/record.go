package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"github.com/vennel/vennel/api"
)

// finish logs a request and hands it to the audit trail.
func (m *Mux) finish(ctx context.Context, rq *request, rs *response, failure *api.Error) {
	outcome := &api.Outcome{Status: rs.status, Took: time.Since(rq.call.Time)}
	if failure != nil {
		outcome.Code, outcome.Message = failure.Code, failure.Message
	}
	m.log(ctx, rq, outcome, failure)
	if m.Record == nil {
		return
	}
	if op := rq.op; op != nil {
		outcome.ReadOnly = op.readOnly
		outcome.Request = auditJSON(op.in, rq.in)
		if !op.readOnly {
			outcome.Response = auditJSON(op.out, rs.out)
		}
	}
	m.Record(ctx, rq.call, outcome)
}

// log writes the line of a request. Our own faults stand out; those of a client that did not wait
// for the answer are not ours.
func (m *Mux) log(ctx context.Context, rq *request, o *api.Outcome, failure *api.Error) {
	level := slog.LevelDebug
	if failure != nil && failure.Fault && !errors.Is(failure.Cause, context.Canceled) {
		level = slog.LevelError
	}
	if !m.Log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("request_id", rq.call.RequestID), slog.String("service", rq.call.Service), slog.String("operation", rq.call.Operation),
		slog.String("region", rq.call.Region), slog.Int("status", o.Status), slog.Duration("took", o.Took),
	}
	if failure != nil {
		attrs = append(attrs, slog.String("code", failure.Code), slog.String("message", failure.Message))
		if failure.Cause != nil {
			attrs = append(attrs, slog.String("cause", failure.Cause.Error()))
		}
	}
	m.Log.LogAttrs(ctx, level, "request", attrs...)
}

// mostAudit is the largest request or answer that the audit trail keeps whole, as CloudTrail does.
const mostAudit = 100 << 10

// auditJSON is the form in which the audit trail keeps a value: names begin in lower case, secrets
// are left out, and what is very long is only counted. It is nil where there is no value.
func auditJSON(s func() *shape, v reflect.Value) []byte {
	if !v.IsValid() || s() == nil {
		return nil
	}
	b := jsonStyle{audit: true}.append(nil, s(), v)
	if len(b) > mostAudit {
		return fmt.Appendf(nil, `{"omitted":true,"originalSize":%d,"reason":"too large"}`, len(b))
	}
	return b
}
