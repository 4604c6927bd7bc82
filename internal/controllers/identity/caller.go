package identity

import (
	"context"
	"slices"

	"google.golang.org/grpc/metadata"

	"github.com/lingo-services/profile/internal/models"
)

// Role is what a service may do; admin may do everything.
type Role string

// The roles of services.
const (
	Reader     Role = "reader"
	Writer     Role = "writer"
	Compliance Role = "compliance"
	Admin      Role = "admin"
)

// Caller is who a verified credential names: an end user, or a service.
type Caller struct {
	// User is zero for a service.
	User models.UserID
	// Service and Roles are empty for an end user.
	Service string
	Roles   []Role
}

func (c Caller) isUser() bool { return c.User != models.UserID{} }

func (c Caller) hasOneOf(roles []Role) bool {
	return slices.ContainsFunc(c.Roles, func(held Role) bool { return held == Admin || slices.Contains(roles, held) })
}

// Name is the caller for logs: the user's id, the service's name, or anyone.
func (c Caller) Name() string {
	switch {
	case c.isUser():
		return c.User.String()
	case c.Service != "":
		return "service:" + c.Service
	}
	return "anyone"
}

// Authenticator names callers from request metadata. Errors: models.ErrUnauthenticated; models.ErrPermissionDenied for
// a verified service account that configuration does not list; models.ErrUnavailable when the credential could not be
// checked.
type Authenticator interface {
	Authenticate(ctx context.Context, md metadata.MD) (Caller, error)
}

// DenyAll authenticates nobody: the mode of a service that was given no way to verify credentials.
type DenyAll struct{}

// Authenticate implements Authenticator.
func (DenyAll) Authenticate(context.Context, metadata.MD) (Caller, error) {
	return Caller{}, models.ErrUnauthenticated
}
