package identity_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"

	"github.com/lingo-services/profile/internal/controllers/identity"
	"github.com/lingo-services/profile/internal/infrastructure/credential"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/test/testkit/issuertest"
)

const (
	usersIssuer    = "https://users.example.com"
	servicesIssuer = "https://services.example.com"
	audience       = "profile"
	gateway        = "gateway@project.iam.gserviceaccount.com"
	feed           = "feed@project.iam.gserviceaccount.com"
	desk           = "desk@project.iam.gserviceaccount.com"
	forwardedKey   = "x-forwarded-authorization"
)

var signing = sync.OnceValue(func() issuertest.Key { return issuertest.RSAKey(&testing.T{}, "k") })

func accounts() []identity.Account {
	return []identity.Account{
		{Email: gateway, Gateway: true},
		{Email: feed, Roles: []identity.Role{identity.Reader}},
		{Email: desk, Roles: []identity.Role{identity.Compliance}},
	}
}

func verifier(t testing.TB) *credential.Verifier {
	t.Helper()
	set := credential.Keys{Set: issuertest.Set(t, signing())}
	v, cleanup, err := credential.New(credential.Options{
		Issuers: []credential.Issuer{
			{Name: usersIssuer, Audiences: []string{audience}, Keys: set, UserClaim: "sub"},
			{Name: servicesIssuer, Audiences: []string{audience}, Keys: set, Services: true},
		},
		MaxLifetime: 24 * time.Hour, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	t.Cleanup(cleanup)
	return v
}

func gatewayMode(t testing.TB) *identity.Verified {
	t.Helper()
	return identity.NewGateway(verifier(t), accounts(), slog.New(slog.DiscardHandler))
}

func directMode(t testing.TB) *identity.Verified {
	t.Helper()
	return identity.NewDirect(verifier(t), accounts(), slog.New(slog.DiscardHandler))
}

func serviceToken(t testing.TB, email string, changes ...issuertest.Claims) string {
	t.Helper()
	claims := issuertest.Claims{
		"iss": servicesIssuer, "aud": audience, "sub": "1", "email": email, "email_verified": true, "exp": time.Now().Add(time.Hour).Unix(),
	}
	for _, c := range changes {
		claims = claims.With(c)
	}
	return "Bearer " + signing().Sign(t, claims)
}

func userToken(t testing.TB, sub string, changes ...issuertest.Claims) string {
	t.Helper()
	claims := issuertest.Claims{"iss": usersIssuer, "aud": audience, "sub": sub, "exp": time.Now().Add(time.Hour).Unix()}
	for _, c := range changes {
		claims = claims.With(c)
	}
	return "Bearer " + signing().Sign(t, claims)
}

func TestT1_OnlyATrustedGatewaysUserInfoIsBelieved(t *testing.T) {
	t.Parallel()
	info := sub(`"` + ada + `"`)
	expired := issuertest.Claims{"exp": time.Now().Add(-time.Hour).Unix()}
	for name, tc := range map[string]struct {
		md   []string
		want error
		// cause is what the log says.
		cause string
	}{
		"header alone":                     {[]string{userInfoKey, info}, models.ErrUnauthenticated, "no bearer token"},
		"nothing":                          {nil, models.ErrUnauthenticated, "no bearer token"},
		"gateway without a user":           {[]string{authKey, serviceToken(t, gateway)}, models.ErrUnauthenticated, "no user info"},
		"gateway, header under -bin":       {[]string{authKey, serviceToken(t, gateway), userInfoKey + "-bin", info}, models.ErrUnauthenticated, "no user info"},
		"gateway, header with a prefix":    {[]string{authKey, serviceToken(t, gateway), "grpc-metadata-" + userInfoKey, info}, models.ErrUnauthenticated, "no user info"},
		"gateway, REST's prefix":           {[]string{authKey, serviceToken(t, gateway), "grpcgateway-" + userInfoKey, info}, models.ErrUnauthenticated, "no user info"},
		"gateway, underscores":             {[]string{authKey, serviceToken(t, gateway), "x_apigateway_api_userinfo", info}, models.ErrUnauthenticated, "no user info"},
		"gateway, other user header":       {[]string{authKey, serviceToken(t, gateway), "x-user-id", ada}, models.ErrUnauthenticated, "no user info"},
		"gateway, header twice":            {[]string{authKey, serviceToken(t, gateway), userInfoKey, info, userInfoKey, info}, models.ErrUnauthenticated, "more than once"},
		"gateway, two users":               {[]string{authKey, serviceToken(t, gateway), userInfoKey, info, userInfoKey, sub(`"` + grace + `"`)}, models.ErrUnauthenticated, "more than once"},
		"gateway, header twice, two cases": {[]string{authKey, serviceToken(t, gateway), userInfoKey, info, strings.ToUpper(userInfoKey), info}, models.ErrUnauthenticated, "more than once"},
		"gateway, empty header":            {[]string{authKey, serviceToken(t, gateway), userInfoKey, ""}, models.ErrUnauthenticated, "names no user"},
		"gateway's token twice":            {[]string{authKey, serviceToken(t, gateway), authKey, serviceToken(t, gateway), userInfoKey, info}, models.ErrUnauthenticated, "more than one bearer"},
		"gateway's token and another":      {[]string{authKey, serviceToken(t, gateway), authKey, serviceToken(t, feed), userInfoKey, info}, models.ErrUnauthenticated, "more than one bearer"},
		"tokens joined by a comma":         {[]string{authKey, serviceToken(t, gateway) + ", " + serviceToken(t, gateway), userInfoKey, info}, models.ErrUnauthenticated, "not a compact JWS"},
		"gateway's token without a scheme": {[]string{authKey, strings.TrimPrefix(serviceToken(t, gateway), "Bearer "), userInfoKey, info}, models.ErrUnauthenticated, "no bearer token"},
		"another scheme":                   {[]string{authKey, "Basic " + serviceToken(t, gateway), userInfoKey, info}, models.ErrUnauthenticated, "no bearer token"},
		"scheme in lower case":             {[]string{authKey, "bearer " + strings.TrimPrefix(serviceToken(t, gateway), "Bearer "), userInfoKey, info}, models.ErrUnauthenticated, "no bearer token"},
		"gateway's token elsewhere":        {[]string{forwardedKey, serviceToken(t, gateway), userInfoKey, info}, models.ErrUnauthenticated, "no bearer token"},
		"gateway's token under -bin":       {[]string{authKey + "-bin", serviceToken(t, gateway), userInfoKey, info}, models.ErrUnauthenticated, "no bearer token"},
		"gateway's token with a prefix":    {[]string{"grpc-metadata-" + authKey, serviceToken(t, gateway), userInfoKey, info}, models.ErrUnauthenticated, "no bearer token"},
		"gateway's token expired":          {[]string{authKey, serviceToken(t, gateway, expired), userInfoKey, info}, models.ErrUnauthenticated, "has expired"},
		"gateway's token for another":      {[]string{authKey, serviceToken(t, gateway, issuertest.Claims{"aud": "catalog"}), userInfoKey, info}, models.ErrUnauthenticated, "another audience"},
		"gateway's token for ours too":     {[]string{authKey, serviceToken(t, gateway, issuertest.Claims{"aud": []string{"catalog", audience}}), userInfoKey, info}, models.ErrUnauthenticated, "another audience"},
		"gateway's address not verified":   {[]string{authKey, serviceToken(t, gateway, issuertest.Claims{"email_verified": false}), userInfoKey, info}, models.ErrUnauthenticated, "no verified e-mail"},
		"gateway's address by users":       {[]string{authKey, userToken(t, ada, issuertest.Claims{"email": gateway, "email_verified": true}), userInfoKey, info}, models.ErrUnauthenticated, "a user's token"},
		"user's own token":                 {[]string{authKey, userToken(t, ada), userInfoKey, info}, models.ErrUnauthenticated, "a user's token"},
		"user's own token alone":           {[]string{authKey, userToken(t, ada)}, models.ErrUnauthenticated, "a user's token"},
		"unlisted account":                 {[]string{authKey, serviceToken(t, "x@project.iam.gserviceaccount.com"), userInfoKey, info}, models.ErrPermissionDenied, "not listed"},
		"unlisted account alone":           {[]string{authKey, serviceToken(t, "x@project.iam.gserviceaccount.com")}, models.ErrPermissionDenied, "not listed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			caller, err := gatewayMode(t).Authenticate(t.Context(), metadata.Pairs(tc.md...))
			require.ErrorIs(t, err, tc.want)
			require.ErrorContains(t, errors.Unwrap(err), tc.cause)
			require.Zero(t, caller)
		})
	}
}

// TestT1_UserInfoVectors are forty headers and more, each by a trusted gateway and by everybody else.
func TestT1_UserInfoVectors(t *testing.T) {
	t.Parallel()
	doc := `{"sub":"` + ada + `"}`
	wide := `{"sub":"` + ada + `","x":"???>>>~~~ÿÿÿ"}`
	vectors := map[string]struct {
		header   string
		accepted bool
	}{
		"base64url":                     {raw(doc), true},
		"base64url padded":              {base64.URLEncoding.EncodeToString([]byte(wide)), true},
		"base64":                        {base64.RawStdEncoding.EncodeToString([]byte(wide)), true},
		"base64 padded":                 {base64.StdEncoding.EncodeToString([]byte(wide)), true},
		"user_id":                       {raw(`{"user_id":"` + ada + `"}`), true},
		"uid":                           {raw(`{"uid":"` + ada + `"}`), true},
		"all alike":                     {raw(`{"sub":"` + ada + `","user_id":"` + ada + `","uid":"` + ada + `"}`), true},
		"upper case":                    {raw(strings.ToUpper(doc[8:44])), false},
		"upper case UUID":               {raw(`{"sub":"` + strings.ToUpper(ada) + `"}`), true},
		"other claims":                  {raw(`{"iss":"x","aud":["y"],"exp":1,"email":"a@b.c","sub":"` + ada + `"}`), true},
		"sub and user_id differ":        {raw(`{"sub":"` + ada + `","user_id":"` + grace + `"}`), false},
		"sub and uid differ":            {raw(`{"sub":"` + ada + `","uid":"` + grace + `"}`), false},
		"user_id and uid differ":        {raw(`{"user_id":"` + ada + `","uid":"` + grace + `"}`), false},
		"sub null, uid good":            {raw(`{"sub":null,"uid":"` + ada + `"}`), false},
		"sub twice":                     {raw(`{"sub":"` + ada + `","sub":"` + grace + `"}`), false},
		"sub twice, alike":              {raw(`{"sub":"` + ada + `","sub":"` + ada + `"}`), false},
		"sub twice by an escape":        {raw(`{"sub":"` + ada + `","\u0073ub":"` + grace + `"}`), false},
		"another claim twice":           {raw(`{"a":1,"a":1,"sub":"` + ada + `"}`), false},
		"trailing object":               {raw(doc + `{"sub":"` + grace + `"}`), false},
		"trailing text":                 {raw(doc + "x"), false},
		"array":                         {raw("[" + doc + "]"), false},
		"text":                          {raw(`"` + ada + `"`), false},
		"null":                          {raw("null"), false},
		"no claim":                      {raw("{}"), false},
		"claim in another case":         {raw(`{"Sub":"` + ada + `"}`), false},
		"nested claim":                  {raw(`{"user":{"sub":"` + ada + `"}}`), false},
		"no base64":                     {doc, false},
		"bare UUID":                     {ada, false},
		"joined by a comma":             {raw(doc) + "," + raw(doc), false},
		"joined by a comma and a blank": {raw(doc) + ", " + raw(doc), false},
		"blank before":                  {" " + raw(doc), false},
		"mixed alphabets":               {"+_" + raw(doc), false},
		"padding in the middle":         {raw(doc)[:8] + "=" + raw(doc)[8:], false},
		"truncated":                     {raw(doc)[:40], false},
		"encoded twice":                 {raw(raw(doc)), false},
		"over 8 KiB":                    {raw(`{"sub":"` + ada + `","x":"` + strings.Repeat("x", 8<<10) + `"}`), false},
		"64 KiB":                        {strings.Repeat("A", 64<<10), false},
		"braces":                        {raw(`{"sub":"{` + ada + `}"}`), false},
		"urn":                           {raw(`{"sub":"urn:uuid:` + ada + `"}`), false},
		"32 digits":                     {raw(`{"sub":"` + strings.ReplaceAll(ada, "-", "") + `"}`), false},
		"nil UUID":                      {raw(`{"sub":"00000000-0000-0000-0000-000000000000"}`), false},
		"no UUID":                       {raw(`{"sub":"auth0|1"}`), false},
		"a number":                      {raw(`{"sub":1}`), false},
		"a list":                        {raw(`{"sub":["` + ada + `"]}`), false},
		"NUL":                           {raw(`{"sub":"` + ada[:35] + `\u0000"}`), false},
		"invalid UTF-8":                 {raw("{\"sub\":\"\xff" + ada[1:] + `"}`), false},
		"deep":                          {raw(`{"a":` + strings.Repeat("[", 5000)), false},
	}
	require.GreaterOrEqual(t, len(vectors), 40)
	auth := gatewayMode(t)
	for name, v := range vectors {
		caller, err := auth.Authenticate(t.Context(), metadata.Pairs(authKey, serviceToken(t, gateway), userInfoKey, v.header))
		if v.accepted {
			require.NoError(t, err, name)
			require.Equal(t, userCaller(t, ada), caller, name)
		} else {
			require.ErrorIs(t, err, models.ErrUnauthenticated, name)
			require.Zero(t, caller, name)
		}
		for _, credential := range [][]string{
			nil, {authKey, serviceToken(t, "x@example.com")}, {authKey, userToken(t, grace)}, {authKey, "Bearer x"}, {authKey, serviceToken(t, feed)},
		} {
			caller, _ := auth.Authenticate(t.Context(), metadata.Pairs(append(credential, userInfoKey, v.header)...))
			require.Zero(t, caller.User, "%s: nobody else may name a user", name)
		}
	}
}

func TestT4_LookAlikeAccountsAreNotListed(t *testing.T) {
	t.Parallel()
	for _, listed := range []string{gateway, feed, desk} {
		for name, email := range map[string]string{
			"upper case":      strings.ToUpper(listed),
			"capital":         strings.ToUpper(listed[:1]) + listed[1:],
			"suffix":          listed + ".evil.com",
			"prefix":          "x" + listed,
			"subdomain":       strings.Replace(listed, "@", "@evil.", 1),
			"plus address":    strings.Replace(listed, "@", "+x@", 1),
			"homoglyph":       strings.Replace(listed, "e", "е", 1), // Cyrillic
			"full width":      strings.Replace(listed, "@", "＠", 1),
			"blank behind":    listed + " ",
			"NUL behind":      listed + "\x00",
			"joiner inside":   strings.Replace(listed, "@", "\u200d@", 1),
			"local part only": strings.Split(listed, "@")[0],
			"two addresses":   listed + "," + listed,
			"angle brackets":  "<" + listed + ">",
			"trailing dot":    listed + ".",
		} {
			for mode, auth := range map[string]identity.Authenticator{"gateway": gatewayMode(t), "direct": directMode(t)} {
				md := metadata.Pairs(authKey, serviceToken(t, email), userInfoKey, sub(`"`+ada+`"`), forwardedKey, userToken(t, ada))
				caller, err := auth.Authenticate(t.Context(), md)
				require.ErrorIs(t, err, models.ErrPermissionDenied, "%s: %s of %s", mode, name, listed)
				require.Zero(t, caller)
			}
		}
	}
}

func TestT4_ListedServicesHaveTheirRoles(t *testing.T) {
	t.Parallel()
	for mode, auth := range map[string]identity.Authenticator{"gateway": gatewayMode(t), "direct": directMode(t)} {
		caller, err := auth.Authenticate(t.Context(), metadata.Pairs(authKey, serviceToken(t, feed)))
		require.NoError(t, err, mode)
		require.Equal(t, identity.Caller{Service: feed, Roles: []identity.Role{identity.Reader}}, caller)
		// What a token says about roles is not asked.
		caller, err = auth.Authenticate(t.Context(), metadata.Pairs(authKey, serviceToken(t, desk, issuertest.Claims{"roles": []string{"admin"}, "role": "admin"})))
		require.NoError(t, err, mode)
		require.Equal(t, []identity.Role{identity.Compliance}, caller.Roles)
	}
}

func TestT1_AServiceThatSendsAUserActsForItselfAndIsLogged(t *testing.T) {
	t.Parallel()
	var lines bytes.Buffer
	log := slog.New(slog.NewTextHandler(&lines, nil))
	for auth, pairs := range map[identity.Authenticator][]string{
		identity.NewGateway(verifier(t), accounts(), log): {userInfoKey, sub(`"` + ada + `"`)},
		identity.NewDirect(verifier(t), accounts(), log):  {forwardedKey, userToken(t, ada)},
	} {
		lines.Reset()
		caller, err := auth.Authenticate(t.Context(), metadata.Pairs(append(pairs, authKey, serviceToken(t, feed))...))
		require.NoError(t, err)
		require.Equal(t, "service:"+feed, caller.Name())
		require.Contains(t, lines.String(), "was ignored")
		require.Contains(t, lines.String(), feed)
		require.NotContains(t, lines.String(), ada)
		require.NotContains(t, lines.String(), pairs[1])
	}
}

func TestS1_DirectModeTakesTheUsersOwnToken(t *testing.T) {
	t.Parallel()
	info := func(claims string) string { return raw("{" + claims + "}") }
	for name, tc := range map[string]struct {
		md []string
		// cause of a refusal; empty accepts.
		cause string
	}{
		"their token":                        {[]string{authKey, userToken(t, ada)}, ""},
		"through a gateway":                  {[]string{authKey, serviceToken(t, gateway), forwardedKey, userToken(t, ada)}, ""},
		"with the gateway's user info":       {[]string{authKey, serviceToken(t, gateway), forwardedKey, userToken(t, ada), userInfoKey, info(`"sub":"` + ada + `","uid":7`)}, ""},
		"with their own user info":           {[]string{authKey, userToken(t, ada), userInfoKey, info(`"sub":"` + ada + `"`)}, ""},
		"with another's user info":           {[]string{authKey, userToken(t, ada), userInfoKey, info(`"sub":"` + grace + `"`)}, "not about the token's subject"},
		"user info in another case":          {[]string{authKey, userToken(t, ada), userInfoKey, info(`"sub":"` + strings.ToUpper(ada) + `"`)}, "not about the token's subject"},
		"user info without sub":              {[]string{authKey, userToken(t, ada), userInfoKey, info(`"uid":"` + ada + `"`)}, "not about the token's subject"},
		"user info that is rubbish":          {[]string{authKey, userToken(t, ada), userInfoKey, "%"}, "not about the token's subject"},
		"user info twice":                    {[]string{authKey, userToken(t, ada), userInfoKey, info(`"sub":"` + ada + `"`), userInfoKey, info(`"sub":"` + ada + `"`)}, "more than once"},
		"user info alone":                    {[]string{userInfoKey, info(`"sub":"` + ada + `"`)}, "no bearer token"},
		"forwarded alone":                    {[]string{forwardedKey, userToken(t, ada)}, "no bearer token"},
		"forwarded by a user":                {[]string{authKey, userToken(t, ada), forwardedKey, userToken(t, ada)}, "two credentials"},
		"forwarded by another user":          {[]string{authKey, userToken(t, grace), forwardedKey, userToken(t, ada)}, "two credentials"},
		"forwarded by nobody known":          {[]string{authKey, "Bearer x", forwardedKey, userToken(t, ada)}, "not a compact JWS"},
		"forwarded twice":                    {[]string{authKey, serviceToken(t, gateway), forwardedKey, userToken(t, ada), forwardedKey, userToken(t, ada)}, "more than one bearer"},
		"a service forwarded":                {[]string{authKey, serviceToken(t, gateway), forwardedKey, serviceToken(t, feed)}, "a service's token"},
		"a gateway forwarded":                {[]string{authKey, serviceToken(t, gateway), forwardedKey, serviceToken(t, gateway)}, "a service's token"},
		"gateway without a user":             {[]string{authKey, serviceToken(t, gateway)}, "no bearer token"},
		"gateway with user info only":        {[]string{authKey, serviceToken(t, gateway), userInfoKey, info(`"sub":"` + ada + `"`)}, "no bearer token"},
		"forwarded token expired":            {[]string{authKey, serviceToken(t, gateway), forwardedKey, userToken(t, ada, issuertest.Claims{"exp": 1})}, "has expired"},
		"expired":                            {[]string{authKey, userToken(t, ada, issuertest.Claims{"exp": 1})}, "has expired"},
		"forwarded token without the scheme": {[]string{authKey, serviceToken(t, gateway), forwardedKey, strings.TrimPrefix(userToken(t, ada), "Bearer ")}, "no bearer token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			caller, err := directMode(t).Authenticate(t.Context(), metadata.Pairs(tc.md...))
			if tc.cause == "" {
				require.NoError(t, err)
				require.Equal(t, userCaller(t, ada), caller)
				return
			}
			require.ErrorIs(t, err, models.ErrUnauthenticated)
			require.ErrorContains(t, errors.Unwrap(err), tc.cause)
			require.Zero(t, caller)
		})
	}
}

