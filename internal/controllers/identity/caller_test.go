package identity_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"

	"github.com/lingo-services/profile/internal/controllers/identity"
	"github.com/lingo-services/profile/internal/models"
)

const (
	userInfoKey = "x-apigateway-api-userinfo"
	authKey     = "authorization"
	token       = "token-of-the-reader"
)

func authenticator() identity.InsecureDev {
	return identity.NewInsecureDev([]identity.Service{
		{Name: "feed", Token: token, Roles: []identity.Role{identity.Reader}},
		{Name: "desk", Token: "token-of-compliance", Roles: []identity.Role{identity.Compliance}},
	})
}

func id(t *testing.T, text string) models.UserID {
	t.Helper()
	user, err := models.ParseUserID(text)
	require.NoError(t, err)
	return user
}

func userCaller(t *testing.T, text string) identity.Caller {
	t.Helper()
	return identity.Caller{User: id(t, text)}
}

func TestS1_CredentialsNameTheCaller(t *testing.T) {
	t.Parallel()
	info := sub(`"` + ada + `"`)
	for name, tc := range map[string]struct {
		md   metadata.MD
		want string
	}{
		"user":                   {metadata.Pairs(userInfoKey, info), ada},
		"service":                {metadata.Pairs(authKey, "Bearer "+token), "service:feed"},
		"user through a service": {metadata.Pairs(authKey, "Bearer "+token, userInfoKey, info), ada},
		"unrelated metadata":     {metadata.Pairs(userInfoKey, info, "x-other", "1"), ada},
		"key in other case":      {metadata.Pairs("X-ApiGateway-Api-UserInfo", info), ada},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			caller, err := authenticator().Authenticate(t.Context(), tc.md)
			require.NoError(t, err)
			require.Equal(t, tc.want, caller.Name())
		})
	}
}

func TestS1_MissingOrUntrustedCredentialsAreUnauthenticated(t *testing.T) {
	t.Parallel()
	info := sub(`"` + ada + `"`)
	for name, md := range map[string]metadata.MD{
		"none":                              nil,
		"other metadata only":               metadata.Pairs("x-user-id", ada),
		"header given twice":                metadata.Pairs(userInfoKey, info, userInfoKey, info),
		"header given twice, other user":    metadata.Pairs(userInfoKey, info, userInfoKey, sub(`"`+grace+`"`)),
		"empty header":                      metadata.Pairs(userInfoKey, ""),
		"header with a gateway prefix":      metadata.Pairs("grpc-metadata-"+userInfoKey, info),
		"header with -bin":                  metadata.Pairs(userInfoKey+"-bin", info),
		"unknown token":                     metadata.Pairs(authKey, "Bearer nobody-knows-this"),
		"prefix of a token":                 metadata.Pairs(authKey, "Bearer "+token[:8]),
		"token and more":                    metadata.Pairs(authKey, "Bearer "+token+"x"),
		"no scheme":                         metadata.Pairs(authKey, token),
		"other scheme":                      metadata.Pairs(authKey, "Basic "+token),
		"empty token":                       metadata.Pairs(authKey, "Bearer "),
		"two tokens":                        metadata.Pairs(authKey, "Bearer "+token, authKey, "Bearer "+token),
		"good user behind an unknown token": metadata.Pairs(authKey, "Bearer nobody", userInfoKey, info),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			caller, err := authenticator().Authenticate(t.Context(), md)
			require.ErrorIs(t, err, models.ErrUnauthenticated)
			require.Zero(t, caller)
		})
	}
}

func TestS1_WithoutATrustedPeerNobodyIsAuthenticated(t *testing.T) {
	t.Parallel()
	for _, md := range []metadata.MD{nil, metadata.Pairs(userInfoKey, sub(`"`+ada+`"`)), metadata.Pairs(authKey, "Bearer "+token)} {
		_, err := identity.DenyAll{}.Authenticate(t.Context(), md)
		require.ErrorIs(t, err, models.ErrUnauthenticated)
	}
}

func TestP8_InvalidUserInfoIsRefusedEvenBehindATrustedService(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"garbage", sub(`"not-a-uuid"`), raw("{}")} {
		caller, err := authenticator().Authenticate(t.Context(), metadata.Pairs(authKey, "Bearer "+token, userInfoKey, header))
		require.ErrorIs(t, err, models.ErrUnauthenticated, "it must not fall back to the service")
		require.Zero(t, caller)
	}
}

