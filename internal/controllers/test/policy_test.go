package test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/controllers/rest"
	"github.com/lingo-services/profile/internal/infrastructure/devstack"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/test/testkit"
)

// access says who may call a method: what the contract's option says, and admins.
type access struct {
	anyone, self bool
	roles        []string
	// served is what an authorised call gets.
	served outcome
}

type outcome struct {
	code   codes.Code
	reason models.Reason
}

var (
	ok              = outcome{}
	unauthenticated = outcome{codes.Unauthenticated, models.ReasonUnauthenticated}
	denied          = outcome{codes.PermissionDenied, models.ReasonPermissionDenied}
	invalid         = outcome{codes.InvalidArgument, models.ReasonInvalidArgument}
	notServed       = outcome{codes.Unimplemented, models.ReasonMethodNotAvailable}
)

// served is what an authorised call gets. A new RPC fails here until it is listed.
var served = map[protoreflect.Name]outcome{
	"GetProfile": ok, "UpdateProfile": ok, "UpdatePreferences": ok, "MutateFavorite": ok, "BatchQueryFavorite": ok, "ListFavorites": ok,
	"UpsertWatchProgress": ok, "GetWatchProgress": ok, "BatchGetWatchProgress": ok, "ListWatchHistory": ok, "PurgeUserData": notServed,
	"GetVideoStats": ok, "BatchGetVideoStats": ok, "BatchGetVideos": ok,
}

func accessOf(t testing.TB, m method) access {
	t.Helper()
	outcome, listed := served[m.Name()]
	require.True(t, listed, "%s has no row in the authorisation matrix", m.Name())
	option, _ := proto.GetExtension(m.Options(), profilev1.E_Access).(*profilev1.Access)
	roles := []string{"admin"}
	for _, r := range option.GetRoles() {
		roles = append(roles, strings.ToLower(strings.TrimPrefix(r.String(), "ROLE_")))
	}
	return access{option.GetAnyone(), option.GetSelf(), roles, outcome}
}

// guarded are the methods that need credentials.
func guarded(t testing.TB) (list []method) {
	t.Helper()
	for _, m := range methods() {
		if !accessOf(t, m).anyone {
			list = append(list, m)
		}
	}
	return list
}

func (a access) user(granted outcome) outcome {
	if !a.self {
		return denied
	}
	return granted
}

func (a access) service(role string, granted outcome) outcome {
	if !slices.Contains(a.roles, role) {
		return denied
	}
	return granted
}

// persona is an identity, whom it names, and what it must get.
type persona struct {
	name  string
	pairs []string
	names string
	want  func(access) outcome
}

// spellings of an id that UUID libraries accept, beside the canonical one.
func spellings(id models.UserID) map[string]string {
	text := id.String()
	return map[string]string{
		"braces": "{" + text + "}", "urn": "urn:uuid:" + text, "32 digits": strings.ReplaceAll(text, "-", ""), "nil": "00000000-0000-0000-0000-000000000000",
	}
}

func always(o outcome) func(access) outcome { return func(access) outcome { return o } }

// strangers must not get anything done to target.
func strangers(me, target models.UserID) []persona {
	list := []persona{
		{"anonymous", nil, target.String(), always(unauthenticated)},
		{"anonymous, naming nobody", nil, "", always(unauthenticated)},
		{"invalid header", []string{"x-apigateway-api-userinfo", "garbage"}, "", always(unauthenticated)},
		{"header without a UUID", []string{"x-apigateway-api-userinfo", devstack.UserInfo("auth0|1")}, "", always(unauthenticated)},
		{"header twice", append(asUser(target), asUser(target)...), "", always(unauthenticated)},
		{"prefixed header", []string{"grpc-metadata-x-apigateway-api-userinfo", devstack.UserInfo(target.String())}, "", always(unauthenticated)},
		{"unknown token", []string{"authorization", "Bearer who-am-i"}, target.String(), always(unauthenticated)},
		{"user behind an unknown token", append(asUser(target), "authorization", "Bearer who-am-i"), "", always(unauthenticated)},
		{"another user", asUser(me), target.String(), always(denied)},
		{"another user in upper case", asUser(me), strings.ToUpper(target.String()), always(denied)},
		{"user behind a service", append(asService("admin"), asUser(me)...), target.String(), always(denied)},
	}
	for name, text := range spellings(target) {
		list = append(list, persona{"another user as " + name, asUser(me), text, func(a access) outcome { return a.user(invalid) }})
	}
	for _, role := range []string{"reader", "writer", "compliance", "admin"} {
		list = append(list, persona{role + ", naming nobody", asService(role), "", func(a access) outcome { return a.service(role, invalid) }})
		for name, text := range spellings(target) {
			list = append(list, persona{role + ", user as " + name, asService(role), text, func(a access) outcome { return a.service(role, invalid) }})
		}
	}
	return list
}

func authorised(target models.UserID) []persona {
	self := func(a access) outcome { return a.user(a.served) }
	list := []persona{
		{"self", asUser(target), "", self},
		{"self by name", asUser(target), target.String(), self},
		{"self in upper case", asUser(target), strings.ToUpper(target.String()), self},
		{"self behind a service", append(asService("reader"), asUser(target)...), "", self},
	}
	for _, role := range []string{"reader", "writer", "compliance", "admin"} {
		list = append(list, persona{role, asService(role), strings.ToUpper(target.String()), func(a access) outcome { return a.service(role, a.served) }})
	}
	return list
}

