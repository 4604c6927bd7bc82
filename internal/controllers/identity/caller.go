package identity

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"slices"
	"strings"

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

// Service is an allow-listed service of the development mode.
type Service struct {
	Name  string
	Token string
	Roles []Role
}

// Authenticator names callers from request metadata. Errors: models.ErrUnauthenticated.
type Authenticator interface {
	Authenticate(md metadata.MD) (Caller, error)
}

// Metadata keys of S1 and api.md section 7.
const (
	headerUserInfo      = "x-apigateway-api-userinfo"
	headerAuthorization = "authorization"
	bearer              = "Bearer "
)

// InsecureDev trusts the user info header of any peer and knows services by a shared token. It is for
// loopback listeners only; configuration refuses anything else.
type InsecureDev struct{ services []Service }

// NewInsecureDev knows the given services.
func NewInsecureDev(services []Service) InsecureDev { return InsecureDev{services} }

// Authenticate implements Authenticator. A user info header wins over the service that forwards it.
func (a InsecureDev) Authenticate(md metadata.MD) (Caller, error) {
	var service Caller
	if tokens := md.Get(headerAuthorization); len(tokens) > 0 {
		var err error
		if service, err = a.service(tokens); err != nil {
			return Caller{}, err
		}
	}
	switch infos := md.Get(headerUserInfo); len(infos) {
	case 0:
		if service.Service == "" {
			return Caller{}, models.ErrUnauthenticated
		}
		return service, nil
	case 1:
		user, err := ParseUserInfo(infos[0])
		if err != nil {
			return Caller{}, models.ErrUnauthenticated.Because(err)
		}
		return Caller{User: user}, nil
	default:
		return Caller{}, models.ErrUnauthenticated.Because(errors.New("user info header appears more than once"))
	}
}

func (a InsecureDev) service(tokens []string) (Caller, error) {
	token, found := strings.CutPrefix(tokens[0], bearer)
	if len(tokens) > 1 || !found {
		return Caller{}, models.ErrUnauthenticated
	}
	given := sha256.Sum256([]byte(token))
	for _, s := range a.services {
		known := sha256.Sum256([]byte(s.Token))
		if subtle.ConstantTimeCompare(given[:], known[:]) == 1 {
			return Caller{Service: s.Name, Roles: s.Roles}, nil
		}
	}
	return Caller{}, models.ErrUnauthenticated
}

// DenyAll authenticates nobody: the mode of a service that was given no way to verify credentials.
type DenyAll struct{}

// Authenticate implements Authenticator.
func (DenyAll) Authenticate(metadata.MD) (Caller, error) {
	return Caller{}, models.ErrUnauthenticated
}
