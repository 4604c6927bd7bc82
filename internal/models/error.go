package models

import (
	"maps"
	"slices"
	"time"
)

// Kind is what a caller can do about an error; it becomes one gRPC code.
type Kind uint8

// The kinds of error.
const (
	KindInternal Kind = iota
	KindInvalid
	KindUnauthenticated
	KindDenied
	KindNotFound
	KindConflict
	KindPrecondition
	KindExhausted
	KindUnimplemented
	KindUnavailable
	KindDeadline
	KindCancelled
)

// Reason is the stable UPPER_SNAKE name of an error: api/profile/v1/errors.proto without the prefix.
type Reason string

// The reasons, documented in errors.proto.
const (
	ReasonInvalidArgument       Reason = "INVALID_ARGUMENT"
	ReasonOccurredAtInFuture    Reason = "OCCURRED_AT_IN_FUTURE"
	ReasonInvalidPageToken      Reason = "INVALID_PAGE_TOKEN"
	ReasonIdempotencyKeyReused  Reason = "IDEMPOTENCY_KEY_REUSED"
	ReasonUnauthenticated       Reason = "UNAUTHENTICATED"
	ReasonPermissionDenied      Reason = "PERMISSION_DENIED"
	ReasonProfileNotFound       Reason = "PROFILE_NOT_FOUND"
	ReasonVersionConflict       Reason = "VERSION_CONFLICT"
	ReasonPreferenceConflict    Reason = "PREFERENCE_CONFLICT"
	ReasonIdempotencyInProgress Reason = "IDEMPOTENCY_IN_PROGRESS"
	ReasonTransactionConflict   Reason = "TRANSACTION_CONFLICT"
	ReasonPreconditionFailed    Reason = "PRECONDITION_FAILED"
	ReasonVideoUnavailable      Reason = "VIDEO_UNAVAILABLE"
	ReasonFavoriteLimitReached  Reason = "FAVORITE_LIMIT_REACHED"
	ReasonMethodNotAvailable    Reason = "METHOD_NOT_AVAILABLE"
	ReasonUnavailable           Reason = "UNAVAILABLE"
	ReasonDeadlineExceeded      Reason = "DEADLINE_EXCEEDED"
	ReasonInternal              Reason = "INTERNAL"
	ReasonCancelled             Reason = "CANCELLED"
	ReasonCounterOverflow       Reason = "COUNTER_OVERFLOW"
	ReasonOverloaded            Reason = "OVERLOADED"
	ReasonRateLimited           Reason = "RATE_LIMITED"
)

// Entry is everything the edges need to know about a reason.
type Entry struct {
	Kind Kind
	// HTTPStatus of the Problem (S89).
	HTTPStatus int
	// Retryable errors carry RetryInfo: the same call may succeed later.
	Retryable bool
	// Title is one sentence for people; it never holds request data.
	Title string
}

// catalogue is the one place that gives a reason its meaning.
var catalogue = map[Reason]Entry{
	ReasonInvalidArgument:       {KindInvalid, 400, false, "The request breaks one or more rules."},
	ReasonOccurredAtInFuture:    {KindInvalid, 400, false, "occurred_at lies in the future."},
	ReasonInvalidPageToken:      {KindInvalid, 400, false, "The page token is not valid for this list."},
	ReasonIdempotencyKeyReused:  {KindInvalid, 422, false, "The idempotency key was used for another request."},
	ReasonUnauthenticated:       {KindUnauthenticated, 401, false, "A valid identity is required."},
	ReasonPermissionDenied:      {KindDenied, 403, false, "The caller may not do this."},
	ReasonProfileNotFound:       {KindNotFound, 404, false, "The user has no profile."},
	ReasonVersionConflict:       {KindConflict, 409, false, "The profile was changed by somebody else."},
	ReasonPreferenceConflict:    {KindConflict, 409, false, "The preferences were changed by somebody else."},
	ReasonIdempotencyInProgress: {KindConflict, 409, true, "The first call with this idempotency key is still running."},
	ReasonTransactionConflict:   {KindConflict, 409, true, "Concurrent changes collided; nothing was written."},
	ReasonPreconditionFailed:    {KindPrecondition, 412, false, "The If-Match condition does not hold."},
	ReasonVideoUnavailable:      {KindPrecondition, 409, false, "The video is not available."},
	ReasonFavoriteLimitReached:  {KindExhausted, 429, false, "The greatest number of favourites of this kind is reached."},
	ReasonMethodNotAvailable:    {KindUnimplemented, 501, false, "The method is not available here."},
	ReasonUnavailable:           {KindUnavailable, 503, true, "The service cannot answer now."},
	ReasonDeadlineExceeded:      {KindDeadline, 504, true, "The call did not finish in time."},
	ReasonInternal:              {KindInternal, 500, false, "Something went wrong on our side."},
	ReasonCancelled:             {KindCancelled, 499, false, "The caller gave up."},
	ReasonCounterOverflow:       {KindInvalid, 400, false, "A total would become too large."},
	ReasonOverloaded:            {KindExhausted, 429, true, "There is more to do than can be done in time; nothing was tried."},
	ReasonRateLimited:           {KindExhausted, 429, true, "There were too many calls in too short a time; nothing was written."},
}

