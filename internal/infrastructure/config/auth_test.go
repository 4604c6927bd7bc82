package config_test

import (
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"

	"github.com/lingo-services/profile/internal/controllers/identity"
	"github.com/lingo-services/profile/internal/infrastructure/config"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/test/testkit/issuertest"
)

const (
	gatewayEmail = "gateway@project.iam.gserviceaccount.com"
	jwksAddress  = "https://keys.example.com/keys"
)

// inMode is a sound configuration of a mode.
func inMode(t *testing.T, mode string) *confpb.Bootstrap {
	t.Helper()
	conf := load(t)
	conf.Auth.Mode = mode
	conf.Auth.TrustedGateways = []string{gatewayEmail}
	conf.Auth.Services = []*confpb.Auth_ServiceAccount{{Email: "feed@x.example.com", Roles: []string{"reader"}}}
	conf.Auth.Issuers = []*confpb.Auth_Issuer{
		{Issuer: "https://accounts.google.com", Principals: "services", Audiences: []string{"profile"}},
	}
	if mode == "direct" {
		conf.Auth.Issuers = append(conf.Auth.Issuers, &confpb.Auth_Issuer{
			Issuer: "https://users.example.com", Principals: "users", Audiences: []string{"profile"}, JwksUrl: jwksAddress,
		})
	}
	return conf
}

func TestT2_ModesAreValidAsDocumented(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"gateway", "direct", "platform_verified"} {
		require.NoError(t, config.Validate(inMode(t, mode)), mode)
	}
	for name, change := range map[string]func(*confpb.Auth){
		"users only": func(a *confpb.Auth) { a.Issuers, a.TrustedGateways, a.Services = a.Issuers[1:], nil, nil },
		"shared secret": func(a *confpb.Auth) {
			a.Issuers[1].JwksUrl, a.Issuers[1].Hs256Secret = "", "4fb1c09e7d2a8356e0b94c7d1f6a2835"
		},
		"key file":        func(a *confpb.Auth) { a.Issuers[1].JwksUrl, a.Issuers[1].JwksFile = "", "/etc/keys.json" },
		"local issuer":    func(a *confpb.Auth) { a.Issuers[1].JwksUrl = "http://127.0.0.1:8080/keys" },
		"claim and names": func(a *confpb.Auth) { a.Issuers[1].UserClaim, a.Issuers[1].UserIdFrom = "uid", "name_based" },
		"a bare name":     func(a *confpb.Auth) { a.Issuers[1].Issuer = "supabase" },
	} {
		conf := inMode(t, "direct")
		change(conf.Auth)
		require.NoError(t, config.Validate(conf), name)
	}
}

func TestT2_IdentityThatIsHalfConfiguredIsRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		mode   string
		change func(*confpb.Auth)
		key    string
	}{
		"unknown mode":            {"none", func(*confpb.Auth) {}, "auth.mode"},
		"issuers without a mode":  {"", func(*confpb.Auth) {}, "auth.issuers: only with auth.mode"},
		"gateways without a mode": {"", func(*confpb.Auth) {}, "auth.trusted_gateways: only with auth.mode"},
		"services without a mode": {"", func(*confpb.Auth) {}, "auth.services: only with auth.mode"},
		"no issuers":              {"gateway", func(a *confpb.Auth) { a.Issuers = nil }, "auth.issuers: mode gateway"},
		"no accounts":             {"gateway", func(a *confpb.Auth) { a.TrustedGateways, a.Services = nil, nil }, "auth.trusted_gateways"},
		"direct without users":    {"direct", func(a *confpb.Auth) { a.Issuers = a.Issuers[:1] }, "auth.issuers: mode direct"},
		"accounts without issuer": {"direct", func(a *confpb.Auth) { a.Issuers = a.Issuers[1:] }, "principals services"},
		"users behind a gateway": {"gateway", func(a *confpb.Auth) {
			a.Issuers = append(a.Issuers, &confpb.Auth_Issuer{Issuer: "https://u", Principals: "users", Audiences: []string{"a"}})
		}, "auth.issuers[1].principals"},
		"no audience":               {"gateway", func(a *confpb.Auth) { a.Issuers[0].Audiences = nil }, "auth.issuers[0].audiences"},
		"an empty audience":         {"gateway", func(a *confpb.Auth) { a.Issuers[0].Audiences = []string{""} }, "auth.issuers[0].audiences[0]"},
		"no issuer's name":          {"gateway", func(a *confpb.Auth) { a.Issuers[0].Issuer = "" }, "auth.issuers[0].issuer"},
		"an issuer twice":           {"gateway", func(a *confpb.Auth) { a.Issuers = append(a.Issuers, a.Issuers[0]) }, "auth.issuers[1].issuer: is listed twice"},
		"unknown principals":        {"gateway", func(a *confpb.Auth) { a.Issuers[0].Principals = "robots" }, "auth.issuers[0].principals"},
		"a service twice":           {"gateway", func(a *confpb.Auth) { a.Services = append(a.Services, a.Services[0]) }, "auth.services[1].email"},
		"a gateway as a service":    {"gateway", func(a *confpb.Auth) { a.Services[0].Email = gatewayEmail }, "auth.services[0].email"},
		"a gateway twice":           {"gateway", func(a *confpb.Auth) { a.TrustedGateways = []string{gatewayEmail, gatewayEmail} }, "auth.trusted_gateways[1]"},
		"a service without roles":   {"gateway", func(a *confpb.Auth) { a.Services[0].Roles = nil }, "auth.services[0].roles"},
		"a role nobody knows":       {"gateway", func(a *confpb.Auth) { a.Services[0].Roles = []string{"root"} }, "auth.services[0].roles[0]"},
		"a service's shared secret": {"gateway", func(a *confpb.Auth) { a.Issuers[0].Hs256Secret = strings.Repeat(canary, 3) }, "auth.issuers[0].hs256_secret: only"},
		"a short shared secret":     {"direct", func(a *confpb.Auth) { a.Issuers[1].JwksUrl, a.Issuers[1].Hs256Secret = "", canary }, "auth.issuers[1].hs256_secret: must have"},
		"the documents' own secret": {"direct", func(a *confpb.Auth) {
			a.Issuers[1].JwksUrl, a.Issuers[1].Hs256Secret = "", "change-me-to-the-32-characters-of-the-project"
		}, "auth.issuers[1].hs256_secret: a key of the repository"},
		"a secret of one letter": {"direct", func(a *confpb.Auth) {
			a.Issuers[1].JwksUrl, a.Issuers[1].Hs256Secret = "", strings.Repeat("x", 32)
		}, "auth.issuers[1].hs256_secret: production wants"},
		"keys and a secret":            {"direct", func(a *confpb.Auth) { a.Issuers[1].Hs256Secret = strings.Repeat(canary, 3) }, "at most one of"},
		"keys in clear":                {"direct", func(a *confpb.Auth) { a.Issuers[1].JwksUrl = "http://keys.example.com/keys" }, "auth.issuers[1].jwks_url"},
		"keys by another scheme":       {"direct", func(a *confpb.Auth) { a.Issuers[1].JwksUrl = "file:///etc/passwd" }, "auth.issuers[1].jwks_url"},
		"nothing to discover from":     {"gateway", func(a *confpb.Auth) { a.Issuers[0].Issuer = "supabase" }, "auth.issuers[0].issuer: is no https address"},
		"discovery in clear":           {"gateway", func(a *confpb.Auth) { a.Issuers[0].Issuer = "http://issuer.example.com" }, "auth.issuers[0].issuer: is no https address"},
		"a user claim of services":     {"gateway", func(a *confpb.Auth) { a.Issuers[0].UserClaim = "uid" }, "auth.issuers[0].user_claim"},
		"ids from elsewhere":           {"direct", func(a *confpb.Auth) { a.Issuers[1].UserIdFrom = "thin air" }, "auth.issuers[1].user_id_from"},
		"tokens that live for a month": {"gateway", func(a *confpb.Auth) { a.MaxTokenLifetime.Seconds = 30 * 86400 }, "auth.max_token_lifetime"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conf := inMode(t, tc.mode)
			tc.change(conf.Auth)
			err := config.Validate(conf)
			require.ErrorContains(t, err, tc.key)
			require.NotContains(t, err.Error(), canary)
		})
	}
}

