package credential_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/credential"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/test/testkit/issuertest"
)

// served is a verifier whose one issuer is the server.
func served(t *testing.T, at *clock, server *issuertest.Server, keys credential.Keys) (*credential.Verifier, issuertest.Claims) {
	t.Helper()
	v := newVerifier(t, at, func(o *credential.Options) {
		o.Issuers = []credential.Issuer{{Name: server.URL, Audiences: []string{audience}, Keys: keys, UserClaim: "sub"}}
	})
	return v, userClaims(at).With(issuertest.Claims{"iss": server.URL, "exp": nil})
}

// lasting is a token that outlives the test's clock by an hour.
func lasting(at *clock, claims issuertest.Claims) issuertest.Claims {
	return claims.With(issuertest.Claims{"exp": at.in(time.Hour), "jti": at.now().String()})
}

func verify(t *testing.T, v *credential.Verifier, token string) error {
	t.Helper()
	_, err := v.Verify(t.Context(), token)
	return err
}

func TestT2_KeysComeFromAnAddressADiscoveryDocumentOrAFile(t *testing.T) {
	t.Parallel()
	at, key := newClock(), issuertest.RSAKey(t, "one")
	server := issuertest.Serve(t, issuertest.Set(t, key))
	file := filepath.Join(t.TempDir(), "keys.json")
	require.NoError(t, os.WriteFile(file, []byte(issuertest.Set(t, key)), 0o600))
	for name, keys := range map[string]credential.Keys{"address": {URL: server.URL + "/keys"}, "discovery": {}, "file": {File: file}} {
		v, claims := served(t, at, server, keys)
		require.NoError(t, verify(t, v, key.Sign(t, lasting(at, claims))), name)
	}
	fetched, documents := server.Fetches()
	require.Equal(t, []int{2, 1}, []int{fetched, documents})
}

func TestT2_TenThousandUnknownKeysCauseOneFetch(t *testing.T) {
	t.Parallel()
	at, key := newClock(), issuertest.RSAKey(t, "one")
	server := issuertest.Serve(t, issuertest.Set(t, key))
	v, claims := served(t, at, server, credential.Keys{})
	claims = lasting(at, claims)
	require.NoError(t, verify(t, v, key.Sign(t, claims)))
	at.advance(6 * time.Minute)
	before, documentsBefore := server.Fetches()
	payload := claimsText(t, claims)
	var callers sync.WaitGroup
	for c := range 16 {
		callers.Go(func() {
			for n := range 625 {
				token := issuertest.Forge(t, fmt.Sprintf(`{"alg":"RS256","kid":"%d-%d"}`, c, n), payload, []byte("x"), "HS256")
				_, err := v.Verify(context.Background(), token)
				if !errors.Is(err, models.ErrUnauthenticated) {
					t.Errorf("%d-%d: %v", c, n, err)
				}
			}
		})
	}
	callers.Wait()
	fetched, documents := server.Fetches()
	require.Equal(t, []int{1, 1}, []int{fetched - before, documents - documentsBefore}, "of keys, of the discovery document")
	require.NoError(t, verify(t, v, key.Sign(t, lasting(at, claims))), "known keys go on working")
}

func TestT2_ANewKeyIsFoundOnceAFetchIsDue(t *testing.T) {
	t.Parallel()
	at, first, next := newClock(), issuertest.RSAKey(t, "first"), issuertest.RSAKey(t, "next")
	server := issuertest.Serve(t, issuertest.Set(t, first))
	v, claims := served(t, at, server, credential.Keys{})
	require.NoError(t, verify(t, v, first.Sign(t, lasting(at, claims))))
	server.SetKeys(issuertest.Set(t, first, next))
	at.advance(5*time.Minute - time.Second)
	requireRefused(t, v, next.Sign(t, lasting(at, claims)), unknown)
	at.advance(time.Second)
	require.NoError(t, verify(t, v, next.Sign(t, lasting(at, claims))), "the call waits for the fetch")
	require.NoError(t, verify(t, v, first.Sign(t, lasting(at, claims))))
}

func TestT2_AWithdrawnKeyStopsWorkingAlsoForTokensSeenBefore(t *testing.T) {
	t.Parallel()
	at, old, next := newClock(), issuertest.RSAKey(t, "old"), issuertest.RSAKey(t, "next")
	server := issuertest.Serve(t, issuertest.Set(t, old))
	v, claims := served(t, at, server, credential.Keys{})
	token := old.Sign(t, claims.With(issuertest.Claims{"exp": at.in(2 * time.Hour)}))
	require.NoError(t, verify(t, v, token))
	server.SetKeys(issuertest.Set(t, next))
	at.advance(5 * time.Minute)
	require.NoError(t, verify(t, v, next.Sign(t, lasting(at, claims))))
	requireRefused(t, v, token, unknown)
}