// Reasons lists every reason, in no particular order.
func Reasons() []Reason { return slices.Collect(maps.Keys(catalogue)) }

// Entry describes the reason; an unknown one is INTERNAL.
func (r Reason) Entry() Entry {
	if e, ok := catalogue[r]; ok {
		return e
	}
	return catalogue[ReasonInternal]
}

// Violation names one field that breaks its rule. Field is the path as the request spells it.
type Violation struct {
	Field       string
	Description string
}

// Error is a failure a caller may act on. Message, Violations and Metadata are safe to show; the cause is
// for the log only. Sentinels are compared with errors.Is, which looks at the reason alone.
type Error struct {
	Reason     Reason
	Message    string
	Violations []Violation
	Metadata   map[string]string
	// RetryAfter is how long to wait before the same call; zero takes the edge's default.
	RetryAfter time.Duration
	cause      error
}

func (e *Error) Error() string {
	if e.cause != nil {
		return e.Message + ": " + e.cause.Error()
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// Is reports whether target is an *Error of the same reason.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Reason == e.Reason
}

// Because returns a copy with a cause.
func (e *Error) Because(err error) *Error {
	c := *e
	c.cause = err
	return &c
}

// After returns a copy that says when to try again.
func (e *Error) After(wait time.Duration) *Error {
	c := *e
	c.RetryAfter = wait
	return &c
}

// With returns a copy with violations added.
func (e *Error) With(violations ...Violation) *Error {
	c := *e
	c.Violations = append(slices.Clone(e.Violations), violations...)
	return &c
}

// WithMetadata returns a copy with one more metadata value.
func (e *Error) WithMetadata(key, value string) *Error {
	c := *e
	c.Metadata = maps.Clone(e.Metadata)
	if c.Metadata == nil {
		c.Metadata = map[string]string{}
	}
	c.Metadata[key] = value
	return &c
}

func sentinel(r Reason) *Error { return &Error{Reason: r, Message: r.Entry().Title} }

// The errors of the service, one per reason; use With, WithMetadata and Because to say more.
var (
	ErrInvalidArgument       = sentinel(ReasonInvalidArgument)
	ErrOccurredAtInFuture    = sentinel(ReasonOccurredAtInFuture)
	ErrInvalidPageToken      = sentinel(ReasonInvalidPageToken)
	ErrIdempotencyKeyReused  = sentinel(ReasonIdempotencyKeyReused)
	ErrUnauthenticated       = sentinel(ReasonUnauthenticated)
	ErrPermissionDenied      = sentinel(ReasonPermissionDenied)
	ErrProfileNotFound       = sentinel(ReasonProfileNotFound)
	ErrVersionConflict       = sentinel(ReasonVersionConflict)
	ErrPreferenceConflict    = sentinel(ReasonPreferenceConflict)
	ErrIdempotencyInProgress = sentinel(ReasonIdempotencyInProgress)
	ErrTransactionConflict   = sentinel(ReasonTransactionConflict)
	ErrPreconditionFailed    = sentinel(ReasonPreconditionFailed)
	ErrVideoUnavailable      = sentinel(ReasonVideoUnavailable)
	ErrFavoriteLimitReached  = sentinel(ReasonFavoriteLimitReached)
	ErrMethodNotAvailable    = sentinel(ReasonMethodNotAvailable)
	ErrUnavailable           = sentinel(ReasonUnavailable)
	ErrDeadlineExceeded      = sentinel(ReasonDeadlineExceeded)
	ErrInternal              = sentinel(ReasonInternal)
	ErrCancelled             = sentinel(ReasonCancelled)
	ErrCounterOverflow       = sentinel(ReasonCounterOverflow)
	ErrOverloaded            = sentinel(ReasonOverloaded)
	ErrRateLimited           = sentinel(ReasonRateLimited)
)