func TestS2_UserActsForThemselvesOnly(t *testing.T) {
	t.Parallel()
	open := identity.Access{Self: true, Roles: []identity.Role{identity.Reader}}
	for _, named := range []string{"", ada, strings.ToUpper(ada)} {
		subject, err := userCaller(t, ada).Resolve(open, named)
		require.NoError(t, err, named)
		require.Equal(t, identity.Subject{User: id(t, ada), Actor: models.UserActor(id(t, ada))}, subject, named)
	}
	for _, named := range []string{grace, strings.ToUpper(grace)} {
		subject, err := userCaller(t, ada).Resolve(open, named)
		require.ErrorIs(t, err, models.ErrPermissionDenied, named)
		require.Zero(t, subject, named)
	}
}

func TestS2_UserMayNotCallServiceMethodsEvenForThemselves(t *testing.T) {
	t.Parallel()
	for _, named := range []string{"", ada, grace, "rubbish"} {
		_, err := userCaller(t, ada).Resolve(identity.Access{Roles: []identity.Role{identity.Compliance}}, named)
		require.ErrorIs(t, err, models.ErrPermissionDenied, named)
	}
}

func TestP7_NamedUserNeverWinsOverTheVerifiedOne(t *testing.T) {
	t.Parallel()
	access := identity.Access{Self: true, Roles: []identity.Role{identity.Writer}}
	// Every spelling of another user ends in an error or in the caller's own id.
	for _, named := range []string{grace, strings.ToUpper(grace), "{" + grace + "}", "urn:uuid:" + grace, strings.ReplaceAll(grace, "-", "")} {
		subject, err := userCaller(t, ada).Resolve(access, named)
		if err == nil {
			require.Equal(t, id(t, ada), subject.User, named)
			require.Equal(t, models.UserActor(id(t, ada)), subject.Actor, named)
		}
	}
}

func TestS3_ServiceNeedsTheRoleOfTheMethod(t *testing.T) {
	t.Parallel()
	roles := []identity.Role{identity.Reader, identity.Writer, identity.Compliance, identity.Admin}
	for _, needed := range roles[:3] {
		for _, held := range roles {
			caller := identity.Caller{Service: "feed", Roles: []identity.Role{held}}
			subject, err := caller.Resolve(identity.Access{Self: true, Roles: []identity.Role{needed}}, ada)
			if held == needed || held == identity.Admin {
				require.NoError(t, err, "%s calls a method for %s", held, needed)
				require.Equal(t, identity.Subject{User: id(t, ada), Actor: models.ServiceActor, Service: "feed"}, subject)
				continue
			}
			require.ErrorIs(t, err, models.ErrPermissionDenied, "%s calls a method for %s", held, needed)
		}
	}
}

func TestS3_ServiceWithoutRolesMayNothing(t *testing.T) {
	t.Parallel()
	_, err := identity.Caller{Service: "stray"}.Resolve(identity.Access{Self: true, Roles: []identity.Role{identity.Reader}}, ada)
	require.ErrorIs(t, err, models.ErrPermissionDenied)
}

func TestS3_ServiceMustNameTheUser(t *testing.T) {
	t.Parallel()
	caller := identity.Caller{Service: "feed", Roles: []identity.Role{identity.Reader}}
	subject, err := caller.Resolve(identity.Access{Self: true, Roles: []identity.Role{identity.Reader}}, "")
	require.NoError(t, err, "reported with the other fields (S8)")
	require.Zero(t, subject.User)
	require.Len(t, subject.Violations, 1)
	require.Equal(t, "user_id", subject.Violations[0].Field)
}

func TestS4_ServiceCannotNameAUserInAnotherSpelling(t *testing.T) {
	t.Parallel()
	caller := identity.Caller{Service: "feed", Roles: []identity.Role{identity.Reader}}
	for _, named := range []string{
		"{" + ada + "}", "urn:uuid:" + ada, strings.ReplaceAll(ada, "-", ""), " " + ada, "00000000-0000-0000-0000-000000000000", "me",
	} {
		subject, err := caller.Resolve(identity.Access{Self: true, Roles: []identity.Role{identity.Reader}}, named)
		require.NoError(t, err, "the request's own rule reports it")
		require.Zero(t, subject.User, named)
	}
}

func TestS4_UserIDsAreLowerCaseOut(t *testing.T) {
	t.Parallel()
	caller := identity.Caller{Service: "feed", Roles: []identity.Role{identity.Reader}}
	subject, err := caller.Resolve(identity.Access{Roles: []identity.Role{identity.Reader}}, strings.ToUpper(ada))
	require.NoError(t, err)
	require.Equal(t, ada, subject.User.String())
}

func TestSubjectTravelsInTheContext(t *testing.T) {
	t.Parallel()
	subject := identity.Subject{User: id(t, ada), Actor: models.UserActor(id(t, ada))}
	require.Equal(t, subject, identity.SubjectFrom(identity.WithSubject(t.Context(), subject)))
	require.Zero(t, identity.SubjectFrom(t.Context()))
}
