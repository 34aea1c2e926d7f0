package wire

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/wire/sigv4"
)

// dialect is how a family of protocols names the errors that all services share.
type dialect map[api.Reason]struct {
	code   string
	status int
}

// The dialects. Sources: the "Common Errors" pages of each service's API reference, and S3's
// "Error responses".
var (
	jsonDialect = dialect{
		api.AccessDenied:        {"AccessDeniedException", 400},
		api.BadSignature:        {"InvalidSignatureException", 400},
		api.BadToken:            {"UnrecognizedClientException", 400},
		api.ExpiredToken:        {"ExpiredTokenException", 400},
		api.IncompleteSignature: {"IncompleteSignatureException", 400},
		api.MissingToken:        {"MissingAuthenticationTokenException", 400},
		api.RequestExpired:      {"InvalidSignatureException", 400},
		api.UnknownOperation:    {"UnknownOperationException", 400},
		api.Unserializable:      {"SerializationException", 400},
		api.Invalid:             {"ValidationException", 400},
		api.Missing:             {"ValidationException", 400},
		api.TooLarge:            {"RequestEntityTooLargeException", 413},
		api.Throttled:           {"ThrottlingException", 400},
		api.Unavailable:         {"ServiceUnavailableException", 503},
		api.Internal:            {"InternalFailure", 500},
	}
	queryDialect = dialect{
		api.AccessDenied:        {"AccessDenied", 403},
		api.BadSignature:        {"SignatureDoesNotMatch", 403},
		api.BadToken:            {"InvalidClientTokenId", 403},
		api.ExpiredToken:        {"ExpiredToken", 403},
		api.IncompleteSignature: {"IncompleteSignature", 400},
		api.MissingToken:        {"MissingAuthenticationToken", 403},
		api.RequestExpired:      {"SignatureDoesNotMatch", 403},
		api.UnknownOperation:    {"InvalidAction", 400},
		api.Unserializable:      {"MalformedInput", 400},
		api.Invalid:             {"ValidationError", 400},
		api.Missing:             {"MissingParameter", 400},
		api.TooLarge:            {"RequestEntityTooLarge", 413},
		api.Throttled:           {"Throttling", 400},
		api.Unavailable:         {"ServiceUnavailable", 503},
		api.Internal:            {"InternalFailure", 500},
	}
	ec2Dialect = dialect{
		api.AccessDenied:        {"UnauthorizedOperation", 403},
		api.BadSignature:        {"AuthFailure", 401},
		api.BadToken:            {"AuthFailure", 401},
		api.ExpiredToken:        {"RequestExpired", 400},
		api.IncompleteSignature: {"AuthFailure", 401},
		api.MissingToken:        {"AuthFailure", 401},
		api.RequestExpired:      {"RequestExpired", 400},
		api.UnknownOperation:    {"InvalidAction", 400},
		api.Unserializable:      {"InvalidParameterValue", 400},
		api.Invalid:             {"InvalidParameterValue", 400},
		api.Missing:             {"MissingParameter", 400},
		api.TooLarge:            {"RequestEntityTooLarge", 413},
		api.Throttled:           {"RequestLimitExceeded", 503},
		api.Unavailable:         {"Unavailable", 503},
		api.Internal:            {"InternalError", 500},
	}
	s3Dialect = dialect{
		api.AccessDenied:        {"AccessDenied", 403},
		api.BadSignature:        {"SignatureDoesNotMatch", 403},
		api.BadToken:            {"InvalidAccessKeyId", 403},
		api.ExpiredToken:        {"ExpiredToken", 400},
		api.IncompleteSignature: {"AuthorizationHeaderMalformed", 400},
		api.MissingToken:        {"AccessDenied", 403},
		api.RequestExpired:      {"RequestTimeTooSkewed", 403},
		api.UnknownOperation:    {"MethodNotAllowed", 405},
		api.Unserializable:      {"MalformedXML", 400},
		api.Invalid:             {"InvalidArgument", 400},
		api.Missing:             {"InvalidArgument", 400},
		api.TooLarge:            {"EntityTooLarge", 400},
		api.Throttled:           {"SlowDown", 503},
		api.Unavailable:         {"ServiceUnavailable", 503},
		api.Internal:            {"InternalError", 500},
	}
)

// resolve gives an error the code, status and message that the service's protocol has for it.
// Whatever is neither an *api.Error nor a refusal of a signature is our own fault: its text, like
// that of any internal error, is for the log alone.
func (s *service) resolve(err error, op *operation) *api.Error {
	var out api.Error
	if e, ok := errors.AsType[*api.Error](err); ok {
		out = *e
	} else if e, ok := errors.AsType[*sigv4.Error](err); ok {
		out = *s.signatureError(e)
	} else if errors.Is(err, context.Canceled) { // the server stops, or the client is gone
		out = api.Error{Reason: api.Unavailable, Message: "The service is not available", Cause: err}
	} else {
		out = api.Error{Reason: api.Internal, Cause: err}
	}
	if out.Code == "" {
		if _, known := s.protocol.dialect[out.Reason]; !known {
			out.Reason = api.Internal // an error that somebody forgot to name
		}
		if out.Reason == api.Internal {
			out.Message, out.Cause = "An internal error occurred", err
		}
		if out.Reason == api.UnknownOperation {
			out.Message = s.unknown(out.Message, s.model.Metadata.APIVersion)
		}
		out.Code, out.Status = s.code(out.Reason, op)
	}
	if out.Status == 0 {
		out.Status = http.StatusBadRequest
		if out.Fault {
			out.Status = http.StatusInternalServerError
		}
	}
	out.Fault = out.Fault || out.Status >= http.StatusInternalServerError
	return &out
}

// code is what the service calls a shared error. A service with an internal error of its own, as
// ssm's InternalServerError, uses that.
func (s *service) code(reason api.Reason, op *operation) (string, int) {
	if reason == api.Internal && op != nil {
		for _, ref := range op.model.Errors {
			if shape := s.model.Shapes[ref.Shape]; shape.Fault && strings.HasPrefix(ref.Shape, "Internal") {
				return shape.ErrorCode(ref.Shape), http.StatusInternalServerError
			}
		}
	}
	known := s.protocol.dialect[reason]
	return known.code, known.status
}

// unknown is AWS's message about an operation that there is not. The JSON services say nothing.
func (s *service) unknown(name, version string) string {
	switch s.model.Metadata.Protocol {
	case "query":
		return fmt.Sprintf("Could not find operation %s for version %s", brief(name), brief(version)) // source: aws
	case "ec2":
		return fmt.Sprintf("The action %s is not valid for this web service.", brief(name))
	case "rest-xml":
		return "The specified method is not allowed against this resource."
	}
	return ""
}

// messageMember is the name under which a JSON error carries its message: the model's for the
// service's own errors, and for those that all share what AWS was seen to send.
func (s *service) messageMember(e *api.Error) string {
	switch e.Reason {
	case "":
	case api.Unserializable, api.AccessDenied:
		return "Message" // source: aws
	default:
		return "message" // source: aws
	}
	if shape := s.errorShapes[e.Code]; shape != nil {
		for _, m := range shape.Members {
			if strings.EqualFold(m.Name, "message") {
				return m.Name
			}
		}
	}
	return "message"
}

// mostShown is how much of a value an answer repeats. AWS repeats all of it, and so do we for every
// value that is nearly right.
const mostShown = 4096

// brief is a value as an answer may repeat it.
func brief(value string) string {
	if len(value) <= mostShown {
		return value
	}
	return strings.ToValidUTF8(value[:mostShown], "") + "..."
}
