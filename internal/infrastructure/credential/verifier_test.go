package credential_test

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/controllers/identity"
	"github.com/lingo-services/profile/internal/infrastructure/credential"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/test/testkit/issuertest"
)

func user(t testing.TB, text string) models.UserID {
	t.Helper()
	id, err := models.ParseUserID(text)
	require.NoError(t, err)
	return id
}

func claimsText(t testing.TB, claims issuertest.Claims) string {
	t.Helper()
	text, err := json.Marshal(claims)
	require.NoError(t, err)
	return string(text)
}

func TestT2_GoodTokensNameTheirPrincipal(t *testing.T) {
	t.Parallel()
	at, keys := newClock(), keysOnce()
	ofAda := identity.Principal{User: user(t, ada), Subject: ada}
	ofGateway := identity.Principal{Subject: "1234567890", Account: gateway}
	one := userClaims(at)
	for name, tc := range map[string]struct {
		token string
		want  identity.Principal
	}{
		"RS256":                           {keys.rsa.Sign(t, one), ofAda},
		"PS512":                           {keys.pss.Sign(t, one), ofAda},
		"ES256":                           {keys.ec256.Sign(t, one), ofAda},
		"ES384":                           {keys.ec384.Sign(t, one), ofAda},
		"ES512":                           {keys.ec521.Sign(t, one), ofAda},
		"EdDSA":                           {keys.ed.Sign(t, one), ofAda},
		"audience as a list":              {keys.rsa.Sign(t, one.With(issuertest.Claims{"aud": []string{audience}})), ofAda},
		"both audiences":                  {keys.rsa.Sign(t, one.With(issuertest.Claims{"aud": []string{second, audience}})), ofAda},
		"upper case user":                 {keys.rsa.Sign(t, one.With(issuertest.Claims{"sub": strings.ToUpper(ada)})), identity.Principal{User: user(t, ada), Subject: strings.ToUpper(ada)}},
		"other claims that name somebody": {keys.rsa.Sign(t, one.With(issuertest.Claims{"user_id": "x", "uid": 7, "email": gateway, "role": "admin"})), ofAda},
		"neither nbf nor iat":             {keys.rsa.Sign(t, one.With(issuertest.Claims{"nbf": nil, "iat": nil})), ofAda},
		"expired for 29 s":                {keys.rsa.Sign(t, one.With(issuertest.Claims{"exp": at.in(-29 * time.Second)})), ofAda},
		"valid in 30 s":                   {keys.rsa.Sign(t, one.With(issuertest.Claims{"nbf": at.in(30 * time.Second)})), ofAda},
		"issued in 30 s":                  {keys.rsa.Sign(t, one.With(issuertest.Claims{"iat": at.in(30 * time.Second)})), ofAda},
		"a day long":                      {keys.rsa.Sign(t, one.With(issuertest.Claims{"exp": at.in(24*time.Hour + 30*time.Second)})), ofAda},
		"jku, x5u and jwk are not read": {issuertest.Forge(t,
			`{"alg":"RS256","kid":"rsa","jku":"https://evil.example.com/keys","x5u":"https://evil.example.com/cert","jwk":`+key(t, keys.ec256)+`}`,
			claimsText(t, one), keys.rsa.Private, "RS256"), ofAda},
		"shared secret": {issuertest.Forge(t, `{"alg":"HS256","typ":"JWT"}`, claimsText(t, one.With(issuertest.Claims{"iss": legacy, "aud": "authenticated"})), []byte(secret), "HS256"), ofAda},
		"name based": {
			keys.rsa.Sign(t, one.With(issuertest.Claims{"iss": others, "id": "auth0|123", "sub": "s"})),
			identity.Principal{User: models.UserID(uuid.NewSHA1(uuid.NewSHA1(uuid.NameSpaceURL, []byte(others)), []byte("auth0|123"))), Subject: "s"},
		},
		"service":                         {keys.rsa.Sign(t, serviceClaims(at)), ofGateway},
		"service with a user's claims":    {keys.rsa.Sign(t, serviceClaims(at).With(issuertest.Claims{"user_id": ada, "id": ada})), ofGateway},
		"an unlisted address is verified": {keys.rsa.Sign(t, serviceClaims(at).With(issuertest.Claims{"email": "x@y"})), identity.Principal{Subject: "1234567890", Account: "x@y"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := newVerifier(t, at).Verify(t.Context(), tc.token)
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
		})
	}
}

