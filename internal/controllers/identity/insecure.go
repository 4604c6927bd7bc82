package identity

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"

	"google.golang.org/grpc/metadata"

	"github.com/lingo-services/profile/internal/models"
)

// Service is an allow-listed service of the development mode.
type Service struct {
	Name  string
	Token string
	Roles []Role
}

// InsecureDev trusts the user info header of any peer and knows services by a shared token. It is for
// loopback listeners only; configuration refuses anything else.
type InsecureDev struct{ services []Service }

// NewInsecureDev knows the given services.
func NewInsecureDev(services []Service) InsecureDev { return InsecureDev{services} }

var errUnknownToken = errors.New("unknown development token")

// Authenticate implements Authenticator. A user info header wins over the service that forwards it.
func (a InsecureDev) Authenticate(_ context.Context, md metadata.MD) (Caller, error) {
	var service Caller
	if len(md.Get(headerAuthorization)) > 0 {
		token, err := bearerToken(md, headerAuthorization)
		if err != nil {
			return Caller{}, models.ErrUnauthenticated.Because(err)
		}
		var known bool
		if service, known = a.service(token); !known {
			return Caller{}, models.ErrUnauthenticated.Because(errUnknownToken)
		}
	}
	info, err := userInfo(md)
	if errors.Is(err, errNoUserInfo) && service.Service != "" {
		return service, nil
	}
	if err != nil {
		return Caller{}, models.ErrUnauthenticated.Because(err)
	}
	return userFrom(info)
}

func (a InsecureDev) service(token string) (Caller, bool) {
	given := sha256.Sum256([]byte(token))
	for _, s := range a.services {
		known := sha256.Sum256([]byte(s.Token))
		if subtle.ConstantTimeCompare(given[:], known[:]) == 1 {
			return Caller{Service: s.Name, Roles: s.Roles}, true
		}
	}
	return Caller{}, false
}

// userFrom is the end user that a trusted user info header names.
func userFrom(info string) (Caller, error) {
	user, err := ParseUserInfo(info)
	if err != nil {
		return Caller{}, models.ErrUnauthenticated.Because(err)
	}
	return Caller{User: user}, nil
}

// Beside is the development mode that also takes what another mode verifies: that decides on every bearer token but
// those of the development services.
type Beside struct {
	dev      InsecureDev
	verified Authenticator
}

// NewBeside lets verified decide where dev has nothing to say.
func NewBeside(dev InsecureDev, verified Authenticator) Beside { return Beside{dev, verified} }

// Authenticate implements Authenticator.
func (b Beside) Authenticate(ctx context.Context, md metadata.MD) (Caller, error) {
	if len(md.Get(headerAuthorization)) == 0 && len(md.Get(headerForwarded)) == 0 {
		return b.dev.Authenticate(ctx, md)
	}
	if token, err := bearerToken(md, headerAuthorization); err == nil {
		if _, ours := b.dev.service(token); ours {
			return b.dev.Authenticate(ctx, md)
		}
	}
	return b.verified.Authenticate(ctx, md)
}
