package config

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/lingo-services/profile/internal/controllers/identity"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/credential"
)

// Modes of auth.mode beside the empty one.
const (
	modeGateway          = "gateway"
	modeDirect           = "direct"
	modePlatformVerified = "platform_verified"
)

// platformVariable is set by Cloud Run for the services it runs.
const platformVariable = "K_SERVICE"

var (
	errNoMode   = errors.New("auth.mode: is required in production: without it nobody is authenticated")
	errPlatform = errors.New("auth.mode: platform_verified needs a platform that verifies tokens, and " + platformVariable + " is not set")
)

// Authenticator is the identity mode. Workers need none, so what a mode needs of the process is checked here and not by
// Validate. The caller calls cleanup after the last call.
func Authenticator(c *confpb.Bootstrap, log *slog.Logger) (identity.Authenticator, func(), error) {
	auth := c.GetAuth()
	if auth.GetMode() == "" {
		if c.GetService().GetEnvironment() == production {
			return nil, nil, errNoMode
		}
		if auth.GetInsecureDev() {
			return insecureDev(auth), func() {}, nil
		}
		return identity.DenyAll{}, func() {}, nil
	}
	if auth.GetMode() == modePlatformVerified && os.Getenv(platformVariable) == "" {
		return nil, nil, errPlatform
	}
	verifier, cleanup, err := credential.New(credential.Options{
		Issuers:          issuers(auth),
		MaxLifetime:      auth.GetMaxTokenLifetime().AsDuration(),
		PlatformVerified: auth.GetMode() == modePlatformVerified,
		Now:              time.Now,
		Log:              log,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("auth.issuers: %w", err)
	}
	verified := identity.NewGateway(verifier, accounts(auth), log)
	if auth.GetMode() == modeDirect {
		verified = identity.NewDirect(verifier, accounts(auth), log)
	}
	var authenticator identity.Authenticator = verified
	if auth.GetMode() == modePlatformVerified {
		authenticator = identity.OnPlatform{Authenticator: verified}
	}
	if auth.GetInsecureDev() {
		return identity.NewBeside(insecureDev(auth), authenticator), cleanup, nil
	}
	return authenticator, cleanup, nil
}

func insecureDev(auth *confpb.Auth) identity.InsecureDev {
	var known []identity.Service
	for _, s := range auth.GetDevServices() {
		known = append(known, identity.Service{Name: s.GetName(), Token: s.GetToken(), Roles: roles(s.GetRoles())})
	}
	return identity.NewInsecureDev(known)
}

func roles(names []string) []identity.Role {
	list := make([]identity.Role, len(names))
	for i, name := range names {
		list[i] = identity.Role(name)
	}
	return list
}

func accounts(auth *confpb.Auth) (list []identity.Account) {
	for _, email := range auth.GetTrustedGateways() {
		list = append(list, identity.Account{Email: email, Gateway: true})
	}
	for _, s := range auth.GetServices() {
		list = append(list, identity.Account{Email: s.GetEmail(), Roles: roles(s.GetRoles())})
	}
	return list
}

func issuers(auth *confpb.Auth) (list []credential.Issuer) {
	for _, i := range auth.GetIssuers() {
		claim := i.GetUserClaim()
		if claim == "" {
			claim = "sub"
		}
		list = append(list, credential.Issuer{
			Name:      i.GetIssuer(),
			Audiences: i.GetAudiences(),
			Services:  i.GetPrincipals() == principalsServices,
			Keys:      credential.Keys{Secret: i.GetHs256Secret(), Set: i.GetJwks(), File: i.GetJwksFile(), URL: i.GetJwksUrl()},
			UserClaim: claim,
			NameBased: i.GetUserIdFrom() == "name_based",
		})
	}
	return list
}