// key is the public part as JSON.
func key(t testing.TB, k issuertest.Key) string {
	t.Helper()
	var set struct{ Keys []json.RawMessage }
	require.NoError(t, json.Unmarshal([]byte(issuertest.Set(t, k)), &set))
	return string(set.Keys[0])
}

// Words of the log.
const (
	malformed = "not a compact JWS"
	algorithm = "algorithm"
	unknown   = "key is not one of"
	signature = "signature"
	issuer    = "issuer is not trusted"
	forOther  = "another audience"
	expired   = "has expired"
	early     = "not valid yet"
	lifetime  = "never expires"
	email     = "no verified e-mail"
	noUser    = "names no user"
)

func TestT2_BadTokensAreRefused(t *testing.T) {
	t.Parallel()
	at, keys := newClock(), keysOnce()
	one, service := userClaims(at), serviceClaims(at)
	payload := claimsText(t, one)
	good := keys.rsa.Sign(t, one)
	header, body, sig := split(good)
	evil := issuertest.RSAKey(t, "rsa")
	der, err := x509.MarshalPKIXPublicKey(keys.rsa.Private.Public())
	require.NoError(t, err)
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	publicPKCS := x509.MarshalPKCS1PublicKey(keys.rsa.Private.Public().(*rsa.PublicKey))
	user := func(changes issuertest.Claims) string { return keys.rsa.Sign(t, one.With(changes)) }
	of := func(changes issuertest.Claims) string { return keys.rsa.Sign(t, service.With(changes)) }
	forge := func(header string, key any, alg string) string { return issuertest.Forge(t, header, payload, key, alg) }
	raw := func(payload string) string {
		return issuertest.Forge(t, `{"alg":"RS256","kid":"rsa"}`, payload, keys.rsa.Private, "RS256")
	}
	b64 := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	vectors := map[string]struct{ token, words string }{
		// Not a token.
		"empty":                              {"", malformed},
		"a word":                             {"token", malformed},
		"two parts":                          {header + "." + body, malformed},
		"four parts":                         {good + "." + sig, malformed},
		"five parts, as of a JWE":            {header + "." + body + "." + sig + "." + body + "." + sig, malformed},
		"three empty parts":                  {"..", malformed},
		"no header":                          {"." + body + "." + sig, malformed},
		"no payload":                         {header + ".." + sig, malformed},
		"JSON serialization":                 {`{"payload":"` + body + `","protected":"` + header + `","signature":"` + sig + `"}`, malformed},
		"general JSON serialization":         {`{"payload":"` + body + `","signatures":[{"protected":"` + header + `","signature":"` + sig + `"}]}`, malformed},
		"padded":                             {header + "." + body + "." + sig + "==", malformed},
		"blank before":                       {" " + good, malformed},
		"blank behind":                       {good + " ", malformed},
		"line end inside":                    {header + "." + body + "\n." + sig, malformed},
		"line end in the signature":          {good[:len(good)-4] + "\r\n" + good[len(good)-4:], malformed},
		"standard alphabet":                  {header + "." + body + "." + strings.NewReplacer("-", "+", "_", "/").Replace(withBoth(t, keys.rsa, one)), malformed},
		"other bits at the end":              {header + "." + body + "." + sloppy(sig), malformed},
		"NUL behind":                         {good + "\x00", malformed},
		"over 8 KiB":                         {user(issuertest.Claims{"pad": strings.Repeat("x", 8<<10)}), "too long"},
		"a megabyte":                         {strings.Repeat("a", 1<<20), "too long"},
		"header no object":                   {forge(`["RS256"]`, keys.rsa.Private, "RS256"), malformed},
		"header with a blank added":          {b64(unb64(t, header)+" ") + "." + body + "." + sig, signature},
		"header with alg twice":              {forge(`{"alg":"none","kid":"rsa","alg":"RS256"}`, keys.rsa.Private, "RS256"), malformed},
		"payload a string":                   {raw(`"` + ada + `"`), malformed},
		"payload an array":                   {raw("[" + payload + "]"), malformed},
		"payload with a tail":                {raw(payload + "{}"), malformed},
		"payload with sub twice":             {raw(payload[:len(payload)-1] + `,"sub":"` + ada + `"}`), malformed},
		"payload with an escaped second sub": {raw(payload[:len(payload)-1] + `,"\u0073ub":"` + ada + `"}`), malformed},
		"payload with exp a word":            {user(issuertest.Claims{"exp": "tomorrow"}), malformed},
		"payload with iss a number":          {user(issuertest.Claims{"iss": 7}), malformed},
		"payload with aud an object":         {user(issuertest.Claims{"aud": map[string]any{"a": audience}}), malformed},

		// Which algorithm.
		"none":                            {forge(`{"alg":"none","kid":"rsa"}`, nil, ""), algorithm},
		"None":                            {forge(`{"alg":"None","kid":"rsa"}`, nil, ""), malformed},
		"NONE":                            {forge(`{"alg":"NONE","kid":"rsa"}`, nil, ""), malformed},
		"none with another's signature":   {b64(`{"alg":"none","kid":"rsa"}`) + "." + body + "." + sig, algorithm},
		"none without a kid":              {forge(`{"alg":"none"}`, nil, ""), unknown},
		"no alg":                          {forge(`{"kid":"rsa"}`, keys.rsa.Private, "RS256"), algorithm},
		"empty alg":                       {forge(`{"alg":"","kid":"rsa"}`, keys.rsa.Private, "RS256"), malformed},
		"alg a number":                    {forge(`{"alg":256,"kid":"rsa"}`, keys.rsa.Private, "RS256"), malformed},
		"HS256 with the public key, PEM":  {forge(`{"alg":"HS256","kid":"rsa"}`, publicPEM, "HS256"), algorithm},
		"HS256 with the public key, DER":  {forge(`{"alg":"HS256","kid":"rsa"}`, der, "HS256"), algorithm},
		"HS256 with the public key, PKCS": {forge(`{"alg":"HS256","kid":"rsa"}`, publicPKCS, "HS256"), algorithm},
		"HS256 with the key set's text":   {forge(`{"alg":"HS256","kid":"rsa"}`, []byte(key(t, keys.rsa)), "HS256"), algorithm},
		"HS256 with an empty secret":      {forge(`{"alg":"HS256","kid":"rsa"}`, []byte{0}, "HS256"), algorithm},
		"RS384 of an RS256 key":           {forge(`{"alg":"RS384","kid":"rsa"}`, keys.rsa.Private, "RS384"), algorithm},
		"PS256 of an RS256 key":           {forge(`{"alg":"PS256","kid":"rsa"}`, keys.rsa.Private, "PS256"), algorithm},
		"PS256 of a PS512 key":            {forge(`{"alg":"PS256","kid":"pss"}`, keys.pss.Private, "PS256"), algorithm},
		"ES256 header, RSA key":           {forge(`{"alg":"ES256","kid":"rsa"}`, keys.ec256.Private, "ES256"), algorithm},
		"RS256 header, another's bytes":   {forge(`{"alg":"RS256","kid":"rsa"}`, keys.pss.Private, "PS512"), signature},
		"shared secret, other algorithm":  {issuertest.Forge(t, `{"alg":"HS512"}`, claimsText(t, one.With(issuertest.Claims{"iss": legacy, "aud": "authenticated"})), []byte(secret), "HS512"), algorithm},
		"shared secret, none":             {issuertest.Forge(t, `{"alg":"none"}`, claimsText(t, one.With(issuertest.Claims{"iss": legacy, "aud": "authenticated"})), nil, ""), algorithm},
		"shared secret, RS256":            {user(issuertest.Claims{"iss": legacy, "aud": "authenticated"}), algorithm},
		"another shared secret":           {issuertest.Forge(t, `{"alg":"HS256"}`, claimsText(t, one.With(issuertest.Claims{"iss": legacy, "aud": "authenticated"})), []byte(secret+"!"), "HS256"), signature},
		"the shared secret, elsewhere":    {forge(`{"alg":"HS256","kid":"rsa"}`, []byte(secret), "HS256"), algorithm},

		// Which key.
		"kid of nobody":                  {forge(`{"alg":"RS256","kid":"nobody"}`, keys.rsa.Private, "RS256"), unknown},
		"kid in another case":            {forge(`{"alg":"RS256","kid":"RSA"}`, keys.rsa.Private, "RS256"), unknown},
		"kid a path":                     {forge(`{"alg":"RS256","kid":"../../../../dev/null"}`, keys.rsa.Private, "RS256"), unknown},
		"kid an SQL injection":           {forge(`{"alg":"RS256","kid":"x' UNION SELECT 'key"}`, keys.rsa.Private, "RS256"), unknown},
		"kid an address":                 {forge(`{"alg":"RS256","kid":"https://evil.example.com/key"}`, evil.Private, "RS256"), unknown},
		"kid a list":                     {forge(`{"alg":"RS256","kid":["rsa"]}`, keys.rsa.Private, "RS256"), malformed},
		"no kid where there are several": {forge(`{"alg":"RS256"}`, keys.rsa.Private, "RS256"), unknown},
		"kid of another key":             {forge(`{"alg":"RS256","kid":"rsa"}`, evil.Private, "RS256"), signature},
		"jwk of its own":                 {forge(`{"alg":"RS256","kid":"rsa","jwk":`+key(t, evil)+`}`, evil.Private, "RS256"), signature},
		"jku of its own":                 {forge(`{"alg":"RS256","kid":"rsa","jku":"http://127.0.0.1:1/keys"}`, evil.Private, "RS256"), signature},
		"x5u of its own":                 {forge(`{"alg":"RS256","kid":"rsa","x5u":"http://127.0.0.1:1/cert"}`, evil.Private, "RS256"), signature},
		"x5c of its own":                 {forge(`{"alg":"RS256","kid":"rsa","x5c":["`+base64.StdEncoding.EncodeToString(der)+`"]}`, evil.Private, "RS256"), malformed},
		"crit that nobody knows":         {forge(`{"alg":"RS256","kid":"rsa","crit":["exp"],"exp":1}`, keys.rsa.Private, "RS256"), "critical"},
		"crit with b64":                  {forge(`{"alg":"RS256","kid":"rsa","crit":["b64"],"b64":false}`, keys.rsa.Private, "RS256"), "critical"},
		"b64 without crit":               {forge(`{"alg":"RS256","kid":"rsa","b64":false}`, keys.rsa.Private, "RS256"), malformed},
		"signature of other claims":      {header + "." + body + "." + third(user(issuertest.Claims{"jti": "x"})), signature},
		"other claims":                   {header + "." + b64(strings.Replace(payload, ada, strings.Replace(ada, "a", "b", 1), 1)) + "." + sig, signature},
		"no signature":                   {header + "." + body + ".", malformed},
		"the platform's mark":            {header + "." + body + ".SIGNATURE_REMOVED_BY_GOOGLE", signature},
		"zeros, as of CVE-2022-21449":    {forge(`{"alg":"ES256","kid":"ec256"}`, nil, "") + strings.Repeat("A", 86), signature},

		// Which issuer.
		"unknown issuer":          {user(issuertest.Claims{"iss": stranger}), issuer},
		"no issuer":               {user(issuertest.Claims{"iss": nil}), issuer},
		"empty issuer":            {user(issuertest.Claims{"iss": ""}), issuer},
		"issuer with a slash":     {user(issuertest.Claims{"iss": users + "/"}), issuer},
		"issuer in upper case":    {user(issuertest.Claims{"iss": strings.ToUpper(users)}), issuer},
		"issuer with a suffix":    {user(issuertest.Claims{"iss": users + ".evil.com"}), issuer},
		"issuer without a scheme": {user(issuertest.Claims{"iss": "users.example.com"}), issuer},

		// Which audience.
		"another audience":        {user(issuertest.Claims{"aud": "https://catalog.example.com"}), forOther},
		"no audience":             {user(issuertest.Claims{"aud": nil}), forOther},
		"empty audience":          {user(issuertest.Claims{"aud": ""}), forOther},
		"no audience in the list": {user(issuertest.Claims{"aud": []string{}}), forOther},
		"ours and another":        {user(issuertest.Claims{"aud": []string{audience, "https://catalog.example.com"}}), forOther},
		"audience with a slash":   {user(issuertest.Claims{"aud": audience + "/"}), forOther},
		"audience in upper case":  {user(issuertest.Claims{"aud": strings.ToUpper(audience)}), forOther},
		"audience of the others":  {user(issuertest.Claims{"iss": others, "aud": second, "id": "x"}), forOther},
		"both audiences joined":   {user(issuertest.Claims{"aud": audience + "," + second}), forOther},
		"audience of a prefix":    {user(issuertest.Claims{"aud": audience[:10]}), forOther},
		"a service's for another": {of(issuertest.Claims{"aud": "https://catalog.example.com"}), forOther},

		// When.
		"expired 30 s ago":         {user(issuertest.Claims{"exp": at.in(-30 * time.Second)}), expired},
		"expired 31 s ago":         {user(issuertest.Claims{"exp": at.in(-31 * time.Second)}), expired},
		"expired at the epoch":     {user(issuertest.Claims{"exp": 0}), expired},
		"expired before the epoch": {user(issuertest.Claims{"exp": -1}), malformed},
		"no exp":                   {user(issuertest.Claims{"exp": nil}), lifetime},
		"exp null":                 {raw(strings.Replace(payload, `"exp":`, `"exp":null,"x":`, 1)), malformed},
		"valid for too long":       {user(issuertest.Claims{"exp": at.in(24*time.Hour + 31*time.Second)}), lifetime},
		"valid for ever":           {user(issuertest.Claims{"exp": int64(99999999999)}), lifetime},
		"valid in 31 s":            {user(issuertest.Claims{"nbf": at.in(31 * time.Second)}), early},
		"issued in 31 s":           {user(issuertest.Claims{"iat": at.in(31 * time.Second)}), early},

		// Who.
		"no sub":                      {user(issuertest.Claims{"sub": nil}), noUser},
		"no sub but a user_id":        {user(issuertest.Claims{"sub": nil, "user_id": ada}), noUser},
		"sub no UUID":                 {user(issuertest.Claims{"sub": "auth0|123"}), noUser},
		"sub in braces":               {user(issuertest.Claims{"sub": "{" + ada + "}"}), noUser},
		"sub the nil UUID":            {user(issuertest.Claims{"sub": "00000000-0000-0000-0000-000000000000"}), noUser},
		"sub a number":                {user(issuertest.Claims{"sub": 7}), malformed},
		"no id where ids are derived": {user(issuertest.Claims{"iss": others}), noUser},
		"empty id, derived":           {user(issuertest.Claims{"iss": others, "id": ""}), noUser},
		"number as id, derived":       {user(issuertest.Claims{"iss": others, "id": 7}), noUser},
		"service without an address":  {of(issuertest.Claims{"email": nil}), email},
		"service, empty address":      {of(issuertest.Claims{"email": ""}), email},
		"service, list of addresses":  {of(issuertest.Claims{"email": []string{gateway}}), email},
		"address not verified":        {of(issuertest.Claims{"email_verified": false}), email},
		"nothing about verification":  {of(issuertest.Claims{"email_verified": nil}), email},
		"verification as text":        {of(issuertest.Claims{"email_verified": "true"}), email},
		"verification as number":      {of(issuertest.Claims{"email_verified": 1}), email},
	}
	require.GreaterOrEqual(t, len(vectors), 60)
	for name, tc := range vectors {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVerifier(t, at)
			requireRefused(t, v, tc.token, tc.words)
			requireRefused(t, v, tc.token, tc.words)
		})
	}
}

