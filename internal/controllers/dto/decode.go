// Package dto translates between the contract and the services: requests are checked as a whole, with
// every violation reported at once, and become commands; results become responses. All of it is pure.
package dto

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/timestamppb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/controllers/identity"
	"github.com/lingo-services/profile/internal/models"
)

// Decoder checks requests against the rules in the contract. Safe for concurrent use.
type Decoder struct {
	rules protovalidate.Validator
	lists protovalidate.ValidationOption
	opts  Options
}

// Options relax rules for development.
type Options struct {
	// AllowHTTPAvatars accepts http avatar URLs beside https (S7).
	AllowHTTPAvatars bool
}

// NewDecoder compiles the rules of every request of ProfileService, so that a bad rule fails the start.
func NewDecoder(opts Options) (*Decoder, error) {
	var messages []proto.Message
	lists := idLists{}
	methods := profilev1.File_profile_v1_profile_proto.Services().ByName("ProfileService").Methods()
	for i := range methods.Len() {
		input, err := protoregistry.GlobalTypes.FindMessageByName(methods.Get(i).Input().FullName())
		if err != nil {
			return nil, fmt.Errorf("find request message: %w", err)
		}
		if err := lists.add(input.Descriptor()); err != nil {
			return nil, fmt.Errorf("read validation rules of %s: %w", input.Descriptor().FullName(), err)
		}
		messages = append(messages, input.New().Interface())
	}
	rules, err := protovalidate.New(protovalidate.WithMessages(messages...))
	if err != nil {
		return nil, fmt.Errorf("compile validation rules: %w", err)
	}
	for _, m := range messages {
		var invalid *protovalidate.ValidationError
		if err := rules.Validate(m); err != nil && !errors.As(err, &invalid) {
			return nil, fmt.Errorf("compile validation rules of %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
		}
	}
	return &Decoder{rules, protovalidate.WithFilter(lists), opts}, nil
}

// Headers are the request's metadata that changes what a call means.
type Headers struct {
	IdempotencyKey string
	IfMatch        string
	IfNoneMatch    string
	ClientTime     string
	// Consistency is strong, eventual, or empty for the latter (S90).
	Consistency string
	// Repeated names headers that came more than once and have no list.
	Repeated []string
	// NoTag: If-Match came without any tag. Taken for no condition, it would overwrite what the caller wanted protected.
	NoTag bool
}

// request is one call being decoded.
type request struct {
	opts       Options
	subject    identity.Subject
	headers    Headers
	message    proto.Message
	violations []models.Violation
}

func (d *Decoder) begin(subject identity.Subject, headers Headers, message proto.Message) *request {
	r := &request{opts: d.opts, subject: subject, headers: headers, message: message, violations: slices.Clone(subject.Violations)}
	var invalid *protovalidate.ValidationError
	switch err := d.rules.Validate(message, d.lists); {
	case errors.As(err, &invalid):
		for _, v := range invalid.Violations {
			r.violate(protovalidate.FieldPathString(v.Proto.GetField()), v.Proto.GetMessage())
		}
	case err != nil: // a value that a rule cannot even be evaluated on
		r.violate("", "cannot be validated")
	}
	for _, name := range headers.Repeated {
		r.violate(name, "must be sent once")
	}
	_, names := message.(interface{ GetUserId() string })
	if names && len(r.violations) == 0 && subject.User == (models.UserID{}) {
		r.violate("user_id", "is required")
	}
	return r
}

func (r *request) violate(field, description string) {
	r.violations = append(r.violations, models.Violation{Field: field, Description: description})
}

// err reports every violation at once, each field's first, by field (S8).
func (r *request) err() error {
	if len(r.violations) == 0 {
		return nil
	}
	slices.SortStableFunc(r.violations, func(a, b models.Violation) int {
		if a.Field < b.Field {
			return -1
		}
		if a.Field > b.Field {
			return 1
		}
		return 0
	})
	r.violations = slices.CompactFunc(r.violations, func(a, b models.Violation) bool { return a.Field == b.Field })
	return models.ErrInvalidArgument.With(r.violations...)
}

// read is a call without side effects.
func (r *request) read() models.Call {
	switch r.headers.Consistency {
	case "", consistencyEventual, consistencyStrong:
	default:
		r.violate("x-md-consistency", "must be strong or eventual")
	}
	return models.Call{Actor: r.subject.Actor, Subject: r.subject.User, Strong: r.headers.Consistency == consistencyStrong}
}

// What a caller may ask for with x-md-consistency.
const (
	consistencyEventual = "eventual"
	consistencyStrong   = "strong"
)

// video parses an id whose rule has been checked.
func (r *request) video(field, text string) models.VideoID {
	id, err := models.ParseVideoID(text)
	if err != nil && !r.has(field) {
		r.violate(field, err.Error())
	}
	return id
}

// videos are ids whose rules have been checked.
func (r *request) videos(field string, texts []string) []models.VideoID {
	ids := make([]models.VideoID, len(texts))
	for i, text := range texts {
		var err error
		if ids[i], err = models.ParseVideoID(text); err != nil { // a name per id would cost more than the ids
			ids[i] = r.video(fmt.Sprintf("%s[%d]", field, i), text)
		}
	}
	return ids
}

func (r *request) has(field string) bool {
	return slices.ContainsFunc(r.violations, func(v models.Violation) bool { return v.Field == field })
}

// instant checks a timestamp; nil stays nil.
func (r *request) instant(field string, t *timestamppb.Timestamp) *time.Time {
	if t == nil {
		return nil
	}
	if err := t.CheckValid(); err != nil {
		r.violate(field, "must be a time between the years 1 and 9999 with nanos in [0, 999999999]")
		return nil
	}
	at := t.AsTime()
	return &at
}

// bound is a bound of a range of stored times, which have microseconds: rounded up, "from it on" and "before it" stay
// true (S53). nil stays nil.
func (r *request) bound(field string, t *timestamppb.Timestamp) *time.Time {
	at := r.instant(field, t)
	if at == nil {
		return nil
	}
	if cut := at.Truncate(time.Microsecond); cut.Before(*at) {
		return new(cut.Add(time.Microsecond))
	}
	return at
}

// claimed reads when something happened, from the request and the client's clock header (S5).
func (r *request) claimed(field string, t *timestamppb.Timestamp) models.ClaimedTime {
	claimed := models.ClaimedTime{OccurredAt: r.instant(field, t), ClientNow: r.clientNow(), Field: field}
	// With the client's clock, only the corrected time can be judged: by ClaimedTime.Effective.
	if claimed.ClientNow == nil && claimed.OccurredAt != nil && claimed.OccurredAt.Before(models.Earliest) {
		r.violate(field, "must not be before 2000-01-01")
	}
	return claimed
}

// clientNow is the client's clock header; nil when it did not send one.
func (r *request) clientNow() *time.Time {
	if r.headers.ClientTime == "" {
		return nil
	}
	now, err := time.Parse(time.RFC3339Nano, r.headers.ClientTime)
	if err != nil || now.Year() < 1 || now.Year() > 9999 {
		r.violate("x-md-client-time", "must be an RFC 3339 time")
		return nil
	}
	return &now
}