func TestT2_KnownKeysWorkOnWhileTheIssuerIsAway(t *testing.T) {
	t.Parallel()
	at, key := newClock(), issuertest.RSAKey(t, "one")
	server := issuertest.Serve(t, issuertest.Set(t, key))
	v, claims := served(t, at, server, credential.Keys{})
	require.NoError(t, verify(t, v, key.Sign(t, lasting(at, claims))))
	// What the issuer sends while something is wrong with it holds a key that must not be taken.
	evil := issuertest.RSAKey(t, "evil")
	unsafe := strings.Replace(server.URL, "127.0.0.1", "0.0.0.0", 1)
	for name, away := range map[string]func(){
		"status 503": func() { server.SetStatus(http.StatusServiceUnavailable) },
		"rubbish":    func() { server.SetKeys("<html>") },
		"no keys":    func() { server.SetKeys(`{"keys":[]}`) },
		"too much":   func() { server.SetKeys(issuertest.Set(t, key, evil) + strings.Repeat(" ", 1<<20)) },
		"another's discovery": func() {
			server.SetDiscovery(`{"issuer":"https://evil.example.com","jwks_uri":"` + server.URL + `/keys"}`)
		},
		"unsafe address": func() { server.SetDiscovery(`{"issuer":"` + server.URL + `","jwks_uri":"` + unsafe + `/keys"}`) },
		"no address":     func() { server.SetDiscovery(`{"issuer":"` + server.URL + `"}`) },
	} {
		server.SetStatus(http.StatusOK)
		server.SetKeys(issuertest.Set(t, key, evil))
		server.SetDiscovery(`{"issuer":"` + server.URL + `","jwks_uri":"` + server.URL + `/keys"}`)
		away()
		at.advance(10 * time.Minute)
		requireRefused(t, v, evil.Sign(t, lasting(at, claims)), unknown)
		require.NoError(t, verify(t, v, key.Sign(t, lasting(at, claims))), name)
	}
	server.SetStatus(http.StatusServiceUnavailable)
	at.advance(22 * time.Hour)
	require.NoError(t, verify(t, v, key.Sign(t, lasting(at, claims))))
	at.advance(50 * time.Minute) // since the start: 7 x 10 min + 22 h + 50 min
	require.ErrorIs(t, verify(t, v, key.Sign(t, lasting(at, claims))), models.ErrUnavailable, "a day is too long")
}

func TestT2_WithoutKeysNobodyIsRefusedForGood(t *testing.T) {
	t.Parallel()
	at, key := newClock(), issuertest.RSAKey(t, "one")
	server := issuertest.Serve(t, issuertest.Set(t, key))
	server.SetStatus(http.StatusInternalServerError)
	v, claims := served(t, at, server, credential.Keys{URL: server.URL + "/keys"})
	token := key.Sign(t, lasting(at, claims))
	for range 100 {
		require.ErrorIs(t, verify(t, v, token), models.ErrUnavailable)
	}
	fetched, _ := server.Fetches()
	require.Equal(t, 1, fetched)
	server.SetStatus(http.StatusOK)
	at.advance(10 * time.Second)
	require.NoError(t, verify(t, v, token))
}

func TestT2_OldKeysAreFetchedAgainWithoutAnybodyWaiting(t *testing.T) {
	t.Parallel()
	at, key := newClock(), issuertest.RSAKey(t, "one")
	server := issuertest.Serve(t, issuertest.Set(t, key))
	v, claims := served(t, at, server, credential.Keys{URL: server.URL + "/keys"})
	require.NoError(t, verify(t, v, key.Sign(t, lasting(at, claims))))
	at.advance(time.Hour)
	for range 10 {
		require.NoError(t, verify(t, v, key.Sign(t, lasting(at, claims))))
	}
	require.Eventually(t, func() bool { fetched, _ := server.Fetches(); return fetched == 2 }, 10*time.Second, time.Millisecond)
}

func TestT2_ACallGivesUpOnASlowIssuerAndCleanupEndsTheFetch(t *testing.T) {
	t.Parallel()
	at, key := newClock(), issuertest.RSAKey(t, "one")
	asked := make(chan struct{}, 1)
	slow := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	})
	server := issuertest.ServeHandler(t, slow)
	v, cleanup, err := credential.New(credential.Options{
		Issuers: []credential.Issuer{{Name: users, Audiences: []string{audience}, Keys: credential.Keys{URL: server}, UserClaim: "sub"}},
		Now:     at.now, MaxLifetime: time.Hour, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	<-asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = v.Verify(ctx, key.Sign(t, userClaims(at)))
	require.ErrorIs(t, err, models.ErrUnavailable)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cleanup()
	}()
	select {
	case <-ended:
	case <-time.After(4 * time.Second): // the fetch would end by itself after five
		t.Fatal("cleanup waits for the fetch instead of ending it")
	}
}

func TestT2_RedirectsOfAnIssuerAreNotFollowed(t *testing.T) {
	t.Parallel()
	at, key := newClock(), issuertest.RSAKey(t, "one")
	elsewhere := issuertest.Serve(t, issuertest.Set(t, key))
	redirecting := issuertest.ServeHandler(t, http.RedirectHandler(elsewhere.URL+"/keys", http.StatusFound))
	var lines bytes.Buffer
	v, cleanup, err := credential.New(credential.Options{
		Issuers: []credential.Issuer{{Name: users, Audiences: []string{audience}, Keys: credential.Keys{URL: redirecting}, UserClaim: "sub"}},
		Now:     at.now, MaxLifetime: time.Hour, Log: slog.New(slog.NewTextHandler(&lines, nil)),
	})
	require.NoError(t, err)
	require.ErrorIs(t, verify(t, v, key.Sign(t, userClaims(at))), models.ErrUnavailable)
	cleanup()
	fetched, _ := elsewhere.Fetches()
	require.Zero(t, fetched)
	require.Contains(t, lines.String(), "status 302")
	require.Contains(t, lines.String(), users)
}
