package credential_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/credential"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/test/testkit/issuertest"
)

const (
	users    = "https://users.example.com"
	others   = "https://others.example.com" // has ids of its own, in claim `id`
	services = "https://services.example.com"
	legacy   = "https://legacy.example.com" // signs with a shared secret
	stranger = "https://stranger.example.com"
	audience = "https://profile.example.com"
	second   = "profile"
	secret   = "a-shared-secret-of-32-characters"
	ada      = "0190d5a0-1111-7abc-8def-00000000abcd"
	gateway  = "gateway@project.iam.gserviceaccount.com"
)

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// in is a time claim.
func (c *clock) in(d time.Duration) int64 { return c.now().Add(d).Unix() }

// keyring has one key of every kind that is allowed.
type keyring struct{ rsa, pss, ec256, ec384, ec521, ed issuertest.Key }

var keysOnce = sync.OnceValue(func() keyring {
	t := &testing.T{}
	ec := func(curve elliptic.Curve) *ecdsa.PrivateKey {
		key, _ := ecdsa.GenerateKey(curve, rand.Reader)
		return key
	}
	// The same in every process: the workers of a fuzz run verify what the first process signed.
	ed := ed25519.NewKeyFromSeed([]byte(secret))
	pss := issuertest.RSAKey(t, "pss")
	pss.Alg = "PS512"
	return keyring{
		rsa: issuertest.RSAKey(t, "rsa"), pss: pss,
		ec256: issuertest.Key{Kid: "ec256", Alg: "ES256", Private: ec(elliptic.P256())},
		ec384: issuertest.Key{Kid: "ec384", Alg: "ES384", Private: ec(elliptic.P384())},
		ec521: issuertest.Key{Kid: "ec521", Alg: "ES512", Private: ec(elliptic.P521())},
		ed:    issuertest.Key{Kid: "ed", Alg: "EdDSA", Private: ed},
	}
})

func (k keyring) all() []issuertest.Key {
	return []issuertest.Key{k.rsa, k.pss, k.ec256, k.ec384, k.ec521, k.ed}
}

func issuers(t testing.TB) []credential.Issuer {
	t.Helper()
	set := credential.Keys{Set: issuertest.Set(t, keysOnce().all()...)}
	return []credential.Issuer{
		{Name: users, Audiences: []string{audience, second}, Keys: set, UserClaim: "sub"},
		{Name: others, Audiences: []string{audience}, Keys: set, UserClaim: "id", NameBased: true},
		{Name: services, Audiences: []string{audience}, Keys: set, Services: true},
		{Name: legacy, Audiences: []string{"authenticated"}, Keys: credential.Keys{Secret: secret}, UserClaim: "sub"},
	}
}

func newVerifier(t testing.TB, at *clock, change ...func(*credential.Options)) *credential.Verifier {
	t.Helper()
	o := credential.Options{Issuers: issuers(t), MaxLifetime: 24 * time.Hour, Now: at.now, Log: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&o)
	}
	v, cleanup, err := credential.New(o)
	require.NoError(t, err)
	t.Cleanup(cleanup)
	return v
}

// userClaims are those of a user's token that is good for an hour.
func userClaims(at *clock) issuertest.Claims {
	return issuertest.Claims{"iss": users, "aud": audience, "sub": ada, "iat": at.in(0), "nbf": at.in(0), "exp": at.in(time.Hour)}
}

// serviceClaims are those of the gateway's.
func serviceClaims(at *clock) issuertest.Claims {
	return issuertest.Claims{
		"iss": services, "aud": audience, "sub": "1234567890", "email": gateway, "email_verified": true, "iat": at.in(0), "exp": at.in(time.Hour),
	}
}

// requireRefused checks the reason and the words of the log.
func requireRefused(t testing.TB, v *credential.Verifier, token, words string) {
	t.Helper()
	principal, err := v.Verify(context.Background(), token)
	require.ErrorIs(t, err, models.ErrUnauthenticated)
	require.Zero(t, principal)
	require.ErrorContains(t, errors.Unwrap(err), words)
}
