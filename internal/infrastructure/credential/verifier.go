// Package credential verifies bearer tokens against configured issuers. The JOSE part is jwx's; what is decided here is
// which key and algorithm an issuer may use, when its keys are fetched, and which claims a token must have.
package credential

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
	"github.com/lestrrat-go/jwx/v3/jws/jwsbb"
	"github.com/lestrrat-go/jwx/v3/jwt"

	"github.com/lingo-services/profile/internal/controllers/identity"
	"github.com/lingo-services/profile/internal/models"
)

const (
	// skew is how far clocks may be apart.
	skew = 30 * time.Second
	// maxToken bounds a token in bytes; real ones are under 2 KiB.
	maxToken = 8 << 10
	// strippedSignature is what Cloud Run puts in place of a signature it has checked.
	strippedSignature = "SIGNATURE_REMOVED_BY_GOOGLE"
)

// Why a token is refused. Logs show these words, so they hold nothing of the token.
var (
	errTooLong     = errors.New("the token is too long")
	errMalformed   = errors.New("the token is not a compact JWS of a JSON object")
	errCritical    = errors.New("the token has critical header parameters")
	errIssuer      = errors.New("the token's issuer is not trusted")
	errAlgorithm   = errors.New("the token's algorithm is not its key's")
	errKey         = errors.New("the token's key is not one of its issuer's")
	errSignature   = errors.New("the token's signature is not valid")
	errAudience    = errors.New("the token is for another audience")
	errExpired     = errors.New("the token has expired")
	errNotYet      = errors.New("the token is not valid yet")
	errLifetime    = errors.New("the token never expires or is valid for too long")
	errEmail       = errors.New("the token has no verified e-mail address")
	errUser        = errors.New("the token's user claim names no user")
	errUnavailable = errors.New("the issuer's keys are not available")
)

// Issuer is a token issuer that is trusted.
type Issuer struct {
	// Name is the iss claim, byte by byte.
	Name string
	// Audiences are all that a token's aud may hold; one of them it must.
	Audiences []string
	// Services: tokens name service accounts by their verified e-mail address; else end users.
	Services bool
	// Keys say where the keys are.
	Keys Keys
	// UserClaim has the user's id.
	UserClaim string
	// NameBased derives the user's id from issuer and UserClaim; else UserClaim must be a UUID.
	NameBased bool
}

// Options of a Verifier.
type Options struct {
	Issuers []Issuer
	// MaxLifetime is how far ahead of now a token may expire.
	MaxLifetime time.Duration
	// PlatformVerified accepts tokens whose signature the platform removed after it had checked it.
	PlatformVerified bool
	Now              func() time.Time
	Log              *slog.Logger
}

// Verifier implements identity.Verifier.
type Verifier struct {
	options  Options
	issuers  map[string]trusted
	verified *verifiedTokens
}

type trusted struct {
	Issuer
	keys keySource
}

// New trusts the issuers of o and begins to fetch their keys. The caller calls cleanup to end fetches. Errors name the
// issuer whose given keys cannot be used.
func New(o Options) (v *Verifier, cleanup func(), err error) {
	v = &Verifier{options: o, issuers: make(map[string]trusted, len(o.Issuers)), verified: newVerifiedTokens()}
	fetches := newFetches()
	for _, issuer := range o.Issuers {
		keys, err := issuer.Keys.open(issuer.Name, fetches, o)
		if err != nil {
			fetches.stop()
			return nil, nil, fmt.Errorf("keys of %s: %w", issuer.Name, err)
		}
		v.issuers[issuer.Name] = trusted{issuer, keys}
	}
	return v, fetches.stop, nil
}

// Verify implements identity.Verifier. What was verified is remembered for a short time.
func (v *Verifier) Verify(ctx context.Context, token string) (identity.Principal, error) {
	if len(token) > maxToken {
		return identity.Principal{}, models.ErrUnauthenticated.Because(errTooLong)
	}
	if known, ok := v.verified.get(token, v.options.Now()); ok {
		return known, nil
	}
	principal, expires, err := v.check(ctx, token)
	switch {
	case errors.Is(err, errUnavailable):
		return identity.Principal{}, models.ErrUnavailable.Because(err)
	case err != nil:
		return identity.Principal{}, models.ErrUnauthenticated.Because(err)
	}
	v.verified.put(token, principal, v.options.Now(), expires.Add(skew))
	return principal, nil
}

