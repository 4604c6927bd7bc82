package identity

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"

	"google.golang.org/grpc/metadata"

	"github.com/lingo-services/profile/internal/models"
)

// Principal is whom a verified token names: an end user or a service account.
type Principal struct {
	// User is zero for a service account.
	User models.UserID
	// Subject is the sub claim; it may be empty.
	Subject string
	// Account is the verified e-mail address of a service account; empty for an end user.
	Account string
}

// Verifier checks a bearer token: signature, issuer, audience, time. Errors: models.ErrUnauthenticated, and
// models.ErrUnavailable when the issuer's keys could not be had. Their causes never hold a part of the token.
type Verifier interface {
	Verify(ctx context.Context, token string) (Principal, error)
}

// Account is a service account that may call.
type Account struct {
	// Email is compared byte by byte.
	Email string
	// Gateway accounts call for the end user they name, and never for themselves.
	Gateway bool
	// Roles of a service that calls for itself.
	Roles []Role
}

// Verified authenticates by verified tokens. Whoever calls is named by `authorization`; a gateway's token makes the
// end user it forwards the caller.
type Verified struct {
	verifier Verifier
	accounts map[string]Account
	// direct: users come with a token of their own, and the user info header proves nothing.
	direct bool
	log    *slog.Logger
}

// NewGateway trusts the user info header when one of the gateways among accounts sends it, and nobody else's.
func NewGateway(verifier Verifier, accounts []Account, log *slog.Logger) *Verified {
	return &Verified{verifier, byEmail(accounts), false, log}
}

// NewDirect takes the user's own token from `authorization`, or from `x-forwarded-authorization` when one of the
// gateways among accounts sends it.
func NewDirect(verifier Verifier, accounts []Account, log *slog.Logger) *Verified {
	return &Verified{verifier, byEmail(accounts), true, log}
}

func byEmail(accounts []Account) map[string]Account {
	known := make(map[string]Account, len(accounts))
	for _, a := range accounts {
		known[a.Email] = a
	}
	return known
}

var (
	errNotAService    = errors.New("a user's token where a service's is needed")
	errNotAUser       = errors.New("a service's token where a user's is needed")
	errUnlisted       = errors.New("the service account is not listed")
	errTwoUsers       = errors.New("two credentials of users")
	errOtherInfo      = errors.New("the user info header is not about the token's subject")
	errNobodyVerified = errors.New("the verified token names nobody")
)

// Authenticate implements Authenticator.
func (v *Verified) Authenticate(ctx context.Context, md metadata.MD) (Caller, error) {
	principal, err := v.principal(ctx, md, headerAuthorization)
	if err != nil {
		return Caller{}, err
	}
	if principal.Account == "" {
		return v.user(md, principal)
	}
	account, listed := v.accounts[principal.Account]
	if !listed {
		return Caller{}, models.ErrPermissionDenied.Because(errUnlisted)
	}
	if account.Gateway {
		return v.forwarded(ctx, md)
	}
	if v.namesUser(md) {
		// T1: a service that is no gateway speaks for itself, whatever else it sends.
		v.log.WarnContext(ctx, "the user that a service forwarded was ignored", "service", account.Email)
	}
	return Caller{Service: account.Email, Roles: account.Roles}, nil
}

func (v *Verified) principal(ctx context.Context, md metadata.MD, key string) (Principal, error) {
	token, err := bearerToken(md, key)
	if err != nil {
		return Principal{}, models.ErrUnauthenticated.Because(err)
	}
	return v.verifier.Verify(ctx, token)
}

// user is an end user who calls without a gateway.
func (v *Verified) user(md metadata.MD, principal Principal) (Caller, error) {
	switch {
	case !v.direct:
		return Caller{}, models.ErrUnauthenticated.Because(errNotAService)
	case len(md.Get(headerForwarded)) > 0:
		return Caller{}, models.ErrUnauthenticated.Because(errTwoUsers)
	}
	return ofToken(md, principal)
}

// forwarded is the end user whom a trusted gateway names.
func (v *Verified) forwarded(ctx context.Context, md metadata.MD) (Caller, error) {
	if !v.direct {
		info, err := userInfo(md)
		if err != nil {
			return Caller{}, models.ErrUnauthenticated.Because(err)
		}
		return userFrom(info)
	}
	principal, err := v.principal(ctx, md, headerForwarded)
	if err != nil {
		return Caller{}, err
	}
	if principal.Account != "" {
		return Caller{}, models.ErrUnauthenticated.Because(errNotAUser)
	}
	return ofToken(md, principal)
}

// ofToken is the user of a token of their own. A user info header adds nothing, but must not contradict (T1).
func ofToken(md metadata.MD, principal Principal) (Caller, error) {
	if principal.User == (models.UserID{}) {
		return Caller{}, models.ErrUnauthenticated.Because(errNobodyVerified)
	}
	info, err := userInfo(md)
	if errors.Is(err, errNoUserInfo) {
		return Caller{User: principal.User}, nil
	}
	if err != nil {
		return Caller{}, models.ErrUnauthenticated.Because(err)
	}
	var subject string
	claims, err := userInfoClaims(info)
	if err != nil || json.Unmarshal(claims["sub"], &subject) != nil || subject != principal.Subject {
		return Caller{}, models.ErrUnauthenticated.Because(errOtherInfo)
	}
	return Caller{User: principal.User}, nil
}

func (v *Verified) namesUser(md metadata.MD) bool {
	key := headerUserInfo
	if v.direct {
		key = headerForwarded
	}
	return len(md.Get(key)) > 0
}
