package client

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
)

const (
	domain       = "profile"
	reasonPrefix = "ERROR_REASON_"
)

// Error is why a call failed; find it with errors.As. status.FromError and status.Code work on it as well.
type Error struct {
	// Reason is ERROR_REASON_UNSPECIFIED when the answer is not the service's (connection, proxy, context) or names a
	// reason that is younger than this package.
	Reason  profilev1.ErrorReason
	Message string
	// Violations are all fields of the request that break a rule, in the service's order.
	Violations []Violation
	// RetryAfter is how long to wait before the same call may succeed. Zero: it will not, or nobody said.
	RetryAfter time.Duration
	// Metadata says more, by reason: VERSION_CONFLICT and PREFERENCE_CONFLICT have current_version.
	Metadata map[string]string
	cause    error
}

// Violation names one field that breaks its rule, by its path in the request or the name of its header.
type Violation struct{ Field, Description string }

func (e *Error) Error() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s: %s", e.title(), e.Message)
	for _, v := range e.Violations {
		fmt.Fprintf(&text, "; %s %s", v.Field, v.Description)
	}
	return text.String()
}

func (e *Error) title() string {
	if e.Reason == profilev1.ErrorReason_ERROR_REASON_UNSPECIFIED {
		return "profile: " + e.GRPCStatus().Code().String()
	}
	return "profile: " + strings.TrimPrefix(e.Reason.String(), reasonPrefix)
}

// Unwrap is gRPC's error.
func (e *Error) Unwrap() error { return e.cause }

// GRPCStatus is the answer as it came, with all details.
func (e *Error) GRPCStatus() *status.Status { return status.Convert(e.cause) }

// ReasonOf is the Reason of the *Error in err's chain, and ERROR_REASON_UNSPECIFIED when there is none.
func ReasonOf(err error) profilev1.ErrorReason {
	if known, ok := errors.AsType[*Error](err); ok {
		return known.Reason
	}
	return profilev1.ErrorReason_ERROR_REASON_UNSPECIFIED
}

// newError also says whether the service asks to repeat the call.
func newError(err error) (e *Error, repeat bool) {
	answer := status.Convert(err)
	e = &Error{Message: answer.Message(), cause: err}
	for _, detail := range answer.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() == domain {
				e.Reason = profilev1.ErrorReason(profilev1.ErrorReason_value[reasonPrefix+d.GetReason()])
				e.Metadata = d.GetMetadata()
			}
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				e.Violations = append(e.Violations, Violation{v.GetField(), v.GetDescription()})
			}
		case *errdetails.RetryInfo:
			e.RetryAfter, repeat = d.GetRetryDelay().AsDuration(), true
		}
	}
	return e, repeat
}