// furnished is a service where target has a row of every kind.
func furnished(t *testing.T) (s *testkit.Service, target models.UserID) {
	t.Helper()
	s, target = testkit.New(t), testkit.NewUser()
	for _, name := range []protoreflect.Name{"UpdateProfile", "UpdatePreferences", "MutateFavorite", "UpsertWatchProgress"} {
		m := method{profilev1.File_profile_v1_profile_proto.Services().ByName("ProfileService").Methods().ByName(name)}
		require.NoError(t, call(t, s, m, request(t, m, ""), asUser(target)))
	}
	return s, target
}

// check has a persona call a method over gRPC and by each of its routes, and returns how many ways that were.
func check(t *testing.T, s *testkit.Service, m method, p persona) (cells int) {
	t.Helper()
	want := p.want(accessOf(t, m))
	if accessOf(t, m).anyone || want == invalid && !m.namesUser() {
		want = ok
	}
	code, why := reason(t, call(t, s, m, request(t, m, p.names), p.pairs))
	require.Equal(t, want, outcome{code, why}, "%s as %s", m.Name(), p.name)
	cells = 1
	for _, route := range rest.Routes() {
		if route.Method.Name() != m.Name() {
			continue
		}
		path, body, possible := inREST(t, route, request(t, m, p.names))
		if !possible {
			continue
		}
		got := ask(t, s, route.Verb, path, body, p.pairs...)
		require.Equal(t, want.reason, models.Reason(got.problem.Reason), "%s as %s: %s", route, p.name, got.body)
		if want != ok {
			require.Equal(t, want.reason.Entry().HTTPStatus, got.code, "%s as %s", route, p.name)
		}
		cells++
	}
	return cells
}

func TestS2_ForeignCallsChangeNothing(t *testing.T) {
	t.Parallel()
	s, target := furnished(t)
	before := contents(t, s.DB)
	cells := 0
	for _, m := range methods() {
		for _, p := range strangers(testkit.NewUser(), target) {
			cells += check(t, s, m, p)
		}
	}
	require.GreaterOrEqual(t, cells, 250)
	t.Logf("%d cells of strangers", cells)
	require.Equal(t, before, contents(t, s.DB), "not one row may differ")
}

func TestS3_EveryMethodServesExactlyItsRoles(t *testing.T) {
	t.Parallel()
	s, target := furnished(t)
	cells := 0
	for _, m := range methods() {
		for _, p := range authorised(target) {
			cells += check(t, s, m, p)
		}
	}
	t.Logf("%d cells of those who may, or lack a role", cells)
}

func TestS2_DenialDoesNotTellWhetherTheUserExists(t *testing.T) {
	t.Parallel()
	s, target := furnished(t)
	for _, m := range methods() {
		if !m.namesUser() {
			continue
		}
		known := call(t, s, m, request(t, m, target.String()), asUser(testkit.NewUser()))
		unknown := call(t, s, m, request(t, m, testkit.NewUser().String()), asUser(testkit.NewUser()))
		require.Error(t, known)
		require.Equal(t, known.Error(), unknown.Error(), m.Name())
	}
}

func TestP7_ForeignUserIDCannotReadOrWrite(t *testing.T) {
	t.Parallel()
	s, target := furnished(t)
	thief := s.AsUser(testkit.NewUser())
	_, err := thief.GetProfile(t.Context(), &profilev1.GetProfileRequest{UserId: target.String()})
	testkit.RequireError(t, err, codes.PermissionDenied, models.ReasonPermissionDenied)
	_, err = thief.UpdateProfile(t.Context(), &profilev1.UpdateProfileRequest{UserId: target.String(), Profile: &profilev1.Profile{DisplayName: "Mallory"}})
	testkit.RequireError(t, err, codes.PermissionDenied, models.ReasonPermissionDenied)
	// The user inside the message does not count either.
	mine, err := thief.UpdateProfile(t.Context(), &profilev1.UpdateProfileRequest{Profile: &profilev1.Profile{UserId: target.String(), DisplayName: "Mallory"}})
	require.NoError(t, err)
	require.NotEqual(t, target.String(), mine.GetProfile().GetUserId())
	require.Equal(t, "Ada", testkit.One[string](t, s.DB, "SELECT display_name FROM profile.users WHERE user_id = $1", target.String()))
}

func TestP8_InvalidUserInfoIsUnauthenticatedEverywhere(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	for _, m := range guarded(t) {
		for _, header := range []string{"garbage", "e30", devstack.UserInfo("not-a-uuid")} {
			err := call(t, s, m, request(t, m, ""), append(asService("admin"), "x-apigateway-api-userinfo", header))
			testkit.RequireError(t, err, codes.Unauthenticated, models.ReasonUnauthenticated)
		}
	}
}

func TestS1_WithoutTheInsecureModeNobodyIsTrusted(t *testing.T) {
	t.Parallel()
	s := testkit.New(t, withoutInsecureMode)
	for _, m := range guarded(t) {
		for _, pairs := range [][]string{asUser(testkit.NewUser()), asService("admin"), nil} {
			testkit.RequireError(t, call(t, s, m, request(t, m, ""), pairs), codes.Unauthenticated, models.ReasonUnauthenticated)
		}
	}
}
