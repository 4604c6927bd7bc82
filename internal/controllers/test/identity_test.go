package test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/test/testkit"
	"github.com/lingo-services/profile/test/testkit/issuertest"
)

const (
	gatewayEmail = "gateway@project.iam.gserviceaccount.com"
	writerEmail  = "writer@project.iam.gserviceaccount.com"
)

// behindAGateway is a service in gateway mode whose issuer answers discovery and keys over HTTP.
func behindAGateway(t *testing.T, server *issuertest.Server) *testkit.Service {
	t.Helper()
	return testkit.New(t, withoutInsecureMode, func(c *confpb.Bootstrap) {
		c.Auth.Mode = "gateway"
		c.Auth.Issuers = []*confpb.Auth_Issuer{{Issuer: server.URL, Principals: "services", Audiences: []string{"https://profile.example.com"}}}
		c.Auth.TrustedGateways = []string{gatewayEmail}
		c.Auth.Services = []*confpb.Auth_ServiceAccount{{Email: writerEmail, Roles: []string{"writer"}}}
	})
}

func tokenOf(t *testing.T, key issuertest.Key, server *issuertest.Server, changes issuertest.Claims) string {
	t.Helper()
	claims := issuertest.Claims{
		"iss": server.URL, "aud": "https://profile.example.com", "sub": "1", "email": gatewayEmail, "email_verified": true, "exp": time.Now().Add(time.Hour).Unix(),
	}
	return "Bearer " + key.Sign(t, claims.With(changes))
}

func TestS1_AGatewayNamesTheUserOverGRPC(t *testing.T) {
	t.Parallel()
	key := issuertest.RSAKey(t, "one")
	server := issuertest.Serve(t, issuertest.Set(t, key))
	s, user := behindAGateway(t, server), testkit.NewUser()
	token := tokenOf(t, key, server, nil)
	client := s.As(append(asUser(user), "authorization", token)...)
	for range 3 {
		_, err := client.MutateFavorite(t.Context(), like())
		require.NoError(t, err)
	}
	foreign := like()
	foreign.UserId = testkit.NewUser().String()
	_, err := client.MutateFavorite(t.Context(), foreign)
	testkit.RequireError(t, err, codes.PermissionDenied, models.ReasonPermissionDenied)

	service := s.As("authorization", tokenOf(t, key, server, issuertest.Claims{"email": writerEmail}))
	named := like()
	named.UserId = user.String()
	_, err = service.MutateFavorite(t.Context(), named)
	require.NoError(t, err)
	_, err = service.MutateFavorite(t.Context(), like())
	require.Equal(t, []string{"user_id"}, testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument).Fields(), "it must name the user")
	_, err = service.GetProfile(t.Context(), &profilev1.GetProfileRequest{UserId: user.String()})
	testkit.RequireError(t, err, codes.PermissionDenied, models.ReasonPermissionDenied)

	fetched, _ := server.Fetches()
	require.Equal(t, 1, fetched, "for all of these calls")
}

func TestS1_EveryRefusedCredentialLooksTheSameAndIsExplainedInTheLog(t *testing.T) {
	t.Parallel()
	key := issuertest.RSAKey(t, "one")
	server := issuertest.Serve(t, issuertest.Set(t, key))
	s := behindAGateway(t, server)
	info := asUser(testkit.NewUser())
	good := tokenOf(t, key, server, nil)
	for words, pairs := range map[string][]string{
		"no bearer token":                    info,
		"no user info header":                {"authorization", good},
		"the token has expired":              append(info, "authorization", tokenOf(t, key, server, issuertest.Claims{"exp": time.Now().Add(-time.Minute).Unix()})),
		"the token is for another audience":  append(info, "authorization", tokenOf(t, key, server, issuertest.Claims{"aud": canary})),
		"the token's issuer is not trusted":  append(info, "authorization", tokenOf(t, key, server, issuertest.Claims{"iss": canary})),
		"the token's signature is not valid": append(info, "authorization", tokenOf(t, issuertest.RSAKey(t, "one"), server, nil)),
		"the token's key is not one of":      append(info, "authorization", tokenOf(t, issuertest.RSAKey(t, canary), server, nil)),
		"the user info header names no user": {"authorization", good, "x-apigateway-api-userinfo", canary},
		"more than one bearer token":         append(info, "authorization", good, "authorization", good),
	} {
		_, err := s.As(pairs...).MutateFavorite(t.Context(), like())
		testkit.RequireError(t, err, codes.Unauthenticated, models.ReasonUnauthenticated)
		require.Equal(t, "A valid identity is required.", status.Convert(err).Message())
		require.Contains(t, lastCall(t, s)["error"], words)
	}
	_, err := s.As(append(info, "authorization", tokenOf(t, key, server, issuertest.Claims{"email": "x" + gatewayEmail}))...).MutateFavorite(t.Context(), like())
	testkit.RequireError(t, err, codes.PermissionDenied, models.ReasonPermissionDenied)
	require.Contains(t, lastCall(t, s)["error"], "not listed")
	require.NotContains(t, s.Log.String(), canary)
	require.NotContains(t, s.Log.String(), strings.TrimPrefix(good, "Bearer "))
}

// lastCall is the newest log line of a call.
func lastCall(t *testing.T, s *testkit.Service) map[string]any {
	t.Helper()
	var last map[string]any
	for _, line := range serviceLog(s) {
		var entry map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &entry))
		if entry["msg"] == "call" {
			last = entry
		}
	}
	return last
}

func TestT2_WhileTheIssuerIsAwayFromTheStartCallsAreUnavailableNotRefused(t *testing.T) {
	t.Parallel()
	key := issuertest.RSAKey(t, "one")
	server := issuertest.Serve(t, "no keys")
	s := behindAGateway(t, server)
	_, err := s.As(append(asUser(testkit.NewUser()), "authorization", tokenOf(t, key, server, nil))...).MutateFavorite(t.Context(), like())
	details := testkit.RequireError(t, err, codes.Unavailable, models.ReasonUnavailable)
	require.NotNil(t, details.Retry)
	require.Contains(t, s.Log.String(), "the keys of a token issuer could not be fetched")
}
