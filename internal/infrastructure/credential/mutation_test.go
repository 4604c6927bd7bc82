package credential_test

import (
	"context"
	"encoding/base64"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/credential"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/test/testkit/issuertest"
	"github.com/lingo-services/profile/test/testkit/workload"
)

// seeds are twenty good tokens of every issuer and several keys.
func seeds(t testing.TB, at *clock) []string {
	t.Helper()
	keys := keysOnce()
	var tokens []string
	for n, k := range []issuertest.Key{keys.rsa, keys.ec256, keys.ed} {
		for _, claims := range []issuertest.Claims{
			userClaims(at), userClaims(at).With(issuertest.Claims{"aud": []string{second, audience}, "n": n}),
			userClaims(at).With(issuertest.Claims{"sub": strings.Replace(ada, "a", "b", 1)}),
			userClaims(at).With(issuertest.Claims{"iss": others, "id": "auth0|123"}),
			serviceClaims(at), serviceClaims(at).With(issuertest.Claims{"email": "feed@project.iam.gserviceaccount.com"}),
		} {
			tokens = append(tokens, k.Sign(t, claims))
		}
	}
	shared := userClaims(at).With(issuertest.Claims{"iss": legacy, "aud": "authenticated"})
	for _, sub := range []string{ada, strings.Replace(ada, "a", "c", 1)} {
		tokens = append(tokens, issuertest.Forge(t, `{"alg":"HS256"}`, claimsText(t, shared.With(issuertest.Claims{"sub": sub})), []byte(secret), "HS256"))
	}
	require.Len(t, tokens, 20)
	return tokens
}

// mutate changes a token in one of the ways that somebody who cannot sign may try.
func mutate(random *rand.Rand, tokens []string) string {
	token := tokens[random.IntN(len(tokens))]
	switch random.IntN(6) {
	case 0: // parts of different tokens
		header, payload, signature := split(token)
		other, otherPayload, otherSignature := split(tokens[random.IntN(len(tokens))])
		switch random.IntN(3) {
		case 0:
			return other + "." + payload + "." + signature
		case 1:
			return header + "." + otherPayload + "." + signature
		}
		return header + "." + payload + "." + otherSignature
	case 1: // one letter more
		i := random.IntN(len(token) + 1)
		return token[:i] + string(letter(random)) + token[i:]
	case 2: // some less
		i := random.IntN(len(token))
		return token[:i] + token[min(len(token), i+1+random.IntN(4)):]
	case 3: // another letter
		i := random.IntN(len(token))
		return token[:i] + string(letter(random)) + token[i+1:]
	case 4: // two letters swapped
		i, j := random.IntN(len(token)), random.IntN(len(token))
		text := []byte(token)
		text[i], text[j] = text[j], text[i]
		return string(text)
	}
	text := []byte(token) // one bit
	text[random.IntN(len(text))] ^= 1 << random.IntN(8)
	return string(text)
}

func letter(random *rand.Rand) byte {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=.\n"
	return letters[random.IntN(len(letters))]
}

func TestT2_NoMutatedTokenIsAccepted(t *testing.T) {
	t.Parallel()
	at := newClock()
	v, tokens := newVerifier(t, at), seeds(t, at)
	good := map[string]bool{}
	for _, token := range tokens {
		_, err := v.Verify(t.Context(), token)
		require.NoError(t, err)
		good[token] = true
	}
	workers := runtime.GOMAXPROCS(0)
	each := workload.Mutations(t)/workers + 1
	seed := rand.Uint64()
	var running sync.WaitGroup
	for w := range workers {
		running.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(w)))
			for tried := 0; tried < each; {
				token := mutate(random, tokens)
				if good[token] {
					continue
				}
				tried++
				if principal, err := v.Verify(context.Background(), token); err == nil {
					t.Errorf("seed %d: accepted as %+v: %s", seed, principal, token)
				}
			}
		})
	}
	running.Wait()
	t.Logf("%d mutated tokens", each*workers)
}

func FuzzVerify(f *testing.F) {
	at := newClock()
	tokens := seeds(f, at)[12:] // those whose keys are the same in every process
	good := map[string]bool{}
	for _, token := range tokens {
		good[token] = true
		f.Add(token)
	}
	f.Add("")
	f.Add("..")
	header, rest, _ := strings.Cut(tokens[0], ".")
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(unb64(f, header)+" ")) + "." + rest) // jws.Verify does not see the blank
	f.Add(issuertest.Forge(f, `{"alg":"none"}`, claimsText(f, userClaims(at)), nil, ""))
	v := newVerifier(f, at)
	f.Fuzz(func(t *testing.T, token string) {
		principal, err := v.Verify(t.Context(), token)
		if good[token] {
			require.NoError(t, err)
			return
		}
		require.Error(t, err)
		require.Zero(t, principal)
	})
}

// Payload and header are what an issuer signed, however strange: nothing of it makes the verifier fail in another way
// than by refusing, and whoever it names is somebody.
func FuzzVerifySigned(f *testing.F) {
	at := newClock()
	v := newVerifier(f, at)
	f.Add(`{"alg":"EdDSA","kid":"ed"}`, claimsText(f, userClaims(at)))
	f.Add(`{"alg":"EdDSA","kid":"ed"}`, claimsText(f, serviceClaims(at)))
	f.Add(`{"alg":"EdDSA","kid":"ed","crit":["b64"]}`, `{"exp":1e400,"iss":[],"aud":null}`)
	f.Fuzz(func(t *testing.T, header, payload string) {
		principal, err := v.Verify(t.Context(), issuertest.Forge(t, header, payload, keysOnce().ed.Private, "EdDSA"))
		require.Equal(t, err == nil, principal.Account != "" || principal.User != (models.UserID{}))
	})
}

func BenchmarkVerify(b *testing.B) {
	at := newClock()
	verifier := func(b *testing.B) *credential.Verifier {
		b.Helper()
		return newVerifier(b, at)
	}
	for _, k := range []issuertest.Key{keysOnce().rsa, keysOnce().ec256} {
		b.Run(k.Alg+"/remembered", func(b *testing.B) {
			v, token := verifier(b), k.Sign(b, userClaims(at))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(k.Alg+"/checked", func(b *testing.B) {
			v, token := verifier(b), k.Sign(b, userClaims(at))
			b.ReportAllocs()
			for b.Loop() {
				credential.Forget(v)
				if _, err := v.Verify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
