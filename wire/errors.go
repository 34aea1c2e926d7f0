package wire

import (
	"errors"
	"net/http"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/model"
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
// Whatever is not an *api.Error is our own fault: its text is for the log alone.
func (s *service) resolve(err error, op *operation) *api.Error {
	e, ok := errors.AsType[*api.Error](err)
	if !ok {
		e = &api.Error{Reason: api.Internal, Message: "An internal error occurred", Fault: true, Cause: err}
	}
	out := *e
	if out.Code == "" {
		out.Code, out.Status = s.code(e.Reason, op)
		out.Fault = out.Status >= 500
		out.Message = s.words(e)
	}
	if out.Status == 0 {
		out.Status = http.StatusBadRequest
		if out.Fault {
			out.Status = http.StatusInternalServerError
		}
	}
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

// words are AWS's message for a shared error that has a fixed one.
func (s *service) words(e *api.Error) string {
	if e.Reason != api.UnknownOperation {
		return e.Message
	}
	switch s.model.Metadata.Protocol {
	case "query":
		return "Could not find operation " + e.Message + " for version " + s.model.Metadata.APIVersion
	case "ec2":
		return "The action " + e.Message + " is not valid for this web service."
	case "rest-xml":
		return "The specified method is not allowed against this resource."
	}
	return ""
}

// messageMember is the name under which a JSON error carries its message: the model's, where the
// error is modelled.
func (s *service) messageMember(code string) string {
	if shape := s.errorShapes[code]; shape != nil {
		for _, m := range shape.Members {
			if strings.EqualFold(m.Name, "message") {
				return m.Name
			}
		}
	}
	return "message"
}

// errorShapes indexes a model's errors by code.
func errorShapes(m *model.Service) map[string]*model.Shape {
	out := map[string]*model.Shape{}
	for name, shape := range m.Shapes {
		if shape.Exception {
			out[shape.ErrorCode(name)] = shape
		}
	}
	return out
}