func split(token string) (header, payload, signature string) {
	parts := strings.Split(token, ".")
	return parts[0], parts[1], parts[2]
}

func third(token string) string {
	_, _, signature := split(token)
	return signature
}

// withBoth is a signature that has both of the letters in which the alphabets differ.
func withBoth(t *testing.T, k issuertest.Key, claims issuertest.Claims) string {
	t.Helper()
	for n := range 1000 {
		signature := third(k.Sign(t, claims.With(issuertest.Claims{"n": n})))
		if strings.Contains(signature, "-") && strings.Contains(signature, "_") {
			return signature
		}
	}
	t.Fatal("no such signature")
	return ""
}

// sloppy sets a bit behind the last byte.
func sloppy(signature string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, signature[len(signature)-1])
	return signature[:len(signature)-1] + alphabet[last|1:last|1+1]
}

func TestT2_ReasonsOfTheLogHoldNothingOfTheToken(t *testing.T) {
	t.Parallel()
	at := newClock()
	v := newVerifier(t, at)
	const canary = "canary-5ecret"
	for _, changes := range []issuertest.Claims{
		{"iss": canary}, {"aud": canary}, {"sub": canary}, {"exp": canary}, {"nbf": canary}, {canary: canary, "sub": nil},
	} {
		_, err := v.Verify(t.Context(), keysOnce().rsa.Sign(t, userClaims(at).With(changes)))
		require.ErrorIs(t, err, models.ErrUnauthenticated)
		require.NotContains(t, err.Error(), canary)
	}
	for _, header := range []string{`{"alg":"` + canary + `"}`, `{"alg":"RS256","kid":"` + canary + `"}`, `{"alg":"RS256","kid":"rsa","crit":["` + canary + `"]}`} {
		_, err := v.Verify(t.Context(), issuertest.Forge(t, header, claimsText(t, userClaims(at)), keysOnce().rsa.Private, "RS256"))
		require.ErrorIs(t, err, models.ErrUnauthenticated)
		require.NotContains(t, err.Error(), canary)
	}
}