func TestS1_TheDevelopmentModeTakesRealTokensToo(t *testing.T) {
	t.Parallel()
	both := identity.NewBeside(authenticator(), directMode(t))
	info := sub(`"` + ada + `"`)
	for name, tc := range map[string]struct {
		md   []string
		want string // empty: refused
	}{
		"user info of anybody":                     {[]string{userInfoKey, info}, ada},
		"development service":                      {[]string{authKey, "Bearer " + token}, "service:feed"},
		"user through a development service":       {[]string{authKey, "Bearer " + token, userInfoKey, info}, ada},
		"a user's token":                           {[]string{authKey, userToken(t, grace)}, grace},
		"a service's token":                        {[]string{authKey, serviceToken(t, desk)}, "service:" + desk},
		"a user's token, another's user info":      {[]string{authKey, userToken(t, grace), userInfoKey, info}, ""},
		"forwarded by a gateway":                   {[]string{authKey, serviceToken(t, gateway), forwardedKey, userToken(t, grace)}, grace},
		"forwarded alone":                          {[]string{forwardedKey, userToken(t, grace), userInfoKey, info}, ""},
		"unknown token, user info":                 {[]string{authKey, "Bearer nobody", userInfoKey, info}, ""},
		"two development tokens":                   {[]string{authKey, "Bearer " + token, authKey, "Bearer " + token}, ""},
		"nothing":                                  {nil, ""},
		"a development token that lost its scheme": {[]string{authKey, token}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			caller, err := both.Authenticate(t.Context(), metadata.Pairs(tc.md...))
			if tc.want == "" {
				require.ErrorIs(t, err, models.ErrUnauthenticated)
				require.Zero(t, caller)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.want, caller.Name())
		})
	}
}