func (v *Verifier) check(ctx context.Context, token string) (principal identity.Principal, expires time.Time, err error) {
	message, err := parse(token)
	if err != nil {
		return principal, expires, err
	}
	claims, err := jwt.ParseInsecure([]byte(token), jwt.WithStrictStringClaims(true))
	if err != nil {
		return principal, expires, errMalformed
	}
	name, _ := claims.Issuer()
	issuer, found := v.issuers[name]
	if !found {
		return principal, expires, errIssuer
	}
	if !v.options.PlatformVerified || !stripped(message) {
		if err := issuer.checkSignature(ctx, token, message); err != nil {
			return principal, expires, err
		}
	}
	if expires, err = v.checkTimes(claims); err != nil {
		return principal, expires, err
	}
	if principal, err = issuer.principal(claims); err != nil {
		return identity.Principal{}, expires, err
	}
	return principal, expires, nil
}

// parse refuses whatever has a second reading: other serializations, base64 that is not canonical, repeated claims, and
// header parameters that change what the rest means.
func parse(token string) (*jws.Message, error) {
	header, payload, signature, err := jwsbb.SplitCompactString(token)
	if err != nil {
		return nil, errMalformed
	}
	if _, err := decode(signature); err != nil {
		return nil, err
	}
	for _, part := range [][]byte{header, payload} {
		document, err := decode(part)
		if err != nil {
			return nil, err
		}
		if _, err := identity.ParseObject(document); err != nil {
			return nil, errMalformed
		}
	}
	message, err := jws.Parse([]byte(token), jws.WithCompact())
	if err != nil || len(message.Signatures()) != 1 {
		return nil, errMalformed
	}
	if message.Signatures()[0].ProtectedHeaders().Has(jws.CriticalKey) {
		return nil, errCritical
	}
	return message, nil
}

// decode refuses what jwx and the standard library let pass: other alphabets, padding, line ends, bits that say nothing.
func decode(part []byte) ([]byte, error) {
	decoded, err := base64.RawURLEncoding.DecodeString(string(part))
	if err != nil || base64.RawURLEncoding.EncodeToString(decoded) != string(part) {
		return nil, errMalformed
	}
	return decoded, nil
}

func stripped(message *jws.Message) bool {
	return base64.RawURLEncoding.EncodeToString(message.Signatures()[0].Signature()) == strippedSignature
}

// checkSignature takes the key that the kid names among the issuer's own, and that key's algorithm: what the header
// says about either (alg, jku, jwk, x5u, x5c) decides nothing.
func (i trusted) checkSignature(ctx context.Context, token string, message *jws.Message) error {
	header := message.Signatures()[0].ProtectedHeaders()
	kid, _ := header.KeyID()
	key, err := i.keys.find(ctx, kid)
	if err != nil {
		return err
	}
	if alg, ok := header.Algorithm(); !ok || alg != key.algorithm {
		return errAlgorithm
	}
	// Not jws.Verify: it checks the bytes that the parsed header encodes to, and so passes a header with blanks added.
	if _, err := jws.VerifyCompactFast(key.key, []byte(token), key.algorithm); err != nil {
		return errSignature
	}
	return nil
}

func (v *Verifier) checkTimes(claims jwt.Token) (expires time.Time, err error) {
	expires, ok := claims.Expiration()
	if !ok || expires.Sub(v.options.Now()) > v.options.MaxLifetime+skew {
		return expires, errLifetime
	}
	err = jwt.Validate(claims, jwt.WithClock(jwt.ClockFunc(v.options.Now)), jwt.WithAcceptableSkew(skew))
	switch {
	case errors.Is(err, jwt.TokenExpiredError()):
		return expires, errExpired
	case err != nil:
		return expires, errNotYet
	}
	return expires, nil
}

func (i trusted) principal(claims jwt.Token) (p identity.Principal, err error) {
	audiences, _ := claims.Audience()
	if len(audiences) == 0 || slices.ContainsFunc(audiences, func(a string) bool { return !slices.Contains(i.Audiences, a) }) {
		return p, errAudience
	}
	p.Subject, _ = claims.Subject()
	if i.Services {
		var verified bool
		if claims.Get("email", &p.Account) != nil || p.Account == "" || claims.Get("email_verified", &verified) != nil || !verified {
			return p, errEmail
		}
		return p, nil
	}
	var id string
	if err := claims.Get(i.UserClaim, &id); err != nil || id == "" {
		return p, errUser
	}
	if i.NameBased {
		p.User = NameBased(i.Name, id)
		return p, nil
	}
	if p.User, err = models.ParseUserID(id); err != nil {
		return p, errUser
	}
	return p, nil
}

// NameBased is the id of a user whose issuer has ids of another form: the version 5 UUID of subject in the namespace
// that is the version 5 UUID of the issuer's URL.
func NameBased(issuer, subject string) models.UserID {
	namespace := uuid.NewSHA1(uuid.NameSpaceURL, []byte(issuer))
	return models.UserID(uuid.NewSHA1(namespace, []byte(subject)))
}

// signingKey is a key with the one algorithm it may be used with.
type signingKey struct {
	algorithm jwa.SignatureAlgorithm
	key       jwk.Key
}