// The boundary is where time itself moves over it, also for a token that was verified before.
func TestT2_ATokenEndsWithItsSkewAlsoWhenItIsRemembered(t *testing.T) {
	t.Parallel()
	at := newClock()
	v := newVerifier(t, at)
	token := keysOnce().rsa.Sign(t, userClaims(at).With(issuertest.Claims{"exp": at.in(time.Minute)}))
	for _, step := range []time.Duration{0, time.Minute, 29 * time.Second} {
		at.advance(step)
		_, err := v.Verify(t.Context(), token)
		require.NoError(t, err)
	}
	at.advance(time.Second)
	requireRefused(t, v, token, expired)
}

func TestT2_PlatformVerifiedTokensKeepTheirOtherChecks(t *testing.T) {
	t.Parallel()
	at := newClock()
	v := newVerifier(t, at, func(o *credential.Options) { o.PlatformVerified = true })
	stripped := func(changes issuertest.Claims) string {
		header, payload, _ := split(keysOnce().rsa.Sign(t, serviceClaims(at).With(changes)))
		return header + "." + payload + ".SIGNATURE_REMOVED_BY_GOOGLE"
	}
	got, err := v.Verify(t.Context(), stripped(nil))
	require.NoError(t, err)
	require.Equal(t, gateway, got.Account)
	got, err = v.Verify(t.Context(), keysOnce().rsa.Sign(t, serviceClaims(at)))
	require.NoError(t, err, "one that still has its signature")
	require.Equal(t, gateway, got.Account)
	for words, changes := range map[string]issuertest.Claims{
		issuer: {"iss": stranger}, forOther: {"aud": "x"}, expired: {"exp": at.in(-time.Minute)}, early: {"nbf": at.in(time.Minute)},
		lifetime: {"exp": nil}, email: {"email_verified": false},
	} {
		requireRefused(t, v, stripped(changes), words)
	}
	evil := issuertest.RSAKey(t, "rsa")
	requireRefused(t, v, evil.Sign(t, serviceClaims(at)), signature)
	header, payload, _ := split(evil.Sign(t, serviceClaims(at)))
	requireRefused(t, v, header+"."+payload+".", malformed)
	requireRefused(t, v, header+"."+payload+".SIGNATURE_REMOVED_BY_GOOGLQ", signature)
}

