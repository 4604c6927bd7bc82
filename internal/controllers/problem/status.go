// Package problem turns errors into what callers see: the models' error catalogue on the gRPC wire.
package problem

import (
	"context"
	"errors"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/lingo-services/profile/internal/models"
)

// Domain of every ErrorInfo.
const Domain = "profile"

// defaultRetry is RetryInfo's delay when the error does not say.
const defaultRetry = 100 * time.Millisecond

// code is the one mapping from kinds to gRPC codes (S89).
func code(k models.Kind) codes.Code {
	switch k {
	case models.KindInvalid:
		return codes.InvalidArgument
	case models.KindUnauthenticated:
		return codes.Unauthenticated
	case models.KindDenied:
		return codes.PermissionDenied
	case models.KindNotFound:
		return codes.NotFound
	case models.KindConflict:
		return codes.Aborted
	case models.KindPrecondition:
		return codes.FailedPrecondition
	case models.KindExhausted:
		return codes.ResourceExhausted
	case models.KindUnimplemented:
		return codes.Unimplemented
	case models.KindUnavailable:
		return codes.Unavailable
	case models.KindDeadline:
		return codes.DeadlineExceeded
	case models.KindCancelled:
		return codes.Canceled
	case models.KindInternal:
	}
	return codes.Internal
}

// From finds the catalogued error in err's chain; whatever is not catalogued is INTERNAL.
func From(err error) *models.Error {
	var known *models.Error
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, context.DeadlineExceeded):
		return models.ErrDeadlineExceeded.Because(err)
	case errors.Is(err, context.Canceled):
		return models.ErrCancelled.Because(err)
	}
	return models.ErrInternal.Because(err)
}

// Status is the wire form: message and details hold nothing but the catalogue and the error's violations
// and metadata, never a cause.
func Status(e *models.Error) *status.Status {
	entry := e.Reason.Entry()
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: string(e.Reason), Domain: Domain, Metadata: e.Metadata}}
	switch {
	case entry.Kind == models.KindInvalid && len(e.Violations) > 0:
		bad := &errdetails.BadRequest{}
		for _, v := range e.Violations {
			bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: v.Field, Description: v.Description})
		}
		details = append(details, bad)
	case entry.Kind == models.KindPrecondition:
		details = append(details, &errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{
			{Type: string(e.Reason), Subject: Domain, Description: entry.Title},
		}})
	}
	if entry.Retryable {
		delay := e.RetryAfter
		if delay == 0 {
			delay = defaultRetry
		}
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(delay)})
	}
	plain := status.New(code(entry.Kind), e.Message)
	detailed, err := plain.WithDetails(details...)
	if err != nil {
		return plain // only an OK status cannot carry details, and no kind maps to OK
	}
	return detailed
}