func TestT12_TheSharedSecretOfAnIssuerIsNotPrinted(t *testing.T) {
	t.Parallel()
	conf := inMode(t, "direct")
	conf.Auth.Issuers[1].Hs256Secret = canary
	require.NotContains(t, config.Redacted(conf), canary)
}

func authenticate(t *testing.T, conf *confpb.Bootstrap, pairs ...string) (identity.Caller, error) {
	t.Helper()
	auth, cleanup, err := config.Authenticator(conf, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer cleanup()
	return auth.Authenticate(t.Context(), metadata.Pairs(pairs...))
}

func TestS1_ProductionNeedsAMode(t *testing.T) {
	t.Parallel()
	conf := load(t)
	require.NoError(t, config.Validate(conf), "workers need none")
	_, _, err := config.Authenticator(conf, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "auth.mode")
	conf.Service.Environment = "dev"
	_, err = authenticate(t, conf, "authorization", "Bearer x")
	require.ErrorIs(t, err, models.ErrUnauthenticated)
}

func TestT2_PlatformVerifiedNeedsThePlatform(t *testing.T) {
	t.Setenv("K_SERVICE", "")
	conf := inMode(t, "platform_verified")
	_, _, err := config.Authenticator(conf, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "K_SERVICE")
	t.Setenv("K_SERVICE", "profile")
	header, payload := `{"alg":"RS256","kid":"x"}`, `{"iss":"https://accounts.google.com","aud":"profile","email":"feed@x.example.com","email_verified":true,"exp":`
	token := strings.TrimSuffix(issuertest.Forge(t, header, payload+inAnHour()+"}", nil, ""), ".") + ".SIGNATURE_REMOVED_BY_GOOGLE"
	caller, err := authenticate(t, conf, "authorization", "Bearer "+token)
	require.NoError(t, err)
	require.Equal(t, "service:feed@x.example.com", caller.Name())
	conf.Auth.Mode = "gateway"
	conf.Auth.Issuers[0].Jwks = issuertest.Set(t, issuertest.RSAKey(t, "x"))
	_, err = authenticate(t, conf, "authorization", "Bearer "+token)
	require.ErrorIs(t, err, models.ErrUnauthenticated, "elsewhere signatures are checked")
}

func TestT2_KeysThatCannotBeUsedStopTheStartByName(t *testing.T) {
	t.Parallel()
	conf := inMode(t, "gateway")
	conf.Auth.Issuers[0].Jwks = canary
	require.NoError(t, config.Validate(conf))
	_, _, err := config.Authenticator(conf, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "auth.issuers: keys of https://accounts.google.com")
	require.NotContains(t, err.Error(), canary)
}

func inAnHour() string { return strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10) }
