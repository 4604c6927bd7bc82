package identity

import (
	"context"
	"crypto/sha256"

	"github.com/lingo-services/profile/internal/models"
)

// Access says who may call a method, beside admins.
type Access struct {
	// Anyone: without credentials.
	Anyone bool
	// Self: an end user, for themselves.
	Self bool
	// Roles of which a service needs one.
	Roles []Role
}

// Subject is whom a call is about, and for whom it acts.
type Subject struct {
	User  models.UserID
	Actor models.Actor
	// Service is the name of the service that calls; empty for an end user.
	Service string
	// Violations are problems of the named user_id, to be reported with those of the other fields (S8).
	Violations []models.Violation
}

const fieldUserID = "user_id"

// Resolve applies S2-S4 to the named user_id (empty: none). Errors: models.ErrPermissionDenied, the same
// whether or not the named user exists. A malformed or missing user_id is a violation of the subject.
func (c Caller) Resolve(access Access, userID string) (Subject, error) {
	if c.isUser() {
		return c.resolveSelf(access, userID)
	}
	if !c.hasOneOf(access.Roles) {
		return Subject{}, models.ErrPermissionDenied
	}
	if userID == "" {
		return violated("is required when a service calls"), nil
	}
	named, err := models.ParseUserID(userID)
	if err != nil {
		return Subject{}, nil //nolint:nilerr // the request's own rule for user_id reports it
	}
	return Subject{User: named, Actor: models.ServiceActor, Service: c.Service}, nil
}

// ResolveNobody is Resolve for methods about no user. Errors: models.ErrPermissionDenied.
func (c Caller) ResolveNobody(access Access) (Subject, error) {
	switch {
	case c.isUser() && access.Self:
		return Subject{User: c.User, Actor: models.UserActor(c.User)}, nil
	case !c.isUser() && c.hasOneOf(access.Roles):
		return Subject{Actor: models.ServiceActor, Service: c.Service}, nil
	}
	return Subject{}, models.ErrPermissionDenied
}

// Share is who shares the slots of calls in work: the user, else the service, else everybody without a name.
func (s Subject) Share() (id models.UserID) {
	if s.User != (models.UserID{}) || s.Service == "" {
		return s.User
	}
	sum := sha256.Sum256([]byte(s.Service))
	copy(id[:], sum[:])
	return id
}

func (c Caller) resolveSelf(access Access, userID string) (Subject, error) {
	if !access.Self {
		return Subject{}, models.ErrPermissionDenied
	}
	subject := Subject{User: c.User, Actor: models.UserActor(c.User)}
	if userID == "" {
		return subject, nil
	}
	named, err := models.ParseUserID(userID)
	if err != nil {
		return subject, nil //nolint:nilerr // the request's own rule for user_id reports it
	}
	if named != c.User {
		return Subject{}, models.ErrPermissionDenied
	}
	return subject, nil
}

func violated(description string) Subject {
	return Subject{Violations: []models.Violation{{Field: fieldUserID, Description: description}}}
}

type contextKey struct{}

// WithSubject hands the subject to handlers.
func WithSubject(ctx context.Context, s Subject) context.Context {
	return context.WithValue(ctx, contextKey{}, s)
}

// SubjectFrom returns the subject; the zero value outside a call.
func SubjectFrom(ctx context.Context) Subject {
	s, _ := ctx.Value(contextKey{}).(Subject)
	return s
}
