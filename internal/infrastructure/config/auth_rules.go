package config

import (
	"errors"
	"fmt"
	"slices"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/credential"
)

// Values of auth.issuers[].principals.
const (
	principalsServices = "services"
	principalsUsers    = "users"
)

// minSecret is what RFC 7518 asks of an HS256 key, in bytes.
const minSecret = 32

// checkAuth: what is listed is what the mode uses, and nothing can be read in two ways.
func checkAuth(auth *confpb.Auth) (problems []error) {
	if auth.GetMode() == "" {
		for name, entries := range map[string]int{
			"issuers": len(auth.GetIssuers()), "trusted_gateways": len(auth.GetTrustedGateways()), "services": len(auth.GetServices()),
		} {
			if entries > 0 {
				problems = append(problems, fmt.Errorf("auth.%s: only with auth.mode", name))
			}
		}
		return problems
	}
	needed := principalsServices
	if auth.GetMode() == modeDirect {
		needed = principalsUsers
	}
	if !slices.ContainsFunc(auth.GetIssuers(), func(i *confpb.Auth_Issuer) bool { return i.GetPrincipals() == needed }) {
		problems = append(problems, fmt.Errorf("auth.issuers: mode %s needs one with principals %s", auth.GetMode(), needed))
	}
	if auth.GetMode() != modeDirect && len(auth.GetTrustedGateways())+len(auth.GetServices()) == 0 {
		problems = append(problems, fmt.Errorf("auth.trusted_gateways: mode %s needs one, or auth.services", auth.GetMode()))
	}
	seen := map[string]bool{}
	for n, i := range auth.GetIssuers() {
		at := fmt.Sprintf("auth.issuers[%d]", n)
		if seen[i.GetIssuer()] {
			problems = append(problems, fmt.Errorf("%s.issuer: is listed twice", at))
		}
		seen[i.GetIssuer()] = true
		problems = append(problems, checkIssuer(at, auth.GetMode(), i)...)
	}
	return append(problems, checkAccounts(auth)...)
}

func checkIssuer(at, mode string, i *confpb.Auth_Issuer) (problems []error) {
	users := i.GetPrincipals() == principalsUsers
	if users && mode != modeDirect {
		problems = append(problems, fmt.Errorf("%s.principals: users only in mode %s", at, modeDirect))
	}
	if !users && i.GetHs256Secret() != "" {
		problems = append(problems, fmt.Errorf("%s.hs256_secret: only for principals %s", at, principalsUsers))
	}
	if !users && (i.GetUserClaim() != "" || i.GetUserIdFrom() != "") {
		problems = append(problems, fmt.Errorf("%s.user_claim, user_id_from: only for principals %s", at, principalsUsers))
	}
	if secret := i.GetHs256Secret(); secret != "" && len(secret) < minSecret {
		problems = append(problems, fmt.Errorf("%s.hs256_secret: must have %d characters or more", at, minSecret))
	}
	given := 0
	for _, place := range []string{i.GetJwksUrl(), i.GetJwksFile(), i.GetJwks(), i.GetHs256Secret()} {
		if place != "" {
			given++
		}
	}
	switch {
	case given > 1:
		problems = append(problems, fmt.Errorf("%s: at most one of jwks_url, jwks_file, jwks and hs256_secret", at))
	case given == 0 && !credential.SafeURL(i.GetIssuer()):
		problems = append(problems, fmt.Errorf("%s.issuer: is no https address; without one give jwks_url, jwks_file, jwks or hs256_secret", at))
	case i.GetJwksUrl() != "" && !credential.SafeURL(i.GetJwksUrl()):
		problems = append(problems, fmt.Errorf("%s.jwks_url: must be an https address (http on loopback only)", at))
	}
	return problems
}

func checkAccounts(auth *confpb.Auth) (problems []error) {
	seen := map[string]bool{}
	for n, email := range auth.GetTrustedGateways() {
		if seen[email] {
			problems = append(problems, fmt.Errorf("auth.trusted_gateways[%d]: is listed twice", n))
		}
		seen[email] = true
	}
	for n, s := range auth.GetServices() {
		if seen[s.GetEmail()] {
			problems = append(problems, fmt.Errorf("auth.services[%d].email: is listed twice, or as a gateway", n))
		}
		seen[s.GetEmail()] = true
	}
	if len(seen) > 0 && !slices.ContainsFunc(auth.GetIssuers(), func(i *confpb.Auth_Issuer) bool { return i.GetPrincipals() == principalsServices }) {
		problems = append(problems, errors.New("auth.issuers: trusted_gateways and services need one with principals services"))
	}
	return problems
}