func TestT2_KeysThatCannotBeUsedStopTheStart(t *testing.T) {
	t.Parallel()
	small := `{"keys":[{"kty":"RSA","kid":"a","e":"AQAB","n":"` + strings.Repeat("q", 170) + `"}]}` // 1020 bits
	oct := `{"keys":[{"kty":"oct","kid":"a","k":"` + strings.Repeat("q", 43) + `"}]}`
	ec := key(t, keysOnce().ec256)
	forEncryption := `{"keys":[` + strings.Replace(ec, `{`, `{"use":"enc",`, 1) + `]}`
	none := `{"keys":[` + strings.Replace(ec, `"ES256"`, `"none"`, 1) + `]}`
	hs := `{"keys":[` + strings.Replace(ec, `"ES256"`, `"HS256"`, 1) + `]}`
	for name, set := range map[string]string{
		"no JSON": "keys", "no keys": `{"keys":[]}`, "small RSA": small, "a secret": oct, "for encryption": forEncryption, "alg none": none, "alg HS256": hs,
	} {
		_, _, err := credential.New(credential.Options{
			Issuers: []credential.Issuer{{Name: users, Keys: credential.Keys{Set: set}}}, Now: time.Now,
		})
		require.ErrorContains(t, err, users, name)
	}
}

func TestT2_AKeyWithoutAlgHasTheUsualOneOfItsKind(t *testing.T) {
	t.Parallel()
	at, keys := newClock(), keysOnce()
	for _, k := range []issuertest.Key{keys.rsa, keys.ec256, keys.ec384, keys.ec521, keys.ed} {
		set := strings.Replace(issuertest.Set(t, k), `"alg":"`+k.Alg+`",`, "", 1)
		require.NotContains(t, set, k.Alg)
		v := newVerifier(t, at, func(o *credential.Options) {
			o.Issuers = []credential.Issuer{{Name: users, Audiences: []string{audience}, Keys: credential.Keys{Set: set}, UserClaim: "sub"}}
		})
		_, err := v.Verify(t.Context(), k.Sign(t, userClaims(at)))
		require.NoError(t, err, k.Alg)
		_, err = v.Verify(t.Context(), issuertest.Forge(t, `{"alg":"`+k.Alg+`"}`, claimsText(t, userClaims(at)), k.Private, k.Alg))
		require.NoError(t, err, "a single key needs no kid")
	}
	set := strings.Replace(issuertest.Set(t, keys.rsa), `"alg":"RS256",`, "", 1)
	v := newVerifier(t, at, func(o *credential.Options) {
		o.Issuers = []credential.Issuer{{Name: users, Audiences: []string{audience}, Keys: credential.Keys{Set: set}, UserClaim: "sub"}}
	})
	requireRefused(t, v, issuertest.Forge(t, `{"alg":"PS256","kid":"rsa"}`, claimsText(t, userClaims(at)), keys.rsa.Private, "PS256"), algorithm)
}

func unb64(t testing.TB, part string) string {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(part)
	require.NoError(t, err)
	return string(text)
}
