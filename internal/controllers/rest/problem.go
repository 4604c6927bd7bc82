package rest

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lingo-services/profile/internal/models"
)

const contentTypeProblem = "application/problem+json"

// Problem is the body of every answer that is not a success (RFC 9457).
type Problem struct {
	// Type is /problems/<reason> in lower case with hyphens, or about:blank for what HTTP itself says.
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Reason is one of ErrorReason without its prefix; absent with about:blank.
	Reason string `json:"reason,omitempty"`
	Detail string `json:"detail,omitempty"`
	// Instance is the path that was asked for, escaped as in a URL.
	Instance string `json:"instance"`
	// TraceID is that of the caller's traceparent.
	TraceID string `json:"trace_id,omitempty"`
	// Errors are all violations of a request.
	Errors []Violation `json:"errors,omitempty"`
	// Metadata is what else the error says, as ErrorInfo.metadata.
	Metadata map[string]string `json:"metadata,omitempty"`
}

// Violation is one broken rule.
type Violation struct {
	// Field is the path in the JSON body, or the name of a header, a path or a query parameter; empty for the whole.
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

// ProblemType is the type of problems with a reason.
func ProblemType(reason models.Reason) string {
	return "/problems/" + strings.ToLower(strings.ReplaceAll(string(reason), "_", "-"))
}

// write answers r with p.
func (p Problem) write(w http.ResponseWriter, r *http.Request) {
	p.Instance, p.TraceID = r.URL.EscapedPath(), traceID(r)
	header := w.Header()
	header.Set("Content-Type", contentTypeProblem)
	header.Del("Etag")
	if p.Status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", `Bearer realm="profile"`)
	}
	body, err := json.Marshal(p)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError) // strings and numbers always marshal
		return
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(body)
}

// problemOf is a call's error as a problem, and when to try again; zero for never.
func problemOf(err error, field func(string) string) (p Problem, retryAfter time.Duration) {
	s := status.Convert(err)
	reason := models.ReasonInternal
	p.Detail = s.Message()
	for _, detail := range s.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			reason, p.Metadata = models.Reason(d.GetReason()), d.GetMetadata()
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				p.Errors = append(p.Errors, Violation{field(v.GetField()), v.GetDescription()})
			}
		case *errdetails.RetryInfo:
			retryAfter = d.GetRetryDelay().AsDuration()
		}
	}
	if reason == models.ReasonInternal { // grpc-gateway's own words are not for callers
		reason = ofGateway(s.Code())
		p.Detail = reason.Entry().Title
	}
	entry := reason.Entry()
	p.Type, p.Reason, p.Title, p.Status = ProblemType(reason), string(reason), entry.Title, entry.HTTPStatus
	return p, retryAfter
}

// ofGateway is the reason of what grpc-gateway itself says, which knows no reasons.
func ofGateway(code codes.Code) models.Reason {
	if code == codes.InvalidArgument {
		return models.ReasonInvalidArgument
	}
	return models.ReasonInternal
}

// seconds rounds up, as Retry-After knows no less than a second.
func seconds(d time.Duration) string { return strconv.Itoa(int(math.Ceil(d.Seconds()))) }

func traceID(r *http.Request) string {
	ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		return span.TraceID().String()
	}
	return ""
}
